"""The columns of one's own file: what each is taken for and used as; keys say what else it is to be, and the form's values follow."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.drafting.looks import ColumnLook, Draft
from tui.presenters import catalogue
from tui.presenters import format as fmt
from tui.presenters.edited import Edited
from tui.screens.base import ModeScreen
from tui.screens.verdict import Verdict
from tui.services.file_columns import FileColumns
from tui.themes import tones
from tui.widgets.lines import Lines
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane

TALL = 6  # lines on the column under the cursor


class ColumnsTable(LiveTable):
    """Its letters say what a column is; columns of the table are moved to by the arrows alone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "screen.turn", "Use", tooltip="feature, left out, annotation in turn", id="columns.use"),
        Binding("l", "screen.label", "Label", tooltip="make it the label", id="columns.label"),
        Binding("g", "screen.match", "Group by", tooltip="form subpopulations by it, or no more", id="columns.match"),
        Binding("b", "screen.bins", "Bins", tooltip="where its numbers are cut into groups", id="columns.bins"),
    ]


class ColumnsPane(TablePane):
    TABLE = ColumnsTable


class ColumnsScreen(ModeScreen):
    """Over the form. changed: called when a value of the scenario was. then: what is to follow when it has left ("launch", or nothing)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="columns.launch"),
        Binding("escape,enter,ctrl+k", "back", "The form", tooltip="to the whole scenario", id="columns.back"),
    ]

    def __init__(self, edited: Edited, file: FileColumns, verdict: Callable[[], Verdict], drafted: Draft | None) -> None:
        super().__init__()
        self.edited, self.file, self.verdict, self.drafted = edited, file, verdict, drafted
        self.changed: Callable[[], None] = lambda: None
        self.then = ""
        self.led = False  # to what must be seen first

    def body(self) -> ComposeResult:
        yield Lines(id="file-head")
        yield ColumnsPane("Columns", catalogue.SPEC, view=self.host.settings.view("columns"), empty="the file is being read", id="columns")
        yield Lines(id="file-column")

    def on_mount(self) -> None:
        self.table = self.query_one(ColumnsTable)
        self.table.focus()
        self.show()
        if self.drafted and not self.edited.get("dataset.label") and self.drafted.candidates:
            self._lead(self.drafted.candidates[0].name)

    def _lead(self, name: str) -> None:
        """Put the cursor on a column, unless a person has moved it by then."""
        at = self.table.model.position.get((name,))
        if at is not None and not self.led and not self.table.cursor:
            self.table.move_to(at)
        self.led = True

    def show(self) -> None:
        """Show what is known so far."""
        if not hasattr(self, "table"):
            return
        catalog = self.file.catalog
        rows = [catalogue.cells(self.edited.values, column) for column in catalog.columns] if catalog else []
        known = self.table.model.rows
        gone = {key: None for key in known if key not in {(row[0],) for row in rows}}
        self.table.apply({**gone, **{(row[0],): row for row in rows}}, [(row[0],) for row in rows])
        self.query_one(TablePane).caption()
        if leaks := list(self.file.leaks):
            self._lead(leaks[0])
        self._head()
        self._about()
        self.refresh_bindings()

    def _head(self) -> None:
        catalog, verdict, styles = self.file.catalog, self.verdict(), tones(self.app.theme_variables)
        label = self.edited.get("dataset.label")
        first = Text.assemble((f" {fmt.clean(self.edited.name)}", styles["title"]))
        if catalog is not None:
            first.append(f"  {fmt.plural(catalog.rows, 'row')}, {fmt.plural(len(catalog.columns), 'column')}")
        lines = [first]
        if label:
            sizes = ", ".join(f"{name} {count:,}" for name, count in catalog.classes[:6]) if catalog else ""
            guessed = self.drafted is not None and label == self.drafted.label
            why = f"  {self.drafted.label_why}" if guessed and self.drafted is not None else ""
            lines.append(
                Text.assemble(
                    " label ", (fmt.clean(label), "bold"), f": {fmt.clean(sizes)}" if sizes else "", (fmt.clean(why), styles["quiet"])
                )
            )
        else:
            lines.append(Text(" which column is to be predicted? l makes the one under the cursor the label", style=styles["warn"]))
        if verdict.good:
            leaks = self.file.leaks
            warning = (
                f"; ! {', '.join(leaks)} {'tells' if len(leaks) == 1 else 'tell'} the label: space on it leaves it out" if leaks else ""
            )
            lines.append(Text.assemble((" ✓ ctrl+l launches it", styles["good"]), (fmt.clean(warning), styles["warn"])))
        else:
            what = [*(f"{key}: {complaint}" for key, complaint in verdict.wrong.items()), *verdict.others]
            wrapped = fmt.wrapped(fmt.clean(f"✗ {what[0] if what else 'the file is being read'}", 2000), self.size.width)
            lines += [Text(line, style=styles["bad"]) for line in wrapped]
        self.query_one("#file-head", Lines).show(lines)

    @property
    def column(self) -> ColumnLook | None:
        """The one under the cursor."""
        key, catalog = self.table.cursor_key, self.file.catalog
        return catalog.column(str(key[0])) if key is not None and catalog is not None else None

    @on(LiveTable.Highlighted)
    def _about(self) -> None:
        column = self.column
        facts = catalogue.about(self.edited.values, column) if column else []
        title = Text(f" {fmt.clean(column.name)}", style="bold") if column else Text("")
        lines = [part for line in facts for part in wrap(fmt.clean(line), max(20, self.size.width - 6), subsequent_indent="  ")]
        shown = [title, *(Text(f"   {line}") for line in lines)]
        self.query_one("#file-column", Lines).show([*shown, *[Text("")] * (TALL - len(shown))][:TALL])

    def on_resize(self) -> None:
        if hasattr(self, "table"):
            self._about()

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not hasattr(self, "table"):
            return action == "back"
        if action == "launch":
            return self.verdict().good
        column = self.column
        if action == "bins":
            return column is not None and column.span is not None and column.name in (self.edited.get(catalogue.FEATURES) or ())
        if action == "label":
            return column is not None and column.name != self.edited.get("dataset.label")
        return column is not None if action in ("turn", "match") else True

    def _do(self, change: Callable[[Edited, ColumnLook], str]) -> bool:
        if (column := self.column) is None:
            return False
        if refused := change(self.edited, column):
            self.notify(refused, severity="warning", timeout=5)
            return False
        self.changed()
        return True

    def action_turn(self) -> None:
        self._do(catalogue.turn)

    def action_label(self) -> None:
        self._do(catalogue.make_label)

    def action_match(self) -> None:
        column, rows = self.column, self.file.catalog.rows if self.file.catalog else 0
        if (
            self._do(lambda edited, column: catalogue.match(edited, column, rows))
            and column is not None
            and catalogue.needs_bins(self.edited, column)
        ):
            self.action_bins()

    def action_bins(self) -> None:
        from tui.dialogs.bins import BinsDialog

        if (column := self.column) is None:
            return

        def cut(cuts: tuple[float, ...] | None) -> None:
            if cuts is not None:
                catalogue.cut(self.edited, column, cuts)
                self.changed()

        self.host.push_screen(BinsDialog(column, catalogue.cuts_of(self.edited, column)), cut)

    def action_launch(self) -> None:
        self.then = "launch"
        self.dismiss(None)

    def action_back(self) -> None:
        self.dismiss(None)
