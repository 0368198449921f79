"""Every way of training networks is held to `sequential.py`."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import Interrupted, RunFailed
from engine.models import build as models
from engine.scenario.sections import ConvSection, TorchvisionSection, VggSection
from engine.training.networks import stack as network_stack
from engine.training.networks.choose import WAYS, train_networks, way_for
from engine.training.parts import can_fork
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import train_network_sequential
from engine.training.trial import How, Trial
from tests.worlds import networks as world
from tests.worlds.networks import Small

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SIZES = [0, 3, 7, 19]  # poison points: none, fewer than steps, more than steps
F32, F64 = torch.float32, torch.float64


def conv(side: int = 8) -> models.Network:
    return models.network_of(ConvSection(), 3, (side, side))


def vgg() -> models.Network:
    return models.network_of(VggSection(depth=11), 3, (32, 32))


def resnet() -> models.Network:
    return models.network_of(TorchvisionSection(architecture="resnet18"), 3, (32, 32))


def init_of(model, dtype=F64) -> list[torch.Tensor]:
    return model.init(torch.Generator().manual_seed(3), dtype)


def fast(
    model, jobs: list[Job], recipe: Recipe, *, dtype=F64, device=CPU, side=8, rows=40, autocast=False, finish=None, way=None, **more
) -> list[Trained]:
    data = world.training(rows, side=side, device=device)
    return train_networks(
        model, init_of(model, dtype), data, jobs, recipe, Trial(1, 2, How(device, dtype, autocast), **more), finish, way=way
    )


def slow(model, jobs: list[Job], recipe: Recipe, *, dtype=F64, device=CPU, side=8, rows=40, max_steps=None) -> list[Trained]:
    init = [p.to(device) for p in init_of(model, dtype)]
    data = world.training(rows, side=side, device=device)
    return [train_network_sequential(model, init, data, job, recipe, Trial(1, 2, max_steps=max_steps)) for job in jobs]


def gaps(a: list[Trained], b: list[Trained]) -> torch.Tensor:
    """Differences of all parameters and buffers."""
    return torch.cat(
        [(p.cpu() - q.cpu()).abs().flatten() for s, t in zip(a, b, strict=True) for p, q in zip(s.params, t.params, strict=True)]
    )


def gap(a: list[Trained], b: list[Trained]) -> float:
    return float(gaps(a, b).max())


def losses(trained: list[Trained]) -> list[float]:
    return [t.train_loss for t in trained]


# ---- equal to the reference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("per_rows", [False, True])
def test_a_small_network_equals_sequential_in_float64_over_tens_of_steps(way, augment: bool, moved: bool, per_rows: bool):
    recipe = Recipe(epochs=8, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=per_rows, augment=augment)  # 4 steps an epoch, the last of 4
    jobs = world.jobs(SIZES, moved=moved)
    a, b = fast(Small(), jobs, recipe, way=way), slow(Small(), jobs, recipe)
    assert gap(a, b) < 1e-11
    assert losses(a) == pytest.approx(losses(b), rel=1e-11)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("augment", [False, True])
def test_conv_equals_sequential_in_float64_over_tens_of_steps(way, augment: bool):
    recipe = Recipe(epochs=5, batch=12, lr=1e-3, weight_decay=1e-3, augment=augment)
    jobs = world.jobs([0, 3, 19], moved=augment)
    a, b = fast(conv(), jobs, recipe, way=way), slow(conv(), jobs, recipe)
    assert gap(a, b) < 1e-10
    assert losses(a) == pytest.approx(losses(b), rel=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_vgg_equals_sequential_in_float64_over_a_few_steps(way):
    recipe = Recipe(epochs=2, batch=6, lr=1e-4, weight_decay=0.02, augment=True)
    jobs, size = world.jobs([0, 5], side=32, moved=True), {"side": 32, "rows": 10}
    a, b = fast(vgg(), jobs, recipe, way=way, **size), slow(vgg(), jobs, recipe, **size)
    assert gap(a, b) < 1e-10
    assert losses(a) == pytest.approx(losses(b), rel=1e-10)


def test_batch_norms_buffers_follow_and_equal_sequential_in_float64():
    model, recipe = resnet(), Recipe(epochs=2, batch=8, lr=1e-4, augment=True)
    jobs, size = world.jobs([0, 5], side=32), {"side": 32, "rows": 9}  # the last step of the clean victim is a row alone
    a, b = fast(model, jobs, recipe, **size), slow(model, jobs, recipe, **size)
    assert gap(a, b) < 1e-8  # a division by a batch's spread magnifies rounding
    assert losses(a) == pytest.approx(losses(b), rel=1e-8)
    first = init_of(model)
    assert not any(torch.equal(p, q) for p, q in zip(first[model.trainable :], a[0].params[model.trainable :], strict=True))
    again = init_of(model)
    assert all(torch.equal(p, q) for p, q in zip(first, again, strict=True)), "training changed the weights it started from"


@pytest.mark.parametrize(
    ("make", "side", "ways"), [(conv, 8, tuple(WAYS)), (vgg, 32, tuple(WAYS)), (resnet, 32, ("one_by_one",))], ids=["conv", "vgg", "resnet"]
)
def test_one_step_in_float32_equals_sequential(make, side: int, ways):
    model, recipe = make(), Recipe(epochs=1, batch=12, lr=1e-3, weight_decay=1e-3, augment=True)
    jobs = world.jobs([0, 19], side=side, moved=True)
    b = slow(model, jobs, recipe, side=side, dtype=F32, max_steps=1)
    for way in ways:
        a = fast(model, jobs, recipe, side=side, dtype=F32, max_steps=1, way=way)
        assert losses(a) == pytest.approx(losses(b), rel=1e-5)
        # Adam's first step is lr times the gradient's sign, whatever its size: leave out the few whose sign rounding can turn
        assert float((gaps(a, b) > 1e-5).double().mean()) < 0.02


def test_dropout_is_drawn_for_the_step_and_leaves_the_processs_own_numbers():
    model, recipe = Small(has_dropout=True), Recipe(epochs=3, batch=12, lr=1e-2)
    jobs = world.jobs(SIZES)
    state = torch.get_rng_state()
    a, b = fast(model, jobs, recipe), slow(model, jobs, recipe)
    assert torch.equal(torch.get_rng_state(), state)
    assert gap(a, b) < 1e-11
    assert gap(a, fast(Small(), jobs, recipe)) > 1e-3


def test_plateau_narrows_the_stack_and_each_victim_stops_where_it_would_alone():
    recipe = Recipe(epochs=60, batch=12, lr=3e-2, stop="plateau", tol=2e-2, patience=1)
    jobs = world.jobs(SIZES, moved=True)
    b = slow(Small(), jobs, recipe)
    assert len({t.epochs for t in b}) > 1, "all stopped together: the world does not test what it should"
    for way in WAYS:
        a = fast(Small(), jobs, recipe, way=way)
        assert [t.epochs for t in a] == [t.epochs for t in b]
        assert gap(a, b) < 1e-9


def test_moved_points_and_augmentation_change_the_victim():
    recipe = Recipe(epochs=2, batch=12, lr=1e-2)
    [job] = world.jobs([12], moved=True)
    unmoved = Job(job.rows, job.labels)
    plain = fast(Small(), [unmoved], recipe)
    assert gap(plain, fast(Small(), [job], recipe)) > 1e-3
    assert gap(plain, fast(Small(), [unmoved], Recipe(epochs=2, batch=12, lr=1e-2, augment=True))) > 1e-3
    still = Job(job.rows, job.labels, np.zeros_like(job.delta))
    assert gap(plain, fast(Small(), [still], recipe)) == 0.0


# ---- plans, bits, memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_same_plan_gives_the_same_bits_twice(way):
    recipe, jobs = Recipe(epochs=2, batch=12, lr=1e-3, augment=True), world.jobs(SIZES, moved=True)
    a, b = (fast(conv(), jobs, recipe, dtype=F32, way=way) for _ in range(2))
    assert gap(a, b) == 0.0


def test_predictions_hardly_depend_on_who_shares_the_stack():
    """The share of equal predictions across stacks of 1, 2 and 4, and one by one, after 32 steps in float32."""
    model, recipe, jobs = conv(), Recipe(epochs=8, batch=12, lr=3e-4, augment=True), world.jobs([0, 7, 19, 11])
    x_test = torch.from_numpy(world.pictures(300, 8, 3, 9)[0])

    def predictions(trained: list[Trained]) -> torch.Tensor:
        return torch.stack([model.predict(model.logits(t.params, model.pixels(x_test))) for t in trained])

    whole = predictions(fast(model, jobs, recipe, dtype=F32, way="vmapped"))
    for size in (1, 2):
        parts = [t for lo in range(0, 4, size) for t in fast(model, jobs[lo : lo + size], recipe, dtype=F32, way="vmapped")]
        share = float((predictions(parts) == whole).double().mean())
        print(f"stacks of {size} against one of 4: {share:.4f} of predictions equal")
        assert share > 0.98
    share = float((predictions(fast(model, jobs, recipe, dtype=F32)) == whole).double().mean())
    print(f"one by one against a stack of 4: {share:.4f} of predictions equal")
    assert share > 0.98
    assert len(whole.unique()) > 1, "the victims predict one class alone: the share says nothing"


def test_out_of_memory_halves_the_stack_and_goes_on(monkeypatch):
    recipe, jobs = Recipe(epochs=2, batch=12, lr=1e-2), world.jobs([0, 5, 9, 19, 14, 2, 11])
    whole = fast(Small(), jobs, recipe, way="vmapped")
    asked, halved = [], []
    real = network_stack._gradients

    def small_device(shared, tensors, rows):
        asked.append(len(tensors[0]))
        if asked[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(shared, tensors, rows)

    monkeypatch.setattr(network_stack, "_gradients", small_device)
    room = 2
    got = fast(Small(), jobs, recipe, way="vmapped", on_halved=halved.append)
    assert halved == [7, 3]
    assert gap(got, whole) < 1e-12
    room = 0
    with pytest.raises(RunFailed, match=r"does not fit.*model\.batch"):
        fast(Small(), jobs, recipe, way="vmapped")


def test_the_way_follows_the_device_and_the_network():
    cuda = torch.device("cuda")
    assert way_for(conv(), init_of(conv()), cuda) == "vmapped"
    assert way_for(conv(), init_of(conv()), CPU) == "one_by_one"
    for alone in (vgg(), resnet(), Small(norm=True), Small(has_dropout=True)):
        assert way_for(alone, init_of(alone), cuda) == "one_by_one"

    class Text(Small):
        cuts_batches = True

    assert way_for(Text(), init_of(Text()), cuda) == "one_by_one"


def test_bfloat16_learns_what_float32_learns():
    model, recipe, jobs = Small(), Recipe(epochs=8, batch=12, lr=1e-2), world.jobs([0, 7])
    x, y = world.pictures(300, 8, 3, 9)

    def accuracy(trained: list[Trained]) -> float:
        x_test = model.pixels(torch.from_numpy(x))
        right = [model.predict(model.logits(t.params, x_test)) == torch.from_numpy(y) for t in trained]
        return float(torch.stack(right).double().mean())

    plain = accuracy(fast(model, jobs, recipe, dtype=F32))
    assert plain > 0.9
    for way in WAYS:
        trained = fast(model, jobs, recipe, dtype=F32, autocast=True, way=way)
        assert trained[0].params[0].dtype == F32
        assert accuracy(trained) == pytest.approx(plain, abs=0.1)


# ---- parts, requests ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not can_fork(), reason="parts have processes on Linux only")
@pytest.mark.parametrize(("model", "most"), [(Small(), 1e-11), (Small(norm=True), 1e-7)], ids=["plain", "batch norm"])
def test_parts_side_by_side_train_the_same_victims(model, most: float):
    """After the calling process has used threads of its own, too: a fork has none of them."""
    recipe, jobs, seen = Recipe(epochs=3, batch=12, lr=1e-2, augment=True), world.jobs([0, 5, 19], moved=True), []
    [alone] = fast(model, jobs[:1], recipe, workers=2)
    apart = fast(model, jobs, recipe, workers=2, on_step=lambda done, total: seen.append((done, total)))
    b = slow(model, jobs, recipe)
    # a bias below batch norm has no gradient but rounding, which Adam divides by little more than itself
    assert gap(apart, b) < most
    assert gap([alone], b[:1]) < most
    assert losses(apart) == pytest.approx(losses(b), rel=1e-9)
    assert seen == sorted(seen)
    assert seen[-1] == (3, 3)


@pytest.mark.skipif(not can_fork(), reason="parts have processes on Linux only")
@pytest.mark.parametrize("workers", [1, 2])
def test_what_finish_makes_of_a_victim_is_kept_in_its_place(workers: int):
    model, recipe, jobs = Small(), Recipe(epochs=1, batch=12, lr=1e-2), world.jobs([0, 5, 19])
    x_test = torch.from_numpy(world.pictures(30, 8, 3, 9)[0])

    def predict(params: list[torch.Tensor], report: Any = lambda share: None) -> list[torch.Tensor]:
        report(0.5)
        return [model.predict(model.logits(params, model.pixels(x_test).to(params[0].dtype))), params[1].sum(), torch.empty(0, 3)]

    whole = fast(model, jobs, recipe)
    for way in WAYS:
        seen: list[float] = []
        left = fast(
            model, jobs, recipe, workers=workers, finish=predict, way=way, asked=0.5, on_step=lambda done, of, seen=seen: seen.append(done)
        )
        assert seen == sorted(seen)
        assert seen[-1] == 3
        assert workers > 1 or any(2.5 < done < 3 for done in seen)  # the last one is being asked
        for victim, t in zip(whole, left, strict=True):
            predicted, total, nothing = t.params
            expected = predict(victim.params)
            assert predicted.dtype == torch.uint8
            assert torch.equal(predicted, expected[0])
            assert total.item() == pytest.approx(expected[1].item(), rel=1e-9)
            assert nothing.shape == (0, 3)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_a_stop_is_met_within_a_step_or_few(workers: int, way):
    recipe, jobs, calls = Recipe(epochs=100_000, batch=12, lr=1e-2), world.jobs([0, 5, 9]), []

    def stop(done, total):
        calls.append(done)
        if len(calls) > 3:
            raise Interrupted("stop was asked for")

    threads = torch.get_num_threads()
    with pytest.raises(Interrupted, match="asked for"):
        fast(Small(), jobs, recipe, workers=workers, on_step=stop, way=way)
    assert torch.get_num_threads() == threads
    assert threading.active_count() >= 1
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no part is left behind


def test_data_stay_as_they_were():
    data = world.training()
    copy = Training(data.x_NF.clone(), data.y_N.clone(), data.x_AF.clone())
    init, recipe = init_of(Small()), Recipe(epochs=1, batch=12, lr=1e-2, augment=True)
    for way in WAYS:
        train_networks(
            Small(), init, data, world.jobs([7], moved=True), recipe, Trial(0, 0, How(device=CPU, dtype=F64), max_steps=2), way=way
        )
    assert torch.equal(data.x_NF, copy.x_NF)
    assert torch.equal(data.x_AF, copy.x_AF)
