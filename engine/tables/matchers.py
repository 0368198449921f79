"""The `matchers` table: FeatureMatch against ClusterMatch on the same data and model, of two runs or more; made at export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.rows import Table
from engine.tables.cells import Row, by_key, line, mover
from engine.tables.columns import SPECS

MATCHERS = {"feature_match": "feature", "cluster_match": "cluster"}
SAME = (("dataset",), ("model",), ("attack", "kind"), ("attack", "per"), ("adversary",))


@dataclass(frozen=True)
class Side:
    """One run: its scenario as plain values, and its tables `worst` and `damage`."""

    run_id: str
    scenario: Mapping[str, Any]
    worst: Table
    damage: Table

    @property
    def matcher(self) -> str:
        return MATCHERS[self.scenario["subpopulations"]["kind"]]


def matchers(sides: Sequence[Side]) -> Table:
    """Every run of the one beside every run of the other on the same data and model; a run without such a partner stands alone."""
    features, clusters = ([side for side in sides if side.matcher == name] for name in ("feature", "cluster"))
    pairs: list[tuple[Side | None, Side | None]] = [(f, c) for f in features for c in clusters if not unlike(f, c)]
    met = {side.run_id for pair in pairs for side in pair if side is not None}
    pairs += [(side, None) if side.matcher == "feature" else (None, side) for side in sides if side.run_id not in met]
    rows = [row for pair in pairs for row in _rows(*pair)]
    return Table(SPECS["matchers"], tuple(sorted(rows, key=lambda row: (row[0], row[1], row[2] or "", row[3] or ""))))


def unlike(one: Side, other: Side) -> list[str]:
    """In what two runs differ that must be the same, as scenario keys."""
    differences = []
    for path in SAME:
        left, right = one.scenario, other.scenario
        for key in path:
            left, right = left[key], right[key]
        if left != right:
            differences.append(".".join(path))
    return differences


def _rows(feature: Side | None, cluster: Side | None) -> Iterator[Row]:
    sides = {"feature": feature, "cluster": cluster}
    worst = {name: {} if side is None else by_key(side.worst, "alpha", "k") for name, side in sides.items()}
    notes = []
    if feature is None or cluster is None:
        notes.append("alone: the other matcher's run on the same data and model is not among these")
    elif feature.scenario["seed"] != cluster.scenario["seed"]:
        notes.append("two seeds: other splits and clean victims")
    keys = sorted({key for rows in worst.values() for key in rows})
    for alpha, k in keys:
        cells: dict[str, object] = {}
        by_matcher = {name: rows.get((alpha, k)) for name, rows in worst.items()}
        for name, side in sides.items():
            row = by_matcher[name] or {}
            attacked = [] if side is None else [each for each in side.damage.records() if each["alpha"] == alpha]
            judgements = [each["vulnerable"] for each in attacked if each["vulnerable"] is not None]
            cells |= {
                f"{name}_run": None if side is None else side.run_id,
                f"{name}_as_published": row.get("as_published"),
                f"{name}_corrected": row.get("corrected"),
                f"{name}_vulnerable": sum(judgements) if judgements else None,
                f"{name}_attacked": len(attacked) if side is not None else None,
            }
        difference, low, high = _difference(by_matcher["cluster"], by_matcher["feature"])
        missing = [f"{name}: {row['note']}" for name, row in by_matcher.items() if row and row["note"]]
        yield line(
            "matchers",
            alpha=alpha,
            k=k,
            difference=difference,
            low=low,
            high=high,
            published=None,
            published_as=None,
            note="; ".join([*notes, *missing]) or None,
            **cells,
        )


def _difference(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    """one minus other with its interval from theirs."""
    if not one or not other or one["corrected"] is None or other["corrected"] is None:
        return None, None, None
    parts = ("corrected", "low", "high")
    difference, low, high = mover([one[part] for part in parts], [other[part] for part in parts])
    return difference, None if low is None else max(low, -1.0), None if high is None else min(high, 1.0)
