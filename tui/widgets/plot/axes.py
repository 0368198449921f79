"""Axes of a plot drawn in cells: their ends, their ticks, and where a value lies. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Tick = tuple[float, str]


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, in the logarithm where `log`. names: of 0, 1, 2 ... where the axis is of categories."""

    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one; beyond them cut off."""
        low, high, at = (math.log(max(v, 1e-300)) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def ticks(self, room: int, *, gap: int = 5) -> list[Tick]:
        """(value, words) of as many round values as `room` cells side by side have place for, `gap` cells apart."""
        if self.names:
            return [(float(at), name) for at, name in enumerate(self.names)]
        candidates = log_ticks(self) if self.log else linear_ticks(self)
        for ticks in candidates:
            if sum(len(words) + gap for _, words in ticks) <= room:
                return ticks
        return candidates[-1]


def linear_ticks(axis: Axis) -> list[list[Tick]]:
    """Rows of round ticks, the closest first."""
    span, tick_rows = axis.high - axis.low, []
    exponent = math.floor(math.log10(span))
    for factor in (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0):
        step = factor * 10.0**exponent
        first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
        if last > first:
            digits = max(0, -math.floor(math.log10(step) + 1e-9), 2 - exponent if factor == 0.25 else 0)
            tick_rows.append([(at * step, f"{at * step + 0.0:.{digits}f}") for at in range(first, last + 1)])
    return tick_rows


def log_ticks(axis: Axis) -> list[list[Tick]]:
    """Rows of 1-2-5 ticks, of decades alone, and of the two ends."""
    decades = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    tick_rows = []
    for factors in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        values = [f * 10.0**d for d in decades for f in factors]
        inside = [(v, f"{v:,.10g}") for v in values if axis.low * 0.999 <= v <= axis.high * 1.001]
        if len(inside) >= 2:
            tick_rows.append(inside)
    return tick_rows or [[(axis.low, f"{axis.low:.3g}"), (axis.high, f"{axis.high:.3g}")]]


def axis_over(values: Iterable[float], *, log: bool = False, names: Sequence[str] = ()) -> Axis:
    """An axis that holds all the values, its ends rounded outwards so that a live plot seldom changes them."""
    if names:
        return Axis(-0.5, len(names) - 0.5, names=tuple(names))
    finite = [float(v) for v in values if math.isfinite(v) and (v > 0 or not log)]
    low, high = (min(finite), max(finite)) if finite else (1.0, 10.0) if log else (0.0, 1.0)
    if log:
        return Axis(low / 1.15, high * 1.15, log=True)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - max(0.05, abs(low) * 0.1), high + max(0.05, abs(high) * 0.1)
    rough = (high - low) / 8
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(f * decade for f in (1, 2, 2.5, 5, 10) if f * decade >= rough)
    return Axis(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def upright(values: Iterable[float], rows: int) -> tuple[Axis, list[Tick]]:
    """An axis for so many rows that holds all the values and whose round ticks lie a whole number of rows apart, with its ticks."""
    base = axis_over(values)
    candidates = []
    exponent = math.floor(math.log10(base.high - base.low))
    for factor in (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0):
        step = factor * 10.0**exponent
        first, last = math.floor(base.low / step + 1e-9), math.ceil(base.high / step - 1e-9)
        apart = (rows - 1) // (last - first)
        if apart >= 1:
            count = (rows - 1) / apart
            spare = count * step / (base.high - base.low) - 1
            cramped = 0.3 * (apart < 2) + 0.15 * max(0, 4 - (last - first))
            digits = max(0, 2 - exponent if factor == 0.25 else -math.floor(math.log10(step) + 1e-9))
            ticks = [(at * step, f"{at * step + 0.0:.{digits}f}") for at in range(first, first + math.floor(count + 1e-9) + 1)]
            candidates.append((spare + cramped, -len(ticks), Axis(first * step, (first + count) * step), ticks))
    if not candidates:
        return base, [(base.low, f"{base.low:.3g}"), (base.high, f"{base.high:.3g}")]
    return min(candidates, key=lambda each: each[:2])[2:]
