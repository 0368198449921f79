"""Export: which format, to which file. The engine writes; headless and here the same function, so the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.export import FORMATS
from engine.rows import RunRow
from tui.dialogs.base import row
from tui.dialogs.writing import WritingDialog
from tui.presenters import format as fmt
from tui.services.processes import PreviewProcess
from tui.widgets.choice import Choice
from tui.widgets.plain import Static


class ExportDialog(WritingDialog):
    """only: the keys of the rows on screen, in its order; None for the whole table in its own order. others: runs held against `run`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "write", "Write the file", id="export.write", priority=True),
        Binding("ctrl+k", "sheet", "Contact sheet", id="export.sheet", priority=True),
        Binding("escape", "close", "Close", id="export.close"),
    ]

    def __init__(
        self, run: RunRow, table: str, only: Sequence[tuple[object, ...]] | None, rows: int, *, others: Sequence[RunRow] = ()
    ) -> None:
        super().__init__()
        self.others = tuple(others)
        self.run, self.table, self.only, self.rows = run, table, only, rows
        self.process = PreviewProcess(self._answered)  # draws contact sheets: it needs the data, which the app never loads

    def body(self) -> ComposeResult:
        last = self.host.settings.get("export_format", "csv")
        yield row("Format", Choice(FORMATS, last if last in FORMATS else "csv", id="format"))
        yield row("File", Input(str(self._default(last)), max_length=1000, compact=True))
        yield Static(self._what(), classes="message")
        yield Static("", id="outcome", classes="message")

    def _what(self) -> str:
        if self.table == "predictions":
            return "every victim's prediction for every test row; made now, may be large"
        if self.others:
            return f"all {fmt.plural(self.rows, 'row')}, in the table's own order: byte for byte what `subpop compare` writes"
        if self.only is None:
            return f"all {fmt.plural(self.rows, 'row')}, in the table's own order: byte for byte what `subpop export` writes"
        return f"{len(self.only):,} of {fmt.plural(self.rows, 'row')}, filtered and ordered as on screen"

    def _default(self, format: str) -> Path:
        folder, name = self.folder_and_name(self.run)
        ids = "-".join([self.run.id, *(run.id for run in self.others[:3])])
        return folder / f"{name}-{ids}-{self.table}.{format}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.others if action == "sheet" else True

    def on_mount(self) -> None:
        self.head(f"Export {self.table}")
        self.query_one(Choice).focus()

    @on(Choice.Changed)
    def _format(self, event: Choice.Changed) -> None:
        path = self.query_one(Input)
        stem, dot, ending = path.value.rpartition(".")
        if dot and ending in FORMATS:
            path.value = f"{stem}.{event.value}"

    def action_write(self) -> None:
        if self.query_one("#outcome").has_class("-written"):
            self.dismiss(None)
            return
        path, format = self.path_given(self.query_one(Input).value, "a file to write"), self.query_one(Choice).value
        if path is None:
            return
        self.host.settings.put("export_format", format)
        self.host.settings.put("export_folder", str(path.parent))
        self.say("writing…", good=None)
        self._write(path, format)

    def action_sheet(self) -> None:
        """Pictures of the run's subpopulations, beside the file named: the same as `subpop export RUN --contact-sheet`."""
        path = self.path_given(self.query_one(Input).value, "a file to write")
        if path is None:
            return
        path = path.with_name(f"{path.name.removesuffix(path.suffix).removesuffix(f'-{self.table}')}-pictures.png")
        self.say("drawing the contact sheet…", good=None)
        self._draw(path)

    @work(exclusive=True, group="sheet", exit_on_error=False)
    async def _draw(self, path: Path) -> None:
        host = self.host
        self.process.close()
        await self.process.ask({"sheet": str(path), "run": self.run.id, "store": str(host.store_file), "data": str(host.data_dir)})
        await self.process.listen()

    def _answered(self, answer: dict[str, Any]) -> None:
        if "progress" in answer:
            if self.is_attached:
                self.say(f"drawing the contact sheet: {answer['progress'][0]} {int(100 * answer['progress'][1])} %", good=None)
        elif "written" in answer:
            self.done(f"✓ {fmt.plural(int(answer['rows']), 'subpopulation')} drawn in {answer['written']}", True)
            self.process.close()
        elif "error" in answer:
            self.done(f"✗ {answer['error']}", False)
            self.process.close()

    def on_unmount(self) -> None:
        self.process.close()

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _write(self, path: Path, format: str) -> None:
        from engine.export.export import export
        from engine.runs.rebuild import rebuild
        from engine.store import Store

        host = self.host  # a dialog that was closed meanwhile knows it no more, in a thread
        ids = [self.run.id, *(run.id for run in self.others)] if self.others else self.run.id
        try:
            with Store.open(host.store_file, create=False, to_read=True) as store:  # its own connection: a long read holds up no screen
                rebuild(store, [ids] if isinstance(ids, str) else ids)
                count = export(store, ids, self.table, format, path, only=self.only)
        except Exception as error:  # whatever it is, it must be said here
            outcome, good = f"✗ {error}", False
        else:
            outcome, good = f"✓ {fmt.plural(count, 'row')} written to {path}", True
        host.call_from_thread(self.done, outcome, good)
