"""The table that sets an optimised attack beside label flipping: paired, whole or not yet, and absent where nothing is compared."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from engine.arrays import DiscoveryArrays, Influence, MovedPoints
from engine.errors import RequestError
from engine.evaluation.optimised import Optimised
from engine.evaluation.paired import mean_difference, paired
from engine.export.export import export
from engine.rows import StackPlan, Table, VictimResult, VictimSpec
from engine.store import MEMORY, Store
from engine.tables import columns
from engine.tables.build import build, materialised
from engine.tables.columns import MATERIALISED
from engine.tables.figures import Figures
from engine.tables.world import Facts, World
from tests.worlds import evaluation as evaluation_world
from tests.worlds.evaluation import CLASSES, ROWS, discovered

FACTS = replace(evaluation_world.FACTS, attack="gradient", controls=("off_target", "true_label", "label_flip"), reproduces=None)
GROUPS = ["all", "enough test rows"] + [f"worst {k}, {how}" for how in ("as published", "corrected") for k in (1, 5, 10)] + ["one"] * 6


MOVED = DiscoveryArrays(
    prepared=MovedPoints(
        rows=np.arange(6),
        subpopulation=np.array([0, 0, 1, 1, 1, 3], np.int32),
        before=np.array([-0.2, 0.0, 0.1, 0.1, 0.1, 0.5]),
        after=np.array([0.2, -0.1, 0.2, 0.3, 0.4, 1.0]),
        share=np.array([0.5, 0.7, 1, 1, 1, 0.25], np.float32),
    )
)


def found_with(arrays: DiscoveryArrays) -> evaluation_world.Discovered:
    return replace(discovered(), arrays=arrays)


def flipped(found: evaluation_world.Discovered, results: list[VictimResult], seed: int = 8) -> list[VictimResult]:
    """A label-flip victim beside each poisoned one: it gets back half of what that one lost."""
    random, extra = np.random.default_rng(seed), []
    clean = {r.spec.trial: r for r in results if r.spec.arm == "clean"}
    for r in results:
        if r.spec.arm == "poisoned":
            back = random.random(ROWS) < 0.5
            predictions = np.where(back, clean[r.spec.trial].predictions, r.predictions)
            spec = VictimSpec(len(results) + len(extra), r.spec.trial, "label_flip", r.spec.subpopulation, r.spec.alpha)
            extra.append(replace(r, spec=spec, predictions=predictions.astype(np.uint8)))
    return results + extra


@pytest.fixture(scope="module")
def results() -> list[VictimResult]:
    return flipped(discovered(), evaluation_world.victims(discovered(), trials=4))


@pytest.fixture(scope="module")
def world(results: list[VictimResult]) -> World:
    return World.start(FACTS, found_with(MOVED), results)


def rows_of(table: Table) -> list[dict[str, object]]:
    return [{column.name: cell for column, cell in zip(table.spec.columns, row, strict=True)} for row in table.rows]


def optimization(world: World) -> list[dict[str, object]]:
    return rows_of(build(world, ["optimization"])["optimization"])


def test_it_is_there_only_where_an_optimised_attack_has_its_control(world: World) -> None:
    assert materialised(FACTS) == (*MATERIALISED, "optimization")
    assert list(build(world)) == [*MATERIALISED, "optimization"]
    for facts in (replace(FACTS, attack="label_flip"), replace(FACTS, controls=("off_target",)), evaluation_world.FACTS):
        assert materialised(facts) == MATERIALISED
    assert Facts.__dataclass_fields__["attack"].default == "label_flip"


def test_rows_are_in_order_and_their_keys_are_their_own(world: World) -> None:
    rows = optimization(world)
    assert [row["group"] for row in rows] == GROUPS * 2
    keys = [(row["alpha"], row["group"], row["subpopulation"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(cell == cell for row in rows for cell in row.values())
    assert {row["published"] for row in rows} == {None}


def test_damages_and_difference_are_paired_by_hand(world: World, results: list[VictimResult]) -> None:
    found = discovered()
    rows = [row for row in optimization(world) if row["group"] == "one"]

    def right(arm: str, trial: int, s: int, alpha: float | None) -> float:
        [victim] = [
            r
            for r in results
            if r.spec.arm == arm and r.spec.trial == trial and (arm == "clean" or (r.spec.subpopulation, r.spec.alpha) == (s, alpha))
        ]
        own = found.membership.test == s
        return float((victim.predictions[own] == found.y_test[own]).mean())

    for row in rows:
        s, alpha = row["subpopulation"], row["alpha"]
        clean, flip, best = (np.array([right(arm, t, s, alpha) for t in range(4)]) for arm in ("clean", "label_flip", "poisoned"))
        assert row["label_flip"] == pytest.approx((clean - flip).mean())
        assert row["optimized"] == pytest.approx((clean - best).mean())
        assert row["difference"] == pytest.approx((flip - best).mean())
        assert row["trials"] == 4
        assert row["low"] < row["difference"] < row["high"]
    broken = next(row for row in rows if (row["alpha"], row["subpopulation"]) == (1.0, 3))
    assert broken["difference"] > 0.2
    assert broken["low"] > 0


def test_the_mean_over_subpopulations_has_an_interval_over_trials(world: World) -> None:
    rows = {(row["alpha"], row["group"]): row for row in optimization(world)}
    one = [row for row in optimization(world) if row["group"] == "one" and row["alpha"] == 1.0]
    everyone, enough = rows[1.0, "all"], rows[1.0, "enough test rows"]
    assert everyone["subpopulations"] == 6
    assert everyone["difference"] == pytest.approx(np.mean([row["difference"] for row in one]))
    assert enough["subpopulations"] == sum(row["test_rows"] >= FACTS.min_test_rows for row in one) == 5
    assert everyone["low"] < everyone["difference"] < everyone["high"]
    pair = paired(Figures(world).label_flip, Figures(world).layout)
    lost_TS = (pair.control.right_ATS - pair.attack.right_ATS)[1][:, :6] / pair.attack.n_S[:6]
    plain = student.ppf(0.975, 3) * lost_TS.mean(1).std(ddof=1) / 2
    reach = (everyone["high"] - everyone["low"]) / 2
    assert reach > 0.5 * plain  # the test rows' sampling comes on top, and with it degrees of freedom
    assert everyone["note"] is None


def test_the_worst_are_each_attacks_own(world: World) -> None:
    facts = replace(FACTS, attack="label_flip")
    rows = {(row["alpha"], row["group"]): row for row in optimization(world)}
    worst = {(row["alpha"], row["k"]): row for row in rows_of(build(replace(world, facts=facts), ["worst"])["worst"])}
    for alpha in FACTS.alphas:
        for k in (1, 5, 10):
            published, corrected = rows[alpha, f"worst {k}, as published"], rows[alpha, f"worst {k}, corrected"]
            assert published["optimized"] == worst[alpha, k]["as_published"]
            assert corrected["optimized"] == worst[alpha, k]["corrected"]
            assert corrected["difference"] == corrected["optimized"] - corrected["label_flip"]
            assert (published["low"], corrected["low"]) == (None, None)
            assert "own ranking" in published["note"]
    assert rows[1.0, "worst 1, as published"]["label_flip"] < rows[1.0, "worst 1, as published"]["optimized"]


def test_what_optimising_gained_is_told(world: World) -> None:
    rows = {(row["alpha"], row["group"], row["subpopulation"]): row for row in optimization(world)}
    zero, one, none = (rows[0.5, "one", s] for s in (0, 1, 2))
    assert (zero["objective_before"], zero["objective_after"]) == pytest.approx((-0.1, 0.05))
    assert (zero["gain"], zero["relative_gain"]) == pytest.approx((0.15, 1.5))
    assert (zero["improved"], zero["moved"]) == pytest.approx((0.5, 0.6))
    assert (one["gain"], one["relative_gain"], one["improved"], one["moved"]) == pytest.approx((0.2, 2.0, 1.0, 1.0))
    assert (none["objective_before"], none["gain"], none["improved"]) == (None, None, None)
    everyone = rows[0.5, "all", None]
    assert everyone["objective_before"] == pytest.approx((-0.1 + 0.1 + 0.5) / 3)
    assert everyone["improved"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert rows[1.0, "one", 3]["poison_points"] == 42.0


def test_by_influence_the_gain_depends_on_how_many_are_chosen(results: list[VictimResult]) -> None:
    found = found_with(DiscoveryArrays())
    member = found.membership.aux
    score = np.where(member == 3, np.arange(ROWS) / 100.0, np.nan)
    scored = DiscoveryArrays(prepared=Influence(score, np.zeros(3)))
    world = World.start(replace(FACTS, attack="influence"), replace(found, arrays=scored), results)
    rows = {(row["alpha"], row["subpopulation"]): row for row in optimization(world) if row["group"] == "one"}
    own = np.sort(score[member == 3])[::-1]
    row = rows[0.5, 3]
    points = int(row["poison_points"])
    assert row["objective_before"] == pytest.approx(own.mean())
    assert row["objective_after"] == pytest.approx(own[np.arange(points) % len(own)].mean())
    assert (row["improved"], row["moved"]) == (None, None)
    assert Optimised.of(scored, member).gain(2, 5) is None


@pytest.mark.parametrize("share", [0, 1, 2, 30, 60, 101])
def test_a_run_in_progress_has_the_table_at_every_moment(results: list[VictimResult], share: int) -> None:
    mixed = sorted(results, key=lambda r: (r.spec.trial, r.spec.index % 7, r.spec.index))
    mixed = [r for r in mixed if r.spec.arm == "clean"][:1] + [r for r in mixed if r.spec.arm != "clean" or r.spec.trial]
    world = World.start(FACTS, found_with(MOVED), mixed[:share])
    rows = optimization(world)
    assert [row["group"] for row in rows] == GROUPS * 2
    for row in rows:
        assert (row["difference"] is None) == (row["optimized"] is None) == (row["label_flip"] is None)
        assert all(cell == cell for cell in row.values())


def test_one_trial_has_points_and_says_why_there_is_no_interval(results: list[VictimResult]) -> None:
    rows = optimization(World.start(FACTS, found_with(MOVED), [r for r in results if r.spec.trial == 0]))
    everyone = rows[0]
    assert everyone["difference"] is not None
    assert (everyone["low"], everyone["trials"]) == (None, 1)
    assert everyone["note"] == "an interval needs two complete trials"
    assert next(row for row in rows if row["group"] == "worst 5, corrected")["note"] == "corrected needs two complete trials"


def test_the_control_changes_no_other_table(results: list[VictimResult]) -> None:
    """Above all not the off-target control: what label flipping did elsewhere is not what the attack did."""
    without = [r for r in results if r.spec.arm != "label_flip"]
    names = ["damage", "worst", "collateral", "confidence", "subpopulations"]
    assert build(World.start(FACTS, found_with(MOVED), results), names) == build(World.start(FACTS, found_with(MOVED), without), names)


def test_no_difference_is_called_where_both_attacks_are_one(results: list[VictimResult]) -> None:
    same = [r for r in results if r.spec.arm != "label_flip"]
    twins = [replace(r, spec=replace(r.spec, arm="label_flip", index=1000 + r.spec.index)) for r in same if r.spec.arm == "poisoned"]
    for row in optimization(World.start(FACTS, found_with(MOVED), same + twins)):
        assert row["difference"] == 0
        if row["group"] in ("one", "all"):
            assert row["low"] < 0 < row["high"]


def test_mean_difference_of_nobody() -> None:
    world = World.start(FACTS, found_with(MOVED))
    pair = paired(Figures(world).label_flip, Figures(world).layout)
    assert mean_difference(pair, 0, []).low is None
    assert mean_difference(pair, 0, [0]).trials == 0


def test_trials_that_lose_and_win_the_same_rows_leave_an_interval(results: list[VictimResult]) -> None:
    """Means of trials are equal and what rows lose cancels: the variance of both is nothing."""
    world = World.start(FACTS, found_with(MOVED), results)
    pair = paired(Figures(world).label_flip, Figures(world).layout)
    diff_ATR = np.zeros_like(pair.attack.diff_ATR)
    diff_ATR[0, :2, :2] = [[1, -1], [-1, 1]]  # the first rows are subpopulation 0's
    same = replace(pair.attack, diff_ATR=diff_ATR)
    pair = replace(pair, attack=same, control=replace(same, diff_ATR=np.zeros_like(diff_ATR)))
    found = mean_difference(pair, 0, [0])
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_a_run_without_it_says_what_would_have_it(results: list[VictimResult]) -> None:
    with Store.open(MEMORY) as store:
        for facts, has in ((FACTS, True), (replace(FACTS, controls=()), False)):
            run_id = store.create_run(name="tiny", title="Tiny", scenario_toml="", scenario_hash="ab12").id
            with pytest.raises(RequestError, match="it has no `optimization` yet"):
                export(store, run_id, "optimization", "csv", io.BytesIO())
            found = discovered()
            store.save_discovery(
                run_id,
                subpopulations=found.subpopulations,
                membership=found.membership,
                y_test=found.y_test,
                classes=CLASSES,
                provenance={},
                arrays=MOVED,
            )
            store.save_plan(run_id, [StackPlan(0, 0, tuple(r.spec for r in results))])
            stored = store.discovery(run_id)
            assert stored is not None
            store.commit_stack(run_id, 0, results, 1.0, build(World.start(facts, stored, results)))
            if has:
                for format in ("csv", "json", "md", "tex"):
                    assert export(store, run_id, "optimization", format, io.BytesIO()) == 2 * len(GROUPS)
                assert store.table(run_id, "optimization") == build(World.start(facts, stored, results))["optimization"]
            else:
                with pytest.raises(RequestError, match=r'with "label_flip" among evaluation\.controls'):
                    export(store, run_id, "optimization", "csv", io.BytesIO())


def test_its_help_says_what_it_is() -> None:
    spec = columns.SPECS["optimization"]
    assert all(column.help for column in spec.columns if column.name not in ("trials", "test_rows"))
