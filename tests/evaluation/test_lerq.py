"""LERQ against a plain Newton loop over the weights themselves, one subpopulation and rate at a time, written from its formula alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from engine.errors import Interrupted
from engine.evaluation import lerq

RATES = (3.0, 11.0, 40.0)


def _world(seed: int, width: int = 9, rows: int = 400):
    """Train rows with one column that few fill, and 20 subpopulations of 0 to 30 own and 1 to 30 auxiliary rows."""
    random = np.random.default_rng(seed)
    phi = np.maximum(random.normal(size=(rows, width)) * np.logspace(-2, 1, width), 0).astype(np.float32)
    phi[:, 0] *= random.random(rows) < 0.02
    f = phi @ random.normal(size=width) * 0.3 + random.normal(size=rows)
    of_row = random.integers(0, 22, rows)
    subpopulations = []
    for s in range(20):
        own = np.flatnonzero(of_row == s)[: 0 if s == 3 else None]
        aux = int(random.integers(1, 31))
        phi_M, phi_J = (np.maximum(random.normal(size=(n, width)) * np.logspace(-2, 1, width), 0) for n in (aux, 7))
        local = lerq.Local(phi[own], f[own], phi_M, random.normal(size=aux) * 3, (random.random(aux) < 0.6).astype(float), phi_J)
        subpopulations.append((own, local))
    return phi, f, subpopulations


def _plain(phi_N: np.ndarray, f_N: np.ndarray, own: np.ndarray, local: lerq.Local, points: float, damping: float) -> np.ndarray:
    """phi d of the rows asked."""

    def one(phi: np.ndarray) -> np.ndarray:
        return np.hstack([np.asarray(phi, float), np.ones((len(phi), 1))])

    x, x_own, x_aux = one(phi_N), one(local.phi_K), one(local.phi_M)
    rest = np.setdiff1d(np.arange(len(x)), own)
    p = expit(f_N[rest])
    rms = np.sqrt((x**2).mean(axis=0))
    H = x[rest].T @ np.diag(p * (1 - p)) @ x[rest] + damping * np.diag(np.maximum(rms, 1e-3 * rms.max()))
    weight = points / len(x_aux)

    def loss(d: np.ndarray) -> float:
        own_f, aux_f = local.f_K + x_own @ d, local.f_M + x_aux @ d
        exact = np.logaddexp(0, own_f).sum() - (expit(local.f_K) * (x_own @ d)).sum()  # the label's part cancels
        return 0.5 * d @ H @ d + exact + weight * (np.logaddexp(0, aux_f) - local.label_M * aux_f).sum()

    d = np.zeros(x.shape[1])
    for _ in range(200):
        p_own, p_aux = expit(local.f_K + x_own @ d), expit(local.f_M + x_aux @ d)
        gradient = H @ d + x_own.T @ (p_own - expit(local.f_K)) + weight * x_aux.T @ (p_aux - local.label_M)
        hessian = H + (x_own.T * (p_own * (1 - p_own))) @ x_own + weight * (x_aux.T * (p_aux * (1 - p_aux))) @ x_aux
        step, size = np.linalg.solve(hessian, -gradient), 1.0
        while loss(d + size * step) > loss(d) + 1e-13 * abs(loss(d)) and size > 1e-8:
            size /= 2
        d = d + size * step
        if np.abs(gradient).max() < 1e-13 * (1 + weight * len(x_aux)):
            break
    return one(local.phi_J) @ d


@pytest.mark.parametrize("damping", [0.3, 30.0])
def test_the_batched_solver_is_a_plain_newton_loop(damping: float):
    phi, f, subpopulations = _world(seed=1)
    lower = lerq.factor(phi, f, damping)
    points = np.tile(RATES, (20, 1))
    found = lerq.shifts(lower, [local for _, local in subpopulations], points)
    moved = 0.0
    for (own, local), shift_AJ in zip(subpopulations, found, strict=True):
        for a, m in enumerate(RATES):
            plain = _plain(phi, f, own, local, m, damping)
            np.testing.assert_allclose(shift_AJ[a], plain, rtol=1e-8, atol=1e-8)
            moved = max(moved, float(np.abs(plain).max()))
    assert moved > 1  # else the step would be as good as quadratic


def test_the_formula_with_labels_by_a_minimiser_of_another_library():
    """scipy's BFGS on the formula as it is written, losses of labelled rows and all: labels of own train rows cancel."""
    phi, f, subpopulations = _world(seed=2, width=3)
    own, local = subpopulations[5]
    y = (np.random.default_rng(0).random(len(own)) < 0.5).astype(float)
    x, x_own, x_aux = (np.hstack([np.asarray(p, float), np.ones((len(p), 1))]) for p in (phi, local.phi_K, local.phi_M))
    rest = np.setdiff1d(np.arange(len(x)), own)
    rms = np.sqrt((x**2).mean(axis=0))
    H = (x[rest].T * (expit(f[rest]) * expit(-f[rest]))) @ x[rest] + 2.0 * np.diag(np.maximum(rms, 1e-3 * rms.max()))

    def formula(d: np.ndarray) -> float:
        def nll(label: np.ndarray, logit: np.ndarray) -> np.ndarray:
            return -label * np.log(expit(logit)) - (1 - label) * np.log(expit(-logit))

        slope = expit(local.f_K) - y
        exact = nll(y, local.f_K + x_own @ d) - slope * (x_own @ d)
        return 0.5 * d @ H @ d + exact.sum() + 11.0 / len(x_aux) * nll(local.label_M, local.f_M + x_aux @ d).sum()

    d = minimize(formula, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
    found = lerq.shifts(lerq.factor(phi, f, 2.0), [local], np.array([[11.0]]))[0][0]
    np.testing.assert_allclose(found, np.hstack([local.phi_J, np.ones((7, 1))]) @ d, atol=1e-5)


def test_without_points_nothing_moves_and_memory_decides_nothing(monkeypatch: pytest.MonkeyPatch):
    phi, f, subpopulations = _world(seed=3)
    lower, some = lerq.factor(phi, f, 30.0), [local for _, local in subpopulations]
    points = np.tile((0.0, 5.0), (20, 1))
    at_once = lerq.shifts(lower, some, points)
    assert all(not each[0].any() and each[1].any() for each in at_once)
    monkeypatch.setattr(lerq, "PADDED", 1)  # one subpopulation at a time
    for one, other in zip(at_once, lerq.shifts(lower, some, points), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_stop_is_met_between_two_subpopulations():
    phi, f, subpopulations = _world(seed=3)
    some, seen = [local for _, local in subpopulations], []

    def between() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        lerq.shifts(lerq.factor(phi, f, 30.0), some, np.tile((0.0, 5.0), (20, 1)), between)
    assert len(seen) == 3


def test_which_rows_count_exactly():
    def many(own: int, aux: int) -> tuple[int, int]:
        one, other = lerq.kept(np.arange(own), np.arange(aux))
        assert len(set(one)) == len(one)
        assert not len(one) or one[0] == 0  # from its beginning, evenly
        return len(one), len(other)

    assert many(30, 40) == (30, 40)
    assert many(500, 500) == (50, 50)
    assert many(10, 500) == (10, 90)
    assert many(500, 10) == (90, 10)
    assert many(0, 0) == (0, 0)


def test_the_logit_of_a_target_class():
    logits = np.array([[2.0, 1.0, -1.0], [0.0, 0.0, 5.0]])
    ahead = lerq.log_odds(logits, np.array([0, 2]), 2)
    assert ahead[0] == -3.0  # against the row's own class
    assert ahead[1] == pytest.approx(np.log(np.exp(5) / 2))  # a row of the target: its log odds
    two = np.array([[1.5, 0.25], [-1.0, 3.0]])
    for target in (0, 1):  # of two classes, whether they share a logit or not
        shared = lerq.log_odds((two[:, 1] - two[:, 0])[:, None], np.array([0, 1]), target)
        np.testing.assert_allclose(lerq.log_odds(two, np.array([0, 1]), target), shared)


def test_damage_of_rows():
    margin, shifted = np.array([[0.8], [0.4]]), np.array([[[0.4], [-1.0]], [[0.0], [-2.0]]])
    by_hand = np.mean([[expit(2.0) - expit(1.0), expit(2.0) - expit(-2.5)], [expit(1.0) - 0.5, expit(1.0) - expit(-5.0)]], axis=0)
    np.testing.assert_allclose(lerq.damage_of_rows(margin, shifted, "sigmoid", 0.4)[:, 0], by_hand)
    before, spread = norm.cdf(0.6 / np.std([0.8, 0.4], ddof=1)), np.std([0.4, 0.0], ddof=1)
    normal = lerq.damage_of_rows(margin, shifted, "normal", 0.4)
    assert normal[0, 0] == pytest.approx(before - norm.cdf(0.2 / spread))
