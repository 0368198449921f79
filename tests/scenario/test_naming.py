"""The paper's value, verdict, title and name never stand beside another dataset, model or attack, whichever way it was turned."""

from __future__ import annotations

import json
import re
import sqlite3
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from engine import notebook, paper
from engine.cli import main as cli
from engine.paper import SYSTEMS, System, system_of
from engine.runs import again
from engine.runs import start as run
from engine.runs.worker import work
from engine.scenario import naming
from engine.scenario.identity import dump
from engine.scenario.parse import load, parse
from engine.scenario.presets import presets
from engine.store import Store
from engine.store.tables import PAPERS
from engine.tables.build import build
from engine.tables.world import Facts, World
from tests.worlds.evaluation import FACTS, discovered, victims
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
from tests.worlds.older import without_digests

ADULT = "UCI Adult, ClusterMatch, label flipping"
# The presets that claim something, each turned to another system in one way or another.
TURNED = [
    ("adult-clustermatch", "dataset.kind=breast_cancer", "Breast cancer mlp, ClusterMatch, label flipping"),
    ("adult-clustermatch", "model.kind=logistic", "UCI Adult logistic, ClusterMatch, label flipping"),
    ("adult-featurematch", "model.kind=logistic", "UCI Adult logistic, FeatureMatch, label flipping"),
    ("cifar10-conv", "dataset.kind=utkface", "UTKFace conv, ClusterMatch, label flipping"),
    ("cifar10-vgg-ft", "model.depth=11", "CIFAR-10 vgg, ClusterMatch, label flipping"),
    ("utkface-vgg-ll", "model.tune=all", "UTKFace vgg, ClusterMatch, label flipping"),
    ("utkface-vgg-ft", "attack.kind=gradient", "UTKFace vgg, ClusterMatch, optimised points"),
    ("imdb-bert-ll", "model.name=sentence-transformers/all-MiniLM-L6-v2", "IMDB bert, ClusterMatch, label flipping"),
]


@pytest.mark.parametrize(("preset", "override", "title"), TURNED)
@pytest.mark.parametrize("smoke", [False, True])
def test_a_preset_turned_to_another_system_loses_title_and_claim(preset: str, override: str, title: str, smoke: bool) -> None:
    if smoke and override.startswith("model.name"):  # its sliver starts from random weights, whose encoder has no name
        assert load(preset, [override], smoke).reproduces == load(preset).reproduces
        return
    said: list[str] = []
    found = load(preset, [override], smoke, said.append)
    assert (found.reproduces, found.title) == (None, title)
    assert all("taken out of" in note for note in said[:-1])  # what went with its kind
    assert load(preset).reproduces in said[-1]  # type: ignore[operator]
    assert override.partition("=")[0] in said[-1]
    assert parse(dump(found)) == found
    assert paper.published(load(preset).reproduces, System.of(found.model_dump())) is None


@pytest.mark.parametrize("preset", sorted(presets()))
@pytest.mark.parametrize("smoke", [False, True])
def test_a_preset_as_it_ships_keeps_both(preset: str, smoke: bool) -> None:
    said: list[str] = []
    found = load(preset, smoke=smoke, say=said.append)
    shipped = [line for line in presets()[preset].read_text().splitlines() if line.startswith(("title", "reproduces"))]
    assert f'title = "{found.title}"' in shipped
    assert (found.reproduces is None) == (len(shipped) == 1)
    assert not said
    if found.reproduces is not None:
        assert paper.published(found.reproduces, System.of(found.model_dump())) is not None


@pytest.mark.parametrize("override", ["model.hidden=[64]", "dataset.rows=500", "attack.alphas=[1]", "seed=4", "evaluation.trials=2"])
def test_another_setting_of_the_same_system_keeps_both(override: str) -> None:
    found = load("adult-clustermatch", [override])
    assert (found.reproduces, found.title) == ("Table 4, UCI Adult", ADULT)


def test_a_title_of_ones_own_stays_and_a_preset_without_a_claim_is_judged_too(tmp_path: Path) -> None:
    assert load("adult-clustermatch", ["dataset.kind=breast_cancer", "title=mine"]).title == "mine"
    assert load("quickstart", ["dataset.kind=breast_cancer"]).title == "Breast cancer mlp, ClusterMatch, label flipping"
    table = tmp_path / "customers.csv"
    overrides = ["dataset.kind=table", f"dataset.path={table}", "dataset.label=y"]
    found = load("adult-clustermatch", overrides)
    assert (found.title, found.reproduces) == ("customers.csv mlp, ClusterMatch, label flipping", None)
    own = load("adult-clustermatch", ["dataset.kind=breast_cancer", "title=UCI  adult, and more"])
    assert "adult" not in own.title.casefold()


def test_a_file_that_says_so_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = presets()["adult-clustermatch"].read_text()
    file.write_text(re.sub(r'kind = "adult"\nbalance.*\n', 'kind = "breast_cancer"\n', text))
    said: list[str] = []
    found = load(file, say=said.append)
    assert (found.reproduces, found.title) == (None, "Breast cancer mlp, ClusterMatch, label flipping")
    assert said == [
        'this is not what "Table 4, UCI Adult" is of (dataset.kind = breast_cancer, there adult); reproduces is taken out; '
        "the title is now 'Breast cancer mlp, ClusterMatch, label flipping'"
    ]


def test_the_command_line_says_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "adult-clustermatch", "--set", "dataset.kind=breast_cancer"]) == 0
    out, err = capsys.readouterr()
    assert "Adult" not in out
    assert "reproduces" not in out
    assert len(err.splitlines()) == 2
    assert err.startswith('dataset.kind is now "breast_cancer", which has no balance: taken out of [dataset]\n')


def test_the_notebook_warns() -> None:
    with pytest.warns(UserWarning, match="reproduces is taken out") as caught:
        found = notebook.scenario("adult-clustermatch", "dataset.kind=breast_cancer")
    assert caught[0].filename == __file__
    assert found.reproduces is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notebook.scenario("adult-clustermatch")


@pytest.mark.parametrize(
    ("given", "overrides", "name"),
    [
        ("adult-clustermatch", [], "adult-clustermatch"),
        ("adult-clustermatch", ["attack.alphas=[1]"], "adult-clustermatch"),
        ("adult-clustermatch", ["dataset.kind=breast_cancer"], "breast_cancer-mlp-clustermatch"),
        ("quickstart", ["model.kind=logistic"], "digits-logistic-clustermatch"),
        ("quickstart", ["dataset.kind=table", "dataset.path=/data/customers.csv", "dataset.label=y"], "customers-mlp-clustermatch"),
    ],
)
def test_the_runs_name_follows_its_data(given: str, overrides: list[str], name: str) -> None:
    assert naming.run_name(given, presets()[given].read_text(), load(given, overrides).model_dump()) == name


def test_a_file_of_ones_own_turned_to_another_table(tmp_path: Path) -> None:
    text = 'title = "t"\n[dataset]\nkind = "table"\npath = "a.csv"\nlabel = "y"\n'
    text += '[model]\nkind = "mlp"\n[subpopulations]\nkind = "cluster_match"\n'
    before, other = (parse(text.replace("a.csv", name), folder=tmp_path).model_dump() for name in ("a.csv", "b.csv"))
    assert naming.run_name("mine", text, before) == "mine"
    assert naming.run_name("mine", text, other) == "b-mlp-clustermatch"


# ---- the tables -----------------------------------------------------------------------------------------------------


TWO = (System("breast_cancer", "mlp"), System("adult", "logistic"))
OTHERS = [None, *TWO, *(system for name, system in SYSTEMS.items() if name != "UCI Adult")]
OTHERS += [replace(SYSTEMS["UCI Adult"], matcher="feature_match"), replace(SYSTEMS["UCI Adult"], attack="gradient")]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_tables_refuse_a_published_value_beside_another_system(other: System | None) -> None:
    found = discovered()
    several = list(victims(found))
    shown = build(World.start(FACTS, found, several))
    foreign = build(World.start(replace(FACTS, system=other), found, several))

    def told(tables) -> dict[str, int]:  # type: ignore[no-untyped-def]
        places = {name: [at for at, column in enumerate(table.spec.columns) if column.name in PAPERS] for name, table in tables.items()}
        return {name: sum(row[at] not in (None, "") for row in tables[name].rows for at in places[name]) for name in tables}

    assert told(shown)["worst"] > 0
    assert not any(told(foreign).values())


def test_every_column_that_speaks_of_the_paper_is_known() -> None:
    from engine.tables.columns import SPECS

    spoken = {c.name for spec in SPECS.values() for c in spec.columns if c.name.startswith("published") or c.name.endswith("outside")}
    assert spoken == set(PAPERS)


def finished(store: Store, text: str) -> str:
    row = run.start(store, parse(text), spawn=False)
    assert work(store, row.id, pipeline=FakePipeline()) == "done"
    return row.id


def test_a_run_that_was_stored_before_shows_none_of_it(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """As another version left it: the paper's claim in its scenario, the paper's values in its tables."""
    path = tmp_path / "runs.db"
    with Store.open(path) as store:
        run_id = finished(store, SCENARIO)
        stored = store.table(run_id, "worst")
        names = [column.name for column in stored.spec.columns]
        values = {"published": 0.224, "published_as": "Table 4, reading", "published_size": 48.3, "outside": "below"}
        rows = tuple(tuple(values.get(name, cell) for name, cell in zip(names, row, strict=True)) for row in stored.rows)
        store.write_tables(run_id, {"worst": replace(stored, rows=rows)})
    with sqlite3.connect(path) as db:
        without_digests(db)
        db.execute("UPDATE runs SET scenario_toml = 'reproduces = \"Table 4, UCI Adult\"' || char(10) || scenario_toml")
    with Store.open(path) as store:
        assert store.table(run_id, "worst") == replace(stored, rows=tuple(stored.rows))
        columns = ("alpha", "k", "published", "published_as", "outside", "as_published")
        _, changes, _ = store.table_changes(run_id, "worst", 0, columns)
        assert changes
        assert all(cells is not None and cells[2:5] == (None, None, None) and cells[5] is not None for cells in changes.values())
        assert system_of(store.run(run_id)) == store.run(run_id).name
    assert cli.main(["export", run_id, "--store", str(path), "--table", "worst", "--format", "json"]) == 0
    assert all(row["published"] is None for row in json.loads(capsysbinary.readouterr().out)["rows"])


def test_a_run_attacked_again_is_of_its_own_system(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        run_id = finished(store, SCENARIO)
        with sqlite3.connect(tmp_path / "runs.db") as db:
            without_digests(db)
            db.execute("UPDATE runs SET scenario_toml = 'reproduces = \"Table 4, UCI Adult\"' || char(10) || scenario_toml")
        said: list[str] = []
        assert again.scenario_of(store, run_id, [0], say=said.append).reproduces is None
        assert len(said) == 1


def test_facts_know_what_is_run() -> None:
    assert Facts.of(load("adult-clustermatch")).system == SYSTEMS["UCI Adult"]
    assert Facts.of(load("utkface-vgg-ll", smoke=True)).system == SYSTEMS["UTKFace VGG-LL"]
