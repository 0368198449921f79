"""The rows behind a live table: keyed, sorted, filtered, marked. Plain Python; knows no screen and no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.rows import Column, TableSpec
from tui.widgets.filtering import Predicate, compile_filter

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
    """

    spec: TableSpec
    view: View = field(default_factory=View)
    rows: dict[Key, Cells] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)
    marks: set[Key] = field(default_factory=set)
    shown: list[Key] = field(default_factory=list)
    position: dict[Key, int] = field(default_factory=dict)
    stale: bool = False

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
            here = set(self.order)
            self.order = [key for key in self.order if key in self.rows] + [key for key in self.rows if key not in here]
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

    def toggle_mark(self, key: Key) -> None:
        self.marks.symmetric_difference_update({key})
        if self._predicate.marked is not None:
            self.refresh()

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
