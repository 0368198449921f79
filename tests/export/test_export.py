"""Exports: golden files, provenance in each, whole files or none, and no way out of a cell."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.errors import DiskFull, RequestError, UnknownName
from engine.export import FORMATS
from engine.export import export as exporting
from engine.export.export import export
from engine.export.formats import FULL, WRITERS
from engine.rows import Column, StackPlan, TableSpec
from engine.store import MEMORY, Store
from engine.tables.build import build
from engine.tables.columns import MATERIALISED, SPECS
from engine.tables.world import World
from tests.worlds.evaluation import CLASSES, FACTS, ROWS, discovered, victims

GOLDEN = Path(__file__).parents[1] / "golden"
PROVENANCE = {
    "code": "0.1.0",
    "libraries": {"torch": "2.9.0"},
    "data": {"checksums": {"adult.data": "md5:5d7c"}},
    "device": "cpu",
    "seed": 3,
}


@pytest.fixture
def store():
    with Store.open(MEMORY) as store:
        yield store


@pytest.fixture
def run(store: Store) -> str:
    """A finished run of the tiny world, with a stable id."""
    return fill(
        store,
        store.create_run(name="tiny", title="Tiny | world", scenario_toml="", scenario_hash="ab12", deviations=("random weights",)).id,
    )


def fill(store: Store, run_id: str) -> str:
    found = discovered()
    results = victims(found)
    store.save_discovery(
        run_id,
        subpopulations=found.subpopulations,
        membership=found.membership,
        y_test=found.y_test,
        classes=CLASSES,
        provenance=PROVENANCE,
    )
    store.save_plan(run_id, [StackPlan(0, 0, tuple(r.spec for r in results))])
    store.commit_stack(run_id, 0, results, 1.0, build(World.start(FACTS, found, results)))
    store.update_run(run_id, state="done")
    return run_id


def text(store: Store, run_id: str, table: str, format: str, **more: object) -> str:
    out = io.BytesIO()
    export(store, run_id, table, format, out, **more)
    return out.getvalue().decode()


# ---- golden files ---------------------------------------------------------------------------------------------------


def golden(name: str, got: str) -> None:
    """Set SUBPOP_GOLDEN=1 to write the files anew, then read the difference."""
    path = GOLDEN / name
    if os.environ.get("SUBPOP_GOLDEN"):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("format", ["csv", "json", "md", "tex"])
@pytest.mark.parametrize("table", ["victims", "subpopulations"])  # made of counts alone: the same on every machine
def test_golden_files(store: Store, run: str, table: str, format: str) -> None:
    golden(f"{table}.{format}", text(store, run, table, format).replace(run, "RUN"))


@pytest.mark.parametrize("format", ["csv", "json", "md", "tex"])
def test_golden_worst(format: str) -> None:
    """The table that goes into papers, with every kind of cell."""
    told = "Table 4, reading, about 97 %; rerun 0.118 and 0.124"
    nothing = "all 8 that are eligible: nothing is selected"
    row = (1.0, 10, 0.24, 10, 412, 2, 0.18, 0.1720000000000001, 0.09, 0.26, 8, 8, 10, 0.75, 5, 0.831, 41.5, 0.24, told, 41.1)
    row = (*row, "3 17", "17 3", "4 (29) 5 (2)", nothing, 0.12, 0.22, "above")
    empty = (2.0, 10, 0.481, 10, 412, 2, None, None, None, None, 8, 8, 10, None, 1, None, 41.5, None, None, None)
    empty = (*empty, "3", "", "", "corrected needs two complete trials", None, None, None)
    out = io.BytesIO()
    provenance = {"table": "worst", "run": "RUN", "title": "UCI Adult | 50 %", "deviations": "random weights; 4,000 of 7,841 train rows"}
    WRITERS[format](SPECS["worst"], provenance, [row, empty], out)
    golden(f"worst.{format}", out.getvalue().decode())
    whole = io.BytesIO()
    FULL[format](SPECS["worst"], provenance, [row, empty], whole)
    if FULL[format] is WRITERS[format]:
        assert whole.getvalue() == out.getvalue()
    else:
        golden(f"worst-full.{format}", whole.getvalue().decode())


@pytest.mark.parametrize("name", MATERIALISED)
def test_every_format_tells_the_same_cells_at_full_precision(store: Store, run: str, name: str, tmp_path: Path) -> None:
    table = store.table(run, name)
    names = [column.name for column in table.spec.columns]
    as_json = json.loads(text(store, run, name, "json"))
    assert [tuple(row[n] for n in names) for row in as_json["rows"]] == list(table.rows)
    assert as_json["provenance"]["run"] == run
    path = tmp_path / "t.parquet"
    assert export(store, run, name, "parquet", path) == len(table.rows)
    read = pq.read_table(path)
    assert [tuple(row[n] for n in names) for row in read.to_pylist()] == [tuple(row) for row in table.rows]
    assert json.loads(read.schema.metadata[b"provenance"]) == as_json["provenance"]
    lines = [line for line in text(store, run, name, "csv").splitlines() if not line.startswith("# ")]
    read_csv = list(csv.DictReader(lines))
    assert len(read_csv) == len(table.rows)
    for row, cells in zip(read_csv, table.rows, strict=True):
        for column, cell in zip(table.spec.columns, cells, strict=True):
            if cell is None:
                assert row[column.name] == ""
            elif column.kind in ("fraction", "float"):
                assert float(row[column.name]) == cell
            elif column.kind == "bool":
                assert row[column.name] == ("true" if cell else "false")


def test_every_format_that_is_offered_has_a_writer() -> None:
    assert FORMATS == tuple(WRITERS) == tuple(FULL)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("table", ["damage", "predictions"])
def test_the_same_run_exports_to_the_same_bytes(store: Store, run: str, table: str, format: str) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    export(store, run, table, format, first)
    export(store, run, table, format, second)
    assert first.getvalue() == second.getvalue()


@pytest.mark.parametrize("format", ["csv", "json", "md", "tex"])
def test_provenance_stands_in_every_text(store: Store, run: str, format: str) -> None:
    got = text(store, run, "damage", format, full=True)
    for word in (run, "ab12", "random weights", "0.1.0", "md5:5d7c", "2.9.0", "cpu"):
        assert word in got, word
    short = text(store, run, "damage", format)
    for word in (run, "ab12", "random weights"):
        assert word in short, word


# ---- predictions ----------------------------------------------------------------------------------------------------


def test_predictions_are_every_victim_by_every_test_row(store: Store, run: str, tmp_path: Path) -> None:
    found = discovered()
    results = victims(found)
    path = tmp_path / "p.parquet"
    assert export(store, run, "predictions", "parquet", path) == len(results) * ROWS
    read = pq.read_table(path).to_pylist()
    for place in (0, ROWS - 1, ROWS, 17 * ROWS + 5, len(results) * ROWS - 1):
        result, row = results[place // ROWS], place % ROWS
        own = int(found.membership.test[row])
        assert read[place] == {
            "victim": result.spec.index,
            "trial": result.spec.trial,
            "arm": result.spec.arm,
            "target": result.spec.subpopulation,
            "alpha": result.spec.alpha,
            "row": row,
            "subpopulation": None if own < 0 else own,
            "true_class": CLASSES[found.y_test[row]],
            "predicted_class": CLASSES[result.predictions[row]],
        }


def test_predictions_are_streamed(store: Store, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            seen.append(drawn)
            return memoryview(data).nbytes  # type: ignore[arg-type]

    drawn = 0
    original = exporting.predictions

    def counted(store: Store, run_id: str):
        nonlocal drawn
        for row in original(store, run_id):
            drawn += 1
            yield row

    monkeypatch.setattr(exporting, "predictions", counted)
    monkeypatch.setattr("engine.export.formats.CHUNK", 500)
    export(store, run, "predictions", "csv", Watched())  # type: ignore[arg-type]
    assert seen[0] < drawn / 5  # the first bytes left before a fifth of the rows were made


def test_predictions_before_the_discovery(store: Store) -> None:
    fresh = store.create_run(name="x", title="x", scenario_toml="", scenario_hash="x").id
    with pytest.raises(RequestError, match="not known yet"):
        export(store, fresh, "predictions", "csv", io.BytesIO())
    with pytest.raises(RequestError, match=r"no `damage` yet \(queued, 0 of 0 victims\)"):
        export(store, fresh, "damage", "csv", io.BytesIO())


# ---- what the screen shows ------------------------------------------------------------------------------------------


def test_rows_as_filtered_and_ordered_by_the_reader(store: Store, run: str) -> None:
    keys = [(1.0, 3), (0.5, 0)]
    read = json.loads(text(store, run, "damage", "json", only=keys))
    assert [(row["alpha"], row["subpopulation"]) for row in read["rows"]] == keys
    assert read["provenance"]["rows"] == "2 of 12, filtered and ordered by the reader"
    with pytest.raises(RequestError, match="no longer"):
        text(store, run, "damage", "json", only=[(7.0, 3)])


@pytest.mark.parametrize("format", ["csv", "json", "md", "tex"])
def test_an_unfiltered_screen_exports_the_headless_bytes(store: Store, run: str, format: str) -> None:
    table = store.table(run, "damage")
    places = [[column.name for column in table.spec.columns].index(name) for name in table.spec.key]
    shown = [tuple(row[place] for place in places) for row in table.rows]
    assert text(store, run, "damage", format, only=shown) == text(store, run, "damage", format)


# ---- paths ----------------------------------------------------------------------------------------------------------


def test_a_path_is_replaced_whole_and_keeps_its_mode(store: Store, run: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o640)
    export(store, run, "worst", "csv", path)
    assert path.read_text() == text(store, run, "worst", "csv")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_a_link_stays_a_link(store: Store, run: str, tmp_path: Path) -> None:
    link, real = tmp_path / "link.csv", tmp_path / "real.csv"
    link.symlink_to(real)
    export(store, run, "worst", "csv", link)
    assert link.is_symlink()
    assert real.read_text() == text(store, run, "worst", "csv")


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_what_was_there(store: Store, run: str, format: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(RequestError, match=r"cannot be written: .*; "):
            export(store, run, "predictions", format, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("format", FORMATS)
def test_a_device_that_is_full_is_told_in_words(store: Store, run: str, format: str) -> None:
    with pytest.raises(DiskFull, match="no space left on device; make room") as full:
        export(store, run, "predictions", format, Path("/dev/full"))
    assert full.value.exit_status == 1  # as of every command whose output has no room: what was asked for was right
    assert Path("/dev/full").is_char_device()


def test_paths_that_cannot_be(store: Store, run: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="make the folder first"):
        export(store, run, "worst", "csv", tmp_path / "no" / "out.csv")
    with pytest.raises(RequestError, match="is a directory"):
        export(store, run, "worst", "csv", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="not a directory"):
        export(store, run, "worst", "csv", tmp_path / "file" / "out.csv")


def test_a_failure_midway_leaves_nothing(store: Store, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(WRITERS, "csv", broken)
    with pytest.raises(KeyboardInterrupt):
        export(store, run, "worst", "csv", tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_unknown_names(store: Store, run: str) -> None:
    with pytest.raises(UnknownName, match="did you mean 'damage'"):
        export(store, run, "damag", "csv", io.BytesIO())
    with pytest.raises(UnknownName, match="did you mean 'parquet'"):
        export(store, run, "damage", "parquett", io.BytesIO())


def test_a_closed_pipe_is_the_callers(store: Store, run: str) -> None:
    class Closed(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        export(store, run, "worst", "csv", Closed())  # type: ignore[arg-type]


# ---- cells ----------------------------------------------------------------------------------------------------------

NASTY = TableSpec("nasty", (Column("key", "int"), Column("said", "text")), ("key",))


def written(format: str, *cells: object, provenance: dict[str, str] | None = None) -> str:
    out = io.BytesIO()
    WRITERS[format](NASTY, provenance or {}, [(place, cell) for place, cell in enumerate(cells)], out)
    return out.getvalue().decode()


def test_csv_quotes_and_disarms_formulas() -> None:
    got = written("csv", 'a,"b"\nc', "=1+1", " @SUM(A1)", "-2.5", "+1", "-cmd", "plain")
    assert [row["said"] for row in csv.DictReader(io.StringIO(got))] == [
        'a,"b"\nc',
        "'=1+1",
        "' @SUM(A1)",
        "-2.5",
        "+1",
        "'-cmd",
        "plain",
    ]


def test_a_comment_cannot_end_early() -> None:
    for format in ("csv", "tex", "md"):
        got = written(format, "x", provenance={"title": "a\nb\r\u2028c\x1b[31m"})
        (line,) = [line for line in got.split("\n") if "title" in line]
        assert "a b c [31m" in line.replace("\\[", "[")


def test_markdown_cells_stay_in_their_cell() -> None:
    got = written("md", "a|b\nc", "<b>`x`*", None, "\x1b[2J")
    rows = got.splitlines()[4:8]
    assert rows == ["| 0 | a\\|b c |", "| 1 | \\<b>\\`x\\`\\* |", "| 2 | – |", "| 3 |  \\[2J |"]


def test_tex_specials_are_escaped() -> None:
    got = written("tex", "50 % & $x_1^2 #{a}", "~\\b <c> ≥ 3", None)
    assert "0 & 50 \\% \\& \\$x\\_1\\textasciicircum{}2 \\#\\{a\\} \\\\" in got
    assert "1 & \\textasciitilde{}\\textbackslash{}b \\textless{}c\\textgreater{} $\\geq$ 3 \\\\" in got
    assert "2 & -- \\\\" in got


def test_text_that_is_not_unicode_still_goes_out() -> None:
    for format in FORMATS:
        out = io.BytesIO()
        WRITERS[format](NASTY, {}, [(0, "a\udc80b")], out)
        assert out.getvalue()
    assert json.loads(written("json", "a\udc80b"))["rows"][0]["said"] == "a\udc80b"


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_table_is_a_table(format: str) -> None:
    out = io.BytesIO()
    WRITERS[format](replace(SPECS["worst"]), {"run": "x"}, [], out)
    if format == "parquet":
        assert pq.read_table(io.BytesIO(out.getvalue())).num_rows == 0
    elif format == "json":
        assert json.loads(out.getvalue())["rows"] == []
    else:
        assert b"corrected" in out.getvalue()


def test_floats_are_not_rounded() -> None:
    value = float(np.nextafter(0.1, 1))
    spec = TableSpec("f", (Column("x", "float"),), ("x",))
    for format in ("csv", "json", "md", "tex"):
        out = io.BytesIO()
        FULL[format](spec, {}, [(value,)], out)
        assert repr(value) in out.getvalue().decode()
