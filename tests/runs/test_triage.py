"""A run that foretells damage: what is stored of it, who is attacked again by it, and what the command says."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main as cli
from engine.errors import RequestError
from engine.export import report
from engine.preview.process import Answers, Preview
from engine.runs import again
from engine.runs import start as run
from engine.runs.rebuild import rebuild
from engine.runs.worker import work
from engine.scenario.identity import dump
from engine.scenario.parse import parse
from engine.store import Store
from engine.store.bundle import bundle, open_bundle
from tests.pipeline.test_pipeline import QUICK

FEW = ("triage.models=2", "compute.victims_per_stack=20", "compute.threads=1", "attack.alphas=[1, 2]")
BY_PREDICTION = (*FEW, 'subpopulations.select="predicted"', "subpopulations.select_count=3")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that attacked the three predicted worst."""
    path = tmp_path_factory.mktemp("triage") / "runs.db"
    with Store.open(path) as store:
        row = run.start(store, parse(QUICK, overrides=BY_PREDICTION), spawn=False, name="foretold")
        assert work(store, row.id) == "done", store.run(row.id).error
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


def of(store: Store) -> str:
    return next(row.id for row in store.runs() if row.name == "foretold")


def test_it_is_stored_in_its_tables_and_said(store: Store) -> None:
    run_id = of(store)
    assert any(line.startswith("chosen by prediction: the 3 subpopulations") for line in store.run(run_id).deviations)
    rows = store.table(run_id, "susceptibility").records()
    ones = [row for row in rows if row["group"] == "one" and row["alpha"] == 2]
    able = [row for row in ones if row["test_rows"] and row["aux_rows"] >= 15]
    assert [row["attacked"] for row in sorted(able, key=lambda row: row["rank"])] == [True] * 3 + [False] * (len(able) - 3)
    assert all((row["damage"] is not None) == row["attacked"] for row in ones)
    told = {row["subpopulation"]: row["predicted"] for row in store.table(run_id, "subpopulations").records()}
    assert told == {row["subpopulation"]: row["predicted"] for row in ones}
    assert any("foretelling damage takes 2 clean models" in line.message for line in store.log_rows(run_id))


def test_a_rate_that_nothing_was_foretold_for_is_told(store: Store) -> None:
    child = again.start(store, of(store), [0], ["attack.alphas=[0.5, 2]", "evaluation.trials=1"], spawn=False).id
    assert work(store, child) == "done", store.run(child).error
    said = [line.message for line in store.log_rows(child) if "foretold there" in line.message]
    assert said == ["damage was foretold there for other alphas: 0.5 has no prediction here"]
    store.delete_run(child)


def test_it_travels_in_a_bundle_and_what_does_not_fit_is_refused(store: Store, tmp_path: Path) -> None:
    run_id = of(store)
    file = tmp_path / "run.subpop"
    bundle(store, run_id, file)
    with Store.open(tmp_path / "other.db") as other:
        assert open_bundle(other, file) == run_id
        rebuild(other, [run_id])
        assert other.table(run_id, "susceptibility").rows == store.table(run_id, "susceptibility").rows
        mine, its = (each.discovery(run_id).arrays.foretold for each in (store, other))  # type: ignore[union-attr]
        np.testing.assert_array_equal(mine.aux_AS, its.aux_AS)  # type: ignore[union-attr]
    for name, forge in {
        "short": "UPDATE arrays SET shape = '[1]', digest = NULL WHERE name = 'foretold.alphas'",
        "gone": "DELETE FROM arrays WHERE name = 'foretold.test_AS'",
        "beyond": "UPDATE subpopulations SET fields = replace(fields, '\"predicted\": ', '\"predicted\": 7'), digest = NULL",
    }.items():
        forged = tmp_path / f"{name}.subpop"
        forged.write_bytes(file.read_bytes())
        with closing(sqlite3.connect(forged, isolation_level=None)) as db:
            db.execute(forge)
            db.execute("UPDATE runs SET digest = NULL")
        with Store.open(tmp_path / f"{name}.db") as third, pytest.raises(RequestError, match="damaged or forged"):
            open_bundle(third, forged)


def test_the_predicted_worst_are_attacked_again_with_what_was_foretold(store: Store) -> None:
    run_id = of(store)
    ranked = sorted((s for s in store.subpopulations(run_id) if s.attacked), key=lambda s: -(s.predicted or 0))
    assert again.marked(store, run_id, "predicted:2") == [s.index for s in ranked[:2]]
    assert len(again.marked(store, run_id, "predicted:99")) > 3  # of all that could be attacked
    with pytest.raises(RequestError, match="as predicted:3"):
        again.marked(store, run_id, "predicted:x")
    only = "predicted:1"
    more = {"fresh": True, "spawn": False, "predicted": again.by_prediction(only)}
    child = again.start(store, run_id, again.marked(store, run_id, only), ["evaluation.trials=1"], **more).id  # type: ignore[arg-type]
    assert work(store, child) == "done", store.run(child).error
    said = [line.message for line in store.log_rows(child)]
    assert any("the subpopulations are those discovered in run" in line for line in said)
    assert not any("clean model " in line for line in said)  # they were trained once
    how = f"the subpopulation that clean models foretold to be worst on aux rows, in run {run_id}; no trial had a part in the choice"
    assert f"attacked again: {how}" in store.run(child).deviations
    assert f"chosen by what clean models foretold in run {run_id}" in " ".join(report._measured(store.run(child), {}, [], []))
    assert not again.by_prediction("worst:1")
    (mine,) = [row for row in _ones(store, child) if row["attacked"]]
    (its,) = [row for row in _ones(store, run_id) if row["subpopulation"] == ranked[0].index]
    assert (mine["rank"], mine["predicted"], mine["trials"]) == (its["rank"], its["predicted"], 1)


def _ones(store: Store, run_id: str) -> list[dict]:
    return [row for row in store.table(run_id, "susceptibility").records() if row["group"] == "one" and row["alpha"] == 2]


def test_a_run_that_foretold_nothing_says_how(store: Store) -> None:
    plain = run.start(store, parse(QUICK, overrides=[*FEW, "evaluation.trials=1", "evaluation.confidence_folds=1"]), spawn=False).id
    assert work(store, plain) == "done"
    assert "susceptibility" not in store.tables(plain)
    with pytest.raises(RequestError, match=r"foretold no damage.*triage\.predict=true"):
        again.marked(store, plain, "predicted:3")


def test_a_preview_foretells_where_it_is_asked() -> None:
    out = io.StringIO()
    text = dump(parse(QUICK, overrides=[*FEW, "evaluation.confidence_folds=1"]))
    Preview(Answers(out)).answer({"discover": text, "data": ".", "predict": True})
    (found,) = [answer["found"] for line in out.getvalue().splitlines() if "found" in (answer := json.loads(line))]
    assert all(isinstance(each["predicted"], float) for each in found)


def test_the_commands(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(QUICK)
    few = [part for each in FEW for part in ("--set", each)]
    assert cli.main(["discover", str(file), *few, "--predict", "--json"]) == 0
    said = capsys.readouterr()
    assert "foretelling damage takes 2 clean models" in said.err
    assert all(isinstance(s["predicted"], float) for s in json.loads(said.out) if s["aux_rows"])
    monkeypatch.setenv("SUBPOP_STORE", str(path))
    with Store.open(path) as store:
        run_id = of(store)
    for form, says in (("csv", "recall_50"), ("md", "rank correlation"), ("tex", "predicted"), ("json", "mae_constant")):
        assert cli.main(["export", run_id, "--table", "susceptibility", "--format", form]) == 0
        told = capsys.readouterr().out
        assert says in told, told
        of_program, of_people = "least_confident" in told, "least confident" in told
        assert (of_program, of_people) == ((False, True) if form in ("md", "tex") else (True, False)), told
    assert cli.main(["export", run_id, "--table", "all", "-o", str(tmp_path / "all")]) == 0
    assert "**Clean models alone** ranked these 3 beforehand" in (tmp_path / "all" / "report.md").read_text()
    assert (tmp_path / "all" / "predicted_recall.png").exists()
    out = tmp_path / "s.parquet"
    assert cli.main(["export", run_id, "--table", "susceptibility", "-o", str(out)]) == 0
    assert cli.main(["plot", run_id, "predicted_measured", "-o", str(tmp_path / "p.svg")]) == 0
    assert "as foretold" in (tmp_path / "p.svg").read_text()
