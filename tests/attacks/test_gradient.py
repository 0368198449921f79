"""Moved poison points: uphill, within bounds, whole steps, and the same as plain autograd says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.arrays import DiscoveryArrays, MovedPoints
from engine.attacks import gradient
from engine.attacks import poison as attacks
from engine.attacks.alignment import alignment, parameters_of
from engine.errors import BadData, RequestError, UnknownName
from engine.rows import Dataset, Membership, Poison, Subpopulation
from engine.scenario.sections import AttackSection, LabelFlipSection
from engine.system.pace import step_of
from tests.worlds.attacks import EACH, SIDE, ConvAdversary, pictures, prepare, section

LAYERS = ("last", "head", "conv2", "conv1.weight", "all")


def moved(attack: AttackSection, outputs: int = 3, dtype: torch.dtype = torch.float64, trials: int = 2, **more: object) -> MovedPoints:
    data, membership, found = pictures()
    adversary = ConvAdversary(data.aux.images, outputs, dtype)
    return prepare(attack, found, data, membership, adversary, seed=0, trials=range(trials), **more)


def naive(
    adversary: ConvAdversary, chosen: Sequence[int], rows: Sequence[int], labels: Sequence[int], x_BCHW: Tensor, y_B: Tensor
) -> Tensor:
    """Inner products by double backward, a point at a time: [batch], differentiable with respect to x."""
    params = [p.clone().requires_grad_() for p in adversary.params]
    some = [params[i] for i in chosen]
    attacker = F.cross_entropy(adversary.logits(params, adversary.pixels(adversary.images[rows])), torch.tensor(labels))
    along = torch.autograd.grad(attacker, some)
    values = []
    for x, y in zip(x_BCHW, y_B, strict=True):
        own = torch.autograd.grad(F.cross_entropy(adversary.logits(params, x[None]), y[None]), some, create_graph=True)
        values.append(sum((a * b).sum() for a, b in zip(along, own, strict=True)))
    return torch.stack(values)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_alignment_and_its_gradient_are_those_of_double_backward(layer: str) -> None:
    data, membership, _ = pictures()
    adversary = ConvAdversary(data.aux.images)
    rows = np.flatnonzero(membership.aux == 1)
    labels = np.full(len(rows), 1)
    target = alignment(layer, False, adversary, {1: (rows, labels)}, data.aux.images, torch.float64)
    x = adversary.pixels(data.aux.images[rows[:4]]).requires_grad_()
    y = torch.tensor([1, 1, 2, 0])
    chosen = [4, 5] if layer == "last" else parameters_of(layer, adversary.parameter_names)
    got, expected = target.values(x, y, np.full(4, 1)), naive(adversary, chosen, rows, labels, x, y)
    assert torch.allclose(got, expected, rtol=1e-10, atol=1e-14)
    [uphill], [reference] = torch.autograd.grad(got.sum(), x), torch.autograd.grad(expected.sum(), x)
    assert torch.allclose(uphill, reference, rtol=1e-8, atol=1e-14)
    assert not any(p.requires_grad for p in adversary.params)


@pytest.mark.parametrize("objective", ["inner", "cosine"])
def test_one_output_for_two_classes_is_the_sigmoids(objective: str) -> None:
    data, membership, _ = pictures(classes=2)
    adversary = ConvAdversary(data.aux.images, outputs=1)
    rows = np.flatnonzero(membership.aux == 0)
    target = alignment("last", objective == "cosine", adversary, {0: (rows, 1 - data.aux.y[rows])}, data.aux.images, torch.float64)
    x, y = adversary.pixels(data.aux.images[rows[:3]]), torch.tensor([1, 0, 1])
    params = [p.clone().requires_grad_() for p in adversary.params]

    def own(pixels: Tensor, labels: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(adversary.logits(params, pixels)[:, 0], labels.double())
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, params[4:])])

    along = own(adversary.pixels(data.aux.images[rows]), torch.from_numpy(1 - data.aux.y[rows]))
    each = torch.stack([own(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    expected = F.cosine_similarity(each, along[None]) if objective == "cosine" else each @ along
    assert torch.allclose(target.values(x, y, np.zeros(3, int)), expected, rtol=1e-9)


def test_naming_the_last_layers_parameters_is_the_last_layer() -> None:
    last, head = moved(section()), moved(section(layer="head"))
    assert np.allclose(last.after, head.after, rtol=1e-9)
    assert np.array_equal(last.delta, head.delta)


@pytest.mark.parametrize("rule", ["gradient", "sign"])
@pytest.mark.parametrize(("layer", "objective"), [("last", "inner"), ("last", "cosine"), ("all", "inner")])
def test_points_go_uphill_within_their_bounds(rule: str, layer: str, objective: str) -> None:
    size = 0.005 if rule == "sign" else 0.2
    attack = section(step_rule=rule, step_size=size, layer=layer, objective=objective)
    got = moved(attack, dtype=torch.float32)
    assert got.after.mean() > got.before.mean()
    assert (got.after > got.before).mean() > 0.9
    data = pictures()[0]
    delta = gradient.delta_of(attack, got, np.arange(len(got.rows)))
    pixels = data.aux.images[got.rows] / 255 + delta
    assert abs(delta).max() <= np.float32(attack.bound)
    assert -1e-7 <= pixels.min() <= pixels.max() <= 1 + 1e-7
    assert got.share == pytest.approx(abs(delta).mean((1, 2, 3)) / attack.bound, rel=1e-5)
    if objective == "cosine":
        assert abs(got.after).max() <= 1
    stored = DiscoveryArrays(prepared=got).by_name()
    assert {name: (array.dtype.name, array.shape[1:]) for name, array in stored.items()} == {
        "moved.rows": ("int64", ()),
        "moved.subpopulation": ("int32", ()),
        "moved.delta": ("int8", (SIDE, SIDE, 3)),
        "moved.before": ("float64", ()),
        "moved.after": ("float64", ()),
        "moved.share": ("float32", ()),
    }


def test_what_is_reported_after_is_of_the_point_that_victims_see() -> None:
    attack = section(step_size=5.0)
    got = moved(attack)
    data, membership, _ = pictures()
    adversary = ConvAdversary(data.aux.images)
    labels_of = {s: (np.flatnonzero(membership.aux == s), np.full(EACH, 1)) for s in range(3)}
    target = alignment("last", False, adversary, labels_of, data.aux.images, torch.float64)
    start = adversary.pixels(data.aux.images[got.rows])
    y, where = torch.ones(len(start), dtype=torch.int64), got.subpopulation
    seen = start + torch.from_numpy(gradient.delta_of(attack, got, np.arange(len(start))).astype(np.float64)).permute(0, 3, 1, 2)
    assert np.allclose(target.values(start, y, where), got.before, rtol=1e-12)
    assert np.allclose(target.values(seen.clamp(0, 1), y, where), got.after, rtol=1e-5)
    assert abs(got.delta).max() == 127


def test_whole_steps_are_the_nearest_that_stay_inside() -> None:
    start = torch.tensor([0, 1, 128, 254, 255]) / 255
    bound = 1 / 510
    for wish in (-bound, -bound / 3, 0.0, bound / 2, bound):
        steps = gradient.quantised(torch.full((5,), wish), start, bound).double()
        end = start.double() + steps * bound / 127
        assert end.min() >= -1e-7
        assert end.max() <= 1 + 1e-7
        free = (start.double() + wish >= 0) & (start.double() + wish <= 1)
        assert ((steps * bound / 127 - wish).abs()[free] <= bound / 127 / 2 * 1.001).all()


def test_a_step_costs_one_pass_and_the_end_one_more() -> None:
    data, membership, found = pictures()
    adversary = ConvAdversary(data.aux.images)
    before = torch.get_num_threads()
    prepare(section(steps=9), found, data, membership, adversary, seed=0, trials=range(1))
    assert adversary.passes == 2 + 9 + 1  # the hidden features of aux, and a probe of a few pictures for the size of a batch
    assert torch.get_num_threads() == before


def test_each_point_is_moved_once_and_only_those_that_are_drawn() -> None:
    got = moved(section(alphas=[0.5, 1.0]), trials=3)
    data, membership, found = pictures()
    expected = set()
    for s in found[:3]:
        for trial in range(3):
            poison = attacks.poison(LabelFlipSection(), s, data, membership, alpha=1.0, trial=trial, seed=0, proba_aux=None, arm="poisoned")
            expected |= {(s.index, int(row)) for row in poison.rows}
    pairs = list(zip(got.subpopulation.tolist(), got.rows.tolist(), strict=True))
    assert pairs == sorted(expected)


def poisons(
    attack: AttackSection, prepared: MovedPoints | None, arm: str, alpha: float = 2.0
) -> tuple[Poison, Dataset, Membership, Subpopulation]:
    data, membership, found = pictures()
    return (
        attacks.poison(attack, found[1], data, membership, alpha=alpha, trial=1, seed=0, proba_aux=None, arm=arm, prepared=prepared),
        data,
        membership,
        found[1],
    )


def test_poison_is_label_flippings_draw_moved_and_its_controls_are_what_they_say() -> None:
    attack = section(steps=2)
    points = moved(attack)
    hit, data, membership, s = poisons(attack, points, "poisoned")
    flip, *_ = poisons(attack, points, "label_flip")
    true, *_ = poisons(attack, points, "true_label")
    plain = attacks.poison(LabelFlipSection(), s, data, membership, alpha=2.0, trial=1, seed=0, proba_aux=None, arm="poisoned")
    assert np.array_equal(flip.rows, plain.rows)
    assert np.array_equal(flip.labels, plain.labels)
    assert flip.moved is None
    assert np.array_equal(hit.rows, flip.rows)
    assert np.array_equal(hit.labels, flip.labels)
    assert np.array_equal(points.rows[hit.moved], hit.rows)
    assert set(points.subpopulation[hit.moved]) == {1}
    assert np.array_equal(true.moved, hit.moved)
    assert np.array_equal(true.labels, data.aux.y[hit.rows])
    assert gradient.delta_of(attack, points, hit.moved).shape == (20, SIDE, SIDE, 3)
    few, *_ = poisons(attack, points, "poisoned", 0.5)
    assert np.array_equal(few.moved, hit.moved[:5])
    none, *_ = poisons(attack, points, "clean")
    assert len(none) == 0


def test_points_that_are_not_there_are_missed_in_words() -> None:
    attack = section(steps=1)
    with pytest.raises(BadData, match="optimised poison points are missing"):
        poisons(attack, None, "poisoned")
    points = moved(attack, trials=1)
    with pytest.raises(BadData, match="poison points of subpopulation 1 are missing"):
        poisons(attack, replace(points, rows=points.rows + 1000), "poisoned")


def test_progress_is_told_and_requests_are_met_at_every_step() -> None:
    shares, calls = [], []
    moved(section(steps=4), progress=lambda what, share: shares.append((what, share)), check=lambda: calls.append(None))
    assert {step_of(what) for what, _ in shares} == {"optimising poison points"}
    at = [what.split(", ")[1:] for what, _ in shares[1:]]
    assert {of for of, *_ in at} == {"subpopulations 1 to 3 of 3"}  # the last layer takes them together
    assert [step for _, step, _ in at] == [f"step {min(step, 4)} of 4" for step in range(1, 6)]
    aligned = [float(words.removeprefix("alignment ")) for *_, words in at]
    assert aligned[-1] > aligned[0]  # uphill
    alone: list[str] = []
    moved(section(steps=1, layer="conv2"), progress=lambda what, share: alone.append(what))
    assert {what.split(", ")[1] for what in alone[1:]} == {f"subpopulation {s} of 3" for s in (1, 2, 3)}
    assert [share for _, share in shares] == sorted(share for _, share in shares)
    assert shares[-1][1] == 1.0
    assert len(calls) == 5


def test_no_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, real = moved(section(steps=3)), gradient.move

    def short(attack: AttackSection, start: Tensor, *rest: object) -> object:
        if len(start) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(attack, start, *rest)

    monkeypatch.setattr(gradient, "move", short)
    halved = moved(section(steps=3))
    assert all(np.allclose(getattr(whole, f.name), getattr(halved, f.name), rtol=1e-9) for f in fields(whole) if f.name != "features")


def test_what_cannot_be_moved_is_refused() -> None:
    data, membership, found = pictures()
    adversary = ConvAdversary(data.aux.images)

    def refused(attack: AttackSection, what: str, kind: type[Exception] = RequestError) -> None:
        with pytest.raises(kind, match=what):
            prepare(attack, found, data, membership, adversary, seed=0, trials=range(1))

    refused(section(layer="conv"), "no layer called 'conv'; did you mean 'conv[12]'", UnknownName)
    refused(section(layer="all", objective="cosine"), "is for the last layer alone")
    adversary.network = None
    refused(section(layer="all"), "the last layer alone")
    adversary.differentiable = None  # type: ignore[method-assign,assignment]
    refused(section(), "moves the pixels of pictures")
