"""How series are told apart, each by its mark and dash (colours only repeat them), the legend that says so, and a point in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.presenters.format import cell, clean
from tui.widgets.plot.canvas import BLANK, SOLID, Cell, Dash

if TYPE_CHECKING:
    from engine.plots import Plot, Series

MARKS = "●▲■◆○△□◇"
DASHES: tuple[Dash, ...] = (SOLID, (4, 2), (2, 2), (6, 2), (1, 2), (4, 4), (2, 4), (1, 3))
SAMPLES = ("──", "╌╌", "┈┈", "━━", "··", "╶╴", "╴╶", "∙∙")
INKS = tuple(f"s{number}" for number in range(1, 7))
FAINT_FROM = 9  # so many lines or more are a crowd: drawn faintly, all alike, none in the legend


@dataclass(frozen=True)
class Look:
    """How a series is drawn."""

    mark: str
    ink: str
    dash: Dash
    sample: str
    faint: bool = False


def looks_of(plot: Plot) -> list[Look]:
    """One a series: one that is `of` another looks like it, a crowd of lines is faint."""
    lines = [s for s in plot.series if s.style in ("line", "steps") and not s.of]
    crowd = {s.name for s in lines} if len(lines) >= FAINT_FROM else set()
    numbers: dict[str, int] = {}
    looks = []
    for one in plot.series:
        if one.style in ("line", "steps") and one.name in crowd:
            looks.append(Look("·", "faint", (1, 2), "··", faint=True))
            continue
        if one.style == "band":
            looks.append(Look("", "faint", SOLID, ""))
            continue
        at = numbers.setdefault(one.of or one.name, len(numbers))
        looks.append(Look(MARKS[at % len(MARKS)], INKS[at % len(INKS)], DASHES[at % len(DASHES)], SAMPLES[at % len(SAMPLES)]))
    return looks


def legend(plot: Plot, looks: Sequence[Look], width: int, most: int, label: str = "") -> list[list[Cell]]:
    """The upright axis' label where given, then each mark with its name; what names share before a comma is said once."""
    entries: list[list[Cell]] = [ink(label, "label")] if label else []
    parts: dict[str, list[list[Cell]]] = {}
    for one, look in zip(plot.series, looks, strict=True):
        if one.name and not look.faint and not (one.of and one.style in ("line", "steps")):
            group, _, name = clean(one.name, 48).rpartition(", ") if one.keys == () else ("", "", clean(one.name, 48))
            parts.setdefault(group, []).append([*ink(sample(plot, one, look), look.ink), *ink(f" {name}", "")])
    for group, samples in parts.items():
        if group:
            entries.append([*ink(group, "title"), *(cell for each in samples for cell in (BLANK, BLANK, *each))])
        else:
            entries += samples
    if plot.level is not None:
        entries.append([*ink("┄┄", "level"), *ink(f" level {plot.level:g}", "")])
    lines, apart = packed(entries, width), packed(entries[1:], width)
    if label and 1 < len(lines) == 1 + len(apart):  # the marks side by side, where that costs no line
        lines = [entries[0][:width], *apart]
    if len(lines) > most:
        lines = [*lines[: most - 1], [*lines[most - 1][: width - 2], BLANK, ("…", "label")]]
    return [line + [BLANK] * (width - len(line)) for line in lines]


def packed(entries: Sequence[list[Cell]], width: int) -> list[list[Cell]]:
    """Entries side by side, on as many lines as they need."""
    lines: list[list[Cell]] = []
    for entry in entries:
        if lines and len(lines[-1]) + 3 + len(entry) <= width:
            lines[-1] = [*lines[-1], *[BLANK] * 3, *entry]
        else:
            lines.append(entry[:width])
    return lines


def sample(plot: Plot, one: Series, look: Look) -> str:
    """As the legend shows it: a line through points together with their mark."""
    if one.style == "band":
        return "⠕⠕⠕"
    fellows = {s.style == "points" for s in plot.series if s.of == one.name}
    if one.style == "points":
        return look.mark if False not in fellows else look.sample + look.mark + look.sample
    return look.sample * 2 if True in fellows else look.sample + look.mark + look.sample


def ink(words: str, style: str) -> list[Cell]:
    return [(char, style) for char in words]


def readout(plot: Plot, series: int, at: int, names: Mapping[int, str], width: int) -> str:
    """A point in words: whose it is, where it lies, its interval; without the series' name where that leaves no room for the value.

    names: subpopulation -> description.
    """
    one = plot.series[series]
    x, y = one.x[at], one.y[at]
    low, high = interval(one, at)
    inside = f" [{number(low)}, {number(high)}]" if low is not None and high is not None else ""
    across = plot.ticks[int(x)] if x == int(x) and 0 <= x < len(plot.ticks) else f"{short(plot.x_label)} {x:,.4g}"
    who = (f"#{one.keys[at]}", clean(names.get(one.keys[at], ""))) if at < len(one.keys) else ("", "")
    words = (clean(one.name, 28), who[0], across, f"{short(plot.y_label)} {number(y)}{inside}", who[1])
    if who[0] and len("   ".join(part for part in words[:4] if part)) > width:
        words = ("", *words[1:])
    return "   ".join(part for part in words if part)


def interval(one: Series, at: int) -> tuple[float | None, float | None]:
    """The interval of a point; None where there is none."""
    return (one.low[at] if at < len(one.low) else None), (one.high[at] if at < len(one.high) else None)


def number(value: float) -> str:
    """Three decimals, as in the tables; large values shorter."""
    return cell(float(value), "fraction") if abs(value) < 10 else f"{value:,.4g}"


def short(label: str) -> str:
    """An axis' label in a word or two: what stands before a bracket, a comma, or "of"."""
    return re.split(r"[(,]| of ", clean(label))[0].strip()
