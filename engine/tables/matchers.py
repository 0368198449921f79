"""The `matchers` table: FeatureMatch against ClusterMatch on the same data and model, of two runs or more; made at export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.rows import Table
from engine.tables.cells import Row, by_key, line, mover
from engine.tables.columns import SPECS

MATCHERS = {"feature_match": "feature", "cluster_match": "cluster"}
MOST_NAMED = 3  # runs, and keys of one
LONGEST = 40  # characters of a value in words
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
    pairs: list[tuple[Side | None, Side | None, str]] = [(f, c, _seeds(f, c)) for f in features for c in clusters if not unlike(f, c)]
    met = {side.run_id for pair in pairs for side in pair[:2] if side is not None}
    for side in (each for each in sides if each.run_id not in met):
        why = _alone(side, clusters if side.matcher == "feature" else features)
        pairs.append((side, None, why) if side.matcher == "feature" else (None, side, why))
    rows = [row for pair in pairs for row in _rows(*pair)]
    return Table(SPECS["matchers"], tuple(sorted(rows, key=lambda row: (row[0], row[1], row[2] or "", row[3] or ""))))


def unlike(one: Side, other: Side) -> dict[str, tuple[Any, Any]]:
    """In what two runs differ that must be the same: dotted scenario key -> the two values, None where a kind has no such key."""
    differences: dict[str, tuple[Any, Any]] = {}
    for path in SAME:
        left, right = dict(_leaves(_at(one.scenario, path), ".".join(path))), dict(_leaves(_at(other.scenario, path), ".".join(path)))
        differences |= {key: (left.get(key), right.get(key)) for key in {**left, **right} if left.get(key) != right.get(key)}
    return differences


def _at(tree: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = tree
    for key in path:
        value = value[key]
    return value


def _leaves(value: Any, head: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{head}.{key}")
    else:
        yield head, value


def _seeds(feature: Side, cluster: Side) -> str:
    return "two seeds: other splits and clean victims" if feature.scenario["seed"] != cluster.scenario["seed"] else ""


def _alone(side: Side, others: Sequence[Side]) -> str:
    """Why a run has no partner: there is none, or which keys differ."""
    if not others:
        return "alone: no run of the other matcher is among these"
    return "; ".join(f"alone: {_differ(side, other)}" for other in others[:MOST_NAMED])


def _differ(side: Side, other: Side) -> str:
    keys = unlike(side, other)
    # of two kinds all else differs by itself
    kinds = [key for key in keys if key.endswith(".kind")]
    shown = [key for key in keys if key in kinds or not any(key.startswith(kind.removesuffix("kind")) for kind in kinds)]
    words = [f"{key} ({_word(keys[key][0])} here, {_word(keys[key][1])} there)" for key in shown[:MOST_NAMED]]
    more = [f"{len(shown) - MOST_NAMED} more keys"] if len(shown) > MOST_NAMED else []
    return f"run {other.run_id} differs in {', '.join([*words, *more])}"


def _word(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _rows(feature: Side | None, cluster: Side | None, about: str) -> Iterator[Row]:
    """about: what is to be known of the pair, or of one that is alone."""
    sides = {"feature": feature, "cluster": cluster}
    worst = {name: {} if side is None else by_key(side.worst, "alpha", "k") for name, side in sides.items()}
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
            note="; ".join([*([about] if about else []), *missing]) or None,
            **cells,
        )


def _difference(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    """one minus other with its interval from theirs."""
    if not one or not other or one["corrected"] is None or other["corrected"] is None:
        return None, None, None
    parts = ("corrected", "low", "high")
    difference, low, high = mover([one[part] for part in parts], [other[part] for part in parts])
    return difference, None if low is None else max(low, -1.0), None if high is None else min(high, 1.0)
