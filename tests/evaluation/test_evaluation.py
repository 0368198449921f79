"""Counts and damages against a slow reference that anyone can follow; what intervals and calls must do at the edges."""

from __future__ import annotations

from fractions import Fraction
from math import fsum, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.errors import BadData
from engine.evaluation import interval, spread, vulnerable, worst
from engine.evaluation.confidence import spearman
from engine.evaluation.counts import Counts
from engine.evaluation.damage import damages, off_target
from engine.evaluation.folds import FOLDS, assign_folds
from engine.evaluation.layout import Layout, lay_out
from engine.rows import VictimResult, VictimSpec
from tests.studies.simulate import calm, draw, null
from tests.worlds.evaluation import CLASSES, FACTS, ROWS, SUBPOPULATIONS, discovered, victims


def counted(found, results) -> Counts:
    counts = Counts.start(found.membership.test, found.y_test, classes=len(CLASSES), subpopulations=SUBPOPULATIONS, seed=FACTS.seed)
    counts.add(results)
    return counts


def labels(found) -> list[int | None]:
    return [None if s.target_label is None else CLASSES.index(s.target_label) for s in found.subpopulations]


@pytest.fixture(scope="module")
def found():
    return discovered()


@pytest.fixture(scope="module")
def results(found):
    return victims(found)


@pytest.fixture(scope="module")
def layout(found, results) -> Layout:
    return lay_out(counted(found, results), FACTS.alphas, labels(found))


class Reference:
    """Every number by loops over rows, trials and victims; fractions until the last step."""

    def __init__(self, found, results) -> None:
        self.y, self.member = found.y_test, found.membership.test
        self.fold = assign_folds(FACTS.seed, self.member)
        self.by = {(r.spec.trial, r.spec.arm, r.spec.subpopulation, r.spec.alpha): r.predictions for r in results}
        self.trials = sorted({r.spec.trial for r in results})

    def accuracy(self, predictions, rows) -> Fraction:
        return Fraction(sum(int(predictions[i] == self.y[i]) for i in rows), len(rows))

    def rows(self, s, fold=None, outside=False) -> list[int]:
        return [i for i in range(ROWS) if (self.member[i] == s) != outside and (fold is None or self.fold[i] == fold)]

    def lost(self, s, alpha, trial, rows, arm="poisoned", aimed=None) -> Fraction:
        clean, other = self.by[trial, "clean", None, None], self.by[trial, arm, s if aimed is None else aimed, alpha]
        return self.accuracy(clean, rows) - self.accuracy(other, rows)

    def damage(self, s, alpha, **how) -> float:
        rows = self.rows(s, outside=how.pop("outside", False))
        return float(sum(self.lost(s, alpha, t, rows, **how) for t in self.trials) / len(self.trials))

    def off_target(self, s, alpha) -> float:
        rows, per_trial = self.rows(s), []
        for t in self.trials:
            others = [self.lost(s, alpha, t, rows, aimed=other) for other in range(6) if other != s]
            per_trial.append(float(sum(others) / len(others)))
        return fsum(per_trial) / len(per_trial)

    def worst_as_published(self, members, alpha, k) -> tuple[list[int], float]:
        picks = sorted(members, key=lambda s: (-self.damage(s, alpha), s))[:k]
        return picks, fsum(self.damage(s, alpha) for s in picks) / len(picks)

    def worst_corrected(self, members, alpha, k) -> float:
        cells = []
        for trial in self.trials:
            for fold in range(FOLDS):
                past = {}
                for s in members:
                    rows = [i for i in self.rows(s) if self.fold[i] != fold]
                    past[s] = sum(self.lost(s, alpha, t, rows) for t in self.trials if t != trial) / (len(self.trials) - 1)
                picks = sorted(members, key=lambda s: (-past[s], s))[:k]
                cells.append(fsum(float(self.lost(s, alpha, trial, self.rows(s, fold))) for s in picks) / len(picks))
        return fsum(cells) / len(cells)


@pytest.fixture(scope="module")
def reference(found, results) -> Reference:
    return Reference(found, results)


def test_damage_collateral_and_controls_equal_the_slow_reference_to_the_last_digit(found, results, layout, reference) -> None:
    got, off = damages(layout), off_target(layout)
    control = damages(lay_out(counted(found, results), FACTS.alphas, labels(found), arm="true_label"))
    for a, alpha in enumerate(FACTS.alphas):
        for s in range(6):
            assert got.damage_AS[a, s] == reference.damage(s, alpha)
            assert got.collateral_AS[a, s] == reference.damage(s, alpha, outside=True)
            assert off[a, s] == reference.off_target(s, alpha)
            assert control.damage_AS[a, s] == reference.damage(s, alpha, arm="true_label")
        assert isnan(got.damage_AS[a, 6])


def test_target_label_shares_equal_a_count(found, results, layout, reference) -> None:
    got = damages(layout)
    for a, alpha in enumerate(FACTS.alphas):
        for s, label in enumerate(labels(found)[:6]):
            if label is None:
                continue
            rows = reference.rows(s)
            given = [reference.by[t, "poisoned", s, alpha][i] == label for t in reference.trials for i in rows]
            clean = [reference.by[t, "clean", None, None][i] == label for t in reference.trials for i in rows]
            assert got.label_AS[a, s] == sum(given) / len(given)
            assert got.clean_label_AS[a, s] == sum(clean) / len(clean)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_worst_k_both_ways_equals_the_slow_reference_to_the_last_digit(found, layout, reference, k: int) -> None:
    published = [s.index for s in found.subpopulations if s.attacked and 10 <= s.aux_rows <= 60]
    enough = [s.index for s in found.subpopulations if s.attacked and s.test_rows >= FACTS.min_test_rows]
    assert published != enough  # the two ways pick from different ones
    masks = [np.isin(np.arange(SUBPOPULATIONS), members) for members in (published, enough)]
    got = damages(layout)
    for a, alpha in enumerate(FACTS.alphas):
        (row,) = worst.worst_of(layout, a, got.damage_AS[a], masks[0], masks[1], [k])
        picks, value = reference.worst_as_published(published, alpha, k)
        assert (list(row.published_picks), row.published) == (picks, value)
        assert row.corrected == reference.worst_corrected(enough, alpha, k)
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.corrected < row.high


def test_the_order_of_victims_changes_nothing(found, results, layout) -> None:
    shuffled = [results[i] for i in np.random.default_rng(5).permutation(len(results))]
    counts = counted(found, shuffled[:40])
    counts.add(shuffled)  # those of before again, and the rest
    again = lay_out(counts, FACTS.alphas, labels(found))
    for name in ("diff_ATR", "right_ATS", "all_ATS", "sum_ATS", "clean_TS", "label_ATS"):
        assert np.array_equal(getattr(again, name), getattr(layout, name)), name


def test_one_trial_gives_damages_and_no_more(found) -> None:
    layout = lay_out(counted(found, victims(found, trials=1)), FACTS.alphas, labels(found))
    got, everyone = damages(layout), np.ones(SUBPOPULATIONS, dtype=bool)
    everyone[6] = False
    assert not np.isnan(got.damage_AS[:, :6]).any()
    assert np.isnan(got.low_AS).all()
    assert np.isnan(got.q_AS).all()
    (row,) = worst.worst_of(layout, 0, got.damage_AS[0], everyone, everyone, [5])
    assert (row.corrected, row.low, row.high) == (None, None, None)
    assert "two complete trials" in row.note


def test_two_trials_give_a_corrected_point_and_withhold_the_calls(found) -> None:
    layout = lay_out(counted(found, victims(found, trials=2)), FACTS.alphas, labels(found))
    got, everyone = damages(layout), np.ones(SUBPOPULATIONS, dtype=bool)
    everyone[6] = False
    assert not np.isnan(got.low_AS[:, :6]).any()
    assert np.isnan(got.q_AS).all()
    (row,) = worst.worst_of(layout, 0, got.damage_AS[0], everyone, everyone, [5])
    assert row.corrected is not None
    assert (row.low, row.high) == (None, None)
    assert "three complete trials" in row.note


def test_a_trial_whose_clean_victim_is_missing_counts_for_nothing(found, results) -> None:
    without = [r for r in results if not (r.spec.trial == 1 and r.spec.arm == "clean")]
    got = damages(lay_out(counted(found, without), FACTS.alphas, labels(found)))
    assert set(got.trials_AS[:, :6].ravel().tolist()) == {2}


def test_an_incomplete_trial_is_left_out_of_the_corrected_value(found, results, reference) -> None:
    short = [r for r in results if not (r.spec.trial == 2 and r.spec.subpopulation == 4 and r.spec.alpha == 1.0)]
    layout = lay_out(counted(found, short), FACTS.alphas, labels(found))
    enough = np.isin(np.arange(SUBPOPULATIONS), [1, 2, 3, 4])
    scored = worst.score(layout, 1, enough)
    assert scored is not None
    two = Reference(found, [r for r in short if r.spec.trial != 2])
    assert worst.corrected(scored, 2) == two.worst_corrected([1, 2, 3, 4], 1.0, 2)


def test_the_broken_subpopulation_is_called_and_the_untouched_are_not(layout) -> None:
    got = damages(layout)
    assert got.q_AS[1, 3] <= vulnerable.Q
    assert (got.q_AS[1, [0, 1, 2, 4, 5]] > 1e-4).all()


# ---- folds ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=80), st.integers(0, 2**40))
def test_folds_are_level_in_every_subpopulation_and_a_function_of_the_seed(members: list[int], seed: int) -> None:
    membership = np.array(members, dtype=np.int32)
    folds = assign_folds(seed, membership)
    assert np.array_equal(folds, assign_folds(seed, membership))
    for s in set(members):
        sizes = np.bincount(folds[membership == s], minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1


def test_counts_refuse_what_does_not_fit(found, results) -> None:
    start = {"classes": 3, "subpopulations": SUBPOPULATIONS, "seed": 0}
    with pytest.raises(BadData, match="memberships for"):
        Counts.start(found.membership.test[:-1], found.y_test, **start)
    with pytest.raises(BadData, match="beyond the 2"):
        Counts.start(found.membership.test, found.y_test, classes=3, subpopulations=2, seed=0)
    counts = Counts.start(found.membership.test, found.y_test, **start)
    spec = VictimSpec(0, 0, "clean")
    with pytest.raises(BadData, match="119 predictions for 120"):
        counts.add([VictimResult(spec, results[0].predictions[:-1], 0, 0, 1, 0.1)])
    with pytest.raises(BadData, match="class 3 of 3"):
        counts.add([VictimResult(spec, np.full(ROWS, 3, np.uint8), 0, 0, 1, 0.1)])
    assert counts.victims == {}


# ---- variances and calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("true_df", [4.0, 12.0])
def test_the_prior_is_found_again(true_df: float) -> None:
    random = np.random.default_rng(2)
    ratio = random.chisquare(4, 4000) / 4 / (random.chisquare(true_df, 4000) / true_df)
    assert spread.prior_df(ratio, np.full(4000, 4.0)) == pytest.approx(true_df, rel=0.2)


def test_equal_variances_give_a_sure_prior() -> None:
    random = np.random.default_rng(3)
    assert spread.prior_df(random.chisquare(4, 200) / 4, np.full(200, 4.0)) > 20


@pytest.mark.parametrize("x", [0.01, 0.5, 3.0, 200.0])
def test_trigamma_is_inverted(x: float) -> None:
    from scipy.special import polygamma

    assert float(polygamma(1, spread.trigamma_inverse(x))) == pytest.approx(x, rel=1e-6)


def test_components_match_a_two_way_analysis_of_variance() -> None:
    random = np.random.default_rng(4)
    trials, rows = 200, 300
    row_effect = random.random(rows) < 0.3
    diff = (row_effect[None] & (random.random((trials, rows)) < 0.8)).astype(np.int8)
    part = spread.components(diff, np.ones((trials, 1), bool), np.array([rows]))
    left = diff - diff.mean(0) - diff.mean(1)[:, None] + diff.mean()
    assert part.damage_S[0] == diff.mean()
    assert part.trial_S[0] == pytest.approx(diff.mean(1).var(ddof=1))
    assert part.cell_S[0] == pytest.approx((left**2).sum() / ((rows - 1) * (trials - 1)), rel=1e-3)
    assert part.row_S[0] == pytest.approx(diff.mean(0).var(ddof=1) - part.cell_S[0] / trials, rel=0.03)


def test_rows_that_never_change_still_leave_an_interval() -> None:
    diff = np.zeros((3, 4 * 30), np.int8)
    part = spread.components(diff, np.ones((3, 4), bool), np.full(4, 30))
    assert (spread.fit(part).shape_S > 0).all()
    assert (part.row_S > 0).all()


@pytest.mark.filterwarnings("error")
def test_trials_of_one_subpopulation_that_lose_the_same_number_of_rows_are_not_sure_of_it() -> None:
    diff_TR = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=np.int8)  # no variance between trials
    part = spread.components(diff_TR, np.ones((3, 1), dtype=bool), np.array([6]))
    assert part.trial_S.tolist() == [0.0]
    found = damages(layout_of(diff_TR, np.array([6])))
    own = part.cell_S[0] / 6  # a trial's variance by its rows alone
    assert found.se_AS[0, 0] == pytest.approx(np.sqrt(own / 3 + part.row_S[0] / 6))
    assert found.low_AS[0, 0] < found.damage_AS[0, 0] == pytest.approx(1 / 3)
    assert 0 < found.p_AS[0, 0] == found.q_AS[0, 0] < 0.5


def test_benjamini_hochberg_is_scipys() -> None:
    p = np.random.default_rng(5).random(50) ** 3
    assert vulnerable.adjusted(p) == pytest.approx(stats.false_discovery_control(p))
    assert vulnerable.adjusted(np.array([])).tolist() == []


def test_spearman_is_scipys() -> None:
    random = np.random.default_rng(6)
    left, right = random.integers(0, 5, 30).tolist(), random.random(30).tolist()
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right)[0])
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert spearman([None, 1.0, 2.0], [1.0, 2.0, 3.0]) is None


def test_wilsons_limits_are_wilsons() -> None:
    result = stats.binomtest(9, 10).proportion_ci(0.95, method="wilson")
    assert interval.wilson(0.9, 0.0, 1 / 10, float(stats.norm.ppf(0.975))) == pytest.approx((result.low, result.high))


def calls(kind, worlds: int, trials: int) -> float:
    """Share of worlds with anything called vulnerable, through the real damages."""
    called = 0
    for number in range(worlds):
        random = np.random.default_rng([trials, number])
        world = kind(random)
        diff = draw(world, trials, world.n_S, 1, random)[0]
        called += bool((damages(layout_of(diff, world.n_S)).q_AS <= vulnerable.Q).any())
    return called / worlds


def layout_of(diff_TR: np.ndarray, n_S: np.ndarray) -> Layout:
    """A layout of one alpha from differences alone."""
    trials, size = len(diff_TR), len(n_S)
    lost_TS = np.stack([spread.sums(row, np.cumsum(n_S)) for row in diff_TR])
    zeros = np.zeros((1, trials, size), np.int64)
    return Layout(
        alphas=(1.0,),
        trials=tuple(range(trials)),
        have_ATS=np.ones((1, trials, size), bool),
        diff_ATR=diff_TR[None],
        right_ATS=-lost_TS[None],
        all_ATS=-lost_TS[None],
        label_ATS=zeros,
        points_ATS=zeros,
        already_ATS=zeros,
        sum_ATS=-lost_TS[None],
        aimed_AT=np.full((1, trials), size),
        clean_TS=zeros[0],
        clean_all_T=np.zeros(trials, np.int64),
        clean_label_TS=zeros[0],
        n_S=n_S,
        n_SF=np.zeros((size, FOLDS), np.int64),
        n_all=int(n_S.sum()),
    )


@pytest.mark.parametrize("trials", [3, 5])
def test_nothing_is_called_where_the_poisoned_arm_is_the_clean_one_under_another_seed(trials: int) -> None:
    worlds = 60
    assert calls(null, worlds, trials) <= vulnerable.Q + 2.6 * (vulnerable.Q * (1 - vulnerable.Q) / worlds) ** 0.5


def test_real_damage_is_called() -> None:
    assert calls(calm, 20, 5) == 1.0
