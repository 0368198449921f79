"""The rows behind a live table: keyed, sorted, filtered, marked. Plain Python; knows no screen and no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.rows import Column, TableSpec
from tui.widgets.table.filtering import Predicate, compile_filter

Cells = tuple[object, ...]
Key = tuple[object, ...]


@dataclass(frozen=True)
class View:
    """How a person looks at a table: remembered between sessions. sort is a column's name, None for the table's own order."""

    sort: str | None = None
    descending: bool = True
    filter: str = ""
    column: str | None = None

    def to_json(self) -> dict[str, object]:
        return {"sort": self.sort, "descending": self.descending, "filter": self.filter, "column": self.column}

    @classmethod
    def from_json(cls, data: object) -> View:
        """A remembered view; whatever does not fit is dropped."""
        if not isinstance(data, dict):
            return cls()
        text = {name: data.get(name) for name in ("sort", "filter", "column")}
        return cls(
            sort=text["sort"] if isinstance(text["sort"], str) else None,
            descending=data.get("descending") is not False,
            filter=text["filter"] if isinstance(text["filter"], str) else "",
            column=text["column"] if isinstance(text["column"], str) else None,
        )


@dataclass
class TableModel:
    """Rows by key, and `shown`: the keys on screen, in order.

    `apply` and the view's setters keep `shown` true; rows with None in the sorted column always come last; ties keep
    the table's own order, so that a live table does not flicker between equals.

    Where rows are marked `by` a column, a mark is on all rows with that value, and `chosen` holds the values, also of rows that are not
    here (yet): another table of the same things may share it.
    """

    spec: TableSpec
    view: View = field(default_factory=View)
    rows: dict[Key, Cells] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)
    marks: set[Key] = field(default_factory=set)
    shown: list[Key] = field(default_factory=list)
    position: dict[Key, int] = field(default_factory=dict)
    stale: bool = False
    by: str | None = None
    chosen: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._index = {column.name: i for i, column in enumerate(self.spec.columns)}
        self._key_index = tuple(self._index[name] for name in self.spec.key)
        self._predicate: Predicate = compile_filter(self.view.filter, self.spec.columns)
        self.refresh()

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    def column_index(self, name: str | None) -> int | None:
        return None if name is None else self._index.get(name)

    def key_of(self, cells: Cells) -> Key:
        return tuple(cells[i] for i in self._key_index)

    def load(self, rows: Iterable[Cells]) -> None:
        """Replace every row."""
        self.rows = {self.key_of(cells): tuple(cells) for cells in rows}
        self.order = list(self.rows)
        self.marks &= self.rows.keys()
        self._remark()
        self.refresh()

    def apply(self, changes: Mapping[Key, Cells | None], order: Sequence[Key] | None = None, *, resort: bool = True) -> list[Key]:
        """Take changed rows (None: gone) and, where it changed, the table's own order. Returns the keys that changed.

        Without `resort`, rows that only changed their cells stay where they are shown, and `stale` says so, until `refresh`.
        """
        grew = False
        changed: list[Key] = []
        for key, cells in changes.items():
            if cells is None:
                if self.rows.pop(key, None) is not None:
                    self.marks.discard(key)
                    changed.append(key)
                    grew = True
            elif self.rows.get(key) != cells:
                grew |= key not in self.rows
                self.rows[key] = tuple(cells)
                changed.append(key)
        if order is not None:
            known = [key for key in order if key in self.rows]
            seen = set(known)
            self.order = known + [key for key in self.rows if key not in seen]
        elif grew:
            ordered = set(self.order)
            self.order = [key for key in self.order if key in self.rows] + [key for key in self.rows if key not in ordered]
        if changed and self.chosen:
            self._remark()
        if grew or order is not None or (changed and resort):
            self.refresh()
        elif changed:
            self.stale = True
        return changed

    def look(self, **changes: object) -> None:
        """Change the view: sort, descending, filter, column."""
        self.view = replace(self.view, **changes)  # type: ignore[arg-type]
        if "filter" in changes:
            self._predicate = compile_filter(self.view.filter, self.spec.columns)
        self.refresh()

    def mark_by(self, column: str | None, chosen: set[object]) -> None:
        """Mark by the values of a column from here on; `chosen` is kept up to date."""
        self.by, self.chosen = column, chosen
        self._remark()
        self.refresh()

    def value_of(self, key: Key) -> object:
        """What a mark on this row marks: the row, or its value in the column that rows are marked by (None: nothing can be marked)."""
        at = self.column_index(self.by)
        return key if at is None else self.rows[key][at]

    def next_unseen(self, at: int) -> int:
        """The first line below `at` that a mark means something new on: what stands in no line above it. `at` where there is none."""
        seen = {self.value_of(key) for key in self.shown[: at + 1]}
        return next((place for place in range(at + 1, len(self.shown)) if self.value_of(self.shown[place]) not in seen), at)

    @property
    def marked(self) -> int:
        """How many things are marked: rows, or values where rows are marked by a column."""
        return len(self.marks) if self.by is None else len(self.chosen)

    def toggle_mark(self, key: Key) -> None:
        self._toggle({key}, on=key not in self.marks)
        if self._predicate.marked is not None:
            self.refresh()

    def mark_only(self, keys: set[Key]) -> None:
        """Mark these rows and no others, where rows are marked by themselves."""
        self.marks = keys & self.rows.keys()
        self.refresh()

    def toggle_shown(self) -> None:
        """Mark all that is shown, or none of it where all of it is marked."""
        shown = {key for key in self.shown if self.value_of(key) is not None}
        self._toggle(shown, on=not shown <= self.marks)
        self.refresh()

    def _toggle(self, keys: set[Key], *, on: bool) -> None:
        if self.by is None:
            self.marks = self.marks | keys if on else self.marks - keys
            return
        values = {value for key in keys if (value := self.value_of(key)) is not None}
        self.chosen.update(values) if on else self.chosen.difference_update(values)
        self._remark()

    def _remark(self) -> None:
        if self.by is not None:
            self.marks = {key for key in self.rows if self.value_of(key) in self.chosen}

    def refresh(self) -> None:
        """Work out `shown` anew."""
        self.stale = False
        passes, marked = self._predicate.passes, self._predicate.marked
        keys = [key for key in self.order if passes(self.rows[key]) and (marked is None or (key in self.marks) == marked)]
        at = self.column_index(self.view.sort)
        if at is not None:
            has: list[Key] = []
            none: list[Key] = []
            for key in keys:
                (none if self.rows[key][at] is None else has).append(key)
            try:
                has.sort(key=lambda key: self.rows[key][at], reverse=self.view.descending)  # type: ignore[arg-type,return-value]
            except TypeError:  # a column of mixed kinds: compare as text
                has.sort(key=lambda key: str(self.rows[key][at]), reverse=self.view.descending)
            keys = has + none
        self.shown = keys
        self.position = {key: i for i, key in enumerate(keys)}

    def visible_rows(self) -> tuple[Cells, ...]:
        """The rows as the screen shows them: filtered, in its order."""
        return tuple(self.rows[key] for key in self.shown)
