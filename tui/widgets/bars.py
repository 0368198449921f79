"""The top line (where am I, what is at work) and the bottom line (which keys do something now). Both take clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input

from tui.widgets.styles import component_styles

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.screen import Screen

TYPED = ("slash", "question_mark", "colon", "space", "left_square_bracket", "right_square_bracket")
BRIEF = {"Subpopulations": "Subpops"}  # where the whole word has no room
STYLES = ("name", "here", "key", "quiet", "good", "bad", "warn")


@dataclass(frozen=True)
class Piece:
    """Some text of a bar and the action that a click on it runs ("" none)."""

    text: str
    style: str = ""
    action: str = ""
    node: DOMNode | None = None  # whose action it is; None: the screen's


class Bar(Widget):
    """One line: groups of pieces from the left, pieces kept at the right. Groups that do not fit are left out whole."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"bar--{name}" for name in STYLES}
    DEFAULT_CSS = """
    Bar {
        height: 1; width: 1fr; background: $panel; color: $foreground;
        .bar--name { color: $text-primary; text-style: bold; }
        .bar--here { text-style: bold reverse; }
        .bar--key { color: $text-accent; text-style: bold; }
        .bar--quiet { color: $foreground-muted; }
        .bar--good { color: $text-success; }
        .bar--bad { color: $text-error; text-style: bold; }
        .bar--warn { color: $text-warning; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hits: list[tuple[int, int, str, DOMNode]] = []
        self._said: object = None
        self._styles: dict[str, Style] = {}

    def update(self) -> None:
        """Paint again where the pieces have changed."""
        if self.is_attached and self.pieces(self.size.width) != self._said:
            self.refresh()

    def pieces(self, width: int) -> tuple[Sequence[Sequence[Piece]], Sequence[Piece]]:
        raise NotImplementedError

    def render(self) -> Text:
        width = self.size.width
        self._said = left, right = self.pieces(width)
        room = width - sum(cell_len(piece.text) for piece in right)
        line, x = Text(no_wrap=True, overflow="crop"), 0
        self._hits = []
        for group in left:
            wide = sum(cell_len(piece.text) for piece in group)
            if x + wide > room:
                break
            for piece in group:
                x = self._put(line, piece, x)
        x = self._put(line, Piece(" " * max(0, room - x)), x)
        for piece in right:
            x = self._put(line, piece, x)
        return line

    def _put(self, line: Text, piece: Piece, x: int) -> int:
        line.append(piece.text, self._style(piece.style))
        end = x + cell_len(piece.text)
        if piece.action:
            self._hits.append((x, end, piece.action, piece.node or self.screen))
        return end

    def _style(self, name: str) -> Style:
        if not self._styles:
            self._styles = component_styles(self, "bar", STYLES)
        return self._styles[name] if name else Style()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    async def on_click(self, event: events.Click) -> None:
        event.stop()
        for start, end, action, node in self._hits:
            if start <= event.x < end:
                await self.app.run_action(action, default_namespace=node)
                return


class TopBar(Bar):
    """The modes, numbered as their keys, and the state of the runs. Where one types, digits are text: the keys are F2 to F5."""

    DEFAULT_CSS = "TopBar { dock: top; }"

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.update())

    def pieces(self, width: int) -> tuple[Sequence[Sequence[Piece]], Sequence[Piece]]:
        app = self.app
        current_mode = app.current_mode
        titles = getattr(app, "MODE_TITLES", {})
        word, style = app.at_work() if hasattr(app, "at_work") else ("", "")
        brief = {mode: BRIEF.get(title, title) for mode, title in titles.items()}
        alone = {mode: brief[mode][:7] if mode == current_mode else "" for mode in titles}
        typing = isinstance(self.screen.focused, Input)
        sign, count = word[:1], word.rpartition(" ")[2]
        short = f"{sign} {count}" if "/" in count else word  # of one run how far it is
        for names, work in ((titles, word), (brief, word), (brief, short), (alone, short), (alone, sign)):  # the first that fits
            left = [[Piece(" subpop ", "name")]]
            for number, (mode, name) in enumerate(names.items(), 1):
                key = f"F{number}" if typing and number > 1 else "" if typing else f"{number}"  # F1 is help
                words = f" {key} {name} " if name and key else f" {name or key or number} "
                left.append([Piece(words, "here" if mode == current_mode else "", f"app.switch_mode('{mode}')")])
            right = [Piece(f"{work} ", style, "app.switch_mode('runs')")] if work else []
            if sum(cell_len(piece.text) for group in (*left, right) for piece in group) <= width:
                break
        return left, right


class KeyBar(Bar):
    """The keys that do something now, nearest part first; the app's own at the right."""

    DEFAULT_CSS = "KeyBar { dock: bottom; }"
    ALWAYS = ("app.help", "app.palette", "app.quit")
    LAST = ("table.sort", "form.next-section")  # told where there is room

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _screen: Screen[object]) -> None:
        self.update()

    def pieces(self, width: int) -> tuple[Sequence[Sequence[Piece]], Sequence[Piece]]:
        best: dict[str, tuple[DOMNode, Binding]] = {}
        typing = isinstance(self.screen.focused, Input)
        for active in self.screen.active_bindings.values():
            binding = active.binding
            typed = typing and (len(binding.key) == 1 or binding.key in TYPED)  # goes into the line, and does nothing else
            if binding.show and active.enabled and not typed:
                known = best.get(binding.action)
                if known is None or (known[1].key.startswith(("ctrl", "tab")) and not binding.key.startswith("ctrl")):
                    best[binding.action] = (active.node, binding)
        specific = [pair for pair in best.values() if pair[1].id not in self.ALWAYS]
        specific.sort(key=lambda pair: (pair[1].id in self.LAST, pair[1].action.startswith("app.")))
        needed = [self._pair(node, binding) for node, binding in specific if binding.id not in self.LAST]
        if typing and not self.screen.is_modal:
            needed.append([Piece("F2–F5", "key"), Piece(" modes  ")])
        left = [[Piece(" ")], *needed, *(self._pair(node, binding) for node, binding in specific if binding.id in self.LAST)]
        always = {binding.id: (node, binding) for node, binding in best.values()}
        wide = 1 + sum(cell_len(piece.text) for group in needed for piece in group)
        kept: list[Piece] = []
        for mute in ((), ("app.palette",), self.ALWAYS):  # signs without words, so that more of what the screen itself can do is told
            kept = [piece for name in self.ALWAYS if name in always for piece in self._pair(*always[name], mute=name in mute)]
            if wide + sum(cell_len(piece.text) for piece in kept) <= width:
                break
        return left, kept

    def _pair(self, node: DOMNode, binding: Binding, mute: bool = False) -> list[Piece]:
        key, words = self.app.get_key_display(binding), "  " if mute else f" {binding.description}  "
        return [Piece(key, "key", binding.action, node), Piece(words, "", binding.action, node)]
