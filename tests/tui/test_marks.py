"""Marks by subpopulation: on all of its rows, in whatever table, whatever is sorted or filtered away."""

from __future__ import annotations

from engine.rows import Column, TableSpec
from tui.widgets.table.model import TableModel

DAMAGE = TableSpec("d", (Column("subpopulation", "int"), Column("alpha", "float"), Column("damage", "float")), ("alpha", "subpopulation"))
SIZES = TableSpec("s", (Column("subpopulation", "int"), Column("rows", "int")), ("subpopulation",))


def damage() -> TableModel:
    model = TableModel(DAMAGE)
    model.load([(s, alpha, s / 10) for alpha in (0.5, 1.0) for s in range(4)] + [(None, 2.0, 0.3)])
    return model


def test_a_mark_is_on_every_row_of_the_subpopulation_and_turns_with_the_table() -> None:
    marked: set[object] = set()
    model, other = damage(), TableModel(SIZES)
    model.mark_by("subpopulation", marked)
    model.toggle_mark((0.5, 2))
    assert model.marks == {(0.5, 2), (1.0, 2)}
    assert model.marked == 1
    other.mark_by("subpopulation", marked)
    other.load([(s, 10) for s in range(4)])
    assert other.marks == {(2,)}
    other.toggle_mark((3,))
    model.apply({(0.5, 3): (3, 0.5, 0.9)})
    assert model.marks == {(0.5, 2), (1.0, 2), (0.5, 3), (1.0, 3)}
    model.toggle_mark((1.0, 2))
    assert marked == {3}


def test_marks_outlive_an_emptied_table_and_a_filter_by_marks_follows_them() -> None:
    marked: set[object] = {1}
    model = damage()
    model.mark_by("subpopulation", marked)
    rows = list(model.rows.values())
    model.load(())
    assert (model.marks, model.marked) == (set(), 1)
    model.load(rows)
    assert model.marks == {(0.5, 1), (1.0, 1)}
    model.look(sort="damage", descending=True)
    assert model.marks == {(0.5, 1), (1.0, 1)}


def test_all_shown_are_marked_and_unmarked_and_rows_of_no_subpopulation_never() -> None:
    marked: set[object] = set()
    model = damage()
    model.mark_by("subpopulation", marked)
    model.toggle_mark((2.0, None))
    assert marked == set()
    model.look(filter="damage>0.15")
    model.toggle_shown()
    assert marked == {2, 3}
    assert (2.0, None) not in model.marks
    model.toggle_shown()
    assert marked == set()


def test_what_comes_after_a_mark_is_the_next_subpopulation() -> None:
    model = damage()
    model.mark_by("subpopulation", set())
    model.look(sort="alpha", descending=False)  # 0 1 2 3 at 0.5, the same again at 1, one of none
    assert [model.next_unseen(at) for at in (0, 1, 2)] == [1, 2, 3]
    assert model.next_unseen(3) == 8  # not 4, which is of subpopulation 0
    model.look(sort="subpopulation")  # each at both alphas
    assert [model.next_unseen(at) for at in (0, 1, 2, 5)] == [2, 2, 4, 6]
    model.mark_by(None, set())
    assert [model.next_unseen(at) for at in (0, 7, 8)] == [1, 8, 8]


def test_without_a_column_rows_themselves_are_marked() -> None:
    model = damage()
    model.toggle_mark((0.5, 2))
    assert (model.marks, model.marked) == ({(0.5, 2)}, 1)
    model.toggle_shown()
    assert model.marked == 9
    model.toggle_shown()
    assert model.marked == 0
