"""Runs held against each other: paired differences, what cannot be paired and why, exports; and a run's numbers anew from its exports."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import notebook
from engine.cli import main as cli
from engine.errors import RequestError
from engine.evaluation.between import Side, between
from engine.evaluation.counts import Counts
from engine.evaluation.layout import lay_out
from engine.evaluation.paired import paired
from engine.export.everything import export_all
from engine.export.export import export, predictions
from engine.rows import Judged, Membership, StackPlan, VictimResult
from engine.scenario.identity import dump
from engine.scenario.parse import parse
from engine.store import MEMORY, Store
from engine.tables.build import build
from engine.tables.columns import SPECS
from engine.tables.matching import compared, compared_worst, differences
from engine.tables.world import World
from tests.evaluation.test_evaluation import layout_of
from tests.studies import independent
from tests.worlds.evaluation import Discovered, discovered, victims

GOLDEN = Path(__file__).parents[1] / "golden"
SCENARIO = """
title = "A tiny world"
seed = 3
[dataset]
kind = "digits"
[model]
kind = "logistic"
[subpopulations]
kind = "cluster_match"
min_size = 10
max_size = 60
[attack]
alphas = [0.5, 1.0]
[evaluation]
min_test_rows = 8
"""
FEATURES = ("subpopulations.kind=feature_match", 'subpopulations.features=["a"]')
Rows = list[dict[str, object]]


@pytest.fixture
def store():
    with Store.open(MEMORY) as opened:
        yield opened


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are tested elsewhere, and take longer than all else here."""
    monkeypatch.setattr("engine.export.everything.export_plots", lambda *_: ([], {}))


def finished(
    store: Store, results: Sequence[VictimResult], found: Discovered | None = None, overrides: Sequence[str] = (), name: str = "tiny"
) -> str:
    """A finished run with these victims; its id."""
    found, scenario = found or discovered(), parse(SCENARIO, overrides=overrides)
    run_id = store.create_run(name=name, title=scenario.title, scenario_toml=dump(scenario), scenario_hash="0" * 16).id
    store.save_discovery(
        run_id, subpopulations=found.subpopulations, membership=found.membership, y_test=found.y_test, classes=found.classes, provenance={}
    )
    store.save_plan(run_id, [StackPlan(0, 0, tuple(r.spec for r in results))])
    store.commit_stack(run_id, 0, results, 1.0, build(World.start(scenario, found, results)))
    store.update_run(run_id, state="done")
    return run_id


def rows_of(made) -> Rows:
    spec, rows, _ = made
    return [{column.name: cell for column, cell in zip(spec.columns, row, strict=True)} for row in rows]


def slowly(store: Store, one: str, two: str, alpha: float, s: int) -> tuple[int, float | None]:
    """(matched trials, difference) of one subpopulation, row by row from what is exported."""
    names = [column.name for column in SPECS["predictions"].columns]
    lost = []
    for run_id in (one, two):
        frame = pd.DataFrame(predictions(store, run_id), columns=names)
        frame["right"] = (frame["true_class"] == frame["predicted_class"]).astype(int)
        own = frame[frame["subpopulation"] == s]
        clean = own[own["arm"] == "clean"].set_index(["trial", "row"])["right"]
        poisoned = own[(own["arm"] == "poisoned") & (own["alpha"] == alpha) & (own["target"] == s)].set_index(["trial", "row"])["right"]
        lost.append((clean - poisoned).dropna())
    apart = (lost[1] - lost[0]).dropna()
    return apart.index.get_level_values("trial").nunique(), float(apart.mean()) if len(apart) else None


def slowly_defended(store: Store, run_id: str, arm: str, alpha: float, s: int) -> pd.Series:
    """What one run's victims of an arm lost on each of a subpopulation's own rows, by (trial, row)."""
    frame = pd.DataFrame(predictions(store, run_id), columns=[column.name for column in SPECS["predictions"].columns])
    frame["right"] = (frame["true_class"] == frame["predicted_class"]).astype(int)
    own = frame[frame["subpopulation"] == s]
    clean = own[own["arm"] == "clean"].set_index(["trial", "row"])["right"]
    attacked = own[(own["arm"] == arm) & (own["alpha"] == alpha) & (own["target"] == s)].set_index(["trial", "row"])["right"]
    return (clean - attacked).dropna()


# ---- paired ---------------------------------------------------------------------------------------------------------


def test_differences_are_those_of_the_rows_trial_by_trial(store: Store) -> None:
    one, two = (
        finished(store, victims(discovered())),
        finished(store, victims(discovered(), trials=4, seed=5), overrides=["model.epochs=7"]),
    )
    rows = rows_of(compared(store, [one, two]))
    assert [(row["alpha"], row["subpopulation"]) for row in rows] == [(a, s) for a in (0.5, 1.0) for s in range(6)]
    for row in rows:
        matched, difference = slowly(store, one, two, row["alpha"], row["subpopulation"])
        assert row["matched"] == matched == 3
        assert row["difference"] == pytest.approx(difference, abs=1e-12)
        assert row["low"] < row["difference"] < row["high"]
        assert (row["baseline_trials"], row["other_trials"]) == (3, 3)  # of the four trials trained, three are the scenario's
    for side, run in (("baseline", one), ("other", two)):
        damages = {(row[2], row[0]): row[3] for row in store.table(run, "damage").rows}
        assert {(row["alpha"], row["subpopulation"]): row[f"{side}_damage"] for row in rows} == damages


def test_a_run_with_a_defence_is_compared_by_its_victims_under_it(store: Store) -> None:
    def with_defence(seed: int) -> list[VictimResult]:
        """The same, and for each victim a defended one that did otherwise; of the control there is none here."""
        plain, other = victims(discovered()), victims(discovered(), seed=seed)
        pairs = list(zip(plain, other, strict=True))
        train = len(discovered().membership.train)
        twins = [
            replace(
                b,
                spec=replace(a.spec, arm="defended", index=len(plain) + at),
                judged=Judged(np.ones(train + a.poison_points, bool), np.full(train + a.poison_points, -1, np.int16)),
                poison_points=a.poison_points,
            )
            for at, (a, b) in enumerate(pairs)
            if a.spec.arm in ("clean", "poisoned")
        ]
        return [*plain, *twins]

    trim, plain = finished(store, with_defence(9), overrides=["defense.kind=trim"], name="trim"), finished(store, victims(discovered()))
    rows, checked = rows_of(compared(store, [plain, trim])), 0
    for row in rows:
        lost = [
            slowly_defended(store, run, arm, row["alpha"], row["subpopulation"]) for run, arm in ((plain, "poisoned"), (trim, "defended"))
        ]
        apart = (lost[1] - lost[0]).dropna()
        if row["difference"] is not None:
            assert row["difference"] == pytest.approx(float(apart.mean()), abs=1e-12)
            checked += row["difference"] != 0
    assert checked > 3
    worst = rows_of(compared_worst(store, [plain, trim]))
    assert any(row["baseline_as_published"] != row["other_as_published"] for row in worst)
    assert f"{trim}: the damages of its victims with the defence, trim" in compared(store, [plain, trim])[2]
    assert f"{plain}: the damages" not in " ".join(compared(store, [plain, trim])[2])


def test_only_trials_of_both_are_paired(store: Store) -> None:
    found = discovered()
    late = [replace(v, spec=replace(v.spec, trial=v.spec.trial + 2)) for v in victims(found, seed=5)]
    one = finished(store, victims(found))
    two = finished(store, late, overrides=["evaluation.trials=5", "model.epochs=7"])
    rows = rows_of(compared(store, [one, two]))
    for row in rows:
        assert (row["matched"], row["difference"]) == (1, pytest.approx(slowly(store, one, two, row["alpha"], row["subpopulation"])[1]))
        assert (row["low"], row["differs"], row["note"]) == (None, None, "an interval needs two matched trials")
    fresh = [replace(v, spec=replace(v.spec, trial=v.spec.trial + 3)) for v in victims(found, seed=5)]
    three = finished(store, fresh, overrides=["evaluation.trials=6"])
    made = compared(store, [one, three])
    for row in rows_of(made):
        assert row["matched"] == 0
        assert row["difference"] == row["other_damage"] - row["baseline_damage"]
        assert row["low"] < row["difference"] < row["high"]
        assert (row["differs"], row["note"]) == (None, "not paired: no trial in common")
    assert any("no trial is in both" in note for note in made[2])


def test_with_one_clean_arm_it_is_the_difference_of_two_attacks() -> None:
    """The clean victims cancel then, and `paired`, which compares two arms of one run, must agree to the interval."""
    found = discovered()
    results = victims(found)
    other = [b if a.spec.arm == "poisoned" else a for a, b in zip(results, victims(found, seed=9), strict=True)]
    scenario = parse(SCENARIO)
    worlds = [World.start(scenario, found, each) for each in (results, other)]
    one, two = (lay_out(world.counts, (0.5, 1.0), [None] * 7, trials=3) for world in worlds)
    members = [0, 1, 2, 3, 4, 5]
    made, pair = between(Side(worlds[0].counts, one, members), Side(worlds[1].counts, two, members)), paired(one, two)
    for mine, theirs in ((made.difference_AM, pair.difference_AS), (made.low_AM, pair.low_AS), (made.high_AM, pair.high_AS)):
        np.testing.assert_allclose(mine, theirs[:, :6], rtol=1e-12)


def test_intervals_hold_and_nothing_is_called_where_nothing_is() -> None:
    found, scenario, members = discovered(), parse(SCENARIO), list(range(6))
    inside, called = [], []
    for seed in range(40):
        worlds = [World.start(scenario, found, victims(found, seed=2 * seed + side)) for side in range(2)]
        sides = [Side(world.counts, lay_out(world.counts, (0.5, 1.0), [None] * 7), members) for world in worlds]
        made = between(*sides)
        inside.append((made.low_AM <= 0) & (made.high_AM >= 0))
        called.append(made.p_AM <= 0.05)
    assert np.mean(inside) > 0.93
    assert np.mean(called) < 0.07


def test_which_run_is_the_baseline_changes_signs_alone() -> None:
    random, n_S = np.random.default_rng(0), np.full(12, 20)
    counts = Counts.start(np.repeat(np.arange(12), 20), np.zeros(240, int), classes=2, subpopulations=12, seed=1)
    sides = []
    for most in (0.1, 0.9):
        share_S = random.random(12) * most
        hit_TS = np.where(random.random((4, 12)) < 0.5, share_S, share_S / 3)
        sides.append(Side(counts, layout_of((random.random((4, 240)) < np.repeat(hit_TS, 20, axis=1)).astype(np.int8), n_S), range(12)))
    there, back = between(*sides), between(*sides[::-1])
    assert np.array_equal(there.difference_AM, -back.difference_AM)
    assert np.allclose(there.low_AM, -back.high_AM, rtol=1e-12)
    assert np.allclose(there.p_AM, back.p_AM, rtol=1e-12)


def test_a_difference_that_is_there_is_called_and_others_are_not(store: Store) -> None:
    found = discovered()
    results = victims(found)
    broken = found.membership.test == 2
    worse = [
        replace(v, predictions=np.where(broken, (found.y_test + 1) % 3, v.predictions).astype(np.uint8))
        if v.spec.arm == "poisoned" and v.spec.subpopulation == 2
        else v
        for v in results
    ]
    one, two = finished(store, results), finished(store, worse, overrides=["adversary.rows=0.5"])
    rows = rows_of(compared(store, [one, two]))
    assert {row["subpopulation"] for row in rows if row["differs"]} == {2}
    assert all(row["difference"] == 0 for row in rows if row["subpopulation"] != 2)
    back = rows_of(compared(store, [two, one]))
    assert [row["difference"] for row in back] == [-row["difference"] for row in rows]


def test_the_same_victims_in_two_runs_are_no_estimate(store: Store) -> None:
    one = finished(store, victims(discovered()))
    two = finished(store, victims(discovered(), trials=4), overrides=["evaluation.trials=4"])
    made = compared(store, [one, two])
    for row in rows_of(made):
        assert (row["matched"], row["difference"], row["note"]) == (3, 0.0, "the same victims in both")
        assert row["low"] is row["high"] is row["p"] is row["differs"] is None
    assert any("its difference is 0" in note for note in made[2])


# ---- what cannot be paired ------------------------------------------------------------------------------------------


def test_an_alpha_of_one_run_stands_with_an_empty_side(store: Store) -> None:
    results = victims(discovered())
    moved = [replace(v, spec=replace(v.spec, alpha=2.0)) if v.spec.alpha == 0.5 else v for v in results]
    one, two = finished(store, results), finished(store, moved, overrides=["attack.alphas=[1,2]"])
    rows = rows_of(compared(store, [one, two]))
    assert [(row["alpha"], row["note"]) for row in rows if row["subpopulation"] == 0] == [
        (0.5, "only the baseline has this alpha"),
        (1.0, "the same victims in both"),
        (2.0, "only the other has this alpha"),
    ]
    for row in rows:
        if row["alpha"] != 1.0:
            empty = "other" if row["alpha"] == 0.5 else "baseline"
            assert row[f"{empty}_damage"] is row[f"{empty}_trials"] is row["difference"] is row["matched"] is None
    worst = rows_of(compared_worst(store, [one, two]))
    assert [(row["alpha"], row["difference"] is None) for row in worst if row["k"] == 1] == [(0.5, True), (1.0, False), (2.0, True)]


def test_another_clustering_leaves_the_worst_alone(store: Store) -> None:
    found, other = discovered(), discovered()
    test = (other.membership.test + 1) % 6
    other = replace(other, membership=Membership(test, test, test))
    one, two = finished(store, victims(found)), finished(store, victims(other), other, ["subpopulations.clusters=7"])
    spec, rows, notes = compared(store, [one, two])
    assert (spec.name, rows) == ("compare", ())
    assert f"{two} against {one}: differ in subpopulations.clusters (100 → 7)" in notes
    assert any("their subpopulations hold other test rows; only the worst k" in note for note in notes)
    worst = rows_of(compared_worst(store, [one, two]))
    for row in worst:
        assert row["difference"] == pytest.approx(row["other_corrected"] - row["baseline_corrected"])
        assert row["low"] < row["difference"] < row["high"]


def test_only_what_changed_is_left_out_where_some_rows_moved(store: Store) -> None:
    """Two subpopulations swap some rows: folds change everywhere, but the others' rows are the same and still paired."""
    found, other = discovered(), discovered()
    test = other.membership.test.copy()
    ones, twos = np.flatnonzero(test == 1)[:3], np.flatnonzero(test == 2)[:3]
    test[ones], test[twos] = 2, 1
    other = replace(other, membership=Membership(test, test, test))
    one, two = finished(store, victims(found)), finished(store, victims(other, seed=5), other)
    made = compared(store, [one, two])
    assert {row["subpopulation"] for row in rows_of(made)} == {0, 3, 4, 5}
    for row in rows_of(made):
        assert row["difference"] == pytest.approx(slowly(store, one, two, row["alpha"], row["subpopulation"])[1], abs=1e-12)
    assert f"{two} against {one}: 4 subpopulations are attacked by both; 2 by {one} alone, 2 by {two} alone" in made[2]


def test_other_test_rows_are_not_paired(store: Store) -> None:
    found, other = discovered(), discovered()
    other = replace(other, y_test=(other.y_test + 1) % 3)
    one, two = finished(store, victims(found)), finished(store, victims(other), other, ["seed=4"])
    _, rows, notes = compared(store, [one, two])
    assert rows == ()
    assert any("the test rows are not the same" in note for note in notes)
    # features mean the same rows of people under any split: beside each other, but not paired
    one, two = finished(store, victims(found), overrides=FEATURES), finished(store, victims(other), other, [*FEATURES, "seed=4"])
    for row in rows_of(compared(store, [one, two])):
        assert row["matched"] == 0
        assert row["note"] == "not paired: other test rows of the same description"
        assert row["difference"] == row["other_damage"] - row["baseline_damage"]


def test_another_seed_on_the_same_rows_is_not_paired(store: Store) -> None:
    one, two = finished(store, victims(discovered())), finished(store, victims(discovered(), seed=4), overrides=["seed=4"])
    assert {row["note"] for row in rows_of(compared(store, [one, two]))} == {"not paired: another seed, so other trials"}


def test_below_three_matched_trials_nothing_is_called(store: Store) -> None:
    one, two = (finished(store, victims(discovered(), trials=2, seed=seed), overrides=[f"model.epochs={seed}"]) for seed in (1, 2))
    for row in rows_of(compared(store, [one, two])):
        assert row["low"] is not None
        assert row["differs"] is row["p"] is row["q"] is None


def test_what_is_refused(store: Store) -> None:
    one = finished(store, victims(discovered()))
    for made in (compared, compared_worst):
        with pytest.raises(RequestError, match="two runs or more"):
            made(store, [one, one])
        young = store.create_run(name="young", title="", scenario_toml=SCENARIO, scenario_hash="").id
        with pytest.raises(RequestError, match="yet"):
            made(store, [one, young])


def test_runs_follow_their_order_and_the_first_is_the_baseline(store: Store) -> None:
    ids = [finished(store, victims(discovered(), seed=seed)) for seed in range(3)]
    for made in (compared, compared_worst):
        spec, rows, _ = made(store, [ids[2], ids[0], ids[1]])
        assert list(dict.fromkeys(row[:2] for row in rows)) == [(ids[2], ids[0]), (ids[2], ids[1])]
        at = [[column.name for column in spec.columns].index(key) for key in spec.key]
        assert len({tuple(row[place] for place in at) for row in rows}) == len(rows)


def test_the_keys_that_differ_are_named_and_those_that_decide_nothing_are_not() -> None:
    one = parse(SCENARIO)
    other = parse(SCENARIO, overrides=["model.epochs=7", "title=other", "compute.threads=2", "adversary.rows=0.5"])
    assert differences(one, other) == {"model.epochs": (100, 7), "adversary.rows": (1.0, 0.5)}


# ---- handed on ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["compare", "compare_worst"])
def test_golden(store: Store, table: str) -> None:
    results = victims(discovered())
    moved = [replace(v, spec=replace(v.spec, alpha=2.0)) if v.spec.alpha == 0.5 else v for v in victims(discovered(), seed=5)]
    one, two = finished(store, results), finished(store, moved, overrides=["attack.alphas=[1,2]", "model.epochs=7"])
    store.update_run(two, deviations=["random weights"])
    out = io.BytesIO()
    export(store, [one, two], table, "csv", out)
    # provenance of the second holds what the first's does; the last digits are a library's, so ten are held to
    got = [part.replace(one, "ONE").replace(two, "TWO") for part in out.getvalue().decode().splitlines()]
    path = GOLDEN / f"{table}.csv"
    if not path.exists():
        path.write_text("\n".join(got) + "\n", encoding="utf-8")
    want = path.read_text(encoding="utf-8").splitlines()
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        if mine.startswith("# "):
            assert mine == theirs
            continue
        for a, b in zip(mine.split(","), theirs.split(","), strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-10)


@pytest.mark.usefixtures("no_plots")
def test_all_of_two_runs_has_them_and_the_report_a_chapter(store: Store, tmp_path: Path) -> None:
    ids = [finished(store, victims(discovered(), seed=seed), overrides=[f"model.epochs={seed}"]) for seed in (1, 5)]
    names = {path.name for path in export_all(store, ids, tmp_path)}
    assert {"compare.csv", "compare_worst.csv"} <= names
    said = (tmp_path / "report.md").read_text()
    chapter = said[said.index("## The runs compared") :]
    for part in (
        f"### {ids[1]}",
        "differ in model.epochs (1 → 5)",
        "6 subpopulations are in both",
        "| alpha | worst k | baseline, corrected |",
    ):
        assert part in chapter, part
    assert "None" not in chapter
    alone = tmp_path / "alone"
    assert not {path.name for path in export_all(store, ids[:1], alone)} & {"compare.csv", "compare_worst.csv"}
    assert "The runs compared" not in (alone / "report.md").read_text()


def test_the_command_and_the_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "runs.db"
    monkeypatch.setenv("SUBPOP_STORE", str(place))
    with Store.open(place) as opened:
        ids = [finished(opened, victims(discovered(), seed=seed), overrides=[f"model.epochs={seed}"]) for seed in (1, 5)]
        rows = rows_of(compared(opened, ids))
    assert cli.main(["compare", *ids]) == 0
    said = capsys.readouterr().out
    for part in (
        f"compare: baseline {ids[0]}, other {ids[1]}",
        "compare_worst: baseline",
        f"- {ids[1]} against {ids[0]}: differ in model.epochs",
    ):
        assert part in said, part
    assert cli.main(["compare", *ids, "--table", "compare_worst", "--format", "md"]) == 0
    assert "| runs | alpha | k |" not in (document := capsys.readouterr().out)
    assert f"- runs: {ids[1]} − {ids[0]}" in document
    assert cli.main(["compare", *ids, "--table", "compare_worst", "--format", "md", "--full"]) == 0
    assert capsys.readouterr().out.startswith("| baseline | other | alpha | k |")
    assert cli.main(["compare", *ids, "-o", str(tmp_path / "c.parquet")]) == 0
    assert pd.read_parquet(tmp_path / "c.parquet")["difference"].tolist() == [row["difference"] for row in rows]
    assert cli.main(["compare", ids[0]]) == 2
    assert cli.main(["compare", *ids, "--table", "worst"]) == 2
    assert cli.main(["compare", *ids, "--format", "xml"]) == 2
    runs = [notebook.Run(each, place) for each in ids]
    frame = notebook.compare(runs)
    assert frame["difference"].tolist() == [row["difference"] for row in rows]
    assert "model.epochs" in frame.attrs["provenance"]["notes"]
    assert set(notebook.compare(runs, "compare_worst")["k"]) == {1, 5, 10}
    with pytest.raises(RequestError, match="two runs or more"):
        notebook.compare(runs[:1])


# ---- the numbers of a run, anew from what it exports ----------------------------------------------------------------


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("trials", [1, 3])
def test_an_independent_script_gets_the_same_numbers(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], trials: int) -> None:
    run_id = finished(store, victims(discovered(), trials=trials), overrides=[f"evaluation.trials={trials}"])
    export_all(store, [run_id], tmp_path)
    kept = tmp_path / "alone"
    kept.mkdir()
    for name in ("predictions.parquet", "subpopulations.parquet", "scenario.toml", "damage.csv", "worst.csv", "collateral.csv"):
        shutil.copy(tmp_path / name, kept / name)
    assert independent.main(kept) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[1] for line in said] == [" largest difference 0"] * 3
    for line in said:
        assert line.split()[1] == line.split()[3]
    told = pd.read_parquet(kept / "predictions.parquet")
    own = told.index[(told["arm"] == "poisoned") & (told["target"] == 4) & (told["subpopulation"] == 4)][0]
    told.loc[own, "predicted_class"] = next(
        c for c in discovered().classes if (c == told["true_class"][own]) != (told["predicted_class"][own] == told["true_class"][own])
    )
    told.to_parquet(kept / "predictions.parquet")
    assert independent.main(kept) == 1


def test_the_independent_script_imports_nothing_of_the_engine() -> None:
    text = Path(independent.__file__).read_text()
    assert "import engine" not in text
    assert "from engine" not in text
