"""Defences as functions: against plain definitions, and no better than chance when what they are told is of other rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from engine.defenses import knn, spectral
from engine.defenses.seen import Seen, Shared, defence_of, permuted
from engine.scenario.kinds import unions
from engine.scenario.sections import KnnSection, LossFilterSection, SpectralSection, TrimSection

ROWS, POISON = 600, 60
LOOKS = (LossFilterSection(), TrimSection(), KnnSection(), KnnSection(layer="hidden", action="remove", scaling="none"), SpectralSection())


def world(seed: int = 0) -> Seen:
    """Two classes in eight dimensions; the last rows are copies from class 0 that say 1, fitted badly, far out in the hidden states."""
    draws = np.random.default_rng(seed)
    true = draws.integers(0, 2, ROWS)
    true[-POISON:] = 0
    x = draws.normal(size=(ROWS, 8)) + 3.0 * true[:, None]
    labels = true.copy()
    labels[-POISON:] = 1
    losses = draws.exponential(0.1, ROWS)
    losses[-POISON:] += 2
    hidden = (draws.normal(size=(ROWS, 5)) + 4.0 * true[:, None]).astype(np.float32)
    return Seen(labels, losses, hidden, x.astype(np.float32))


def recall(section: object, seen: Seen) -> float:
    judgement = defence_of(section).judge(section, seen, POISON, np.random.default_rng(1))  # type: ignore[arg-type]
    taken = ~judgement.kept_R | (judgement.labels_R != seen.labels_R)
    return float(taken[-POISON:].mean())


@pytest.mark.parametrize("section", LOOKS, ids=repr)
def test_poison_that_stands_out_is_caught_and_by_what_the_defence_is_told_alone(section: object) -> None:
    seen = world()
    assert recall(section, seen) > 0.9
    # the same told of other rows: as many are taken, and no more of them are poison than there are among all
    shuffled = [permuted(world(seed), np.random.default_rng(seed)) for seed in range(20)]
    judged = [defence_of(section).judge(section, each, POISON, np.random.default_rng(1)) for each in shuffled]  # type: ignore[arg-type]
    taken = np.array([~j.kept_R | (j.labels_R != s.labels_R) for j, s in zip(judged, shuffled, strict=True)])
    by_chance = taken.mean()
    spread = np.sqrt(by_chance * (1 - by_chance) / (20 * POISON))
    labelled = np.array([s.labels_R for s in shuffled])[:, -POISON:] == 1  # of its class as many: a class may be hit more than another
    of_class = taken[np.array([s.labels_R for s in shuffled]) == 1].mean()
    assert labelled.all()
    assert taken[:, -POISON:].mean() == pytest.approx(of_class, abs=4 * spread)


def test_every_kind_has_a_module_that_says_what_it_asks() -> None:
    asked = {kind: defence_of(section()).asks(section()) for kind, section in unions()["defense",].items() if kind != "none"}
    assert asked == {
        "oracle": {"poison"}, "random": set(), "loss_filter": {"losses"}, "trim": {"losses"}, "knn": {"input"}, "spectral": {"hidden"},
    }  # fmt: skip


def test_the_largest_losses_are_removed_and_of_equal_ones_the_first() -> None:
    seen = Seen(np.zeros(6, np.int64), np.array([1.0, 3.0, 3.0, 0.0, 3.0, 2.0]))
    judgement = defence_of(LossFilterSection()).judge(LossFilterSection(), seen, 2, np.random.default_rng(0))
    assert judgement.kept_R.tolist() == [True, False, False, True, True, True]
    assert (judgement.labels_R == seen.labels_R).all()


def test_spectral_scores_are_squared_projections_on_the_top_singular_vector() -> None:
    seen = world()
    assert seen.hidden_RW is not None
    scores = spectral.scores(seen.hidden_RW, seen.labels_R)
    for label in (0, 1):
        rows = seen.labels_R == label
        centred = seen.hidden_RW[rows].astype(np.float64) - seen.hidden_RW[rows].astype(np.float64).mean(0)
        top = np.linalg.svd(centred, full_matrices=False)[2][0]
        assert scores[rows] == pytest.approx((centred @ top) ** 2, rel=1e-9, abs=1e-9)
    kept = defence_of(SpectralSection()).judge(SpectralSection(), seen, POISON, np.random.default_rng(0)).kept_R
    assert (~kept).sum() == 1.5 * POISON
    assert scores[~kept].min() >= scores[kept].max()


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_neighbours_are_scikit_learns_and_votes_are_counted_one_by_one(scaling: str) -> None:
    seen = world()
    assert seen.input_RF is not None
    x = seen.input_RF.astype(np.float64)
    if scaling == "standard":
        x = (x - x.mean(0)) / x.std(0)
    near = NearestNeighbors(n_neighbors=8).fit(x).kneighbors()[1]  # of the fitted rows: each without itself
    section = KnnSection(neighbors=8, scaling=scaling, eta=0.6)
    judgement = knn.judge(section, seen, 0, np.random.default_rng(0))
    for row in range(ROWS):
        given = seen.labels_R[near[row]].tolist()
        outvoted = given.count(seen.labels_R[row]) < 0.4 * 8
        assert judgement.labels_R[row] == (max((0, 1), key=given.count) if outvoted else seen.labels_R[row]), row
    assert (judgement.labels_R != seen.labels_R).sum() > POISON / 2


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_a_victims_points_join_the_shared_graph(scaling: str) -> None:
    """As if all rows had been asked at once; where columns are scaled, by the mean and deviation of the shared rows."""
    draws = np.random.default_rng(3)
    shared, points = draws.normal(size=(400, 6)).astype(np.float32) * np.arange(1, 7), draws.normal(size=(30, 6)).astype(np.float32)
    points[20:] = points[:10]  # copies are neighbours at no distance
    scale = knn.Scale.of(shared, scaling)
    graph = knn.Graph.of(shared, 7, scaling)
    both = np.concatenate([scale(shared), scale(points)])
    at_once, joined = knn.neighbours(both, 7), graph.joined(points)

    def of_copies_the_first(near: np.ndarray) -> list[list[int]]:
        return [sorted(np.where(row >= 420, row - 20, row)) for row in near]

    assert of_copies_the_first(joined) == of_copies_the_first(at_once)
    assert [sorted(row) for row in graph.joined(points[:0])] == [sorted(row) for row in knn.neighbours(scale(shared), 7)]
    labels = draws.integers(0, 2, 430)
    section = KnnSection(neighbors=7, scaling="none")
    x = np.concatenate([shared, points]).astype(np.float32)
    alone = knn.judge(section, Seen(labels, input_RF=x), 0, draws)
    with_shared = knn.judge(section, Seen(labels, input_RF=x, shared=Shared(x[:400])), 0, draws)
    assert (alone.labels_R == with_shared.labels_R).all()
