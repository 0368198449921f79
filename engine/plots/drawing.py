"""A plot drawn by matplotlib, through its objects alone: title, axes, legend below them, notes in small type at the foot.

Lengths are inches, type sizes points. The figure is as high as its parts, so that nothing overlaps.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from engine.plots.data import Plot, Series

WIDTH, AXES = 3.5, 2.1
LEFT, RIGHT, EDGE = 0.52, 0.1, 0.07
TITLE, LABEL, TICK, LEGEND, NOTE = 8.0, 7.0, 6.5, 6.0, 5.3
LEADING = 1.35 / 72  # inches a point of type, line to line
HANDLE = 0.36  # a legend's mark and the space behind it
APART = 0.28  # between the series of one category
BESIDE = 0.008  # between series whose intervals would hide each other, of the width of the plot
FINE = 20
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (4, 1.2, 1, 1.2)), (0, (1, 1)), (0, (6, 1, 1, 1, 1, 1)))
FAINT = "#9a9a9a"
PAPER = "the paper"


def draw(plot: Plot) -> Figure:
    """The figure, with a canvas of its own."""
    figure = Figure(figsize=(WIDTH, 1.0))
    measure = _ruler(FigureCanvasAgg(figure))
    inside = WIDTH - 2 * EDGE
    title = _wrapped(plot.title, TITLE, inside, measure, "bold")
    notes = [line for note in plot.notes for line in _wrapped(note, NOTE, inside, measure)]
    shown = [each for each in plot.series if each.style == "band" or not (each.of and each.style == "line")]
    columns = _columns([each.name for each in shown], inside, measure)
    names = [_cut(each.name, LEGEND, inside / columns - HANDLE, measure) for each in shown]
    ticks = max((measure(name, TICK) for name in plot.ticks), default=0.0) * 0.71 + 0.12 if plot.ticks else 0.17
    heights = (
        EDGE + len(title) * TITLE * LEADING + 0.03,
        AXES,
        ticks + LABEL * LEADING + 0.05,
        ceil(len(shown) / columns) * LEGEND * LEADING * 1.12 + 0.06,
        len(notes) * NOTE * LEADING + EDGE,
    )
    total = sum(heights)
    figure.set_size_inches(WIDTH, total)
    figure.text(EDGE / WIDTH, 1 - EDGE / total, "\n".join(title), fontsize=TITLE, weight="bold", va="top", linespacing=1.2)
    axes = figure.add_axes((LEFT / WIDTH, sum(heights[2:]) / total, (WIDTH - LEFT - RIGHT) / WIDTH, AXES / total))
    handles = _series(axes, plot)
    _dress(axes, plot)
    legend_top = sum(heights[3:]) / total
    legend = figure.legend(
        [handles[each.name] for each in shown],
        names,
        loc="upper left",
        bbox_to_anchor=(EDGE / WIDTH, legend_top),
        ncols=columns,
        fontsize=LEGEND,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=2.4,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.35,
    )
    legend.set_in_layout(False)
    figure.text(EDGE / WIDTH, (heights[4]) / total, "\n".join(notes), fontsize=NOTE, color="#333333", va="top", linespacing=1.25)
    return figure


def _series(axes: Any, plot: Plot) -> dict[str, Any]:
    """Draw each series; name -> what stands for it in the legend."""
    main = [each.name for each in plot.series if not each.of]
    faint = {each.name for each in plot.series if each.style == "points" and any(other.style == "band" for other in plot.series)}
    place = {name: at for at, name in enumerate(name for name in main if name not in faint and not name.endswith(PAPER))}
    labelled = [
        each.name
        for each in plot.series
        if each.style == "points" and not each.of and (plot.ticks or any(low is not None for low in each.low))
    ]
    values = [x for each in plot.series for x in each.x]
    apart = APART if plot.ticks else BESIDE * (max(values) - min(values))
    handles = {}
    for each in plot.series:
        index = place.get(each.of or each.name, 0)
        shift = (labelled.index(each.name) - (len(labelled) - 1) / 2) * apart if each.name in labelled else 0.0
        handles[each.name] = _one(axes, each, index, shift, each.name in faint)
    return handles


def _one(axes: Any, series: Series, index: int, shift: float, faint: bool) -> Any:
    colour, mark, dash = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)], DASHES[index % len(DASHES)]
    x = [value + shift for value in series.x]
    if series.style == "band":
        edges = [(a, low, high) for a, low, high in zip(x, series.low, series.high, strict=True) if low is not None and high is not None]
        return axes.fill_between(*map(list, zip(*edges, strict=True)), color=colour, alpha=0.18, linewidth=0, zorder=1.5)
    if series.style == "line":
        return axes.plot(x, series.y, color=colour, linestyle=dash, linewidth=1.2, marker="" if series.of else mark, markersize=3)[0]
    if series.style == "steps":
        return axes.step(x, series.y, where="post", color=colour, linestyle=dash, linewidth=1.0)[0]
    if faint:
        return axes.plot(x, series.y, linestyle="", marker="o", markersize=2.2, color=FAINT, markerfacecolor="none", markeredgewidth=0.5)[0]
    face = "white" if len(x) <= 60 else "none"
    size, edge = (3.6, 0.9) if len(x) <= 60 else (2.6, 0.6)
    if series.name.endswith(PAPER):
        colour, mark, face, size = "black", "*", "black", 5.0
    if any(low is not None for low in series.low):
        spread = [_arms(y, low, high) for y, low, high in zip(series.y, series.low, series.high, strict=True)]
        thin = 0.5 if series.of else 0.8  # beside the line that it belongs to, or the only thing there
        arms = list(zip(*spread, strict=True))
        axes.errorbar(x, series.y, yerr=arms, fmt="none", ecolor=colour, elinewidth=thin, capsize=2 * thin, capthick=thin, zorder=2)
    look = {"marker": mark, "markersize": size, "color": colour, "markerfacecolor": face, "markeredgewidth": edge}
    return axes.plot(x, series.y, linestyle="", zorder=3, **look)[0]


def _arms(y: float, low: float | None, high: float | None) -> tuple[float, float]:
    return (0.0 if low is None else max(y - low, 0.0), 0.0 if high is None else max(high - y, 0.0))


def _dress(axes: Any, plot: Plot) -> None:
    """Labels, scales, ticks, the level."""
    axes.set_xlabel("" if any(not tick.isdigit() for tick in plot.ticks) else plot.x_label, fontsize=LABEL, labelpad=2)
    axes.set_ylabel(plot.y_label, fontsize=LABEL, labelpad=2)
    axes.tick_params(labelsize=TICK, length=2.5, pad=2)
    axes.tick_params(which="minor", length=1.5)
    axes.grid(visible=True, color="#dddddd", linewidth=0.4)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if plot.level is not None:
        axes.axhline(plot.level, color="black", linestyle=(0, (3, 3)), linewidth=0.7, zorder=1.8)
    if axes.get_ylim()[0] < 0:
        axes.axhline(0, color="#666666", linewidth=0.6, zorder=1.4)
    if plot.x_log:
        axes.set_xscale("log")
        spread = axes.get_xlim()[1] / axes.get_xlim()[0]
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if spread < 20 else (1, 2, 5) if spread < 300 else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if not plot.ticks:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    if plot.ticks:
        axes.set_xticks(range(len(plot.ticks)), plot.ticks, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(plot.ticks) - 0.4)
        axes.grid(visible=False, axis="x")
        for before, after in pairwise(range(len(plot.ticks))):
            if plot.ticks[before].rpartition(",")[2] != plot.ticks[after].rpartition(",")[2]:
                axes.axvline((before + after) / 2, color="#cccccc", linewidth=0.5)


# ---- text that fits --------------------------------------------------------------------------------------------------

Ruler = Callable[..., float]


def _ruler(canvas: FigureCanvasAgg) -> Ruler:
    """How wide a text is, in inches."""
    renderer: Any = canvas.get_renderer()
    known: dict[tuple[str, float, str], float] = {}

    def measure(text: str, size: float, weight: str = "normal") -> float:
        if (text, size, weight) not in known:
            font = FontProperties(size=size * FINE, weight=weight)  # large: of small type the width is rounded to whole pixels
            known[text, size, weight] = renderer.get_text_width_height_descent(text, font, False)[0] / renderer.dpi / FINE
        return known[text, size, weight]

    return measure


def _wrapped(text: str, size: float, width: float, measure: Ruler, weight: str = "normal") -> list[str]:
    lines: list[str] = []
    for word in re.sub(r"([<>]) (?=\d)", "\\1\u00a0", " ".join(text.split())).split(" "):  # "> 2" stays together
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(_cut(word, size, width, measure))
    return lines


def _cut(text: str, size: float, width: float, measure: Ruler) -> str:
    if measure(text, size) <= width:
        return text
    kept = bisect_right(range(1, len(text)), width, key=lambda letters: measure(f"{text[:letters]}…", size))
    return f"{text[:kept].rstrip()}…"


def _columns(names: Sequence[str], width: float, measure: Ruler) -> int:
    """How many columns of the legend fit."""
    widest = max((measure(name, LEGEND) for name in names), default=0.0) + HANDLE + 0.1
    return max(1, min(3, len(names), int(width / widest)))
