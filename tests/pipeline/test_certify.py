"""An ensemble under attack: points of any kind are inserted up to the certificate and all is made anew, from the file on.

`attacked` and `shuffled` are what would notice a leak; `LEAKS` puts one in after the other, and each must be noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.certificates import Certified, certified, counted
from engine.pipeline import certify
from engine.pipeline import order as pipeline
from engine.rows import Dataset, PartResult, Rows
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.seeds import generator, seed_for
from engine.training.partition import Part, partition

K = 9
TEXT = """
title = "certified"
[dataset]
kind = "table"
path = "{path}"
label = "label"
split_column = "split"
numeric = ["a", "b"]
categorical = ["c"]
max_categories = 4
scale = "standard"
fitted_on = "aux"
[model]
{model}
[subpopulations]
kind = "cluster_match"
clusters = 3
[evaluation]
certificates = 9
[compute]
threads = 1
"""
MLP = 'kind = "mlp"\nhidden = [5]\nepochs = 12\nbatch = 8\nlr = 0.05'
MODELS = {
    "mlp": MLP,
    "plateau": f'{MLP}\nstop = "plateau"\ntol = 0.02\npatience = 1\nweight_decay = 0.01\nweight_decay_per = "rows"',
    "logistic": 'kind = "logistic"\nepochs = 15\nbatch = 200\nlr = 0.1',
    "random_forest": 'kind = "random_forest"\nn_estimators = 2',
    "gradient_boosting": 'kind = "gradient_boosting"\nmax_iter = 3\nmin_samples_leaf = 2',
    "early_stopping": 'kind = "gradient_boosting"\nmax_iter = 3\nmin_samples_leaf = 2\nearly_stopping = true',  # some parts are too small
}
Line = tuple[str, str, str, str, str]  # a, b, c, label, split


def lines() -> list[Line]:
    draws = generator(0, "certified rows")
    made = []
    for at in range(190):
        y = int(draws.random() < 0.5)
        a, b, c = draws.normal(y, 0.9), draws.normal(-y, 1.1), draws.choice(["red", "green", "blue", "grey", "pink"])
        split = "train" if at < 100 else "aux" if at < 150 else "test"
        made.append((f"{a:.3f}", "" if draws.random() < 0.1 else f"{b:.2f}", str(c), ("no", "yes")[y], split))
    return made


@dataclass(frozen=True)
class World:
    """A file, and what is trained on it."""

    folder: Path
    model: str
    change: Callable[[Scenario], Scenario] = lambda s: s

    def scenario(self) -> Scenario:
        return self.change(parse(TEXT.format(path=self.folder / "rows.csv", model=MODELS[self.model])))

    def dataset(self, rows: Sequence[Line]) -> Dataset:
        (self.folder / "rows.csv").write_text("\n".join(map(",".join, [("a", "b", "c", "label", "split"), *rows])) + "\n", encoding="utf-8")
        return pipeline.load(self.scenario(), self.folder, log=quiet, progress=quiet)

    def says(self, rows: Sequence[Line]) -> np.ndarray:
        """What each part's model predicts, uint8 [parts, test rows], of the file with these rows."""
        dataset, s = self.dataset(rows), self.scenario()
        lots = certify.train_parts(s, dataset, certify.parts_of(s, dataset, quiet), "cpu")
        some: list[PartResult] = [part for lot in lots for part in lot]
        assert [part.number for part in some] == list(range(K))
        assert sum(part.rows for part in some) == len(dataset.train)
        return np.stack([part.predictions for part in some])


def quiet(*_: object) -> None:
    pass


def of(says_KN: np.ndarray) -> Certified:
    return certified(counted(says_KN, 2))


def poison(kind: str, label: str) -> list[Line]:
    """More points than any certificate reaches, of one sort."""
    draws = generator(1, "certified poison", kind, label)
    made = []
    for _ in range(120):
        a, b, c = f"{draws.normal(0.5, 1):.4f}", f"{draws.normal(-0.5, 1):.4f}", "red"
        if kind == "outliers":
            a, b = f"{draws.normal(0, 1e5):.2f}", f"{draws.normal(0, 1e5):.2f}"
        if kind == "strange":
            b, c = "", f"level {draws.integers(6)}"
        made.append((a, b, c, label, "train"))
    return made


def attacked(world: World) -> int:
    """Insert points in front of all rows, into parts that vote for what a row is certified to be; returns how many votes more points moved.

    AssertionError where a certificate is broken, or a part without any point says something else than before.
    """
    rows = lines()
    before_KN = world.says(rows)
    before = of(before_KN)
    assert len(np.unique(before.points_N)) > 2
    moved = 0
    for kind in ("copies", "outliers", "strange"):
        for label in ("no", "yes"):
            points = poison(kind, label)
            with_all = world.dataset([*points, *rows])
            part_of = {int(row): part.number for part in partition(with_all.train, K, world.scenario().seed) for row in part.rows}
            for number in (1, 2, 3, K):  # from the certificates' reach to far beyond it
                chosen, hit = [], set()
                other = before.vote_N != ("no", "yes").index(label)
                against = np.flatnonzero(other & (before.points_N == min(number, before.points_N.max())))
                target = int(against[0]) if len(against) else 0
                voters = [k for k in range(K) if before_KN[k, target] == before.vote_N[target]]
                for at, point in enumerate(points):
                    if part_of[at] not in hit and (part_of[at] in voters or number == K) and len(chosen) < number:
                        chosen.append(point)
                        hit.add(part_of[at])
                after_KN = world.says([*chosen, *rows])
                for part in set(range(K)) - hit:
                    assert (after_KN[part] == before_KN[part]).all(), f"part {part} has no point of {kind} and says something else"
                after = of(after_KN)
                safe = before.points_N >= len(chosen)
                assert (after.vote_N == before.vote_N)[safe].all(), f"{len(chosen)} points of {kind} broke a certificate"
                moved += int((after.vote_N != before.vote_N).sum())
    return moved


def shuffled(world: World) -> None:
    """AssertionError where the order of the file's rows decides anything."""
    rows = lines()
    before_KN = world.says(rows)
    order = generator(2, "certified order").permutation(100)
    after_KN = world.says([*(rows[at] for at in order), *rows[100:]])
    assert (after_KN == before_KN).all(), "rows in another order made other models"


@pytest.mark.parametrize("model", MODELS)
def test_no_certificate_breaks_whatever_is_inserted_and_the_order_of_rows_decides_nothing(model: str, tmp_path: Path) -> None:
    world = World(tmp_path, model)
    assert attacked(world) > 0  # poison beyond the certificates does move votes: the attack is one
    shuffled(world)


def _with(change: Callable[[Rows, list[Part]], list[Part]]) -> Callable[[Rows, int, int], list[Part]]:
    return lambda train, k, seed: change(train, partition(train, k, seed))


def _by_place(train: Rows, parts: list[Part]) -> list[Part]:
    return [replace(part, rows=np.arange(part.number, len(train), K)) for part in parts]


def _as_they_lie(train: Rows, parts: list[Part]) -> list[Part]:
    return [replace(part, rows=np.sort(part.rows)) for part in parts]


def _dealt_of_the_whole(train: Rows, parts: list[Part]) -> list[Part]:
    """Batches cut of one shuffle of the whole."""
    place = generator(0, "whole").permutation(len(train))
    return [replace(part, rows=part.rows[np.argsort(place[part.rows])]) for part in parts]


def _seeded_by_the_whole(train: Rows, parts: list[Part]) -> list[Part]:
    return [replace(part, seed=seed_for(0, "part", part.number, len(train))) for part in parts]


def _learnt_from_train(s: Scenario) -> Scenario:
    """What the grammar refuses."""
    return s.model_copy(update={"dataset": s.dataset.model_copy(update={"fitted_on": "train"})})


LEAKS: dict[str, tuple[Callable[[Rows, list[Part]], list[Part]] | None, Callable[[Scenario], Scenario]]] = {
    "levels, medians and scales of train": (None, _learnt_from_train),
    "a part by the row's place": (_by_place, lambda s: s),
    "rows of a part as they lie": (_as_they_lie, lambda s: s),
    "batches of one shuffle": (_dealt_of_the_whole, lambda s: s),
    "seeds of the whole": (_seeded_by_the_whole, lambda s: s),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_of_any_kind_is_noticed(leak: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, change = LEAKS[leak]
    if parts is not None:
        monkeypatch.setattr(certify, "partition", _with(parts))
    world = World(tmp_path, "mlp", change)

    def both() -> None:
        attacked(world)
        shuffled(world)

    with pytest.raises(AssertionError, match=r"has no point of|broke a certificate|another order"):
        both()
