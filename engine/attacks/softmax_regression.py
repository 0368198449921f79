"""The last layer by itself: L2-regularised softmax regression on fixed features, fitted to convergence, with its Hessian. Float64.

Objective, nats: mean cross-entropy + weight_decay / 2 |kernel|^2, the bias unpenalised as in training. Without weight decay the optimum
need not exist, and damping / 2 |kernel and bias|^2 takes its place. `Regression.solve` is by the Hessian of the training loss with its
weight decay, plus damping on the whole diagonal: without weight decay that is exactly the Hessian of what was fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.attacks import softmax
from engine.milestones import NOTHING_KEPT, Arrays, Milestones

DENSE = 6000  # parameters up to which the Hessian is factored; beyond, and while fitting beyond DENSE_FIT, conjugate gradients
DENSE_FIT = 1500
CONVERGED = 1e-8  # norm of the gradient, nats per unit of weight
NEWTON_STEPS, HALVINGS = 100, 40
CG_STEPS, CG_TOLERANCE = 2000, 1e-10
FITTED = "the last layer's fit"
BLOCK_BYTES = 2**29  # of logits of many right-hand sides at once


@dataclass(frozen=True)
class Regression:
    """features_NK: [rows, width + 1], the last column ones; labels_N; theta_KO: [width + 1, outputs], the bias as the last row.

    penalty_K   what the fitted objective adds to the Hessian's diagonal for each row of theta;  damping_K: what `solve` adds besides
    gradient_norm, steps   where fitting ended, and after how many Newton steps
    """

    features_NK: Tensor
    labels_N: Tensor
    theta_KO: Tensor
    penalty_K: Tensor
    damping_K: Tensor
    gradient_norm: float = float("nan")
    steps: int = 0

    def objective(self, theta_KO: Tensor) -> float:
        data = softmax.losses(self.features_NK @ theta_KO, self.labels_N).mean()
        return float(data + (self.penalty_K[:, None] * theta_KO * theta_KO).sum() / 2)

    def gradient(self, theta_KO: Tensor) -> Tensor:
        residual_NO = softmax.residuals(self.features_NK @ theta_KO, self.labels_N)
        return self.features_NK.T @ residual_NO / len(self.labels_N) + self.penalty_K[:, None] * theta_KO

    def curvature(self, theta_KO: Tensor, diagonal_K: Tensor) -> Callable[[Tensor], Tensor]:
        """Products with the Hessian plus `diagonal_K`: [..., width + 1, outputs] -> the same."""
        p_NO = softmax.probabilities(self.features_NK @ theta_KO)

        def times(v_SKO: Tensor) -> Tensor:
            sides, (width, outputs) = v_SKO.reshape(-1, *v_SKO.shape[-2:]), v_SKO.shape[-2:]
            u_NSO = (self.features_NK @ sides.permute(1, 0, 2).reshape(width, -1)).view(len(p_NO), -1, outputs)
            weighted = p_NO[:, None] * u_NSO
            weighted = weighted * (1 - p_NO[:, None]) if outputs == 1 else weighted - p_NO[:, None] * weighted.sum(2, keepdim=True)
            back_KSO = (self.features_NK.T @ weighted.reshape(len(p_NO), -1)).view(width, -1, outputs) / len(p_NO)
            return back_KSO.permute(1, 0, 2).reshape(v_SKO.shape) + diagonal_K[:, None] * v_SKO

        return times

    def hessian(self, theta_KO: Tensor, diagonal_K: Tensor) -> Tensor:
        """[parameters, parameters], output by output: parameter (k, o) at o * (width + 1) + k."""
        p_NO = softmax.probabilities(self.features_NK @ theta_KO)
        width, outputs = theta_KO.shape
        blocks = self.features_NK.new_empty(outputs, width, outputs, width)
        for a in range(outputs):
            for b in range(a + 1):
                weight_N = p_NO[:, a] * ((1.0 if a == b else 0.0) - p_NO[:, b])
                block = self.features_NK.T @ (self.features_NK * weight_N[:, None]) / len(p_NO)
                blocks[a, :, b], blocks[b, :, a] = block, block
        matrix = blocks.view(outputs * width, outputs * width)
        matrix.diagonal().add_(diagonal_K.repeat(outputs))
        return matrix

    def solve(
        self, right_SKO: Tensor, milestones: Milestones = NOTHING_KEPT, check: Callable[[], None] = lambda: None
    ) -> tuple[Tensor, float]:
        """(damped Hessian)^-1 of each right-hand side, and the largest relative residual. check: called between blocks of them."""
        diagonal_K = self.penalty_K + self.damping_K
        times = self.curvature(self.theta_KO, diagonal_K)
        if self.theta_KO.numel() <= DENSE:
            factor, _ = torch.linalg.cholesky_ex(self.hessian(self.theta_KO, diagonal_K))
            found_SKO = _by_factor(factor, right_SKO)
        else:
            rows = max(1, BLOCK_BYTES // (8 * len(self.labels_N) * self.theta_KO.shape[1]))
            parts = []
            for at, part in enumerate(right_SKO.split(rows)):
                check()
                block = milestones.step(f"influence, block {at}", lambda part=part: _array(conjugate_gradients(times, part)))  # type: ignore[misc]
                parts.append(torch.from_numpy(block["x"]).to(right_SKO.device))
            found_SKO = torch.cat(parts)
        left = (times(found_SKO[:1]) - right_SKO[:1]).norm() / right_SKO[:1].norm().clamp_min(1e-300)
        return found_SKO, float(left)


def fit(
    features_NK: Tensor,
    labels_N: Tensor,
    start_KO: Tensor,
    *,
    weight_decay: float,
    damping: float,
    report: Callable[[int, float], None] = lambda steps, norm: None,
    milestones: Milestones = NOTHING_KEPT,
) -> Regression:
    """Newton's method from `start_KO`, to a gradient of norm CONVERGED or as far as float64 goes.

    features_NK: float64 [rows, width + 1], the last column ones; start_KO: [width + 1, outputs]. report is told each step and the norm.
    """
    kernel_K = torch.ones_like(start_KO[:, 0])
    if weight_decay > 0:
        kernel_K[-1] = 0
        penalty_K, damping_K = weight_decay * kernel_K, torch.full_like(kernel_K, damping)
    else:
        penalty_K, damping_K = damping * kernel_K, torch.zeros_like(kernel_K)
    regression = Regression(features_NK, labels_N, start_KO, penalty_K, damping_K)
    theta, steps, stood = start_KO.contiguous(), 0, milestones.state(FITTED)
    if stood is not None:
        theta, steps = torch.from_numpy(stood["x"]).to(start_KO.device), int(stood["steps"][0])
    gradient = regression.gradient(theta)
    while steps < NEWTON_STEPS and float(gradient.norm()) > CONVERGED:
        step = _newton_step(regression, theta, gradient)
        if step is None:
            break
        theta, gradient = step
        steps += 1
        milestones.hold(FITTED, lambda theta=theta, steps=steps: {**_array(theta), "steps": np.array([steps])})  # type: ignore[misc]
        report(steps, float(gradient.norm()))
    return Regression(features_NK, labels_N, theta, penalty_K, damping_K, float(gradient.norm()), steps)


def _newton_step(regression: Regression, theta_KO: Tensor, gradient_KO: Tensor) -> tuple[Tensor, Tensor] | None:
    """The next theta and its gradient; None where no shorter step is any better, which is where rounding begins."""
    # a shift of all biases is free: without a little on its diagonal the unpenalised bias leaves the Hessian singular
    diagonal_K = regression.penalty_K.clamp_min(1e-10)
    if theta_KO.numel() <= DENSE_FIT:
        factor, _ = torch.linalg.cholesky_ex(regression.hessian(theta_KO, diagonal_K))
        step_KO = _by_factor(factor, gradient_KO[None])[0]
    else:
        step_KO = conjugate_gradients(regression.curvature(theta_KO, diagonal_K), gradient_KO[None], tolerance=1e-4)[0]
    before, slope, norm = regression.objective(theta_KO), float((gradient_KO * step_KO).sum()), float(gradient_KO.norm())
    share = 1.0
    for _ in range(HALVINGS):
        tried = (theta_KO - share * step_KO).contiguous()  # as it is when it was put away: the layout decides last bits
        gradient = regression.gradient(tried)
        falls = regression.objective(tried) <= before - 1e-4 * share * slope
        if (falls and slope > 1e-14 * abs(before)) or float(gradient.norm()) < 0.9 * norm:
            return tried, gradient
        share /= 2
    return None


def _array(tensor: Tensor) -> Arrays:
    return {"x": tensor.cpu().contiguous().numpy()}


def _by_factor(factor: Tensor, right_SKO: Tensor) -> Tensor:
    """Solutions by a Cholesky factor of `Regression.hessian`."""
    sides, width, outputs = right_SKO.shape
    columns = right_SKO.permute(2, 1, 0).reshape(outputs * width, sides)
    return torch.cholesky_solve(columns, factor).view(outputs, width, sides).permute(2, 1, 0)


def conjugate_gradients(times: Callable[[Tensor], Tensor], right_SKO: Tensor, *, tolerance: float = CG_TOLERANCE) -> Tensor:
    """Solutions of many systems with one positive definite matrix, each by its own conjugate gradients, to a relative residual."""

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((1, 2), keepdim=True)

    solution, left = torch.zeros_like(right_SKO), right_SKO.clone()
    along, square = left.clone(), inner(left, left)
    enough = square * tolerance**2
    for _ in range(CG_STEPS):
        if bool((square <= enough).all()):
            break
        turned = times(along)
        share = square / inner(along, turned).clamp_min(1e-300)
        solution, left = solution + share * along, left - share * turned
        last, square = square, inner(left, left)
        along = left + square / last.clamp_min(1e-300) * along
    return solution
