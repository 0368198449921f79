"""One refit without the rows of largest loss."""

from __future__ import annotations

import numpy as np

from engine.defenses.seen import Asked, Judgement, Seen, largest, without
from engine.scenario.sections import LossFilterSection, TrimSection


def asks(section: LossFilterSection | TrimSection) -> frozenset[Asked]:
    return frozenset({"losses"})


def judge(section: LossFilterSection | TrimSection, seen: Seen, remove: int, draws: np.random.Generator) -> Judgement:
    assert seen.losses_R is not None
    return without(seen, largest(seen.losses_R, remove), seen.losses_R)
