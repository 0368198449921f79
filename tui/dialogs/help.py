"""`?`: the keys that do something where one is, nearest part first, and what the columns in sight mean."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.table import Table as Grid
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen

from tui.dialogs.base import Dialog
from tui.services.settings import KEYS
from tui.themes import tones
from tui.widgets.plain import Static
from tui.widgets.table import filtering
from tui.widgets.table.live import LiveTable

HEADINGS = {
    "LiveTable": "This table",
    "TablePane": "This table",
    "LogView": "The log",
    "PlotView": "This plot",
    "SubpopApp": "Everywhere",
    "FilterInput": "The filter",
    "Input": "This field",
}


class HelpScreen(Dialog[None]):
    """Made from the bindings themselves, so that it is true after remapping too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close", id="help.close"),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, about: Screen[Any]) -> None:
        super().__init__()
        self.about = about

    def body(self) -> ComposeResult:
        with VerticalScroll(classes="reading"):
            yield Static(id="keys")

    def on_mount(self) -> None:
        self.head("Keys and words")
        self.query_one("#keys", Static).update(self._text())
        self.query_one(VerticalScroll).focus()
        self.app.theme_changed_signal.subscribe(self, lambda _: self.query_one("#keys", Static).update(self._text()))

    def _text(self) -> Grid:
        styles = tones(self.app.theme_variables)
        head, key = styles["title"], styles["head"]
        grid = Grid.grid(padding=(0, 2), expand=True)
        grid.add_column(width=18, style=key)
        grid.add_column(ratio=1)
        grid.add_column(style=styles["quiet"])
        for heading, lines in keys_of(self.about).items():
            grid.add_row(Text(heading, style=head), "")
            for keys, words, name in lines:
                grid.add_row(Text(keys), Text(words), Text(name))  # Rich reads markup in what is no Text
            grid.add_row("", "")
        table = self.about.focused
        if isinstance(table, LiveTable):
            grid.add_row(Text("Filter", style=head), Text(filtering.HELP))
            grid.add_row("", "")
            grid.add_row(Text("Columns", style=head), Text(table.spec.help))
            for column in table.spec.columns:
                if column.help:
                    grid.add_row(Text(column.name.replace("_", " "), style=""), Text(column.help))
            grid.add_row("", "")
        grid.add_row(
            Text("Remapping", style=head),
            Text(f'[keys] in {self.host.settings.folder / KEYS}: "run.pause" = "ctrl+s"; the names stand at the right above'),
        )
        return grid

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    async def action_dismiss(self, result: None = None) -> None:
        self.dismiss(None)


def keys_of(screen: Screen[Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Heading -> (keys, what they do, the name to remap them by), of every binding that is active on a screen."""
    by_heading: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for active in screen.active_bindings.values():
        if not active.enabled or not active.binding.id or not active.binding.description:
            continue
        pairs = by_heading.setdefault(heading_of(active.node), {})
        display = screen.app.get_key_display(active.binding)
        words = active.binding.tooltip or active.binding.description
        pairs.setdefault((active.binding.action, words, active.binding.id), []).append(display)
    return {heading: [(" ".join(keys), words, name) for (_, words, name), keys in pairs.items()] for heading, pairs in by_heading.items()}


def heading_of(node: DOMNode) -> str:
    if isinstance(node, Screen):
        return "This screen"
    return next((HEADINGS[kind.__name__] for kind in type(node).__mro__ if kind.__name__ in HEADINGS), type(node).__name__)
