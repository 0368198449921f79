"""Facts about one thing: a title, then `label  value` lines that wrap under themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from tui.presenters.format import clean
from tui.themes import tones
from tui.widgets.plain import Static


@dataclass(frozen=True)
class Fact:
    """One line of a detail. Without a label a paragraph, a label alone a heading.

    tone: "", good, warn, bad, quiet, or code (a line of it).
    """

    label: str
    value: str = ""
    tone: str = ""


class Detail(Static):
    """Replaced as a whole by `show`; unchanged facts are not painted again."""

    DEFAULT_CSS = "Detail { height: auto; color: $foreground; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[str, tuple[Fact, ...], int] | None = None

    def show(self, title: str, facts: Iterable[Fact], label_width: int = 11) -> None:
        facts = tuple(facts)
        if self._shown != (title, facts, label_width):
            self._shown = (title, facts, label_width)
            self._build(title, facts, label_width)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._shown is not None and self.is_attached:  # another theme, other colours
            self._build(*self._shown)

    def _build(self, title: str, facts: tuple[Fact, ...], label_width: int) -> None:
        styles = tones(self.app.theme_variables)
        parts: list[Text | Grid] = [Text(clean(title), style=styles["title"]), Text("")]
        grid: Grid | None = None
        for fact in facts:
            text = Text(clean(fact.value, 2000), style=styles.get(fact.tone, ""), no_wrap=fact.tone == "code", overflow="ellipsis")
            if not fact.label:  # a paragraph
                parts += [text] if fact.tone == "code" else [text, Text("")]
                grid = None
            elif not fact.value:  # a heading
                parts += [Text(""), Text(clean(fact.label), style=styles["head"])]
                grid = None
            else:
                if grid is None:
                    grid = Grid.grid(padding=(0, 1), expand=True)
                    grid.add_column(width=label_width, no_wrap=True, style=styles["quiet"])
                    grid.add_column(ratio=1)
                    parts.append(grid)
                grid.add_row(Text(clean(fact.label)), text)  # Rich reads markup in what is no Text
        self.update(Group(*parts))
