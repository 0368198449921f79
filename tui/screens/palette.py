"""The command list: every action there is where one is, every run, preset, table and theme; type to find, enter to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from engine.rows import Column, TableSpec
from tui.dialogs.base import Dialog
from tui.presenters import side_by_side
from tui.screens import elsewhere
from tui.services.store import table_names
from tui.widgets.table.live import LiveTable

SPEC = TableSpec("commands", (Column("command", "text"), Column("keys", "text"), Column("id", "text")), ("command",))
Command = Callable[[], None]
LIMIT = 100  # characters of what is looked for


class PaletteScreen(Dialog[Command]):
    """Gives the command chosen, to be carried out when the list is gone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Do it", id="palette.choose", priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("escape", "cancel", "Close", id="palette.close"),
    ]

    def __init__(self, about: Screen[Any]) -> None:
        super().__init__()
        self.about = about
        self.commands: dict[str, Command] = {}

    def body(self) -> ComposeResult:
        yield Input(placeholder="what to do?", max_length=LIMIT, compact=True)
        yield LiveTable(SPEC)

    def on_mount(self) -> None:
        self.head("Commands")
        rows = []
        for words, keys, name, command in self._all():
            if words not in self.commands:
                self.commands[words] = command
                rows.append((words, keys, name))
        self.query_one(LiveTable).load(rows)
        self.query_one(Input).focus()

    def _all(self) -> Iterator[tuple[str, str, str, Command]]:
        """(words, keys, binding id, command) of all that can be done."""
        app, host = self.app, self.host
        here = set()
        for active in self.about.active_bindings.values():
            binding, node = active.binding, active.node
            if active.enabled and binding.id and binding.description and binding.action != "palette":
                description = binding.tooltip or binding.description
                words = description[0].upper() + description[1:]
                here.add(binding.id)

                def act(action: str = binding.action, node: Any = node) -> None:
                    app.call_later(app.run_action, action, node)

                yield words, app.get_key_display(binding), binding.id, act
        yield from self._of_runs()
        for words, keys, name, place, action in elsewhere.commands(host, here):

            def go(place: elsewhere.Place = place, action: str = action, words: str = words) -> None:
                host.run_worker(elsewhere.carry_out(host, place, action, words), group="elsewhere", exclusive=True)

            yield words, keys, name, go
        for run in host.runs:

            def show(run_id: str = run.id) -> None:
                host.show_run(run_id)

            yield f"Show run {run.name} ({run.id})", "", "", show
        from engine.scenario.presets import catalog
        from engine.tables.columns import MATERIALISED, OPTIONAL

        for preset in catalog():

            def launch(preset: Any = preset) -> None:
                from tui.dialogs.launch import LaunchDialog

                text = preset.path.read_text(encoding="utf-8")
                host.push_screen(LaunchDialog(text, preset.name, cost=preset.cost), host.show_run)

            yield f"Launch preset {preset.name}", "", "", launch
        chosen, store = host.run_chosen, host.store
        tables_of_run = table_names(store, chosen.id) if chosen is not None and store is not None else []
        # What every run has, and what this one has besides: a table of an optimised attack, of annotations
        for name in [*MATERIALISED, *(name for name in tables_of_run if name in (*OPTIONAL, side_by_side.NAME))]:

            def table(name: str = name) -> None:
                host.show_table(name)

            yield f"Show table {name}", "", "", table
        from engine.plots import EVERY
        from tui.screens.plots import SHORT, open_plots

        for name in EVERY if host.runs else ():

            def draw(name: str = name) -> None:
                open_plots(host, name)

            yield f"Show plot {SHORT.get(name, name)}", "", "", draw
        for theme in sorted(app.available_themes):

            def wear(theme: str = theme) -> None:
                app.theme = theme

            yield f"Theme {theme}", "", "", wear

    def _of_runs(self) -> Iterator[tuple[str, str, str, Command]]:
        """What is done with runs, from wherever one is."""
        from tui.screens import opening, run_keep

        host = self.host
        if host.store is not None:
            yield opening.WHAT[0].upper() + opening.WHAT[1:], "", "", lambda: opening.ask(host)
        if len(host.runs) > 1:
            yield "Compare runs", "", "", lambda: run_keep.compare(host, ())
            for other in host.runs:
                run = host.run_chosen
                if run is not None and other.id != run.id:

                    def held(ids: tuple[str, str] = (other.id, run.id)) -> None:
                        host.compare_runs(ids)

                    yield f"Compare {run.name} ({run.id}) with {other.name} ({other.id})", "", "", held

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        table = self.query_one(LiveTable)
        table.look(filter=event.value)
        table.action_end(-1)

    def action_move(self, by: int) -> None:
        self.query_one(LiveTable).action_move(by)

    @on(LiveTable.Chosen)
    def action_choose(self) -> None:
        key = self.query_one(LiveTable).cursor_key
        if key is not None:
            self.dismiss(self.commands[str(key[0])])

    def action_cancel(self) -> None:
        self.dismiss(None)
