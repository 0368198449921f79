"""Runs with a defence: the way from its kind to what its victims were trained on, the store, and the table that is made of it."""

from __future__ import annotations

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from engine.errors import RequestError, StoreError
from engine.pipeline import order as pipeline
from engine.pipeline import train
from engine.rows import Judged, Suspected, VictimResult
from engine.runs import start as run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.seeds import generator, seed_for
from engine.store import Store
from engine.store.bundle import bundle, open_bundle
from engine.store.judged import pack, unpack
from engine.tables.build import build
from engine.tables.defenses import FIRST
from engine.tables.world import World
from engine.training.recipe import Job
from engine.training.reference.sequential import train_sequential
from engine.training.trial import Trial
from engine.victims.choose import victims_of
from engine.victims.dense import DenseLayers
from engine.victims.family import training_of

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = """
title = "defended"
[dataset]
kind = "digits"
[model]
kind = "mlp"
epochs = 6
batch = 64
lr = 0.01
[subpopulations]
kind = "cluster_match"
clusters = 6
[attack]
alphas = [0.5, 2]
target_label = "least_likely"
[evaluation]
trials = 2
min_test_rows = 5
confidence_folds = 1
[compute]
threads = 1
victims_per_stack = 5
"""
KINDS = ("oracle", "random", "loss_filter", "trim", "knn", "spectral")


def quiet(*_: object) -> None:
    pass


def scenario(kind: str, *more: str) -> Scenario:
    return parse(TEXT, overrides=[f"defense.kind={kind}", *more])


def carried_out(s: Scenario) -> tuple[pipeline.Discovery, list[VictimResult]]:
    discovery = pipeline.discover(s, Path("."), device="cpu", log=quiet, progress=quiet)
    stacks = pipeline.plan(s, discovery, "cpu", log=quiet)
    return discovery, [v for stack in stacks for v in pipeline.train_stack(pipeline.StackJob(s, discovery, stack, "cpu"))]


def by_spec(victims: Sequence[VictimResult]) -> dict[tuple[Any, ...], VictimResult]:
    return {(v.spec.arm, v.spec.trial, v.spec.subpopulation, v.spec.alpha): v for v in victims}


@cache
def without() -> dict[tuple[Any, ...], VictimResult]:
    """The victims of the same scenario without a defence."""
    return by_spec(carried_out(parse(TEXT))[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_defended_victim_has_the_rows_of_the_undefended_one_and_a_control_that_lost_as_many(kind: str) -> None:
    s = scenario(kind)
    discovery, victims = carried_out(s)
    attacked = [each.index for each in discovery.subpopulations if each.attacked]
    found = by_spec(victims)
    assert sorted(v.spec.index for v in victims) == list(range(len(victims)))
    assert len(victims) == len(found) == 2 * 3 * (1 + 2 * len(attacked))
    if kind == "random":  # arms that no defence judges leave no gap in the numbers either
        with_control = parse(TEXT, overrides=["defense.kind=random", 'evaluation.controls=["true_label"]'])
        planned = [spec.index for stack in pipeline.plan(with_control, discovery, "cpu", log=quiet) for spec in stack.victims]
        assert sorted(planned) == list(range(2 * (3 + 8 * len(attacked))))
    for trial in range(2):
        for target, alpha in [(None, None), *((index, alpha) for index in attacked for alpha in (0.5, 2.0))]:
            undefended = found["clean" if target is None else "poisoned", trial, target, alpha]
            defended, control = (found[arm, trial, target, alpha] for arm in ("defended", "random_removal"))
            assert undefended.judged is None
            assert defended.judged is not None
            assert control.judged is not None
            assert len(defended.judged.kept_R) == len(control.judged.kept_R) == len(discovery.dataset.train) + undefended.poison_points
            assert defended.poison_points == control.poison_points == undefended.poison_points
            assert (~control.judged.kept_R).sum() == (~defended.judged.kept_R).sum()
            assert (control.judged.given_R >= 0).sum() == (defended.judged.given_R >= 0).sum()
            before = without()["clean" if target is None else "poisoned", trial, target, alpha]
            assert (undefended.predictions != before.predictions).mean() < 0.01  # other company


def test_the_oracle_undoes_every_attack_through_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    s = scenario("oracle")
    jobs: list[Job] = []
    fit = DenseLayers.fit

    def recorded(self: DenseLayers[Any], data: Any, of_stack: Sequence[Job], trial: Trial) -> Any:
        jobs.extend(of_stack)
        return fit(self, data, of_stack, trial)

    monkeypatch.setattr(DenseLayers, "fit", recorded)
    discovery, victims = carried_out(s)
    found, y = by_spec(victims), discovery.dataset.test.y
    hurt = 0
    for (arm, trial, target, alpha), victim in found.items():
        if arm != "defended" or target is None:
            continue
        clean, rows = found["clean", trial, None, None].predictions, discovery.membership.test == target
        assert ((victim.predictions == y)[rows].sum()) == ((clean == y)[rows].sum()), (target, alpha)
        assert victim.train_loss == found["clean", trial, None, None].train_loss
        hurt += int((found["poisoned", trial, target, alpha].predictions == y)[rows].sum() < (clean == y)[rows].sum())
    assert hurt > 5  # there was something to undo
    # and the trainer was given the poison each time, at weight 0
    judged = [job for job in jobs if job.judged is not None and not job.judged.kept_M.any() and len(job.rows)]
    assert len(judged) >= len([v for v in victims if v.spec.arm == "defended" and v.spec.subpopulation is not None])


STEEP = ("model.lr=0.1", "model.epochs=150", "model.stop=plateau", "model.tol=0.01", "model.patience=3", "model.hidden=[12]")


@pytest.mark.parametrize("size", [3, 40])
def test_the_oracles_victims_are_the_clean_one_to_the_bit_where_training_is_chaotic_and_stops_on_a_plateau(size: int) -> None:
    discovery, victims = carried_out(scenario("oracle", *STEEP, f"compute.victims_per_stack={size}", "evaluation.trials=1"))
    [clean] = [v for v in victims if v.spec.arm == "clean"]
    defended = [v for v in victims if v.spec.arm == "defended"]
    assert len(defended) == 1 + 2 * sum(each.attacked for each in discovery.subpopulations)
    for victim in defended:
        assert victim.train_loss == clean.train_loss
        assert victim.epochs == clean.epochs
        assert (victim.predictions == clean.predictions).all()
    epochs = {v.epochs for v in victims if v.spec.arm in ("poisoned", "random_removal")}
    assert len(epochs) > 1  # the rule was what stopped them


@pytest.mark.parametrize(("kind", "rounds"), [("loss_filter", 1), ("trim", 3)])
def test_a_refit_is_that_of_the_slow_trainer_without_the_rows_of_largest_loss(kind: str, rounds: int) -> None:
    """The whole way again for one victim, row by row, by the reference trainer: nothing of pipeline/defend.py."""
    more = ["compute.precision=float64", "defense.budget=0.1", *(["defense.rounds=3"] if kind == "trim" else [])]
    s = scenario(kind, *more)
    discovery, victims = carried_out(s)
    family = victims_of(s.model, discovery.dataset, s.seed)
    data = training_of(discovery.dataset).to(torch.device("cpu"), torch.float64)
    for victim in [v for v in victims if v.spec.arm == "defended" and v.spec.trial == 1][:3]:
        poison = train.poison_of(s, discovery, replace(victim.spec, arm="poisoned"))
        x = np.concatenate([discovery.dataset.train.x, discovery.dataset.aux.x[poison.rows]]).astype(np.float64)
        y = np.concatenate([discovery.dataset.train.y, poison.labels])
        job = Job(poison.rows, poison.labels)
        trial = Trial(s.seed, 1)
        init = family.model.init(torch.Generator().manual_seed(seed_for(s.seed, "initial weights", 1)), torch.float64)
        fitted = train_sequential(family.model, init, data, job, family.recipe, trial)
        for _ in range(rounds):
            logits = family.model.logits(fitted.params, torch.from_numpy(x))
            losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="none").numpy()
            removed = sorted(range(len(y)), key=lambda row: (-losses[row], row))[: round(0.1 * len(discovery.dataset.train))]
            kept = np.ones(len(y), bool)
            kept[removed] = False
            judged = train.Job(poison.rows, poison.labels, None, _judged(kept, discovery.dataset.train.y))
            fitted = train_sequential(family.model, init, data, judged, family.recipe, trial)
        assert victim.judged is not None
        assert (victim.judged.kept_R == kept).all()
        predicted = family.model.logits(fitted.params, torch.from_numpy(discovery.dataset.test.x.astype(np.float64))).argmax(-1).numpy()
        assert (victim.predictions == predicted).all()


def _judged(kept: np.ndarray, y: np.ndarray) -> Any:
    from engine.training import recipe

    return recipe.Judged(kept[: len(y)], kept[len(y) :], y)


def test_random_removal_is_drawn_for_each_victim_and_takes_its_share_of_everyone() -> None:
    discovery, victims = carried_out(scenario("random", "defense.share=0.3"))
    judged = [v.judged for v in victims if v.judged is not None]
    n = len(discovery.dataset.train)
    assert all((~j.kept_R).sum() == round(0.3 * len(j.kept_R)) for j in judged)
    assert len({j.kept_R[:n].tobytes() for j in judged}) == len(judged)
    points = np.concatenate([j.kept_R[n:] for j in judged])
    assert 1 - points.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(points)))


# ---- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_that_of_a_plain_loop() -> None:
    s = scenario("knn", "evaluation.trials=3")
    discovery, victims = carried_out(s)
    stored: Any = type("Stored", (), {})()
    stored.subpopulations, stored.membership, stored.y_test = discovery.subpopulations, discovery.membership, discovery.dataset.test.y
    stored.classes, stored.arrays = discovery.dataset.classes, discovery.arrays
    table = build(World.start(s, stored, victims), ["defenses"])["defenses"]
    found, y, n = by_spec(victims), discovery.dataset.test.y, len(discovery.dataset.train)
    member, test = discovery.membership.train, discovery.membership.test
    checked = 0
    for row in table.records():
        if row["group"] != "one":
            continue
        target, alpha = row["subpopulation"], row["alpha"]
        cells: dict[str, list[float]] = defaultdict(list)
        taken_poison = taken_all = 0
        for trial in range(3):
            right = {
                arm: found[arm, trial, None if arm == "clean" else target, None if arm == "clean" else alpha].predictions == y
                for arm in ("clean", "poisoned", "defended", "random_removal")
            }
            rows = test == target
            cells["damage_without"].append(right["clean"][rows].mean() - right["poisoned"][rows].mean())
            cells["damage_defended"].append(right["clean"][rows].mean() - right["defended"][rows].mean())
            cells["damage_random"].append(right["clean"][rows].mean() - right["random_removal"][rows].mean())
            for name, arm in (("cost", "defended"), ("random_cost", "random_removal")):
                left = found[arm, trial, None, None].predictions == y
                cells[name].append(right["clean"][rows].mean() - left[rows].mean())
                cells[f"{name}_elsewhere"].append(right["clean"][~rows].mean() - left[~rows].mean())
            judged = found["defended", trial, target, alpha].judged
            assert judged is not None
            taken = ~judged.kept_R | (judged.given_R >= 0)
            taken_poison, taken_all = taken_poison + int(taken[n:].sum()), taken_all + int(taken.sum())
            cells["poison_recall"].append(taken[n:].mean())
            cells["removed_own"].append(taken[:n][member == target].mean())
            cells["removed_others"].append(taken[:n][member != target].mean())
            cells["removed_rows"].append(taken.sum())
        for name, values in cells.items():
            assert row[name] == pytest.approx(np.mean(values), abs=1e-12), name
        assert row["precision"] == pytest.approx(taken_poison / taken_all)
        assert row["difference"] == pytest.approx(row["damage_defended"] - row["damage_without"], abs=1e-12)
        assert row["beyond_random"] == pytest.approx(row["damage_defended"] - row["damage_random"], abs=1e-12)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        checked += 1
    assert checked == 2 * sum(each.attacked for each in discovery.subpopulations)
    means = [row for row in table.records() if row["group"] == "all"]
    assert [row["alpha"] for row in means] == [0.5, 2.0]
    assert len({row["group"] for row in table.records()}) == 3 + 6 + len(FIRST)
    for row in table.records():  # the curve, from scores counted anew: places of equal scores are shared
        if not str(row["group"]).startswith("most suspect"):
            continue
        share, gone = float(str(row["group"]).split()[2]) / 100, []
        for target in (each.index for each in discovery.subpopulations if each.attacked):
            caught = points = own = 0
            for trial in range(3):
                spec = found["poisoned", trial, target, row["alpha"]].spec
                poison = train.poison_of(s, discovery, spec)
                x = np.concatenate([discovery.dataset.train.x, discovery.dataset.aux.x[poison.rows]]).astype(np.float64)
                label = np.concatenate([discovery.dataset.train.y, poison.labels])
                scaled = (x - x[:n].mean(0)) / np.where(x[:n].std(0) > 0, x[:n].std(0), 1)
                near = NearestNeighbors(n_neighbors=11).fit(scaled).kneighbors(scaled, return_distance=False)
                own_rows = [[other for other in some if other != at][:10] for at, some in enumerate(near)]
                against = np.array([(label[some] != label[at]).mean() for at, some in enumerate(own_rows)])
                # as many of the equally suspect as there is room for, each as likely as another
                before, alike = np.array([[(against > a).sum(), (against == a).sum()] for a in against]).T
                first = np.clip((round(share * len(label)) - before) / alike, 0, 1)
                caught, points, own = caught + first[n:].sum(), points + len(poison.labels), own + first[:n][member == target].sum()
            gone.append((caught / points, own / (3 * (member == target).sum())))
        assert row["poison_recall"] == pytest.approx(np.mean([g[0] for g in gone]), abs=0.06)  # by how the equally suspect were drawn
        assert row["removed_own"] == pytest.approx(np.mean([g[1] for g in gone]), abs=0.06)
        for column in ("poison_recall", "precision", "removed_own", "removed_others"):
            assert 0 <= row[column] <= 1


# ---- the store ------------------------------------------------------------------------------------------------------


def test_what_became_of_rows_is_stored_travels_in_a_bundle_and_is_checked_there(tmp_path: Path) -> None:
    s = scenario("knn")
    with Store.open(tmp_path / "runs.db") as store, Store.open(tmp_path / "other.db") as other:
        run_id = run.start(store, s, spawn=False).id
        assert work(store, run_id) == "done"
        assert "defenses" in store.tables(run_id)
        before = store.victims(run_id)
        assert any(v.judged is not None and (v.judged.given_R >= 0).any() for v in before)
        bundle(store, run_id, tmp_path / "run.subpop")
        assert open_bundle(other, tmp_path / "run.subpop") == run_id
        for mine, its in zip(before, other.victims(run_id), strict=True):
            assert (mine.judged is None) == (its.judged is None)
            if mine.judged is not None and its.judged is not None:
                assert (mine.judged.kept_R == its.judged.kept_R).all()
                assert (mine.judged.given_R == its.judged.given_R).all()
                assert mine.judged.suspected is not None or mine.spec.arm == "random_removal"
    wrong = {
        "of a clean victim": ("clean", pack(Judged(np.ones(9, bool), np.full(9, -1, np.int16)))),
        "too few rows": ("defended", pack(Judged(np.ones(9, bool), np.full(9, -1, np.int16)))),
        "no such class": ("defended", None),
        "no bytes of ours": ("defended", b"x" * 50),
    }
    for name, (arm, value) in wrong.items():
        path = tmp_path / f"{name}.subpop"
        path.write_bytes((tmp_path / "run.subpop").read_bytes())
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            number, data = db.execute("SELECT number, judged FROM victims WHERE arm = ? LIMIT 1", (arm,)).fetchone()
            if name == "no such class":
                judged = unpack(data, where="here")
                value = pack(Judged(judged.kept_R, np.full(len(judged.kept_R), 30, np.int16)))
            db.execute("UPDATE victims SET judged = ?, digest = NULL WHERE number = ?", (value, number))
            db.execute("UPDATE runs SET digest = NULL")
        with Store.open(tmp_path / "third.db") as third, pytest.raises(RequestError, match="damaged or forged"):
            open_bundle(third, path)


def test_what_is_packed_comes_back_and_nothing_else() -> None:
    draws = generator(0, "test")
    for rows in (0, 1, 7, 8, 9, 1000):
        judged = Judged(draws.random(rows) < 0.5, draws.integers(-1, 10, rows).astype(np.int16))
        back = unpack(pack(judged), where="here", rows=rows)
        assert (back.kept_R == judged.kept_R).all()
        assert (back.given_R == judged.given_R).all()
        with pytest.raises(StoreError, match="damaged"):
            unpack(pack(judged), where="here", rows=rows + 1)
    plain = (np.ones(100, bool), np.full(100, -1, np.int16))
    place = np.arange(9, dtype=np.int32)
    ordered = unpack(pack(Judged(*plain, Suspected(place[:2], place[2:]))), where="here").suspected
    assert ordered is not None
    assert (ordered.points_P.tolist(), ordered.own_O.tolist()) == (place[:2].tolist(), place[2:].tolist())
    data, longer = pack(Judged(*plain)), pack(Judged(*plain, Suspected(place[:2], place[2:])))
    outside, twice = (pack(Judged(*plain, Suspected(np.array([value], np.int32), place))) for value in (100, 3))
    beyond = zlib.compress(zlib.decompress(longer) + b"\0")
    for broken in (data[:-3], data[3:], b"", data[:10], longer[:-3], outside, twice, beyond):
        with pytest.raises(StoreError, match="damaged"):
            unpack(broken, where="here")


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["defense.kind=loss_filter", "defense.budget=2"], 'defense.budget: is 2; expected a number above 0 and below 1 or "oracle"'),
        (["defense.kind=loss_filter", "defense.budget=0"], "defense.budget"),
        (["defense.kind=spectral", "model.kind=logistic"], "no hidden layer"),
        (["defense.kind=knn", "defense.layer=hidden", "model.kind=random_forest"], "no hidden layer"),
        (["defense.kind=trim", "evaluation.find=0.2"], "searches for an alpha"),
        (["defense.kind=oracle", "defense.budget=0.1"], "budget"),
    ],
)
def test_refused_in_words(overrides: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from engine.cli import main as cli

    (tmp_path / "mine.toml").write_text(TEXT.replace("epochs = 6\nbatch = 64\nlr = 0.01\n", ""), encoding="utf-8")
    assert cli.main(["show", str(tmp_path / "mine.toml"), *(word for each in overrides for word in ("--set", each))]) == 2
    assert words in capsys.readouterr().err


def test_more_neighbours_than_rows_is_refused_before_anything_is_trained() -> None:
    s = scenario("knn", "defense.neighbors=5000")
    with pytest.raises(RequestError, match="5,000 neighbours") as refused:
        pipeline.discover(s, Path("."), device="cpu", log=quiet, progress=quiet)
    assert refused.value.exit_status == 2
