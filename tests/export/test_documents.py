"""A table as people read it: which columns, how cells are written, what is moved below, and that nothing a reader needs is lost."""

from __future__ import annotations

import io

import pytest

from engine.export import heads
from engine.export.documents import document
from engine.export.formats import WRITERS
from engine.export.heads import HEADS
from engine.rows import Column, TableSpec, class_mix_words
from engine.tables.columns import SPECS
from engine.tables.compare import COMPARISONS

ALL = {**SPECS, **COMPARISONS}


def rows_of(name: str, *rows: dict[str, object]) -> list[tuple[object, ...]]:
    return [tuple(row.get(column.name) for column in ALL[name].columns) for row in rows]


@pytest.mark.parametrize("name", [name for name in ALL if name != "predictions"])
def test_every_table_has_a_document_made_of_its_own_columns(name: str) -> None:
    names = {column.name for column in ALL[name].columns}
    assert name in HEADS
    for head in HEADS[name]:
        assert set(head.of) <= names, head
        head.form(*(None for _ in head.of))  # a missing cell is no error
    assert len({head.text for head in HEADS[name]}) >= len(HEADS[name]) - 2  # "ClusterMatch" and "other" stand behind their pairs


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (heads.with_interval(0.28549, 0.18, 0.39), "0.285 [0.180, 0.390]"),
        (heads.with_interval(0.28549, None, None), "0.285"),
        (heads.with_interval(None, 0.1, 0.2), "–"),
        (heads.fraction(-0.0001), "0.000"),
        (heads.count(19.6), "20"),
        (heads.count(12345), "12,345"),
        (heads.share(0.1704), "17 %"),
        (heads.share(0.0049), "0.5 %"),
        (heads.share(0.0996), "10 %"),
        (heads.chance(0.0004), "< 0.001"),
        (heads.number(0.5), "0.5"),
        (heads.number(2.0), "2"),
        (heads.out_of(27, 29), "27 of 29"),
        (heads.on_rows(0.4, 7), "0.400 (≥ 7 rows)"),
        (heads.reruns("Table 4, reading, about 97 %; rerun 0.118 and 0.124"), "0.118 and 0.124"),
        (heads.reruns("Table 4, reading, about 97 %"), "–"),
        (heads.would_show(0.12, 0.22, "above"), "0.120 to 0.220; the paper is above"),
        (class_mix_words({"cat": 0.4, "dog": 0.52, "car": 0.004, "bus": 0.076}), "dog 52 %, cat 40 %, bus 8 %"),
        (class_mix_words({"only": 1.0}), "only 100 %"),
    ],
)
def test_cells(got: str, wanted: str) -> None:
    assert got == wanted


def test_a_corrected_value_stands_with_its_interval_and_how_many_were_eligible() -> None:
    row = {"alpha": 1.0, "k": 10, "as_published": 0.168, "fewest_test_rows": 7, "corrected": 0.0912, "low": 0.002, "high": 0.2141}
    told = document(SPECS["worst"], rows_of("worst", {**row, "eligible": 27, "attacked": 29}))
    cells = dict(zip(told.heads, told.rows[0], strict=True))
    assert cells["corrected [95 %]"] == "0.091 [0.002, 0.214]"
    assert cells["eligible"] == "27 of 29"
    assert cells["as published"] == "0.168 (≥ 7 rows)"
    assert "paper" not in told.heads, "a column of the paper where there is no paper"


def test_the_papers_values_stand_once_with_how_sure_they_are() -> None:
    source = "Table 4, reading, about 97 %; rerun 0.2 and"
    rows = [{"alpha": alpha, "k": 1, "published": 0.3, "published_as": f"{source} {alpha}"} for alpha in (1, 2)]
    told = document(SPECS["worst"], rows_of("worst", *rows))
    assert [row[told.heads.index("reruns")] for row in told.rows] == ["0.2 and 1", "0.2 and 2"]
    assert ("paper", "Table 4, reading, about 97 %") in told.always


def test_texts_that_all_rows_share_stand_below_once_and_keys_stay() -> None:
    row = {"subpopulation": 22, "description": "White men", "alpha": 2.0, "attribute": "race", "rows": 30, "damage": 0.1, "hit": True}
    told = document(SPECS["groups"], rows_of("groups", *({**row, "group": group} for group in ("Asian", "Black"))))
    assert ("attacked", "#22, White men") in told.always
    assert ("hit", "yes") in told.always
    assert told.rows == (("Asian", "30", "0.100"), ("Black", "30", "0.100"))
    alone = document(SPECS["groups"], rows_of("groups", {**row, "group": "Asian"}))
    assert "attacked" in alone.heads, "of one row nothing is shared"


def test_a_table_of_several_runs_keeps_what_tells_them_apart() -> None:
    spec = TableSpec("worst", (Column("system", "text"), Column("run", "text"), *SPECS["worst"].columns), ("system", "run", "alpha", "k"))
    rows = [(name, "a1", *rest) for name in ("Adult", "Digits") for rest in rows_of("worst", {"alpha": 1.0, "k": 1, "as_published": 0.5})]
    told = document(spec, rows)
    assert told.heads[0] == "system"
    assert ("run", "a1") in told.always
    assert [row[0] for row in told.rows] == ["Adult", "Digits"]


def test_a_long_table_in_latex_goes_over_pages() -> None:
    rows = rows_of("victims", *({"victim": n, "trial": 0, "arm": "poisoned"} for n in range(60)))
    out = io.BytesIO()
    WRITERS["tex"](SPECS["victims"], {"title": "50 %"}, rows, out)
    text = out.getvalue().decode()
    assert "\\begin{longtable}" in text
    assert "\\caption{50 \\%: what each trained model got right.}\\label{tab:victims}" in text
    assert text.count("\\\\\n") == 60 + 3  # rows, the caption, the head, and the arm that all share


def test_predictions_are_never_held_at_once() -> None:
    drawn = 0

    def rows():
        nonlocal drawn
        for n in range(3):
            drawn += 1
            yield (n, 0, "clean", None, None, 0, None, "a", "b")

    out = io.BytesIO()
    WRITERS["md"](SPECS["predictions"], {}, rows(), out)
    assert drawn == 3
    assert out.getvalue().decode().startswith("| victim | trial |")
