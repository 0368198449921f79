"""Poison points whose pixels are moved so that the gradient of their loss aligns with that of the attacker's loss (paper, section 5.6).

Each starts as a label-flipped copy of an auxiliary picture and takes `steps` steps uphill: step_size times the gradient of its own
alignment with respect to its pixels (0 to 1), or times the gradient's sign; after every step it is brought back to within `bound` of the
original and to 0..1. What is kept of a point is how far each pixel moved in whole steps of bound / 127, and that is what every victim sees
and what the reported alignment is of. Published as 50 steps of 0.2 within 1/100; whether the authors' steps were of a batch's mean is not
known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.arrays import MovedPoints, Prepared
from engine.attacks import label_flip
from engine.attacks.alignment import Alignment, alignment
from engine.attacks.draw import draw
from engine.attacks.model import AdversaryModel, Check, Progress
from engine.attacks.points import Points, drawn
from engine.errors import BadData, RequestError
from engine.milestones import NOTHING_KEPT, Arrays, Milestones
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import GradientSection
from engine.system.threads import all_cores

LEVELS = 127  # of an int8, on either side of the original
MOST_ROWS = {"cpu": 64, "cuda": 1024}  # pictures at a time
CPU_BYTES = 2**29  # what a batch's activations may take; on a GPU a quarter of its memory. Not of what is free: same batches, same bits
PROBED = 4  # pictures whose activations are measured
PHASE = "optimising poison points"
PARTS = ("delta", "before", "after")  # what is kept of a batch

Report = Callable[[int, float], None]  # (steps done of a batch, its points' mean alignment)


def prepare(
    attack: GradientSection,
    subpopulations: Sequence[Subpopulation],
    dataset: Dataset,
    membership: Membership,
    adversary: AdversaryModel,
    *,
    seed: int,
    trials: Sequence[int],
    proba_aux: np.ndarray | None,
    progress: Progress,
    check: Check,
    milestones: Milestones,
) -> MovedPoints:
    """Every point that a victim of the run may draw, moved."""
    images = dataset.aux.images
    if images is None or adversary.differentiable is None:
        raise RequestError(
            "moves the pixels of pictures, and this dataset or the adversary's model has none",
            where='attack.kind = "gradient"',
            next='use "influence" or "label_flip"',
        )
    points = drawn(attack, subpopulations, dataset, membership, seed=seed, trials=trials, proba_aux=proba_aux)
    labels_of = {}
    for s in subpopulations:
        rows = np.flatnonzero(membership.aux == s.index)
        if s.attacked and len(rows) and (points.subpopulation == s.index).any():
            labels_of[s.index] = rows, label_flip.labels(s, dataset, rows, proba_aux)
    delta = np.zeros((len(points), *images.shape[1:]), np.int8)
    before, after = np.zeros(len(points)), np.zeros(len(points))
    if len(points):
        progress(PHASE, 0.0)
        with all_cores(adversary.params[0].device):
            dtype = adversary.pixels(images[:1]).dtype
            target = alignment(attack.layer, attack.objective == "cosine", adversary, labels_of, images, dtype)
            _move_all(attack, points, images, adversary, target, delta, before, after, progress, check, milestones)
    share = (np.abs(delta.astype(np.int16)).mean(axis=(1, 2, 3)) / LEVELS).astype(np.float32)
    return MovedPoints(points.rows, points.subpopulation, before, after, share, delta)


def choose(
    subpopulation: Subpopulation, members: np.ndarray, points: int, prepared: Prepared | None, *, seed: int, trial: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that label flipping would draw, int64 [points], and which moved point stands for each, int64 [points]."""
    rows = draw(members, points, seed=seed, trial=trial, subpopulation=subpopulation.index)
    if not isinstance(prepared, MovedPoints):
        raise BadData("the optimised poison points are missing", where="stored discovery", next="start the run anew")
    numbers = np.flatnonzero(prepared.subpopulation == subpopulation.index)
    moved_rows = prepared.rows[numbers]  # ascending
    at = np.searchsorted(moved_rows, rows)
    if len(rows) and (at.max() >= len(moved_rows) or (moved_rows[at] != rows).any()):
        raise BadData(
            f"poison points of subpopulation {subpopulation.index} are missing", where="stored discovery", next="start the run anew"
        )
    return rows, numbers[at]


def delta_of(attack: GradientSection, points: MovedPoints, numbers: np.ndarray) -> np.ndarray:
    """How far the pixels (0 to 1) of the points of these numbers, int64 [points], were moved: float32 [points, height, width, 3]."""
    assert points.delta is not None
    return points.delta[numbers].astype(np.float32) * np.float32(attack.bound / LEVELS)


# ---- moving ---------------------------------------------------------------------------------------------------------


def _move_all(
    attack: GradientSection,
    points: Points,
    images: np.ndarray,
    adversary: AdversaryModel,
    target: Alignment,
    delta: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    progress: Progress,
    check: Check,
    milestones: Milestones,
) -> None:
    """Fill delta, before and after, batch by batch, each of which is a milestone. Where memory ran out the batches that follow are smaller,
    and as small where the work is gone on with: what company a point had decides its last bits.
    """
    total = len(points) * (attack.steps + 1)
    aimed_at = np.unique(points.subpopulation)  # ascending, as the points are
    most = _rows_at_once(points, images, adversary, target)
    lo = 0
    while lo < len(points):
        batch = slice(lo, _end(points, lo, most, target.one_target))

        first, last = (int(np.searchsorted(aimed_at, points.subpopulation[at])) + 1 for at in (lo, batch.stop - 1))
        of = f"subpopulation{f' {first}' if first == last else f's {first} to {last}'} of {len(aimed_at)}"

        def report(steps: int, aligned: float, lo: int = lo, rows: int = batch.stop - lo, of: str = of) -> None:
            at = f"step {min(steps, attack.steps)} of {attack.steps}, alignment {aligned:.3g}"
            progress(f"{PHASE}, {of}, {at}", (lo * (attack.steps + 1) + steps * rows) / total)
            check()

        name = f"poison points, from {lo}"

        def make(batch: slice = batch, report: Report = report, name: str = name, most: int = most) -> Arrays:
            pixels_BCHW = adversary.pixels(images[points.rows[batch]]).detach()
            labels_B = torch.from_numpy(points.labels[batch]).to(pixels_BCHW.device)
            parts = move(attack, pixels_BCHW, labels_B, points.subpopulation[batch], target, report, milestones, name)
            return {**dict(zip(PARTS, parts, strict=True)), "most": np.array([most])}

        try:
            moved = milestones.step(name, make)
        except torch.OutOfMemoryError:
            if most == 1:
                raise
            most = max(1, most // 2)
            continue
        most = int(moved["most"][0])
        batch = slice(lo, lo + len(moved["before"]))
        delta[batch], before[batch], after[batch] = (moved[part] for part in PARTS)
        lo = batch.stop


def move(
    attack: GradientSection,
    start_BCHW: Tensor,
    labels_B: Tensor,
    targets: np.ndarray,
    target: Alignment,
    report: Report = lambda steps, aligned: None,
    milestones: Milestones = NOTHING_KEPT,
    name: str = "",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move one batch of pictures. Returns delta int8 [batch, height, width, 3], and the alignment before and after, float64 [batch].

    The first step's forward pass gives the alignment before; the one after costs one forward pass more. Where the pixels stand after a
    step is all that the next one is made of: with it, under `name`, a batch that was stopped goes on.
    """
    low, high = (start_BCHW - attack.bound).clamp_min_(0), (start_BCHW + attack.bound).clamp_max_(1)
    x_BCHW, before_B, first = start_BCHW, torch.zeros(len(start_BCHW)), 0
    stood = milestones.state(name)
    if stood is not None and len(stood["x"]) == len(start_BCHW):
        x_BCHW = torch.empty_like(start_BCHW).copy_(torch.from_numpy(stood["x"]))  # laid out as it was: that decides last bits
        before_B, first = torch.from_numpy(stood["before"]).to(start_BCHW.device), int(stood["steps"][0])
    for step in range(first, attack.steps):
        x_BCHW = x_BCHW.detach().requires_grad_()
        value_B = target.values(x_BCHW, labels_B, targets)
        if step == 0:
            before_B = value_B.detach()
        [uphill] = torch.autograd.grad(value_B.sum(), x_BCHW)
        with torch.no_grad():
            uphill = uphill.sign() if attack.step_rule == "sign" else uphill
            x_BCHW = torch.add(x_BCHW, uphill, alpha=attack.step_size).clamp_(low, high)
        milestones.hold(name, partial(_stands, x_BCHW, before_B, step + 1))
        report(step + 1, float(value_B.detach().mean()))
    with torch.no_grad():
        steps_BCHW = quantised(x_BCHW - start_BCHW, start_BCHW, attack.bound)
        moved_BCHW = (start_BCHW + steps_BCHW.to(start_BCHW.dtype) * (attack.bound / LEVELS)).clamp_(0, 1)
        after_B = target.values(moved_BCHW, labels_B, targets)
    report(attack.steps + 1, float(after_B.mean()))
    return steps_BCHW.permute(0, 2, 3, 1).cpu().numpy(), before_B.double().cpu().numpy(), after_B.double().cpu().numpy()


def _stands(x_BCHW: Tensor, before_B: Tensor, steps: int) -> Arrays:
    return {"x": x_BCHW.detach().cpu().contiguous().numpy(), "before": before_B.cpu().numpy(), "steps": np.array([steps])}


def quantised(delta: Tensor, start: Tensor, bound: float) -> Tensor:
    """delta in whole steps of bound / 127, int8, to the nearest that keeps start + delta within 0..1; start is in 0..1."""
    unit, slack = bound / LEVELS, 1e-6  # of a step: rounding alone is no reason to give one up
    least, most = -((start.double() / unit + slack).floor()), ((1 - start.double()) / unit + slack).floor()
    return (delta.double() / unit).round_().clamp_(-LEVELS, LEVELS).clamp_(least, most).to(torch.int8)


# ---- batches --------------------------------------------------------------------------------------------------------


def _end(points: Points, lo: int, most: int, one_target: bool) -> int:
    """Where the batch that starts at `lo` ends."""
    end = min(lo + most, len(points))
    if one_target:
        end = min(end, int(np.searchsorted(points.subpopulation, points.subpopulation[lo], side="right")))
    return end


def _rows_at_once(points: Points, images: np.ndarray, adversary: AdversaryModel, target: Alignment) -> int:
    """How many pictures a batch may have: by what autograd keeps of a few, three times over for what it makes of it."""
    few = slice(0, _end(points, 0, PROBED, target.one_target))
    pixels = adversary.pixels(images[points.rows[few]]).detach().requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.dim() and tensor.shape[0] == len(pixels):  # activations, not weights
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        target.values(pixels, torch.from_numpy(points.labels[few]).to(pixels.device), points.subpopulation[few])
    each = 3 * max(sum(kept.values()) / len(pixels), pixels[0].numel() * pixels.element_size())
    budget = torch.cuda.get_device_properties(pixels.device).total_memory / 4 if pixels.is_cuda else CPU_BYTES
    return max(1, min(int(budget / each), MOST_ROWS["cuda" if pixels.is_cuda else "cpu"]))
