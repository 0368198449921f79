"""Models on rows of their own: each is what the slow trainer makes of its part alone, to the bit whatever its company."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models.dense.apart import COMPANY, DenseApart
from engine.models.dense.mlp import Mlp
from engine.pipeline import order as pipeline
from engine.rows import Dataset, Rows
from engine.scenario.parse import parse
from engine.training.apart import padded
from engine.training.partition import Part, partition
from engine.training.recipe import Job, Training
from engine.training.reference.sequential import train_network_sequential, train_sequential
from engine.training.trial import How, Trial
from engine.victims.choose import AnyFamily, victims_of

pytestmark = pytest.mark.usefixtures("one_thread")
NONE = np.empty(0, np.int64)
TEXT = """
title = "apart"
[dataset]
kind = "{data}"
[model]
{model}
[subpopulations]
kind = "cluster_match"
"""
WAYS = {  # dataset, model
    "one step an epoch": ("digits", 'kind = "mlp"\nhidden = [12]\nepochs = 25\nbatch = 200\nlr = 0.01'),
    "several steps, decay": (
        "digits",
        'kind = "mlp"\nhidden = [7, 5]\nepochs = 6\nbatch = 16\nlr = 0.01\nweight_decay = 0.1\nweight_decay_per = "rows"',
    ),
    "two classes, plateau": (
        "breast_cancer",
        'kind = "mlp"\nhidden = [6]\nepochs = 60\nbatch = 20\nlr = 0.003\nstop = "plateau"\ntol = 0.05\npatience = 2\nweight_decay = 0.01',
    ),
    "no hidden layer": ("breast_cancer", 'kind = "logistic"\nepochs = 20\nbatch = 32\nlr = 0.003'),
}


def quiet(*_: object) -> None:
    pass


def world(way: str, k: int = 7) -> tuple[Dataset, AnyFamily, list[Part]]:
    data, model = WAYS[way]
    s = parse(TEXT.format(data=data, model=model))
    dataset = pipeline.load(s, Path("."), log=quiet, progress=quiet)
    return dataset, victims_of(s.model, dataset, s.seed), partition(dataset.train, k, s.seed)


@pytest.mark.parametrize("way", WAYS)
def test_each_is_the_slow_trainers_of_its_part_alone(way: str) -> None:
    dataset, family, parts = world(way)
    outcomes = family.apart(parts, Trial(0, 0, How(dtype=torch.float64)))
    epochs = set()
    for part, outcome in zip(parts, outcomes, strict=True):
        x, y = (torch.from_numpy(a[part.rows]) for a in (dataset.train.x.astype(np.float64), dataset.train.y))
        init = family.model.init(torch.Generator().manual_seed(_seed(part.seed)), torch.float64)
        slow = train_sequential(family.model, init, Training(x, y, x[:0]), Job(NONE, NONE), family.recipe, Trial(part.seed, 0))
        logits = family.model.logits(slow.params, torch.from_numpy(dataset.test.x.astype(np.float64)))
        assert (outcome.predictions == family.model.predict(logits).numpy()).all()
        assert outcome.epochs == slow.epochs
        assert outcome.train_loss == pytest.approx(slow.train_loss, rel=1e-9)
        epochs.add(slow.epochs)
    assert len(epochs) > 1 or "plateau" not in way  # some stop before others


def _seed(of_part: int) -> int:
    text = "\x1f".join([str(of_part), "initial weights", "0"])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@pytest.mark.parametrize("way", WAYS)
def test_company_moves_no_bit(way: str) -> None:
    _, family, parts = world(way)
    together = family.apart(parts, Trial(0, 0, How()))
    for some in ([3], [5, 2], [6, 5, 4, 3, 2, 1, 0], [0, 1, 2, 4, 6]):
        for at, outcome in zip(some, family.apart([parts[at] for at in some], Trial(9, 4, How())), strict=True):
            assert (outcome.predictions == together[at].predictions).all()
            assert (outcome.train_loss, outcome.epochs) == (together[at].train_loss, together[at].epochs)
    in_processes = family.apart(parts, Trial(0, 0, How(), workers=2))
    assert [o.train_loss for o in in_processes] == [o.train_loss for o in together]
    assert all((a.predictions == b.predictions).all() for a, b in zip(in_processes, together, strict=True))


@pytest.mark.parametrize(("hidden", "outputs"), [((10,), 1), ((32,), 10), ((), 1), ((), 3), ((20, 10), 4)])
def test_weights_and_gradients_are_the_same_bits_in_any_company(hidden: tuple[int, ...], outputs: int) -> None:
    """After a hundred steps, where a last bit of one step would have grown."""
    model = Mlp(21, hidden, max(2, outputs))
    draws = torch.Generator().manual_seed(0)
    places, steps = padded(30), 100
    x = torch.randn(12, places, 21, generator=draws)
    y = torch.randint(0, max(2, outputs), (12, places), generator=draws)
    share = torch.zeros(12, places)
    share[:, :30] = 1 / 30
    inits = [model.init(draws) for _ in range(12)]

    def weights(some: list[int]) -> list[torch.Tensor]:
        in_fours = [*some, *some[-1:] * (-len(some) % COMPANY)]
        apart = DenseApart(model.sizes, [inits[at] for at in in_fours], torch.device("cpu"), torch.float32)
        wide = torch.stack([apart.widened(x[at]) for at in in_fours])
        for _ in range(steps):
            apart.step(wide, y[in_fours], share[in_fours], torch.full((len(in_fours),), 0.01))
            apart.params_MD -= 0.1 * apart.grads_MD
        return [torch.cat([p.flatten() for p in apart.params_of(at)]) for at in range(len(some))]

    every = weights(list(range(12)))
    for some in ([4], [11, 2], [9, 8, 7], [0, 3, 6, 7, 10], list(range(11, -1, -1))):
        assert all(torch.equal(every[at], mine) for at, mine in zip(some, weights(some), strict=True))


def test_gradients_are_autograds() -> None:
    model = Mlp(5, (4, 3), 3)
    inits = [model.init(torch.Generator().manual_seed(at), torch.float64) for at in range(4)]
    apart = DenseApart(model.sizes, inits, torch.device("cpu"), torch.float64)
    x, y = torch.randn(4, 16, 5, dtype=torch.float64), torch.randint(0, 3, (4, 16))
    share = torch.zeros(4, 16, dtype=torch.float64)
    for at, rows in enumerate((16, 7, 1, 11)):
        share[at, :rows] = 1 / rows
    loss_M = apart.step(torch.stack([apart.widened(each) for each in x]), y, share, torch.full((4,), 0.3, dtype=torch.float64))
    for at, rows in enumerate((16, 7, 1, 11)):
        params = [p.clone().requires_grad_() for p in inits[at]]
        loss = model.losses(model.logits(params, x[at, :rows]), y[at, :rows]).mean() + 0.3 * model.penalty(params)
        assert float(loss_M[at]) == pytest.approx(float(loss.detach()), rel=1e-12)
        loss.backward()
        for layer, kernel in enumerate(apart.kernels(apart.grads_MD)):
            fan_in, fan_out = model.sizes[layer : layer + 2]
            torch.testing.assert_close(kernel[at, :fan_in, :fan_out], params[2 * layer].grad)
            torch.testing.assert_close(kernel[at, fan_in, :fan_out], params[2 * layer + 1].grad)
            assert not kernel[at, fan_in + 1 :].any()
            assert not kernel[at, :, fan_out:].any()  # padding stays zero


@pytest.mark.parametrize("model", ['kind = "conv"', 'kind = "vgg"\ndepth = 11\ntune = "last_layer"'])
def test_networks_are_trained_one_by_one_as_alone(model: str) -> None:
    """No stack of their own: each is the family's victim of its part alone."""
    draws = np.random.default_rng(0)

    def rows(n: int, first: int) -> Rows:
        import pandas as pd

        images = draws.integers(0, 256, (n, 32, 32, 3), np.uint8)
        return Rows(images, draws.integers(0, 2, n), np.arange(first, first + n), pd.DataFrame(index=range(n)), images)

    dataset = Dataset("image_folder", ("cat", "dog"), (), rows(40, 0), rows(4, 100), rows(9, 200))
    s = parse(TEXT.format(data="cifar10", model=f"{model}\nepochs = 1\nbatch = 16"))
    from engine.victims.choose import see

    dataset = see(s.model, dataset, 0, report=quiet)
    family = victims_of(s.model, dataset, 0)
    parts = partition(dataset.train, 3, 0)
    for part, outcome in zip(parts, family.apart(parts, Trial(0, 0, How(), workers=2)), strict=True):
        data = Training(
            torch.from_numpy(dataset.train.x[part.rows]),
            torch.from_numpy(dataset.train.y[part.rows]),
            torch.from_numpy(dataset.train.x[:0]),
        )
        (alone,) = family.outcomes(data, dataset.test.x, [Job(NONE, NONE)], Trial(part.seed, 0, How()))
        assert (outcome.predictions == alone.predictions).all()
        assert outcome.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
        if 'kind = "conv"' in model:
            slow = train_network_sequential(
                family.model, family.initial(part.seed, 0, torch.float32), data, Job(NONE, NONE), family.recipe, Trial(part.seed, 0)
            )
            assert outcome.train_loss == pytest.approx(slow.train_loss, rel=1e-4)


# ---- the parts ------------------------------------------------------------------------------------------------------


def rows_of(x: np.ndarray, y: np.ndarray, texts: np.ndarray | None = None) -> Rows:
    import pandas as pd

    return Rows(x, y, np.arange(len(y)), pd.DataFrame(index=range(len(y))), texts=texts)


def test_a_rows_part_is_a_hash_of_the_row_alone() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(300, 4)).astype(np.float32), draws.integers(0, 2, 300)
    x[7] = x[200]
    x[9, 1], x[12] = 0.0, x[9]
    x[12, 1] = -0.0
    parts = partition(rows_of(x, y), 11, 5)
    assert [part.number for part in parts] == list(range(11))
    assert sorted(np.concatenate([part.rows for part in parts]).tolist()) == list(range(300))
    where = {int(row): part.number for part in parts for row in part.rows}
    for row in range(300):  # as anybody would write it down
        content = (x[row] + 0.0).astype("<f4").tobytes()
        assert where[row] == int.from_bytes(blake2b(content, digest_size=16, person=b"subpop part").digest()[:8], "big") % 11
    assert where[7] == where[200]
    assert where[9] == where[12]
    # more rows, in another order, with other labels: each is where it was, and a part's order is its rows' own
    order = draws.permutation(300)
    more = np.concatenate([draws.normal(size=(50, 4)).astype(np.float32), x[order]])
    later = partition(rows_of(more, np.concatenate([y[:50], y[order]])), 11, 5)
    for before, after in zip(parts, later, strict=True):
        old = after.rows[after.rows >= 50]
        assert (x[before.rows] == more[old]).all()
        assert after.seed == before.seed
    relabelled = partition(rows_of(x, 1 - y), 11, 5)
    assert all(sorted(a.rows) == sorted(b.rows) for a, b in zip(parts, relabelled, strict=True))


def test_texts_are_hashed_not_the_numbers_of_their_states() -> None:
    texts = np.array(["a film", "another", "größer", "a film"], object)
    x = np.arange(4, dtype=np.int64)[:, None]
    where = {int(row): part.number for part in partition(rows_of(x, np.zeros(4, int), texts), 1000, 0) for row in part.rows}
    again = {
        int(row): part.number for part in partition(rows_of(x + 7, np.zeros(4, int), texts[::-1].copy()), 1000, 0) for row in part.rows
    }
    assert where[0] == where[3]
    assert [where[row] for row in range(4)] == [again[3 - row] for row in range(4)]


def test_places_are_whole_vectors_and_waste_no_more_than_a_third() -> None:
    for rows in range(1, 3000):
        places = padded(rows)
        assert places >= rows
        assert places % 16 == 0
        assert places <= max(32, 1.5 * rows)
