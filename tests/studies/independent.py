"""Damages, who is vulnerable, both worst-k and collateral damage of a run, worked out anew from what it exports, by nothing of the engine.

    subpop export RUN --table all -o FOLDER
    python -m tests.studies.independent FOLDER

Numbers come from FOLDER/predictions.parquet and FOLDER/subpopulations.parquet alone; what to work out (seed, alphas, trials, sizes that
count) is what was asked for, in FOLDER/scenario.toml. They are held against FOLDER/damage.csv, worst.csv and collateral.csv, to the last
digit: it prints how many values are equal and the largest difference, and leaves with status 1 where one differs beyond the last digit.

The rules, in words:

- damage of (subpopulation, alpha): over its test rows and the trials with both victims, how many more rows the clean victims got right
  than the poisoned ones, over rows times trials.
- worst k as published: the k of largest damage among attacked subpopulations whose auxiliary rows are within the size filter (ties: the
  lower index), and the mean of their damages.
- worst k corrected: test rows are put in five folds; of attacked subpopulations with enough test rows and a row in every fold, each
  (trial, fold) is scored on the k that were worst by all other trials and all other folds; the mean over (trial, fold). A trial counts
  where every such subpopulation has its victim.
- collateral: the same difference as the damage, on the test rows outside; of a group, the mean over its subpopulations.
- p, q and whether it is vulnerable: see independent_p.py.
- folds: permute the test rows by NumPy's PCG64 generator, whose seed is the first eight bytes (big-endian, halved) of BLAKE2b-64 of the
  scenario's seed, U+001F and "test folds"; deal each subpopulation's rows, in that order, to folds 0 1 2 3 4 0 1 ...
"""

from __future__ import annotations

import argparse
import csv
import sys
import tomllib
from dataclasses import dataclass, field
from hashlib import blake2b
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.studies.independent_p import judged

FOLDS = 5
KS = (1, 5, 10)
Numbers = dict[tuple[Any, ...], dict[str, Any]]  # key of a row -> its values by column


@dataclass(frozen=True)
class Question:
    """What the scenario asks for. trials: the numbers of its own; sizes: auxiliary rows, inclusive."""

    seed: int
    alphas: tuple[float, ...]
    trials: range
    min_test_rows: int
    min_size: int
    max_size: float

    @classmethod
    def of(cls, path: Path) -> Question:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        evaluation, sizes = plain["evaluation"], plain["subpopulations"]
        first = evaluation.get("first_trial", 0)
        return cls(
            seed=plain["seed"],
            alphas=tuple(sorted(float(alpha) for alpha in plain["attack"]["alphas"])),
            trials=range(first, first + evaluation["trials"]),
            min_test_rows=evaluation["min_test_rows"],
            min_size=sizes["min_size"],
            max_size=sizes.get("max_size", float("inf")),
        )


@dataclass(frozen=True)
class Right:
    """Which test rows each victim got right: bool arrays [test rows]. own: the subpopulation of each row, -1 for none."""

    own: np.ndarray
    clean: dict[int, np.ndarray] = field(default_factory=dict)  # trial -> rows
    poisoned: dict[tuple[float, int, int], np.ndarray] = field(default_factory=dict)  # (alpha, subpopulation, trial) -> rows

    @classmethod
    def of(cls, predictions: pd.DataFrame, trials: range) -> Right:
        rows = int(predictions["row"].max()) + 1
        first = predictions.iloc[:rows]
        assert (first["row"].to_numpy() == np.arange(rows)).all()
        found = cls(first["subpopulation"].fillna(-1).to_numpy(dtype=np.int64))
        right = (predictions["true_class"] == predictions["predicted_class"]).to_numpy(dtype=bool).reshape(-1, rows)
        heads = predictions.iloc[::rows]
        for at, (trial, arm, target, alpha) in enumerate(heads[["trial", "arm", "target", "alpha"]].itertuples(index=False)):
            if trial in trials and arm == "clean":
                found.clean.setdefault(int(trial), right[at])
            elif trial in trials and arm == "poisoned":
                found.poisoned.setdefault((float(alpha), int(target), int(trial)), right[at])
        return found

    def trials(self, alpha: float, s: int) -> list[int]:
        """Those with both victims."""
        return [trial for trial in sorted(self.clean) if (alpha, s, trial) in self.poisoned]

    def lost(self, alpha: float, s: int, trial: int, rows: np.ndarray) -> int:
        """How many more of these rows the clean victim got right."""
        return int(self.clean[trial][rows].sum()) - int(self.poisoned[alpha, s, trial][rows].sum())


def folds(seed: int, own: np.ndarray) -> np.ndarray:
    """The fold of each test row, 0 to 4; see the rules above."""
    number = int.from_bytes(blake2b(f"{seed}\x1ftest folds".encode(), digest_size=8).digest(), "big") // 2
    fold = np.empty(len(own), dtype=np.int64)
    dealt: dict[int, int] = {}
    for row in np.random.Generator(np.random.PCG64(number)).permutation(len(own)).tolist():
        s = int(own[row])
        fold[row] = dealt.get(s, 0) % FOLDS
        dealt[s] = dealt.get(s, 0) + 1
    return fold


def mean(values: list[float]) -> float | None:
    return fsum(values) / len(values) if values else None


def worked_out(predictions: pd.DataFrame, subpopulations: pd.DataFrame, asked: Question) -> dict[str, Numbers]:
    """Table -> its values."""
    right = Right.of(predictions, asked.trials)
    attacked = [int(s) for s in subpopulations[subpopulations["attacked"].astype(bool)]["subpopulation"]]
    aux_rows = dict(zip(subpopulations["subpopulation"].tolist(), subpopulations["aux_rows"].tolist(), strict=True))
    damage = {(alpha, s): _damage(right, alpha, s) for alpha in asked.alphas for s in attacked}
    for alpha in asked.alphas:
        for s, told in judged(right, alpha, attacked).items():
            damage[alpha, s] |= told
    found: dict[str, Numbers] = {"damage": damage, "worst": {}, "collateral": {}}
    sized = [s for s in attacked if asked.min_size <= aux_rows[s] <= asked.max_size]
    fold = folds(asked.seed, right.own)
    for alpha in asked.alphas:
        at = {s: damage[alpha, s]["damage"] for s in attacked if damage[alpha, s]["damage"] is not None}
        order = worst_first({s: at[s] for s in sized if s in at})
        corrected = Corrected(right, fold, alpha, attacked, asked.min_test_rows)
        test_rows = {s: int(sum(corrected.size[s])) for s in attacked}
        for k in KS:
            eligible = worst_first({s: at[s] for s in corrected.members if s in at})
            found["worst"][alpha, k] = {
                "as_published": mean([at[s] for s in order[:k]]),
                "as_published_k": len(order[:k]),
                "test_rows": sum(test_rows[s] for s in order[:k]) if order else None,
                "fewest_test_rows": min((test_rows[s] for s in order[:k]), default=None),
                "on_eligible": mean([at[s] for s in eligible[:k]]),
                "chosen": " ".join(map(str, order[:k])),
                "corrected": corrected.worst(k),
                "k_used": len(eligible[:k]),
                "chosen_corrected": " ".join(map(str, eligible[:k])),
                "eligible": len(corrected.members),
                "attacked": len(attacked),
                "eligible_share": sum(test_rows[s] for s in corrected.members) / sum(test_rows[s] for s in attacked),
                "left_out": " ".join(f"{s} ({test_rows[s]})" for s in attacked if s not in corrected.members),
                "trials": corrected.rests_on,
            }
        for group, members in [*((f"worst {k}", order[:k]) for k in KS), ("all", worst_first(at))]:
            outside = [damage[alpha, s]["collateral"] for s in members if damage[alpha, s]["collateral"] is not None]
            found["collateral"][alpha, group] = {
                "subpopulations": len(members),
                "collateral": mean(outside),
                "largest": max(outside, default=None),
                "damage": mean([at[s] for s in members]),
            }
    return found


def _damage(right: Right, alpha: float, s: int) -> dict[str, Any]:
    trials, inside = right.trials(alpha, s), right.own == s
    rows, beside = int(inside.sum()) * len(trials), int((~inside).sum()) * len(trials)
    clean = sum(int(right.clean[trial][inside].sum()) for trial in trials)
    lost = sum(right.lost(alpha, s, trial, inside) for trial in trials)
    outside = sum(right.lost(alpha, s, trial, ~inside) for trial in trials)
    return {
        "damage": lost / rows if rows else None,
        "trials": len(trials),
        "clean_accuracy": clean / rows if rows else None,
        "poisoned_accuracy": (clean - lost) / rows if rows else None,
        "collateral": outside / beside if beside else None,
    }


def worst_first(damage: dict[int, float]) -> list[int]:
    return sorted(damage, key=lambda s: (-damage[s], s))


class Corrected:
    """The corrected worst k of one alpha, by its definition: every cell asks anew what all the other trials and folds say."""

    def __init__(self, right: Right, fold: np.ndarray, alpha: float, attacked: list[int], min_test_rows: int) -> None:
        rows = {s: [(right.own == s) & (fold == f) for f in range(FOLDS)] for s in attacked}
        self.size = {s: [int(part.sum()) for part in rows[s]] for s in attacked}
        self.members = [s for s in attacked if sum(self.size[s]) >= min_test_rows and min(self.size[s]) > 0]
        told = [right.trials(alpha, s) for s in self.members]
        trials = [trial for trial in sorted(right.clean) if all(trial in each for each in told)] if self.members else []
        self.lost = {(t, s, f): right.lost(alpha, s, t, rows[s][f]) for t in trials for s in self.members for f in range(FOLDS)}
        self.trials = trials if len(trials) > 1 else []
        self.rests_on = len(self.trials)
        self.order = {(t, f): worst_first(self._past(t, f)) for t in self.trials for f in range(FOLDS)}

    def _past(self, trial: int, fold: int) -> dict[int, float]:
        """Each one's damage by the other trials and folds."""
        told = {}
        for s in self.members:
            lost = sum(self.lost[t, s, f] for t in self.trials if t != trial for f in range(FOLDS) if f != fold)
            told[s] = lost / ((len(self.trials) - 1) * (sum(self.size[s]) - self.size[s][fold]))
        return told

    def worst(self, k: int) -> float | None:
        cells = []
        for (t, f), order in self.order.items():
            cells.append(fsum(self.lost[t, s, f] / self.size[s][f] for s in order[:k]) / len(order[:k]))
        return mean(cells)


# ---- held against what was exported ----------------------------------------------------------------------------------

KEYS = {"damage": ("alpha", "subpopulation"), "worst": ("alpha", "k"), "collateral": ("alpha", "group")}


def table(path: Path) -> list[dict[str, str]]:
    """The rows of an exported CSV as they are written, its lines of provenance left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("# ")))


def held(name: str, mine: Numbers, theirs: list[dict[str, str]]) -> tuple[int, int, float, list[str]]:
    """(values equal, values in all, largest difference, what differs beyond the last digit in words)."""
    equal, told, largest, wrong = 0, 0, 0.0, []
    keys = [tuple(row[part] if part == "group" else float(row[part]) for part in KEYS[name]) for row in theirs]
    if set(keys) != set(mine):
        wrong.append(f"{name}: {len(set(keys) ^ set(mine))} rows are on one side alone")
    for key, row in zip(keys, theirs, strict=True):
        for column, value in mine.get(key, {}).items():
            told += 1
            text = row[column]
            if isinstance(value, str) or value is None or not text:
                same = close = text == ("" if value is None else value)
            else:
                other = float(text)
                same, close = other == value, abs(value - other) <= np.spacing(max(abs(value), abs(other)))
                largest = max(largest, abs(value - other))
            equal += same
            if not close:
                wrong.append(f"{name} {key} {column}: {value!r} here, {text!r} exported")
    return equal, told, largest, wrong


def main(folder: Path) -> int:
    predictions, subpopulations = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "subpopulations"))
    found = worked_out(predictions, subpopulations, Question.of(folder / "scenario.toml"))
    wrong: list[str] = []
    for name, mine in found.items():
        equal, told, largest, differs = held(name, mine, table(folder / f"{name}.csv"))
        print(f"{name}: {equal} of {told} values equal, largest difference {largest:g}")
        wrong += differs
    for line in wrong[:20]:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `subpop export RUN --table all -o` wrote")
    sys.exit(main(parser.parse_args().folder))
