"""Several runs held against each other, in words: the report's last chapter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.rows import records
from engine.tables.cells import Row
from engine.tables.compare import COMPARISONS

MOST = 5  # subpopulations told of, of each pair
Records = list[dict[str, Any]]


def chapter(compare: tuple[Row, ...], worst: tuple[Row, ...], notes: tuple[str, ...]) -> Iterator[str]:
    """Lines of Markdown from the rows of `compare` and of `compare_worst`, and from the notes on both."""
    pairs, worsts = records(COMPARISONS["compare"], compare), records(COMPARISONS["compare_worst"], worst)
    yield "## The runs compared"
    yield ""
    yield (
        "The first run is the baseline; a difference is the other's damage minus the baseline's. Where a trial is in both (same seed and "
        "number, same test rows) it is paired within the trial; the two victims share initial weights and batch order only where model and "
        "dataset agree."
    )
    yield ""
    for note in notes:
        yield f"- {_text(note)}."
    for other in dict.fromkeys(row["other"] for row in [*pairs, *worsts]):
        yield ""
        yield f"### {other}"
        yield ""
        yield from _matched([row for row in pairs if row["other"] == other])
        yield ""
        yield from _worst([row for row in worsts if row["other"] == other])


def _matched(rows: Records) -> Iterator[str]:
    paired = [row for row in rows if row["difference"] is not None]
    if not paired:
        yield "No subpopulation's damage can be set beside its own: see above."
        return
    for alpha in sorted({row["alpha"] for row in paired}):
        at_alpha = [row for row in paired if row["alpha"] == alpha]
        tested = [row for row in at_alpha if row["differs"] is not None]
        mean = sum(row["difference"] for row in at_alpha) / len(at_alpha)
        sentence = f"- At alpha {alpha:g}, {len(at_alpha)} subpopulations are in both: damage differs by {mean:+z.3f} on average"
        if tested:
            more, less = (sum(row["differs"] and sign * row["difference"] > 0 for row in tested) for sign in (1, -1))
            sentence += f"; of {len(tested)} with three matched trials or more, {more} are damaged more and {less} less, at q = 0.05"
        yield sentence + "."
    differ = sorted(
        (row for row in paired if row["differs"]), key=lambda row: (-abs(row["difference"]), row["alpha"], row["subpopulation"])
    )
    for row in differ[:MOST]:
        yield (
            f"- {_text(row['description'])}, alpha {row['alpha']:g}: {_f(row['baseline_damage'])} → {_f(row['other_damage'])}, difference "
            f"{row['difference']:+z.3f} ({row['low']:+z.3f} to {row['high']:+z.3f})"
        )


def _worst(rows: Records) -> Iterator[str]:
    if not rows:
        yield "The worst k cannot be compared before both have tables."
        return
    yield "| alpha | worst k | baseline, corrected | other, corrected | difference | 95 % interval | as published: difference |"
    yield "| ---: | ---: | ---: | ---: | ---: | --- | ---: |"
    for row in rows:
        between = f"{row['low']:+z.3f} to {row['high']:+z.3f}" if row["low"] is not None else "–"
        values = (row["baseline_corrected"], row["other_corrected"])
        shown = (f"{row['alpha']:g}", str(row["k"]), *map(_f, values), _f(row["difference"], "+"), between)
        yield "| " + " | ".join((*shown, _f(row["as_published_difference"], "+"))) + " |"


def _f(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}z.3f}"


def _text(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<")
