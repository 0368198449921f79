"""The ensemble of a run's certificates: train in k parts by a hash of each row, a model a part, trained as the victims are.

What no inserted row may move: how the other rows are prepared (`scenario.checks` refuses what is learnt from train), which part they are
in, and what is drawn for them. A model is a function of the rows of its part alone, so that which parts are trained together, and after
which others, is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic

import numpy as np

from engine.datasets.wording import counted
from engine.evaluation.certificates import most_points
from engine.features.opened import Opened
from engine.pipeline.discovery import Log
from engine.rows import Dataset, PartResult
from engine.scenario.sections import Scenario
from engine.training.partition import Part, partition
from engine.training.trial import OnStep, Trial
from engine.victims.choose import AnyFamily, victims_of
from engine.victims.family import Outcome, how, one_thread_each, workers

FEW = 10  # rows for each class: a part of fewer teaches little
LOT_S = 30.0  # parts that are trained in about so long are stored together: what a crash may cost


def parts_of(scenario: Scenario, dataset: Dataset, log: Log) -> list[Part]:
    """The parts of train. Says what is known before anything is trained: what so many can give at most, and whether they are too small."""
    k = scenario.evaluation.certificates
    assert k is not None
    parts = partition(dataset.train, k, scenario.seed)
    sizes = sorted(len(part.rows) for part in parts)
    most = counted(most_points(k), "point")
    log(f"certificates: train in {k} parts of {sizes[0]} to {sizes[-1]} rows, a model each; no row can withstand more than {most}")
    if few := sum(size < FEW * len(dataset.classes) for size in sizes):
        log(f"{few} of {k} parts have fewer than {FEW} rows for each class, so their models know little: fewer parts would know more")
    victims = victims_of(scenario.model, dataset, scenario.seed)
    labels = [dataset.train.y[part.rows] for part in parts]
    if same := sum(len(np.unique(y_N)) < 2 for y_N in labels):
        log(f"{same} of {k} parts are of one class, or empty: they vote for it ({dataset.classes[0]} where empty) and train nothing")
    if small := sum(not victims.can_fit(y_N) for y_N in labels) - same:
        log(f"{small} of {k} parts are too small to fit this model to: they vote for the class that most of their rows have")
    return parts


def train_parts(
    scenario: Scenario, dataset: Dataset, parts: Sequence[Part], device: str, on_step: OnStep | None = None, opened: Opened | None = None
) -> Iterator[list[PartResult]]:
    """The models of these parts and what each predicts for every test row, some at a time. on_step: told models done of all these."""
    one_thread_each()
    on = how(scenario.compute, device)
    victims = victims_of(scenario.model, dataset, scenario.seed, opened)
    side_by_side = workers(scenario, on.device)
    size, done = side_by_side * victims.APART, 0
    while done < len(parts):
        some, start, before = parts[done : done + size], monotonic(), done

        def report(share: float, whole: float, some: int = len(some), before: int = before) -> None:
            if on_step:
                on_step(before + some * share / whole, len(parts))

        yield _trained(victims, dataset, some, Trial(scenario.seed, 0, on, report, side_by_side))
        done += len(some)
        size = max(side_by_side, min(4 * size, int(size * LOT_S / max(monotonic() - start, 1e-3))))


def _trained(victims: AnyFamily, dataset: Dataset, parts: Sequence[Part], trial: Trial) -> list[PartResult]:
    untrained = {part.number: most for part in parts if (most := _untrained(victims, dataset.train.y[part.rows])) is not None}
    to_train = [part for part in parts if part.number not in untrained]
    outcomes = iter(victims.apart(to_train, trial) if to_train else ())
    results = []
    for part in parts:
        if part.number in untrained:
            outcome = Outcome(np.full(len(dataset.test), untrained[part.number], np.uint8), 0, float("nan"))
        else:
            outcome = next(outcomes)
        results.append(PartResult(part.number, len(part.rows), outcome.predictions, outcome.epochs, outcome.train_loss))
    return results


def _untrained(victims: AnyFamily, y_N: np.ndarray) -> int | None:
    """What a part to which no model can be fitted votes for: the class of most of its rows, the lower of equals, 0 of an empty one. None
    where one can."""
    return None if victims.can_fit(y_N) else int(np.bincount(y_N, minlength=1).argmax())
