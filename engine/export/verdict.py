"""Whether a run passes a limit on damage, for a pipeline: `subpop check RUN --max-damage 0.1`.

It fails where the corrected worst k exceeds the limit for sure (an adversary who picks targets from past trials would do more), or some
vulnerable subpopulation's damage does: both by the lower end of their 95 % intervals. What only seems to exceed it is told and does not
fail: of a hundred looked at, some always do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import RequestError
from engine.rows import RunRow
from engine.tables.source import TableSource


@dataclass(frozen=True)
class Verdict:
    """reasons: why it fails, in words; empty where it passes. remarks: what does not fail it and is worth a look."""

    passed: bool
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]


def verdict(store: TableSource, run: RunRow, max_damage: float, *, k: int = 1, alphas: Sequence[float] = ()) -> Verdict:
    """Of a finished run, over all its alphas or those given. RequestError where it cannot be judged: not done, or below three trials."""
    if run.state != "done":
        raise RequestError(f"it is {run.state}, so it cannot be judged", where=f"run {run.id}", next=f"wait, or: subpop resume {run.id}")
    worst, damage = (store.table(run.id, name).records() for name in ("worst", "damage"))
    measured = {row["alpha"] for row in damage}
    if missing := [alpha for alpha in alphas if alpha not in measured]:
        known = ", ".join(f"{alpha:g}" for alpha in sorted(measured))
        raise RequestError(f"it has no alpha {missing[0]:g}", where="--alpha", next=f"it has {known}")
    if k not in (known_k := sorted({row["k"] for row in worst})):
        raise RequestError(f"there is no worst {k}", where="--k", next=f"use one of {', '.join(map(str, known_k))}")
    wanted = set(alphas) or measured
    if not any(row["vulnerable"] is not None for row in damage if row["alpha"] in wanted):
        raise RequestError(
            "it cannot be judged: that needs three trials", where=f"run {run.id}", next="run it with --set evaluation.trials=3 or more"
        )
    reasons, remarks = [], []
    for row in worst:
        if row["k"] != k or row["alpha"] not in wanted:
            continue
        if row["corrected"] is None:
            remarks.append(f"alpha {row['alpha']:g}: no corrected worst {k} ({row['note']})")
        elif row["corrected"] > max_damage:
            sentence = f"alpha {row['alpha']:g}: the corrected worst {k} is {row['corrected']:.3f}"
            if row["low"] is None:
                remarks.append(f"{sentence}, which may be chance: it has no interval")
            elif row["low"] > max_damage:
                reasons.append(f"{sentence} ({row['low']:.3f} to {row['high']:.3f}), at least {row['low']:.3f}, above {max_damage:g}")
            else:
                remarks.append(f"{sentence}, which may be chance (from {row['low']:.3f})")
    for row in damage:
        if row["alpha"] not in wanted or not row["vulnerable"] or row["damage"] <= max_damage:
            continue
        sentence = f"alpha {row['alpha']:g}: subpopulation {row['subpopulation']} ({row['description']}) loses {row['damage']:.3f}"
        if row["low"] is None:
            remarks.append(f"{sentence}, which may be chance: it has no interval")
        elif row["low"] > max_damage:
            reasons.append(f"{sentence}, at least {row['low']:.3f}, above {max_damage:g}")
        else:
            remarks.append(f"{sentence}, which may be chance (from {row['low']:.3f})")
    return Verdict(not reasons, tuple(reasons), tuple(remarks))
