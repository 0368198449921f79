"""LERQ ("local exact, rest quadratic"): how far a last layer moves when one subpopulation is poisoned, from a clean model alone.

A last layer is seen as a binary problem: logit f of each row, phi what the layer reads of it, and a 1 for its bias. d, the change of its
weights that m poison points bring about, minimises

    1/2 d'Hd + sum over own rows of [ l(f + phi d) - l'(f) phi d ] + m/|A| sum over the subpopulation's aux rows of l(label, f + phi d)

with l the logistic loss and H = sum over the other train rows of phi' l'' phi + damping diag(rms phi): the subpopulation's own train rows
and its poison count exactly, all others to second order. A train row's label cancels, for l is linear in it. At most ROWS rows of a
subpopulation count exactly; train rows beyond these stay with the others, aux rows beyond them weigh on those that are kept.

In the space of the rows used: with K = Phi H^-1 Phi', d = H^-1 Phi' a and phi d = K a, so that all subpopulations and rates are one Newton
iteration over [problems, rows, rows]. H is factored once a model; a subpopulation's own rows are taken out of K by Woodbury's identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import expit, ndtr

ROWS = 100  # of a subpopulation that count exactly, own and auxiliary together
PADDED = 2**25  # numbers in the padded matrices solved at once
BLOCK = 4096  # rows made float64 at once
LEAST_RMS = 1e-3  # of a column, over the largest of any: one that no train row fills would let an aux row move it for nothing
STEPS, HALVINGS = 100, 40  # of Newton at most; each is over in about ten
DONE = 1e-12  # largest component of the gradient, over the weight of a point
LEAST_SPREAD = 1e-6  # s.d. of a margin over clean models that come to the same


@dataclass(frozen=True)
class Local:
    """One subpopulation as LERQ sees it. phi: float [rows, width], without the 1 of the bias; f: float64 [rows].

    phi_K, f_K           own train rows that count exactly
    phi_M, f_M, label_M  auxiliary rows that stand for the poison, and the labels it is given, 0 or 1
    phi_J                rows whose shift is asked
    """

    phi_K: np.ndarray
    f_K: np.ndarray
    phi_M: np.ndarray
    f_M: np.ndarray
    label_M: np.ndarray
    phi_J: np.ndarray


def kept(own: np.ndarray, aux: np.ndarray, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Which rows count exactly, where there are more than `rows`: of each side half, or what the other leaves, evenly over its order."""
    half = rows // 2
    of_own = min(len(own), max(half, rows - len(aux)))
    return _spread(own, of_own), _spread(aux, min(len(aux), rows - of_own))


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows if len(rows) <= count else rows[(np.arange(count) * len(rows)) // count]


def factor(phi_NW: np.ndarray, f_N: np.ndarray, damping: float) -> np.ndarray:
    """Lower Cholesky factor of H of all train rows, float64 [width + 1, width + 1]."""
    size = phi_NW.shape[1] + 1
    hessian, squares = np.zeros((size, size)), np.zeros(size)
    for lo in range(0, len(phi_NW), BLOCK):
        phi = _with_one(phi_NW[lo : lo + BLOCK])
        hessian += phi.T @ (_curvature(f_N[lo : lo + BLOCK])[:, None] * phi)
        squares += (phi**2).sum(axis=0)
    rms = np.sqrt(squares / len(phi_NW))
    hessian[np.diag_indices(size)] += damping * np.maximum(rms, LEAST_RMS * rms.max())
    lower: np.ndarray = cholesky(hessian, lower=True, overwrite_a=True, check_finite=False)
    return lower


def shifts(
    lower: np.ndarray, subpopulations: Sequence[Local], points_SA: np.ndarray, between: Callable[[], None] | None = None
) -> list[np.ndarray]:
    """phi d of each subpopulation's asked rows, float64 [rates, rows]. lower: of `factor`; points_SA: how many poison points.

    between: called before each subpopulation's matrices, which may take seconds; what it raises ends this.
    """
    done: list[np.ndarray] = []
    for first, batch in _batches(subpopulations, points_SA.shape[1]):
        done += _solved(lower, batch, points_SA[first : first + len(batch)], between or (lambda: None))
    return done


def _batches(subpopulations: Sequence[Local], rates: int) -> Iterator[tuple[int, Sequence[Local]]]:
    most = max([len(s.f_K) + len(s.f_M) for s in subpopulations], default=1)
    size = max(1, PADDED // max(1, 4 * rates * most * most))
    for first in range(0, len(subpopulations), size):
        yield first, subpopulations[first : first + size]


def _solved(lower: np.ndarray, batch: Sequence[Local], points_SA: np.ndarray, between: Callable[[], None]) -> list[np.ndarray]:
    """Of some subpopulations, whose matrices fit into memory together."""
    S, A = points_SA.shape
    U = max(1, *(len(s.f_K) + len(s.f_M) for s in batch))
    K_SUU, f_SU, label_SU, own_SU, weight_SU = np.zeros((S, U, U)), *(np.zeros((S, U)) for _ in range(4))
    asked: list[np.ndarray] = []
    for at, s in enumerate(batch):
        between()
        own, used = len(s.f_K), len(s.f_K) + len(s.f_M)
        K_UU, K_JU = _kernels(lower, s)
        K_SUU[at, :used, :used] = K_UU
        f_SU[at, :used] = np.concatenate([s.f_K, s.f_M])
        label_SU[at, own:used], own_SU[at, :own], weight_SU[at, own:used] = s.label_M, 1.0, 1.0 / max(1, len(s.f_M))
        asked.append(K_JU)

    def each(of_S: np.ndarray) -> np.ndarray:
        return np.repeat(of_S, A, axis=0)

    poison_BU = each(weight_SU) * points_SA.reshape(-1, 1)
    dual_BU = minimised(each(K_SUU), each(f_SU), each(label_SU), each(own_SU), poison_BU)
    return [(K_JU @ dual_BU[at * A : (at + 1) * A, : K_JU.shape[1]].T).T for at, K_JU in enumerate(asked)]


def _kernels(lower: np.ndarray, s: Local) -> tuple[np.ndarray, np.ndarray]:
    """K among the rows used and of the asked against these, by H without the subpopulation's own rows that count exactly."""
    own, used = len(s.f_K), len(s.f_K) + len(s.f_M)
    rows = np.concatenate([_with_one(phi) for phi in (s.phi_K, s.phi_M, s.phi_J)])
    z_PR = solve_triangular(lower, rows.T, lower=True, overwrite_b=True, check_finite=False)
    gram_RU = z_PR.T @ z_PR[:, :used]
    root = np.sqrt(_curvature(s.f_K))
    own_KR = root[:, None] * gram_RU[:, :own].T
    left = (1.0 + 1e-13) * np.eye(own) - own_KR[:, :own] * root  # above 0: H holds these rows and the damping
    taken_KR = solve_triangular(np.linalg.cholesky(left), own_KR, lower=True, check_finite=False) if own else own_KR
    gram_RU += taken_KR.T @ taken_KR[:, :used]
    return gram_RU[:used], gram_RU[used:]


def minimised(K_BUU: np.ndarray, f_BU: np.ndarray, label_BU: np.ndarray, own_BU: np.ndarray, poison_BU: np.ndarray) -> np.ndarray:
    """a [problems, rows] that minimises 1/2 a'Ka + sum of psi(K a): of an own row (weight 1) softplus(f + g) - sigmoid(f) g, of a poison
    row its weight times softplus(f + g) - label (f + g). Newton with halved steps; rows of weight 0 are padding.
    """
    weight_BU = own_BU + poison_BU
    slope_BU = own_BU * expit(f_BU) + poison_BU * label_BU  # the linear part, which is taken off
    scale_B = 1.0 + weight_BU.max(axis=1)
    dual_BU = np.zeros_like(f_BU)
    todo = np.arange(len(f_BU))
    for _ in range(STEPS):
        K, f, weight, slope, a = K_BUU[todo], f_BU[todo], weight_BU[todo], slope_BU[todo], dual_BU[todo]
        g = _times(K, a)
        p = expit(f + g)
        gradient = weight * p - slope
        left = np.abs(np.where(weight > 0, a + gradient, 0.0)).max(axis=1) > DONE * scale_B[todo]
        if not left.any():
            break
        todo, K, f, weight, slope, a, g, p, gradient = (each[left] for each in (todo, K, f, weight, slope, a, g, p, gradient))
        curvature = weight * p * (1 - p)
        root = np.sqrt(curvature)
        system = np.eye(K.shape[1]) + root[:, :, None] * K * root[:, None, :]
        b = curvature * g - gradient
        step = b - root * np.linalg.solve(system, (root * _times(K, b))[:, :, None])[:, :, 0] - a
        moved = _times(K, step)
        before, size = _objective(f, weight, slope, a, g), np.ones(len(todo))
        for _ in range(HALVINGS):
            after = _objective(f, weight, slope, a + size[:, None] * step, g + size[:, None] * moved)
            worse = ~(after <= before + 1e-12 * (1 + np.abs(before)))
            if not worse.any():
                break
            size[worse] /= 2
        dual_BU[todo] = a + size[:, None] * step
    return dual_BU


def _objective(f: np.ndarray, weight: np.ndarray, slope: np.ndarray, a: np.ndarray, g: np.ndarray) -> np.ndarray:
    value: np.ndarray = (0.5 * a * g + weight * np.logaddexp(0.0, f + g) - slope * g).sum(axis=1)
    return value


def _times(matrix_BUU: np.ndarray, vector_BU: np.ndarray) -> np.ndarray:
    product: np.ndarray = (matrix_BUU @ vector_BU[:, :, None])[:, :, 0]
    return product


def _with_one(phi: np.ndarray) -> np.ndarray:
    return np.concatenate([phi.astype(np.float64), np.ones((len(phi), 1))], axis=1)


def _curvature(f: np.ndarray) -> np.ndarray:
    p = expit(f)
    curvature: np.ndarray = p * (1 - p)
    return curvature


# ---- a last layer as a binary problem ---------------------------------------------------------------------------------


def log_odds(logits_RO: np.ndarray, y_R: np.ndarray, target: int) -> np.ndarray:
    """f of each row, float64 [rows]: how far the target class is ahead. logits_RO: of each class, or of the second of two.

    Of more than two classes it is ahead of the row's true class; of a row of the target class itself, ahead of all others together (the
    log of its odds). Two classes make both the same.
    """
    if logits_RO.shape[1] == 1:
        return logits_RO[:, 0] if target == 1 else -logits_RO[:, 0]
    others = np.delete(logits_RO, target, axis=1)
    top = others.max(axis=1)
    together = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    own = logits_RO[np.arange(len(y_R)), y_R]
    ahead: np.ndarray = logits_RO[:, target] - np.where(y_R == target, together, own)
    return ahead


def damage_of_rows(margin_MR: np.ndarray, shifted_MAR: np.ndarray, link: str, temperature: float) -> np.ndarray:
    """Predicted damage of each row, float64 [rates, rows]: the chance that it is right, as it was minus as it is left.

    Margins are of the true class, M clean models. link "sigmoid": of margin / temperature, mean over clean models; "normal": normal cdf of
    the mean margin over its s.d. across clean models.
    """
    if link == "sigmoid":
        damage: np.ndarray = (expit(margin_MR / temperature)[:, None] - expit(shifted_MAR / temperature)).mean(axis=0)
        return damage
    chances = [ndtr(each.mean(axis=0) / np.maximum(each.std(axis=0, ddof=1), LEAST_SPREAD)) for each in (margin_MR, shifted_MAR)]
    lost: np.ndarray = chances[0] - chances[1]
    return lost
