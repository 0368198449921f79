"""Exactly the poison is removed: what a perfect defence would do. A control, for it alone is told which rows are poison."""

from __future__ import annotations

import numpy as np

from engine.defenses.seen import Asked, Judgement, Seen, without
from engine.scenario.sections import OracleSection


def asks(section: OracleSection) -> frozenset[Asked]:
    return frozenset({"poison"})


def judge(section: OracleSection, seen: Seen, remove: int, draws: np.random.Generator) -> Judgement:
    assert seen.poison_R is not None
    return without(seen, np.flatnonzero(seen.poison_R))
