"""Rows are removed at random: what removing so many does by itself, the control that every defence is read beside."""

from __future__ import annotations

import numpy as np

from engine.defenses.seen import Asked, Judgement, Seen, without
from engine.scenario.sections import RandomSection


def asks(section: RandomSection) -> frozenset[Asked]:
    return frozenset()


def judge(section: RandomSection, seen: Seen, remove: int, draws: np.random.Generator) -> Judgement:
    return removed(seen, round(section.share * len(seen)), draws)


def removed(seen: Seen, count: int, draws: np.random.Generator) -> Judgement:
    """`count` rows removed, each as likely as any other."""
    return without(seen, draws.choice(len(seen), count, replace=False))
