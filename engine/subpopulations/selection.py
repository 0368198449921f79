"""Which subpopulations are attacked, and for each that is not, why not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.errors import RequestError
from engine.scenario.sections import SubpopulationsSection

_GROUPS = {
    "low_confidence": ("lowest",),
    "mid_confidence": ("middle",),
    "high_confidence": ("highest",),
    "confidence": ("lowest", "middle", "highest"),
}


def select(
    section: SubpopulationsSection,
    aux_rows: Sequence[int],
    test_rows: Sequence[int],
    confidence: Sequence[float | None],
    predicted: Sequence[float | None] | None = None,
) -> tuple[str, ...]:
    """For every subpopulation the reason why it is not attacked, "" where it is.

    In this order: `only`, the sizes (aux rows), having test rows to measure damage on, then the confidence groups, or those of largest
    predicted damage, among what is left. predicted: None while it is not known yet: then it chooses nothing.
    A RequestError, which says how many each of these removed, where nothing is left.
    """
    count = len(aux_rows)
    beyond = sorted({index for index in section.only if not 0 <= index < count})
    if beyond:
        raise RequestError(
            f"there is no subpopulation {', '.join(map(str, beyond))}",
            where="subpopulations.only",
            next=f"there are {count}, numbered 0 to {count - 1}",
        )
    reasons = [_filtered(section, index, aux_rows[index], test_rows[index]) for index in range(count)]
    left = [index for index, (_, reason) in enumerate(reasons) if not reason]
    if not left:
        raise RequestError(*_nothing_left(section, reasons, aux_rows))
    if section.select == "predicted":
        chosen = frozenset(left) if predicted is None else by_prediction(section.select_count, left, predicted)
    else:
        chosen = by_confidence(section.select, section.select_count, left, confidence)
    for index in left:
        if index not in chosen:
            reasons[index] = ("select", _not_chosen(section, confidence[index], None if predicted is None else predicted[index]))
    return tuple(reason for _, reason in reasons)


def by_confidence(rule: str, each: int, candidates: Sequence[int], confidence: Sequence[float | None]) -> frozenset[int]:
    """`each` candidates of lowest, middle or highest confidence, or of all three; ties by index; all of them for "all".

    Fewer candidates than asked for: all there are. Groups that overlap are not made longer.
    """
    if rule == "all":
        return frozenset(candidates)
    order = sorted(candidates, key=lambda index: (np.inf if confidence[index] is None else confidence[index], index))
    middle = max(0, (len(order) - each) // 2)
    groups = {"lowest": order[:each], "middle": order[middle : middle + each], "highest": order[-each:]}
    return frozenset(index for group in _GROUPS[rule] for index in groups[group])


def by_prediction(count: int, candidates: Sequence[int], predicted: Sequence[float | None]) -> frozenset[int]:
    """The `count` candidates of largest predicted damage; ties by index, those of which nothing is foretold last."""

    def rank(index: int) -> tuple[float, int]:
        value = predicted[index]
        return (np.inf if value is None else -value, index)

    return frozenset(sorted(candidates, key=rank)[:count])


def _filtered(section: SubpopulationsSection, index: int, aux: int, test: int) -> tuple[str, str]:
    """(the key that removes it, the reason), or ("", "")."""
    if section.only and index not in section.only:
        return "only", "not among subpopulations.only"
    if aux < section.min_size:
        return "min_size", f"{_rows(aux, 'aux')}, fewer than min_size {section.min_size}"
    if section.max_size is not None and aux > section.max_size:
        return "max_size", f"{_rows(aux, 'aux')}, more than max_size {section.max_size}"
    if test == 0:
        return "test", "no test rows"
    return "", ""


def _not_chosen(section: SubpopulationsSection, confidence: float | None, predicted: float | None) -> str:
    if section.select == "predicted":
        level = "no prediction" if predicted is None else f"predicted damage {predicted:.3f}"
        return f"{level}, not among the {section.select_count} predicted worst"
    level = "no confidence" if confidence is None else f"confidence {confidence:.3f}"
    groups = [f"{section.select_count} {group}" for group in _GROUPS[section.select]]
    among = groups[0] if len(groups) == 1 else f"{', '.join(groups[:-1])} or {groups[-1]}"
    return f"{level}, not among the {among}"


def _nothing_left(section: SubpopulationsSection, reasons: Sequence[tuple[str, str]], aux_rows: Sequence[int]) -> tuple[str]:
    removed = {key: sum(1 for reason, _ in reasons if reason == key) for key in ("only", "min_size", "max_size", "test")}
    says = {
        "only": f"{removed['only']} not in `only`",
        "min_size": f"{removed['min_size']} below min_size {section.min_size}",
        "max_size": f"{removed['max_size']} above max_size {section.max_size}",
        "test": f"{removed['test']} without test rows",
    }
    sizes = f"sizes run from {min(aux_rows)} to {max(aux_rows)} aux rows" if aux_rows else "there are no subpopulations"
    removals = ", ".join(text for key, text in says.items() if removed[key])
    advice = {
        "only": "list other indices in `only`",
        "min_size": "lower min_size",
        "max_size": "raise max_size",
        "test": "ask for fewer clusters or coarser features, or take more test rows",
    }
    todo = " or ".join(text for key, text in advice.items() if removed[key])
    what = f"subpopulations: none of {len(aux_rows)} is left to attack: {removals or 'none were found'} ({sizes})"
    return (f"{what}; {todo or 'check the features'}",)


def _rows(count: int, split: str) -> str:
    return f"{count:,} {split} row{'s' if count != 1 else ''}"
