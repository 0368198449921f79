"""Dose and response: damage over the poison rate, of all subpopulations or of chosen ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

from engine.plots.data import DAMAGE, Plot, Records, Series, points, records
from engine.rows import Table

CENSORED = 6  # subpopulations whose alpha is said one by one


def dose_response(tables: Mapping[str, Table], subpopulations: Sequence[int] | None = None) -> Plot | None:
    """Damage over alpha. None: every damage as a point, the median of the fitted curves and their middle half; else those subpopulations.

    The curve is that of table `dose`: it never falls and starts at (0, 0). A subpopulation that has none yet is left out.
    """
    damage = [row for row in records(tables, "damage") if row["damage"] is not None]
    doses = {row["subpopulation"]: row for row in records(tables, "dose")}
    level = next((row["level"] for row in doses.values() if row["level"] is not None), None)
    if subpopulations is None:
        series, notes = _all_doses(damage, doses)
    else:
        series, notes = _chosen_doses(damage, doses, subpopulations)
    if not series:
        return None
    level_note = () if level is None else (f"dashed: the damage to be reached, {level:g}",)
    x_label = "alpha (poison points per row of the subpopulation)"
    return Plot("dose_response", "How much poison it takes", x_label, DAMAGE, tuple(series), level, notes=(*notes, *level_note))


def _all_doses(damage: Records, doses: Mapping[int, dict[str, Any]]) -> tuple[list[Series], list[str]]:
    curves = [curve for row in doses.values() if len(curve := curve_of(row)) > 1]
    damage = sorted(damage, key=lambda row: (row["alpha"], row["subpopulation"]))
    series = []
    if damage:
        series.append(points("each subpopulation", damage, "alpha"))
    alphas = sorted({row["alpha"] for row in damage})
    known = [(alpha, damages) for alpha in alphas if (damages := [value for curve in curves if (value := at(curve, alpha)) is not None])]
    if known:
        x = (0.0, *(alpha for alpha, _ in known))
        middle, low, high = ((0.0, *(quantile(damages, share) for _, damages in known)) for share in (0.5, 0.25, 0.75))
        series += [Series("middle half", x, middle, low, high, "band", of="median"), Series("median", x, middle, style="line")]
    notes = ["median and middle half: of the fitted curves, which never fall"] if known else []
    fitted = [row for row in doses.values() if row["needed"] is not None]
    if fitted:
        reach, largest = [row for row in fitted if row["alpha"] is not None], max(row["largest"] for row in fitted)
        notes.append(f"{len(reach)} of {len(fitted)} subpopulations reach damage {fitted[0]['level']:g} by alpha {largest:g}")
        if len(reach) < len(fitted):
            notes[-1] += f"; of the others the alpha is censored (> {largest:g})"
        if len(fitted) < len(doses):
            notes.append(f"{len(doses) - len(fitted)} have no victims yet")
    return series, notes


def _chosen_doses(damage: Records, doses: Mapping[int, dict[str, Any]], chosen: Sequence[int]) -> tuple[list[Series], list[str]]:
    series, notes = [], []
    for index in dict.fromkeys(chosen):
        of_subpopulation = sorted((row for row in damage if row["subpopulation"] == index), key=lambda row: row["alpha"])
        dose = doses.get(index, {})
        description = (of_subpopulation[0] if of_subpopulation else dose).get("description") or ""
        name = f"{index}: {description}" if description else str(index)
        if of_subpopulation:
            series.append(points(name, of_subpopulation, "alpha", intervals=True))
        if len(curve := curve_of(dose)) > 1:
            x, y = zip(*curve, strict=True)
            series.append(Series(f"{index}: fitted", x, y, style="line", keys=(index,) * len(x), of=name if of_subpopulation else ""))
            if dose["alpha"] is None:
                notes.append(f"{index}: does not reach {dose['level']:g} by the largest alpha tried ({dose['needed']})")
            else:
                between = f" ({dose['interval']})" if dose["interval"] else ""
                notes.append(f"{index}: reaches {dose['level']:g} at alpha {dose['needed']}{between}, {dose['points']} points")
    if len(notes) > CENSORED:
        notes = [*notes[:CENSORED], "the others': table `dose`"]
    if any(each.style == "line" for each in series):
        notes.append("lines: fitted, never falling, from 0 at alpha 0")
    return series, notes


def curve_of(dose: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    """The fitted curve of a row of table `dose`: (alpha, damage), from (0, 0) on; empty where there is none."""
    pairs = (part.split(":") for part in (dose.get("curve") or "").split())
    return tuple((float(alpha), float(damage)) for alpha, damage in pairs)


def at(curve: Sequence[tuple[float, float]], alpha: float) -> float | None:
    """The curve at an alpha, straight between its points; None beyond the last."""
    before = curve[0]
    for point in curve:
        if point[0] >= alpha - 1e-9:
            share = 1.0 if point[0] == before[0] else (alpha - before[0]) / (point[0] - before[0])
            return before[1] + min(share, 1.0) * (point[1] - before[1])
        before = point
    return None


def quantile(values: Sequence[float], share: float) -> float:
    """As numpy's: straight between the values in order. At least one value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
