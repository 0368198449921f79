"""The trainers agree: sequential is the reference, stacked and union are held to it, and all of them to scikit-learn's arithmetic."""

from __future__ import annotations

import os
import signal
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from engine.errors import Interrupted, RunFailed
from engine.models.dense.mlp import Mlp
from engine.training.adam import StackAdam
from engine.training.dense import train_stacked
from engine.training.parts import can_fork
from engine.training.recipe import Job, Plateau, Recipe, Trained
from engine.training.reference.sequential import fit, train_sequential
from engine.training.schedule import Schedule
from engine.training.sizing import measured_size
from engine.training.trial import Trial
from tests.studies.union import train_union
from tests.worlds import rows as worlds
from tests.worlds.rows import CPU

SIZES = [0, 3, 11, 26, 60]  # poison points: none, fewer than steps, more than steps
MODELS = [Mlp(7, (10,), 2), Mlp(7, (), 2), Mlp(7, (6, 5), 2), Mlp(7, (10,), 4), Mlp(7, (), 4), Mlp(7, (6, 5), 4)]


def stacked(model: Mlp, jobs: list[Job], recipe: Recipe, *, dtype=torch.float64, device=CPU, classes=None, **more) -> list[Trained]:
    data = worlds.training(classes=model.classes, dtype=dtype, device=device)
    inits = [worlds.init(model, dtype)] * len(jobs)
    return train_stacked(lambda params: model.stack(params, device, dtype), inits, data, jobs, recipe, Trial(1, 2, **more))


def one_by_one(model: Mlp, jobs: list[Job], recipe: Recipe, *, dtype=torch.float64, device=CPU, max_steps=None) -> list[Trained]:
    data = worlds.training(classes=model.classes, dtype=dtype, device=device)
    init = [p.to(device) for p in worlds.init(model, dtype)]
    return [train_sequential(model, init, data, job, recipe, Trial(1, 2, max_steps=max_steps)) for job in jobs]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("per_rows", [True, False])
def test_stacked_equals_sequential_in_float64_over_tens_of_steps(model: Mlp, per_rows: bool):
    recipe = Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=per_rows)  # 11 steps an epoch, the last one short
    jobs = worlds.jobs(SIZES, model.classes)
    a, b = stacked(model, jobs, recipe), one_by_one(model, jobs, recipe)
    assert worlds.worst_gap(a, b) < 1e-11
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_stacked_equals_sequential_in_float32_over_one_step(model: Mlp):
    recipe = Recipe(epochs=1, batch=12, lr=1e-2, weight_decay=1e-2)
    jobs = worlds.jobs(SIZES, model.classes)
    a = stacked(model, jobs, recipe, dtype=torch.float32, max_steps=1)
    b = one_by_one(model, jobs, recipe, dtype=torch.float32, max_steps=1)
    # Adam's first step is lr times the gradient's sign, whatever its size: leave out the few whose sign rounding can turn
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-6)
    gaps = torch.cat([(p - q).abs().flatten() for s, t in zip(a, b, strict=True) for p, q in zip(s.params, t.params, strict=True)])
    assert float(gaps.quantile(0.99)) < 1e-6


def test_poison_changes_the_victim_and_its_labels_matter():
    model, recipe = MODELS[0], Recipe(epochs=2, batch=12, lr=1e-2)
    [job] = worlds.jobs([40])
    a = stacked(model, [Job(job.rows[:0], job.labels[:0]), job, Job(job.rows, 1 - job.labels)], recipe)
    assert worlds.worst_gap(a[:1], a[1:2]) > 1e-3
    assert worlds.worst_gap(a[1:2], a[2:]) > 1e-3


def test_plateau_narrows_the_stack_and_each_victim_stops_where_it_would_alone():
    model, recipe = MODELS[0], Recipe(epochs=60, batch=12, lr=3e-2, stop="plateau", tol=4e-3, patience=2)
    jobs = worlds.jobs(SIZES)
    a, b = stacked(model, jobs, recipe), one_by_one(model, jobs, recipe)
    assert [t.epochs for t in a] == [t.epochs for t in b]
    assert len({t.epochs for t in a}) > 1, "all stopped together: the world does not test what it should"
    assert worlds.worst_gap(a, b) < 1e-9


def test_plateau_is_scikit_learns_rule():
    x, y = worlds.rows(200, 7, 2)
    clf = MLPClassifier((5,), batch_size=20, max_iter=500, learning_rate_init=0.02, tol=1e-3, n_iter_no_change=4, random_state=0).fit(x, y)
    rule = Plateau(1, Recipe(epochs=500, batch=20, lr=0.02, stop="plateau", tol=1e-3, patience=4))
    stops = [bool(rule.stopped(epoch, np.array([loss]))[0]) for epoch, loss in enumerate(clf.loss_curve_)]
    assert clf.n_iter_ < 500
    assert stops == [False] * (clf.n_iter_ - 1) + [True]


def test_the_eager_loop_is_scikit_learns_arithmetic():
    x, y = worlds.rows(150, 7, 2)
    settings = {"hidden_layer_sizes": (10,), "alpha": 0.3, "batch_size": 50, "shuffle": False, "random_state": 0, "n_iter_no_change": 99}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = MLPClassifier(**settings, max_iter=1, learning_rate_init=1e-300).fit(x, y)
        end = MLPClassifier(**settings, max_iter=5, learning_rate_init=1e-2).fit(x, y)
    model = Mlp(7, (10,), 2)
    init = [torch.from_numpy(a) for pair in zip(start.coefs_, start.intercepts_, strict=True) for a in pair]
    batches = [(torch.from_numpy(x[i : i + 50]), torch.from_numpy(y[i : i + 50])) for i in (0, 50, 100)]

    def gap(alpha: float) -> float:
        ours = fit(model, init, Recipe(epochs=5, batch=50, lr=1e-2, weight_decay=alpha, per_rows=True), lambda epoch: iter(batches))
        theirs = [torch.from_numpy(a) for pair in zip(end.coefs_, end.intercepts_, strict=True) for a in pair]
        return max(float((p - q).abs().max()) for p, q in zip(ours.params, theirs, strict=True))

    assert gap(0.3) < 5e-5  # not to the bit: scikit-learn adds Adam's epsilon before the bias correction, PyTorch after it
    assert gap(0.6) > 20 * gap(0.3), "the comparison does not notice a penalty twice too large"


def test_initial_weights_have_scikit_learns_bounds():
    model = Mlp(57, (10,), 2)
    w1, b1, w2, b2 = worlds.init(model)
    assert float(w1.abs().max()) <= (6 / 67) ** 0.5
    assert float(w1.abs().max()) > 0.95 * (6 / 67) ** 0.5
    assert float(b1.abs().max()) <= (6 / 67) ** 0.5
    assert w2.shape == (10, 1)
    assert b2.shape == (1,)


def test_stack_adam_is_pytorchs_adam():
    gen = torch.Generator().manual_seed(0)
    ours = [torch.randn(4, 3, generator=gen, dtype=torch.float64), torch.randn(5, generator=gen, dtype=torch.float64)]
    theirs = [t.clone().requires_grad_() for t in ours]
    mine, reference = StackAdam(ours, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for _ in range(20):
        grads = [torch.randn(t.shape, generator=gen, dtype=torch.float64) for t in ours]
        mine.step(ours, grads)
        for t, g in zip(theirs, grads, strict=True):
            t.grad = g.clone()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)


# ---- the schedule ---------------------------------------------------------------------------------------------------


def test_every_clean_row_and_every_poison_point_is_visited_once_an_epoch():
    schedule = Schedule(rows=130, batch=12, seed=0, trial=1)
    assert sorted(schedule.order(3)) == list(range(130))
    assert schedule.steps == 11
    assert schedule.bounds(10) == (120, 130)
    points_V = np.array([0, 1, 5, 11, 12, 47])
    point_SVP, count_SV = schedule.places(3, points_V)
    for v, points in enumerate(points_V):
        own = point_SVP[:, v]
        assert sorted(own[own >= 0]) == list(range(points))
        for step in range(11):  # padding comes last, so that a step may be cut to its longest
            assert (own[step, : count_SV[step, v]] >= 0).all()
            assert (own[step, count_SV[step, v] :] == -1).all()


def test_a_victims_places_do_not_depend_on_its_company():
    schedule = Schedule(rows=130, batch=12, seed=0, trial=1)
    together, _ = schedule.places(7, np.array([3, 60, 20]))
    for v, points in enumerate([3, 60, 20]):
        alone, _ = schedule.places(7, np.array([points]))
        for step in range(11):
            assert [p for p in together[step, v] if p >= 0] == [p for p in alone[step, 0] if p >= 0]


def test_a_smaller_alphas_points_keep_their_places_at_a_larger_one():
    schedule = Schedule(rows=130, batch=12, seed=0, trial=1)
    (small, _), (large, _) = schedule.places(7, np.array([20])), schedule.places(7, np.array([60]))
    for step in range(11):
        assert [p for p in small[step, 0] if p >= 0] == [p for p in large[step, 0] if 0 <= p < 20]


@pytest.mark.parametrize(
    ("rows", "batch", "sizes"),
    [
        (130, 12, [12] * 10 + [10]),
        (132, 12, [12] * 11),
        (121, 12, [12] * 9 + [13]),  # one row over: less than an eighth of a batch, which joins the batch before it
        (481, 32, [32] * 14 + [33]),
        (483, 32, [32] * 14 + [35]),
        (484, 32, [32] * 15 + [4]),  # an eighth stays a step
        (7841, 200, [200] * 39 + [41]),  # as the published protocol cuts Adult
        (41, 41, [41]),
        (7, 200, [7]),
        (1, 200, [1]),
        (5, 1, [1] * 5),
    ],
)
def test_how_an_epoch_is_cut(rows: int, batch: int, sizes: list[int]):
    schedule = Schedule(rows, batch, seed=0, trial=0)
    bounds = [schedule.bounds(step) for step in range(schedule.steps)]
    assert [hi - lo for lo, hi in bounds] == sizes
    assert bounds[0][0] == 0
    assert [lo for lo, _ in bounds[1:]] == [hi for _, hi in bounds[:-1]]
    steps_M = np.concatenate([np.repeat(np.arange(schedule.steps), schedule.places(e, np.array([50]))[1][:, 0]) for e in range(40)])
    assert len(steps_M) == 40 * 50
    assert set(steps_M.tolist()) <= set(range(schedule.steps))


@pytest.mark.parametrize(("rows", "batch"), [(130, 12), (121, 12), (132, 12), (41, 41), (7, 200)])  # remainders of 10, 1 and 0; one step
def test_a_steps_share_of_the_poison_is_its_share_of_the_rows_as_in_a_shuffle_of_both(rows: int, batch: int):
    points, epochs, schedule = 40, 4000, Schedule(rows=rows, batch=batch, seed=3, trial=0)
    mine_ES = np.array([schedule.places(epoch, np.array([points]))[1][:, 0] for epoch in range(epochs)])
    share_S = np.array([hi - lo for lo, hi in map(schedule.bounds, range(schedule.steps))]) / rows
    error_S = np.sqrt(points * share_S * (1 - share_S) / epochs) + 1e-12
    assert (np.abs(mine_ES.mean(axis=0) - points * share_S) < 4.5 * error_S).all()
    # train and poison shuffled together and cut at the same shares of the whole: as many points a step, spread as much
    random, cut_S = np.random.default_rng(0), np.round(np.cumsum(share_S) * (rows + points)).astype(int)[:-1]
    where_EM = np.argsort(random.random((epochs, rows + points)), axis=1)[:, :points]
    union_ES = np.array([np.bincount(np.searchsorted(cut_S, at_M, side="right"), minlength=len(share_S)) for at_M in where_EM])
    assert np.abs(mine_ES.mean(axis=0) - union_ES.mean(axis=0)).max() < 0.5  # a cut of so many rows is rounded to whole ones
    assert mine_ES.std(axis=0) == pytest.approx(union_ES.std(axis=0), abs=0.35)


def test_epochs_trials_and_seeds_order_rows_differently():
    orders = [Schedule(130, 12, seed, trial).order(epoch).tolist() for seed, trial, epoch in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]]
    assert len({tuple(o) for o in orders}) == 4


# ---- across plans, out of memory, requests --------------------------------------------------------------------------


def test_results_agree_across_stack_sizes():
    model, recipe = MODELS[0], Recipe(epochs=8, batch=12, lr=1e-2)
    jobs = worlds.jobs([0, 5, 9, 30, 14, 2, 60, 21])
    whole = stacked(model, jobs, recipe)
    parts = [t for lo in (0, 3, 6) for t in stacked(model, jobs[lo : lo + 3], recipe)]
    assert worlds.worst_gap(whole, parts) < 1e-10


class SmallDevice:
    """A stand-in for a device that runs out of memory above `room` victims."""

    def __init__(self, model: Mlp, room: int) -> None:
        self.model, self.room, self.asked = model, room, []

    def __call__(self, params):
        self.asked.append(len(params))
        if len(params) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.model.stack(params, CPU, torch.float64)


def test_out_of_memory_halves_the_stack_and_goes_on():
    model, recipe = MODELS[0], Recipe(epochs=2, batch=12, lr=1e-2)
    jobs, data = worlds.jobs([0, 5, 9, 30, 14, 2, 60]), worlds.training()
    device, halved = SmallDevice(model, room=2), []
    inits = [worlds.init(model)] * 7
    got = train_stacked(device, inits, data, jobs, recipe, Trial(1, 2, on_halved=halved.append))
    assert device.asked == [7, 3, 1, 2, 2, 2]
    assert halved == [7, 3]
    assert worlds.worst_gap(got, stacked(model, jobs, recipe)) < 1e-12


def test_one_victim_too_large_for_the_device_is_said_in_words():
    model = MODELS[0]
    with pytest.raises(RunFailed, match=r"does not fit.*model\.batch"):
        train_stacked(SmallDevice(model, 0), [worlds.init(model)], worlds.training(), worlds.jobs([3]), Recipe(1, 12, 0.01), Trial(1, 2))


def test_other_errors_are_not_taken_for_memory():
    def broken(params):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        train_stacked(broken, [worlds.init(MODELS[0])], worlds.training(), worlds.jobs([3]), Recipe(1, 12, 0.01), Trial(1, 2))


def test_control_sees_progress_rise_to_the_whole_and_can_stop_training():
    seen = []
    recipe = Recipe(epochs=3, batch=12, lr=1e-2)
    stacked(MODELS[0], worlds.jobs([3, 4]), recipe, on_step=lambda done, total: seen.append((done, total)))
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert seen[-1] == (2, 2)

    def stop(done, total):
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        stacked(MODELS[0], worlds.jobs([3, 4]), recipe, on_step=stop)


def test_stack_size_follows_speed_and_memory():
    def halving(victims):  # ever faster a victim up to 128
        return victims / min(victims, 128)

    assert measured_size(halving, 1, 10**9, most=1000) == 125  # 8 even stacks rather than seven of 128 and a stub
    assert measured_size(halving, 10, 640, most=1000) == 63  # no more than 64 fit
    assert measured_size(halving, 1, 10**9, most=20) == 20

    def out_of_memory(victims):
        if victims > 32:
            raise torch.OutOfMemoryError("out of memory")
        return 1.0

    assert measured_size(out_of_memory, 1, 10**9, most=64) == 32


# ---- union ----------------------------------------------------------------------------------------------------------


def test_union_visits_every_row_once_and_learns_the_same_task():
    model, recipe = Mlp(7, (10,), 2), Recipe(epochs=40, batch=12, lr=1e-2)
    [job] = worlds.jobs([20])
    data = worlds.training()
    init = worlds.init(model)
    union = train_union(model, init, data, job, recipe, seed=1, trial=2)
    shared = train_sequential(model, init, data, job, recipe, Trial(1, 2))
    x, y = worlds.rows(400, 7, 2, seed=8)
    accuracies = [
        float((model.predict(model.logits(t.params, torch.from_numpy(x))) == torch.from_numpy(y)).double().mean()) for t in (union, shared)
    ]
    assert min(accuracies) > 0.9
    assert abs(accuracies[0] - accuracies[1]) < 0.03


@pytest.mark.skipif(not can_fork(), reason="parts have processes on Linux only")
def test_parts_side_by_side_train_the_same_victims_and_stop_together():
    model, recipe = MODELS[0], Recipe(epochs=5, batch=12, lr=1e-2)
    jobs = worlds.jobs([0, 5, 9, 30, 14, 2, 60])
    seen = []
    apart = stacked(model, jobs, recipe, workers=3, on_step=lambda done, total: seen.append(done))
    assert worlds.worst_gap(apart, stacked(model, jobs, recipe)) < 1e-10
    assert [t.epochs for t in apart] == [5] * 7
    assert seen == sorted(seen)
    assert seen[-1] == 7

    def stop(done, total):
        if done > 0:
            raise Interrupted("stop was asked for")

    with pytest.raises(Interrupted, match="asked for"):
        stacked(model, jobs, Recipe(epochs=100_000, batch=12, lr=1e-2), workers=3, on_step=stop)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no part is left behind


@pytest.mark.skipif(not can_fork(), reason="parts have processes on Linux only")
def test_what_goes_wrong_in_a_part_is_told_by_the_whole():
    model, recipe, data = MODELS[0], Recipe(1, 12, 1e-2), worlds.training()
    jobs, inits, halved = worlds.jobs([3, 4, 5, 6, 7, 8]), [worlds.init(model)] * 6, []

    def train(make_stack):
        return train_stacked(make_stack, inits, data, jobs, recipe, Trial(1, 2, workers=2, on_halved=halved.append))

    with pytest.raises(RunFailed, match=r"does not fit.*model\.batch"):
        train(SmallDevice(model, 0))
    assert len(train(SmallDevice(model, 2))) == 6
    assert 3 in halved

    def broken(params):
        raise ValueError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(broken)

    def killed(params):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RunFailed, match="killed for memory"):
        train(killed)


@pytest.mark.skipif(not can_fork(), reason="parts have processes on Linux only")
def test_a_control_that_holds_holds_the_parts():
    """Between two calls parts get a tenth of a second; a call that holds for a second must not give them eleven times as much."""
    seen = []

    def hold(done, total):
        seen.append(done)
        if len(seen) == 12:
            raise Interrupted("enough")
        if len(seen) == 8:
            time.sleep(1.0)

    with pytest.raises(Interrupted, match="enough"):
        stacked(MODELS[0], worlds.jobs([3, 4, 5, 6]), Recipe(epochs=1_000_000, batch=12, lr=1e-2), workers=2, on_step=hold)
    steps = np.diff(seen)
    assert steps[7] < 4 * max(steps[i] for i in (5, 6, 8, 9)), "victims went on while the control held"
