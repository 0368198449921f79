"""What is done with a finished run: everything exported, judged, handed on as a file, read in a notebook."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from engine import notebook
from engine.cli import main as cli
from engine.errors import RequestError
from engine.export import report as report_
from engine.export.everything import export_all
from engine.export.report import report
from engine.export.verdict import verdict
from engine.runs import start as run
from engine.runs.rebuild import rebuild
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from engine.store.bundle import bundle, open_bundle
from engine.tables.columns import SPECS
from tests.studies import independent
from tests.worlds.fake_pipeline import SCENARIO, TEST_ROWS, VICTIMS, WORKER, FakePipeline


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two finished runs: of clusters and of features."""
    place = tmp_path_factory.mktemp("results") / "runs.db"
    with Store.open(place) as store:
        features = ["subpopulations.kind=feature_match", 'subpopulations.features=["x"]', "title=features"]
        for overrides in ([], features):
            row = run.start(store, parse(SCENARIO, overrides=overrides), spawn=False, check=False)  # of rows that are no dataset
            assert work(store, row.id, pipeline=FakePipeline()) == "done"
    return place


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


@pytest.fixture
def ids(store: Store) -> list[str]:
    return [row.id for row in reversed(store.runs())]


def test_a_run_that_claims_a_published_result_says_that_these_are_not_its_numbers(store: Store, ids: list[str]) -> None:
    run = store.run(ids[0])
    adult = run.scenario_toml.replace('"digits"', '"adult"').replace('"logistic"', '"mlp"')
    claims = replace(run, scenario_toml='reproduces = "Table 4, UCI Adult"\n' + adult)
    of_other_data = replace(run, scenario_toml='reproduces = "Table 4, UCI Adult"\n' + run.scenario_toml)
    assert "**These are not the paper's numbers:** a fake." in report(store, [claims])
    assert "- Whether the paper's numbers hold: a fake." in report(store, [claims])
    for other in (run, of_other_data):
        assert "the paper's numbers" not in report(store, [other])
        assert "**To be known:** a fake." in report(store, [other])


# ---- everything at once ---------------------------------------------------------------------------------------------


def test_all_tables_with_a_report_and_another_format_when_asked(store: Store, ids: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    written = export_all(store, ids[:1], folder)
    names = {path.name for path in written}
    assert names == {path.name for path in folder.iterdir()}
    for name in ("damage", "worst", "distribution", "dose", "collateral", "confidence", "subpopulations", "victims"):
        assert f"{name}.csv" in names
    assert {"damage.parquet", "subpopulations.parquet", "victims.parquet"} <= names
    assert not [name for name in names if name.endswith((".md", ".tex")) and name != "report.md"]
    assert len(names) <= 30
    also = {path.name for path in export_all(store, ids[:1], tmp_path / "also", also="tex")}
    assert also - names == {f"{name[:-4]}.tex" for name in names if name.endswith(".csv")}
    assert {"predictions.parquet", "matchers.csv", "scenario.toml", "provenance.json", "report.md"} <= names
    assert not {"groups.csv", "attributes.csv", "optimization.csv", "predictions.csv"} & names
    assert pq.read_table(folder / "predictions.parquet").num_rows == VICTIMS * TEST_ROWS
    assert parse((folder / "scenario.toml").read_text()) == parse(SCENARIO)
    assert json.loads((folder / "provenance.json").read_text())["deviations"] == ["a fake"]


def test_predictions_and_subpopulations_alone_give_the_damages(store: Store, ids: list[str], tmp_path: Path) -> None:
    export_all(store, ids[:1], tmp_path)
    told = pd.read_parquet(tmp_path / "predictions.parquet")
    told["right"] = told.true_class == told.predicted_class
    clean = told[told.arm == "clean"].groupby(["trial", "subpopulation"]).right.sum()
    rows = told[told.arm == "clean"].groupby(["trial", "subpopulation"]).right.size()
    damage = pd.read_parquet(tmp_path / "damage.parquet").set_index(["alpha", "subpopulation"]).damage
    for (alpha, s), value in damage.items():
        own = told[(told.arm == "poisoned") & (told.alpha == alpha) & (told.target == s) & (told.subpopulation == s)]
        right = own.groupby("trial").right.sum()
        lost = sum(int(clean[trial, s]) - int(right[trial]) for trial in right.index)
        assert lost / (len(right) * int(rows[0, s])) == value


def test_a_script_that_knows_nothing_of_the_engine_gets_the_same_numbers(store: Store, ids: list[str], tmp_path: Path) -> None:
    export_all(store, ids[:1], tmp_path)
    assert independent.main(tmp_path) == 0


def test_a_report_says_what_was_found_and_what_cannot_be_said(store: Store, ids: list[str]) -> None:
    said = report(store, [store.run(ids[0])])
    for part in ("4 subpopulations were formed and 4 attacked", "To be known:** a fake", 
                 "attacked subpopulations are",
                 "| alpha | k | as published | on the eligible | corrected [95 %] | eligible |",
                 "Eligible: ", "What this run cannot say", "fewer than 30 test rows",
                 "expected damage of an adversary who picks targets from past trials"):  # fmt: skip
        assert part in said, part
    assert "None" not in said
    assert "nan" not in said.split()


def test_a_report_says_by_what_the_vulnerable_were_judged(store: Store) -> None:
    def said(*judged: tuple[int, bool | None, str | None]) -> str:
        rows = [{"alpha": 1.0, "damage": 0.1, "poison_share": 0.01, "subpopulation": s, "vulnerable": v, "p_from": p} for s, v, p in judged]
        return "\n".join(report_._vulnerable(store.runs()[0], rows, [])).split("| alpha")[0].strip()

    by_others, by_t = "more than as much aimed at others did in the same trials", "judged by the damages of its own trials alone"
    assert said((0, None, None)) == "- At alpha 1, vulnerability is withheld: it needs three trials."
    most = said((0, True, "off_target"), (1, False, "off_target"))
    assert most.startswith(
        "- At alpha 1, 1 of 2 attacked subpopulations are vulnerable (q = 0.05), for 1.00% to 1.00% of the training rows"
    )
    assert by_others in most
    assert by_t not in most
    alone = said((0, True, "t"), (1, False, "t"))
    assert by_others not in alone
    assert by_t in alone
    mixed = said((0, True, "off_target"), (7, False, "t"))
    assert by_others in mixed
    assert mixed.endswith(": 7 (alpha 1).")


def test_a_report_says_how_few_rows_a_cheap_subpopulation_has_and_no_minus_before_nothing() -> None:
    row = {"needed": "0.5", "alpha": 0.5, "level": 0.2, "largest": 2.0, "interval": None, "fresh_damage": -0.0001, "points": 3}
    tiny, large = (row | {"description": name, "test_rows": rows, "poison_share": share, "subpopulation": rows}
                   for name, rows, share in (("tiny", 8, 0.001), ("large", 40, 0.01)))  # fmt: skip
    *_, first, second = report_._dose([tiny, large], 30)
    assert first == "- large: 3 points (1.00% of train), alpha 0.5; fresh trials there: 0.000; of 40 test rows"
    assert second.startswith("- tiny:")
    assert second.endswith("of 8 test rows")


def test_a_report_says_what_was_chosen_by_looking_and_the_first_trial(store: Store, ids: list[str]) -> None:
    row = replace(store.run(ids[0]), parent="abc123")
    said = " ".join(report_._measured(row, {"seed": 1, "trials": 3, "first trial": 3}, [], []))
    assert "chosen by looking at run abc123" in said
    assert "trials 3, first trial 3" in said


# ---- judged ---------------------------------------------------------------------------------------------------------


def test_a_verdict_in_words_and_as_a_status(
    store: Store, ids: list[str], path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(path))
    assert verdict(store, store.run(ids[0]), 0.9).passed
    assert cli.main(["check", ids[0], "--max-damage", "0.9"]) == 0
    assert capsys.readouterr().out == f"passed: no damage above 0.9 is shown by run {ids[0]}\n"
    table = store.table(ids[0], "worst")
    at = {column.name: place for place, column in enumerate(table.spec.columns)}
    most = max(row[at["corrected"]] for row in table.rows if row[at["k"]] == 1)
    assert most > 0
    assert cli.main(["check", ids[0], "--max-damage", repr(most - 0.001)]) == 0  # its interval reaches below: it may be chance
    assert re.search(r"note: alpha \d: the corrected worst 1 is [\d.]+, which may be chance \(from -?[\d.]+\)", capsys.readouterr().err)
    assert cli.main(["check", ids[0], "--max-damage", "7"]) == 2
    assert cli.main(["check", ids[0], "--max-damage", "0.1", "--alpha", "9"]) == 2
    assert cli.main(["check", ids[0], "--max-damage", "0.1", "--k", "7"]) == 2
    fresh = run.start(store, parse(SCENARIO), spawn=False)
    with pytest.raises(RequestError, match="cannot be judged"):
        verdict(store, fresh, 0.1)
    store.delete_run(fresh.id)


@dataclass(frozen=True)
class Tables:
    """Tables as a verdict reads them."""

    rows: dict[str, list[dict[str, object]]]

    def table(self, run_id: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(records=lambda: self.rows[name])


@pytest.mark.parametrize(
    ("low", "high", "passed", "says"),
    [
        (0.11, 0.31, False, "alpha 1: the corrected worst 1 is 0.200 (0.110 to 0.310), at least 0.110, above 0.1"),
        (0.09, 0.31, True, "alpha 1: the corrected worst 1 is 0.200, which may be chance (from 0.090)"),
        (None, None, True, "alpha 1: the corrected worst 1 is 0.200, which may be chance: it has no interval"),
    ],
)
def test_the_worst_k_is_judged_by_its_interval_as_subpopulations_are(
    store: Store, ids: list[str], low: float | None, high: float | None, passed: bool, says: str
) -> None:
    worst = {"k": 1, "alpha": 1.0, "corrected": 0.2, "low": low, "high": high, "note": None}
    damage = {"alpha": 1.0, "vulnerable": False, "damage": 0.3, "low": 0.2, "subpopulation": 0, "description": "all"}
    judged = verdict(Tables({"worst": [worst], "damage": [damage]}), store.run(ids[0]), 0.1)  # type: ignore[arg-type]
    assert (judged.passed, judged.reasons + judged.remarks) == (passed, (says,))


# ---- handed on ------------------------------------------------------------------------------------------------------


def test_a_run_as_a_file_and_back(store: Store, ids: list[str], tmp_path: Path) -> None:
    file = tmp_path / "run.subpop"
    bundle(store, ids[0], file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.subpop"]
    before = file.read_bytes()
    with Store.open(tmp_path / "other" / "runs.db") as other:
        assert open_bundle(other, file) == ids[0]
        assert file.read_bytes() == before
        assert (other.run(ids[0]).state, other.run(ids[0]).host, other.run(ids[0]).title) == ("done", "", "A fake")
        assert other.tables(ids[0]) == {}, "they are worked out from its predictions, not taken"
        assert list(rebuild(other, [ids[0]])) == [ids[0]]
        for name in store.tables(ids[0]):
            assert other.table(ids[0], name) == store.table(ids[0], name)
        mine, theirs = store.victims(ids[0]), other.victims(ids[0])
        assert all((a.predictions == b.predictions).all() and a.spec == b.spec for a, b in zip(mine, theirs, strict=True))
        assert other.plan(ids[0]) == store.plan(ids[0])
        assert [line.message for line in other.log_rows(ids[0])] == [line.message for line in store.log_rows(ids[0])]
        assert np.array_equal(other.discovery(ids[0]).y_test, store.discovery(ids[0]).y_test)  # type: ignore[union-attr]
        with pytest.raises(RequestError, match="is here already"):
            open_bundle(other, file)
        assert len(other.runs()) == 1


def test_what_is_no_bundle_is_refused_and_changes_nothing(store: Store, path: Path, ids: list[str], tmp_path: Path) -> None:
    good = tmp_path / "good"
    bundle(store, ids[0], good)
    text, cut, view = tmp_path / "text", tmp_path / "cut", tmp_path / "view"
    text.write_text("hello")
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    view.write_bytes(good.read_bytes())
    with sqlite3.connect(view) as db:
        db.execute("CREATE VIEW trap AS SELECT 1")
    db.close()
    with Store.open(tmp_path / "runs.db") as other:
        for file in (text, cut, view, path, tmp_path / "nothing", tmp_path):
            with pytest.raises(RequestError):
                open_bundle(other, file)
        assert other.runs() == []
    with pytest.raises(RequestError, match="cannot be written"):
        bundle(store, ids[0], tmp_path / "no" / "run")


# ---- the command line -----------------------------------------------------------------------------------------------


def test_the_commands(
    path: Path, ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(path))
    assert cli.main(["export", ids[0], "--table", "all", "-o", str(tmp_path / "all")]) == 0
    assert "report.md" in capsys.readouterr().err
    assert cli.main(["export", ids[0], "--table", "all"]) == 2
    assert cli.main(["export", *ids, "--table", "worst"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert said[0].startswith("system,run,alpha,k,as_published")
    assert [line.split(",")[1] for line in said[1:]] == [ids[0]] * 6 + [ids[1]] * 6
    assert cli.main(["export", *ids, "--table", "matchers", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(row["feature_run"], row["cluster_run"]) for row in rows} == {(ids[1], ids[0])}
    assert cli.main(["export", *ids, "--table", "all", "-o", str(tmp_path / "both")]) == 0
    assert {f"{ids[1]}-scenario.toml", "worst.csv", "report.md"} <= {entry.name for entry in (tmp_path / "both").iterdir()}
    assert cli.main(["export", ids[0], "--table", "groups"]) == 2
    assert "no annotations" in capsys.readouterr().err
    assert cli.main(["export", ids[0], "--table", "worst", "--alpha", "1"]) == 2
    assert cli.main(["bundle", ids[0], "-o", str(tmp_path / "r")]) == 0
    capsys.readouterr()
    assert cli.main(["open", str(tmp_path / "r"), "--store", str(tmp_path / "theirs.db")]) == 0
    assert capsys.readouterr().out == f"{ids[0]}\n"
    assert cli.main(["rename", ids[0], "a  better name"]) == cli.main(["note", ids[0], "look here"]) == 0
    with Store.open(path) as store:
        assert (store.run(ids[0]).name, store.run(ids[0]).note) == ("a better name", "look here")
    assert cli.main(["run", "quickstart", "--find", "7"]) == 2


# ---- from Python ----------------------------------------------------------------------------------------------------


def test_five_lines_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WORKER", WORKER)
    monkeypatch.setattr(run.start, "__kwdefaults__", {**run.start.__kwdefaults__, "worker": WORKER})
    file = tmp_path / "fake.toml"
    file.write_text(SCENARIO)
    scenario = notebook.scenario(file, "evaluation.trials=3")
    mine = notebook.run(scenario, store=tmp_path / "runs.db")
    worst = mine["worst"]
    assert list(worst.columns) == [column.name for column in SPECS["worst"].columns]
    assert (worst.as_published.dtype, worst.k.dtype) == ("float64", "Int64")
    assert worst.attrs["provenance"]["run"] == mine.id
    assert {"worst", "damage", "dose", "predictions"} <= set(mine.tables)
    assert len(mine["predictions"]) == VICTIMS * TEST_ROWS
    assert notebook.find(mine.id[:4], store=tmp_path / "runs.db").id == mine.id
    assert (tmp_path / "out" / "report.md") in mine.export(tmp_path / "out")
    both = notebook.together([mine, mine], "damage")
    assert len(both) == 8


def test_a_bundle_says_nothing_of_where_a_machine_keeps_its_files(tmp_path: Path) -> None:
    data = tmp_path / "secretplace"
    with Store.open(tmp_path / "runs.db") as mine:
        row = run.start(mine, parse(SCENARIO), spawn=False, data_dir=data)
        mine.log(row.id, "error", f"{data}/x.csv is missing\nTraceback (most recent call last):\n  File '/secretplace/y.py'")
        mine.update_run(row.id, state="failed", error=f"{data}/x.csv is missing")
        bundle(mine, row.id, tmp_path / "run.subpop")
    assert b"secretplace" not in (tmp_path / "run.subpop").read_bytes()
    assert b"$SUBPOP_DATA/x.csv is missing" in (tmp_path / "run.subpop").read_bytes()
