"""One row of a table in full: every cell with what it means, and its damage at every poison rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from engine.rows import TableSpec
from tui.dialogs.base import Dialog
from tui.presenters import format as fmt
from tui.widgets.detail import Detail, Fact
from tui.widgets.table.layout import worded
from tui.widgets.table.live import LiveTable
from tui.widgets.table.looks import looks_for

Cells = tuple[object, ...]
PLOT = 41  # cells


class RowDialog(Dialog[None]):
    """others: the table's rows, among them those of the same subpopulation at other alphas."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", id="row.close"),
        Binding("y", "copy", "Copy", id="row.copy"),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, spec: TableSpec, cells: Cells, others: Sequence[Cells]) -> None:
        super().__init__()
        self.spec, self.cells, self.others = spec, cells, others

    def body(self) -> ComposeResult:
        with VerticalScroll(classes="reading"):
            yield Detail()

    def on_mount(self) -> None:
        words = {look.column for look in looks_for(self.spec) if look.words}
        cells = {name: worded(fmt.cell(value, kind), name in words) for name, kind, value in self._named()}
        which = ", ".join(f"{name} {cells[name]}" for name in cells if name in self.spec.key)
        self.head(f"{self.spec.name}: {which}")
        facts = dose(self.spec, self.cells, self.others)
        columns = {column.name: column for column in self.spec.columns}
        for name, _, value in self._named():
            help_ = f"   {columns[name].help}" if columns[name].help else ""
            facts.append(Fact(name.replace("_", " "), cells[name] + help_, "" if value is not None else "quiet"))
        self.query_one(Detail).show(self.spec.help, facts, label_width=max(len(column.name) for column in self.spec.columns))
        self.query_one(VerticalScroll).focus()

    def _named(self) -> list[tuple[str, str, object]]:
        return [(column.name, column.kind, value) for column, value in zip(self.spec.columns, self.cells, strict=True)]

    def action_copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(f"{name}\t{'' if value is None else value}" for name, _, value in self._named()))
        self.notify("copied (if your terminal takes OSC 52)", timeout=3)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    async def action_dismiss(self, result: None = None) -> None:
        self.dismiss(None)


def dose(spec: TableSpec, cells: Cells, others: Sequence[Cells]) -> list[Fact]:
    """Damage against alpha of the row's subpopulation, a line each, on one axis; empty for other tables."""
    names = [column.name for column in spec.columns]
    if not {"alpha", "subpopulation", "damage", "low", "high"} <= set(names):
        return []
    at = {name: names.index(name) for name in ("alpha", "subpopulation", "damage", "low", "high")}
    same = sorted((row for row in others if row[at["subpopulation"]] == cells[at["subpopulation"]]), key=lambda row: row[at["alpha"]])  # type: ignore[arg-type,return-value]
    reach = [float(row[at[name]]) for row in same for name in ("damage", "low", "high") if isinstance(row[at[name]], int | float)]  # type: ignore[arg-type]
    if not reach:
        return []
    span = (min(0.0, min(reach)), max(0.05, max(reach)))
    facts = [Fact("Damage by poison rate")]
    for row in same:
        low, middle, high = row[at["low"]], row[at["damage"]], row[at["high"]]
        plot = fmt.interval(low, middle, high, span, PLOT)
        facts.append(Fact(f"alpha {fmt.cell(row[at['alpha']], 'float')}", f"{plot} {fmt.cell(middle, 'fraction')}", "code"))
    facts.append(Fact("", f"axis {span[0]:.3f} to {span[1]:.3f}", "quiet"))
    return facts


def row_under_cursor(table: LiveTable) -> RowDialog | None:
    """The dialog of the row under a table's cursor; None where there is none."""
    if table.cursor_key is None:
        return None
    return RowDialog(table.spec, table.model.rows[table.cursor_key], list(table.model.rows.values()))
