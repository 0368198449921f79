"""How series are told apart, each by its mark and dash (colours only repeat them), and the legend that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.format import clean
from tui.widgets.plot_canvas import BLANK, SOLID, Cell, Dash

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
    found = []
    for one in plot.series:
        if one.style in ("line", "steps") and one.name in crowd:
            found.append(Look("·", "faint", (1, 2), "··", faint=True))
            continue
        at = numbers.setdefault(one.of or one.name, len(numbers)) if one.style != "band" else 0
        found.append(Look(MARKS[at % len(MARKS)], INKS[at % len(INKS)], DASHES[at % len(DASHES)], SAMPLES[at % len(SAMPLES)]))
    return found


def legend(plot: Plot, looks: Sequence[Look], width: int, most: int) -> list[list[Cell]]:
    """The upright axis' label, then each mark with its name; what names have in common before a comma is said once."""
    entries: list[list[Cell]] = [ink(f"↑ {clean(plot.y_label)}", "label")]
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
    lines: list[list[Cell]] = [[]]
    for entry in entries:
        gap = [BLANK] * 3 if lines[-1] else []
        if len(lines[-1]) + len(gap) + len(entry) > width and lines[-1]:
            if len(lines) == most:
                lines[-1] = [*lines[-1][: width - 2], BLANK, ("…", "label")]
                break
            lines.append([])
            gap = []
        lines[-1] += [*gap, *entry][: width - len(lines[-1])]
    return [line + [BLANK] * (width - len(line)) for line in lines]


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
