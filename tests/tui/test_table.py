"""The live table by itself: sorting, filtering, marks, the column cursor, the mouse, and that what is painted is what is there."""

from __future__ import annotations

import random
import time
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style
from textual.app import App, ComposeResult
from textual.widgets import Input

from engine.rows import Column, TableSpec
from engine.tables.columns import SPECS
from tests.tui.terminal import Picture
from tests.worlds import app as worlds
from tests.worlds.hands import settled
from tui.presenters import format as fmt
from tui.tight import tighten
from tui.widgets.table import filtering
from tui.widgets.table.layout import arrange
from tui.widgets.table.live import LiveTable
from tui.widgets.table.looks import looks_for
from tui.widgets.table.model import TableModel, View
from tui.widgets.table.painter import Painter
from tui.widgets.table.pane import TablePane

SPEC = TableSpec(
    "things",
    (
        Column("name", "text", "what it is called"),
        Column("size", "int"),
        Column("damage", "fraction", "how much"),
        Column("note", "text"),
        Column("ok", "bool"),
    ),
    ("name",),
)
ROWS = [(f"thing {i}", i * 3 % 7, i / 20 if i % 4 else None, "même ☃" if i % 2 else "plain", i % 3 == 0) for i in range(15)]


class TableApp(App[None]):
    """A pane alone; `picture` is what a terminal would show of what was written."""

    def __init__(self, size: tuple[int, int] = (60, 12)) -> None:
        super().__init__()
        self.picture = Picture(size)

    def compose(self) -> ComposeResult:
        yield TablePane("Things", SPEC, markable=True, empty="nothing")

    @property
    def table(self) -> LiveTable:
        return self.query_one(LiveTable)

    def on_mount(self) -> None:
        self.table.load(ROWS)
        self.table.focus()

    def _display(self, screen, renderable) -> None:  # type: ignore[no-untyped-def]
        update = tighten(renderable)
        if hasattr(update, "render_segments"):
            self.picture.feed(update.render_segments(self.console).encode())

    def truth(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]


def shown(app: TableApp) -> list[object]:
    return [key[0] for key in app.table.model.shown]


async def test_sorting_by_key_turns_round_and_comes_back_and_none_is_always_last() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot, "right", "right", "right", "s")
        assert app.table.model.view.sort == "damage"
        values = [row[2] for row in app.table.model.visible_rows()]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=True)  # type: ignore[type-var]
        assert values[len(known) :] == [None] * (len(values) - len(known))
        await settled(pilot, "s")
        values = [row[2] for row in app.table.model.visible_rows()]
        assert [v for v in values if v is not None] == sorted(known)  # type: ignore[type-var]
        assert values[-1] is None
        await settled(pilot, "s")
        assert shown(app) == [row[0] for row in ROWS]


async def test_a_click_on_a_header_sorts_and_one_on_a_row_moves_the_cursor() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot)
        slot = next(slot for slot in app.table.painter.layout.slots if slot.look.column == "size")
        await pilot.click(LiveTable, offset=(slot.x + 1, 0))
        await settled(pilot)
        assert app.table.model.view.sort == "size"
        await pilot.click(LiveTable, offset=(5, 4))
        await settled(pilot)
        assert app.table.cursor == 3
        await pilot.click(LiveTable, offset=(0, 2))
        await settled(pilot)
        assert len(app.table.model.marks) == 1


async def test_filter_as_you_type_with_words_comparisons_and_marks() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot, "space", "space", "slash", *"size>4 plain")
        assert shown(app) == [row[0] for row in ROWS if row[1] > 4 and row[3] == "plain"]
        await settled(pilot, "escape")
        assert len(shown(app)) == len(ROWS)
        await settled(pilot, "slash", *"marked -plain")
        assert shown(app) == ["thing 1"]
        app.query_one(Input).value = "nothing has this"
        await settled(pilot)
        assert shown(app) == []
        assert any("no row passes" in line for line in app.truth())


async def test_a_megabyte_pasted_into_the_filter_is_cut_and_costs_little() -> None:
    from textual import events

    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot, "slash")
        start = time.perf_counter()
        app.post_message(events.Paste("x\x1b[31m\n" * 200_000))
        await settled(pilot)
        assert len(app.query_one(Input).value) <= filtering.LIMIT
        assert "\x1b" not in app.query_one(Input).value
        assert time.perf_counter() - start < 5


async def test_the_cursor_stays_on_its_row_and_moves_to_a_neighbour_where_the_row_goes() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot, "down", "down", "down")
        assert app.table.cursor_key == ("thing 3",)
        order = [(row[0],) for row in reversed(ROWS)]
        app.table.apply({}, order)
        assert app.table.cursor_key == ("thing 3",)
        assert app.table.cursor == 11
        app.table.apply({("thing 3",): None})
        await settled(pilot)
        assert app.table.cursor == 11
        assert app.table.cursor_key == ("thing 2",)


async def test_what_is_painted_bit_by_bit_is_what_a_whole_repaint_would_show() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await settled(pilot, "right", "right", "right", "s", "down", "down")
        dice = random.Random(4)
        for step in range(40):
            changes = {
                (f"thing {i}",): (f"thing {i}", dice.randint(0, 9), dice.random(), dice.choice(["même ☃", "plain", "日本"]), None)
                for i in range(15)
            }
            app.table.apply(changes)
            if step % 5 == 0:
                app.table.sort_now()
            if step % 7 == 0:
                await pilot.press(dice.choice(["j", "k", "right", "left", "space"]))
            await pilot.pause()
            await pilot.pause(0.02)
            assert app.picture.lines == app.truth()


async def test_text_from_outside_cannot_write_to_the_terminal() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        app.table.load([("evil\x1b]52;c;aGk=\x07\x9b31m\nline", 1, 0.5, "\u202e", True)])
        await settled(pilot)
        assert not any(char in line for line in app.truth() for char in "\x1b\x07\x9b\n\u202e")


def test_columns_that_matter_come_first_and_pinned_ones_never_leave() -> None:
    from engine.tables.columns import SPECS

    for name, spec in SPECS.items():
        looks = looks_for(spec)
        assert {look.column for look in looks if not look.of} == {column.name for column in spec.columns}, name
        layout = arrange(spec, looks, [8] * len(looks), 78)
        pinned = layout.slots[: layout.pinned]
        assert all(slot.look.pinned for slot in pinned)
        assert layout.pinned_width < 50
        for before, after in zip(layout.slots, layout.slots[1:], strict=False):
            assert after.x == before.x + before.width + 2


CELLS = st.tuples(st.integers(0, 12), st.one_of(st.none(), st.floats(0, 1)), st.text(max_size=4))
PROPERTY = TableSpec("p", (Column("id", "int"), Column("v", "fraction"), Column("t", "text")), ("id",))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELLS, st.booleans()), max_size=30),
    st.sampled_from([None, "v", "t", "id"]),
    st.booleans(),
    st.sampled_from(["", "v>0.5", "a", "-a", "marked"]),
)
def test_applying_changes_one_by_one_is_the_same_as_loading_what_is_left(
    changes: list[tuple[tuple[int, float | None, str], bool]], sort: str | None, descending: bool, wanted: str
) -> None:
    view = View(sort=sort, descending=descending, filter=wanted)
    step, rows = TableModel(PROPERTY, view), dict[tuple[object, ...], tuple[object, ...]]()
    for cells, gone in changes:
        key = (cells[0],)
        step.apply({key: None if gone else cells}, resort=bool(len(rows) % 2))
        if gone:
            rows.pop(key, None)
        else:
            rows[key] = cells
    step.refresh()
    whole = TableModel(PROPERTY, view)
    whole.load([rows[key] for key in step.order])
    assert step.shown == whole.shown
    assert step.rows == rows


@given(st.text(max_size=300))
def test_no_filter_that_can_be_typed_errs(text: str) -> None:
    predicate = filtering.compile_filter(text, SPEC.columns)
    for row in ROWS:
        predicate.passes(row)


def test_what_a_file_writes_with_underscores_reads_as_words() -> None:
    spec = SPECS["susceptibility"]
    painter = Painter(spec, looks_for(spec))
    row = worlds.row_of("susceptibility", alpha=2.0, group="predicted_on_test", description="a_b", note="c_d")
    painter.measure([row])
    painter.arrange(200)
    said = " ".join(painter.line(row, cursor=False, marked=False).texts)
    assert "predicted on test " in said
    assert "a_b" in said  # the data's own
    assert "c_d" in said


@pytest.mark.parametrize("width", [40, 47, 58, 72, 80, 120])
def test_no_number_is_cut_at_the_right_edge(width: int) -> None:
    spec = SPECS["worst"]
    painter = Painter(spec, looks_for(spec))
    rows = worlds.worst_table(3).rows
    painter.measure(rows)
    painter.arrange(width)
    styles: dict[str, Style] = defaultdict(Style)
    for x_offset in (0, 3, 11):
        said = painter.strip(painter.line(rows[0], cursor=False, marked=False), styles, width, x_offset).text
        cut = painter.layout.whole(width, x_offset)
        assert len(said) == width
        assert not said[cut:].strip()
        for slot in painter.layout.slots[painter.layout.pinned + 1 :]:
            if slot.right and slot.x - x_offset < width <= slot.x - x_offset + slot.width:
                assert cut <= slot.x - x_offset


def test_the_papers_value_stands_beside_ours_where_the_screen_is_120_wide() -> None:
    spec = SPECS["worst"]
    painter = Painter(spec, looks_for(spec))
    painter.measure(worlds.worst_table(3).rows)
    painter.arrange(47)
    shown = [slot.look.column for slot in painter.layout.slots if slot.x + slot.width < 47]
    assert shown == ["alpha", "k", "as_published", "corrected", "published"]
    texts = painter.line(worlds.worst_table(3).rows[0], cursor=False, marked=False).texts
    assert texts[2].split() == ["0.323", "n≥9"], "a published-style value stands without its test rows"
    assert texts[3].split() == ["0.206", "24/29"], "a corrected value stands without how many were eligible"
    one_trial = painter.line(worlds.worst_table(1).rows[0], cursor=False, marked=False).texts
    assert one_trial[3].split() == ["–"]


def test_words_are_wrapped_and_never_lost() -> None:
    words = "not the published setting: " + "; ".join(f"thing {i}" for i in range(30))
    lines = fmt.wrapped(words, 60, 2)
    assert len(lines) == 2
    assert len(lines[0]) < 60
    assert " ".join(line.strip() for line in lines) == words
    assert fmt.wrapped("short", 60, 2) == [" short"]
