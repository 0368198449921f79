"""Influence of poison candidates: the fitted layer, its Hessian, and what retraining really does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from engine.arrays import DiscoveryArrays
from engine.attacks import influence, softmax, softmax_regression
from engine.attacks import poison as attacks
from engine.attacks.softmax_regression import Regression, fit
from engine.errors import BadData
from engine.rows import Arm, Dataset, Membership, Poison, Rows, Subpopulation
from engine.scenario.sections import InfluenceSection, LabelFlipSection
from tests.studies.influence_check import changes
from tests.worlds.attacks import prepare

ATTACK = InfluenceSection(damping=0.01)
WIDTH, EACH, SUBPOPULATIONS = 8, 25, 8


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class DenseAdversary:
    """A last layer on given features: what influence asks of an adversary, and nothing more."""

    hidden_aux: np.ndarray
    outputs: int
    weight_decay: float = 0.02
    differentiable: None = None
    network: None = None
    params: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(7)
        shape = self.hidden_aux.shape[1], self.outputs
        self.params = [torch.from_numpy(random.standard_normal(shape)), torch.from_numpy(random.standard_normal(self.outputs))]

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.params[0].numpy(), self.params[1].numpy()

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        raise AssertionError("influence looks at no picture")


def world(
    classes: int = 2, outputs: int | None = None, seed: int = 0, width: int = WIDTH
) -> tuple[Dataset, Membership, tuple[Subpopulation, ...], DenseAdversary]:
    """Subpopulations at centres of their own; classes overlap within each."""
    random = np.random.default_rng(seed)
    member = np.repeat(np.arange(SUBPOPULATIONS, dtype=np.int32), EACH)
    y = random.integers(0, classes, len(member))
    centres, ways = random.standard_normal((SUBPOPULATIONS, width)) * 1.5, random.standard_normal((classes, width))
    x = (centres[member] + ways[y] + random.standard_normal((len(member), width))).astype(np.float32)
    rows = Rows(x, y, np.arange(len(y)), pd.DataFrame({"f": y}))
    found = tuple(
        Subpopulation(s, f"group {s}", 40, EACH, EACH, {}, 0.5, 0.5, 0.5, None if classes == 2 else "b", s + 1 < SUBPOPULATIONS)
        for s in range(SUBPOPULATIONS)
    )
    return (
        Dataset("toy", tuple("abc"[:classes]), (), rows, rows, rows),
        Membership(member, member, member),
        found,
        DenseAdversary(x, outputs or classes),
    )


def regression(weight_decay: float, damping: float, classes: int = 3, outputs: int = 3) -> Regression:
    data, _, _, adversary = world(classes, outputs)
    adversary.weight_decay = weight_decay
    return influence.fitted(adversary, data.aux.y, damping)


def loss_of(r: Regression, theta_KO: torch.Tensor) -> torch.Tensor:
    """The fitted objective, for autograd."""
    return softmax.losses(r.features_NK @ theta_KO, r.labels_N).mean() + (r.penalty_K[:, None] * theta_KO.square()).sum() / 2


@pytest.mark.parametrize(("classes", "outputs"), [(3, 3), (2, 2), (2, 1)])
@pytest.mark.parametrize("weight_decay", [0.02, 0.0])
def test_the_layer_is_fitted_to_convergence_and_its_hessian_is_autograds(classes: int, outputs: int, weight_decay: float) -> None:
    r = regression(weight_decay, 0.01, classes, outputs)
    theta = r.theta_KO.clone().requires_grad_()
    [gradient] = torch.autograd.grad(loss_of(r, theta), theta)
    assert float(gradient.norm()) < 1e-8
    assert r.gradient_norm == pytest.approx(float(gradient.norm()), abs=1e-12)
    diagonal = r.penalty_K + r.damping_K
    assert diagonal.tolist() == pytest.approx([weight_decay + 0.01] * WIDTH + [0.01])  # the bias is damped, and never decays
    dense = torch.autograd.functional.hessian(lambda t: loss_of(r, t), r.theta_KO)
    expected = dense.permute(1, 0, 3, 2).reshape(dense.shape[0] * dense.shape[1], -1) + torch.diag(r.damping_K.repeat(outputs))
    assert torch.allclose(r.hessian(r.theta_KO, diagonal), expected, atol=1e-12)
    v = torch.randn(4, WIDTH + 1, outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    product = r.curvature(r.theta_KO, diagonal)(v)
    assert torch.allclose(product.permute(0, 2, 1).flatten(1), v.permute(0, 2, 1).flatten(1) @ expected, atol=1e-12)


def test_conjugate_gradients_are_the_factored_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = regression(0.02, 0.01)
    right = torch.randn(5, WIDTH + 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, residual = dense.solve(right)
    assert residual < 1e-10
    monkeypatch.setattr(softmax_regression, "DENSE", 0)
    monkeypatch.setattr(softmax_regression, "DENSE_FIT", 0)
    monkeypatch.setattr(softmax_regression, "BLOCK_BYTES", 8 * EACH * SUBPOPULATIONS * 3 * 2)  # two sides at a time
    sparse = regression(0.02, 0.01)
    assert sparse.gradient_norm < 1e-8
    assert torch.allclose(sparse.theta_KO[:-1], dense.theta_KO[:-1], atol=1e-6)
    assert torch.allclose(dense.solve(right)[0], found, rtol=1e-6, atol=1e-8)


def scores(**more: object) -> tuple[np.ndarray, Membership, tuple[Subpopulation, ...], Dataset, DenseAdversary]:
    data, membership, found, adversary = world(**more)  # type: ignore[arg-type]
    got = prepare(ATTACK, found, data, membership, adversary, seed=0, trials=range(2))
    stored = DiscoveryArrays(prepared=got).by_name()
    assert {name: array.dtype.name for name, array in stored.items()} == {
        "influence.score": "float64",
        "influence.check": "float64",
    }
    assert got.check[0] < 1e-8
    return got.score, membership, found, data, adversary


def test_a_score_is_the_derivative_of_the_attackers_loss_with_respect_to_the_points_weight() -> None:
    """By central differences: refit with the point's loss added at weight +-eps / n."""
    data, membership, found, adversary = world()
    adversary.weight_decay = 0.0  # then what is damped is what is fitted
    got = prepare(ATTACK, found, data, membership, adversary, seed=0, trials=range(1)).score
    r = influence.fitted(adversary, data.aux.y, ATTACK.damping)
    rows = np.flatnonzero(membership.aux == 2)
    wrong = torch.from_numpy(1 - data.aux.y)

    def attacker(theta: torch.Tensor) -> float:
        return float(softmax.losses(r.features_NK[rows] @ theta, wrong[rows]).mean())

    def refitted(row: int, weight: float) -> torch.Tensor:
        theta = r.theta_KO.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([theta], max_iter=200, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            point = softmax.losses((r.features_NK[row] @ theta)[None], wrong[row : row + 1])[0]
            loss = loss_of(r, theta) + weight * point / len(r.labels_N)
            loss.backward()
            return loss

        optimiser.step(closure)
        return theta.detach()

    for row in rows[:2].tolist():
        measured = -(attacker(refitted(row, 0.05)) - attacker(refitted(row, -0.05))) / 0.1
        assert got[row] == pytest.approx(measured, rel=1e-3)


@pytest.mark.parametrize(("classes", "outputs"), [(2, 2), (2, 1), (3, 3)])
def test_predictions_agree_with_retraining(classes: int, outputs: int) -> None:
    """Random groups of poison of several sizes in several subpopulations: the sum of scores against what retraining does."""
    data, membership, found, adversary = world(classes, outputs)
    r = influence.fitted(adversary, data.aux.y, ATTACK.damping)
    candidates = []
    for s in found[:7]:
        rows = np.flatnonzero(membership.aux == s.index)
        candidates.append((rows, np.full(len(rows), 1) if s.target_label else 1 - data.aux.y[rows]))
    predicted, true = changes(
        r, candidates, sizes=(2, 5, 10), groups=3, seed=0, weight_decay=adversary.weight_decay, damping=ATTACK.damping
    )
    assert len(predicted) == 7 * 3 * 3
    assert spearmanr(predicted, true)[0] > 0.9
    sign = np.sign(predicted) == np.sign(true)
    assert sign.mean() > 0.9


def test_rows_of_subpopulations_that_are_not_attacked_have_no_score() -> None:
    score, membership, *_ = scores()
    assert np.isnan(score[membership.aux == SUBPOPULATIONS - 1]).all()
    assert np.isfinite(score[membership.aux < SUBPOPULATIONS - 1]).all()


def test_the_best_points_lower_the_attackers_loss_more_than_a_draw() -> None:
    score, membership, *_ = scores()
    for s in range(SUBPOPULATIONS - 1):
        own = np.sort(score[membership.aux == s])[::-1]
        assert own[:5].mean() > own.mean() > 0


def chosen(alpha: float, arm: Arm = "poisoned", trial: int = 0, index: int = 3) -> Poison:
    data, membership, found, adversary = world()
    prepared = prepare(ATTACK, found, data, membership, adversary, seed=0, trials=range(2))
    return attacks.poison(
        ATTACK, found[index], data, membership, alpha=alpha, trial=trial, seed=0, proba_aux=None, arm=arm, prepared=prepared
    )


def test_poison_is_the_best_rows_again_from_the_best_and_nested() -> None:
    score, membership, *_ = scores()
    half, two = chosen(0.5), chosen(2.0)
    members = np.flatnonzero(membership.aux == 3)
    best = members[np.argsort(-score[members])]
    assert (len(half), len(two)) == (12, 50)
    assert np.array_equal(half.rows, best[:12])
    assert np.array_equal(two.rows, np.tile(best, 2))
    assert two.moved is None
    assert (two.labels == 1 - two.true_labels).all()
    assert np.array_equal(chosen(2.0, trial=1).rows, two.rows)


def test_controls_of_influence_are_the_same_rows_or_a_draw() -> None:
    data, membership, found, _ = world()
    true, flip = chosen(1.0, "true_label"), chosen(1.0, "label_flip")
    plain = attacks.poison(LabelFlipSection(), found[3], data, membership, alpha=1.0, trial=0, seed=0, proba_aux=None, arm="poisoned")
    assert np.array_equal(true.rows, chosen(1.0).rows)
    assert np.array_equal(true.labels, true.true_labels)
    assert np.array_equal(flip.rows, plain.rows)
    assert np.array_equal(flip.labels, plain.labels)
    with pytest.raises(BadData, match="influence of poison candidates is missing"):
        attacks.poison(ATTACK, found[3], data, membership, alpha=1.0, trial=0, seed=0, proba_aux=None, arm="poisoned")


def test_fitting_ends_where_float64_does() -> None:
    """Separable, hardly penalised: no step is left to take, and it ends all the same."""
    x = torch.tensor([[-1.0, 1.0], [1.0, 1.0]], dtype=torch.float64) * 50
    r = fit(x, torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.float64), weight_decay=0.0, damping=1e-9)
    assert r.steps < softmax_regression.NEWTON_STEPS
    assert r.gradient_norm < 1e-7
