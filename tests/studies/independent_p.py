"""The part of `independent.py` that says who is vulnerable. Nothing of the engine is used.

- p of (subpopulation, alpha), from three trials on, the larger of two: how often the test rows right would be, over all trials, as few
  as those of the victims aimed at it, were one poisoned victim picked at random from all of the trial and alpha; and how often the damage
  as large, were the clean victim and the one aimed at it two picked at random from these and the clean one. Sums are followed trial by
  trial, in float64, what a trial can add from the least up. A trial without victims aimed elsewhere says nothing. Where one of each
  trial's victims being worst in every one is likelier than 0.05 over how many are judged, p is another (p_from: t), not worked out here.
- q: Benjamini-Hochberg's, over the subpopulations of the alpha; vulnerable where it is at most 0.05.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any, Protocol

import numpy as np

Q, LEAST_TRIALS = 0.05, 3


class Right(Protocol):
    """Which test rows each victim got right: bool arrays [test rows]. See `independent.Right`."""

    @property
    def own(self) -> np.ndarray: ...
    @property
    def clean(self) -> Mapping[int, np.ndarray]: ...
    @property
    def poisoned(self) -> Mapping[tuple[float, int, int], np.ndarray]: ...
    def trials(self, alpha: float, s: int) -> list[int]: ...


def judged(right: Right, alpha: float, attacked: list[int]) -> dict[int, dict[str, Any]]:
    """p, q and whether it is vulnerable, of every attacked subpopulation; without the numbers that are not worked out here."""
    rows = {s: right.own == s for s in attacked}
    tested = [s for s in attacked if len(right.trials(alpha, s)) >= LEAST_TRIALS and rows[s].any()]
    p: dict[int, float | None] = {}
    found: dict[int, dict[str, Any]] = {s: dict.fromkeys(("p", "q", "vulnerable", "p_from", "off_target_victims")) for s in attacked}
    for s in tested:
        trials, others, least = [], 0, 1.0
        for trial in right.trials(alpha, s):
            there = [v for v in attacked if v != s and (alpha, v, trial) in right.poisoned]
            if there:
                got = [int(right.poisoned[alpha, v, trial][rows[s]].sum()) for v in (s, *there)]
                trials.append((got, int(right.clean[trial][rows[s]].sum())))
                others, least = others + len(there), least / len(got)
        if least > Q / len(tested) and rows[s].sum() < 2:
            continue  # of one row the other says nothing either
        p[s] = None if least > Q / len(tested) else max(elsewhere(trials), nothing(trials))
        found[s] |= {"p": p[s], "p_from": "t" if p[s] is None else "off_target", "off_target_victims": 0 if p[s] is None else others}
    known = [value for value in p.values() if value is not None]
    for s, value in p.items():
        if value is None:
            del found[s]["p"]
        if len(known) < len(p):
            del found[s]["q"], found[s]["vulnerable"]
        elif value is not None:
            q = min([1.0, *(other * len(known) / sum(each <= other for each in known) for other in known if other >= value)])
            found[s] |= {"q": q, "vulnerable": "true" if q <= Q else "false"}
    return found


def elsewhere(trials: Sequence[tuple[list[int], int]]) -> float:
    """The first part of p. trials: test rows that the victims got right, the one aimed at it first; and the clean one."""
    return at_most(sum(got[0] for got, _ in trials), [shares(Counter(got)) for got, _ in trials])


def nothing(trials: Sequence[tuple[list[int], int]]) -> float:
    """The second part of p: of differences, the one's minus the clean one's."""
    apart = []
    for got, clean in trials:
        everyone = [*got, clean]
        apart.append(shares(Counter(one - other for i, one in enumerate(everyone) for j, other in enumerate(everyone) if i != j)))
    return at_most(sum(got[0] - clean for got, clean in trials), apart)


def shares(times: Counter[int]) -> dict[int, float]:
    return {value: times[value] / times.total() for value in sorted(times)}


def at_most(limit: int, trials: Sequence[dict[int, float]]) -> float:
    """How likely the sum of one value of each trial is at most this."""
    sums, left = {0: 1.0}, sum(min(trial) for trial in trials)
    for trial in trials:
        left -= min(trial)
        longer: dict[int, float] = {}
        for value, share in trial.items():
            for so_far, likely in sums.items():
                if so_far + value + left <= limit:  # else never again
                    longer[so_far + value] = longer.get(so_far + value, 0.0) + likely * share
        sums = longer
    return min(fsum(sums.values()), 1.0)
