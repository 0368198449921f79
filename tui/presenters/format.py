"""Values as a person reads them: one line each, no control characters, one dash where nothing is known."""

from __future__ import annotations

import re
from textwrap import wrap

NOTHING = "–"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)  # as reviews from the web have them


def whole(text: str) -> str:
    """A text in full, however long: its lines, `<br />` ending one too, and no control characters in them."""
    return "\n".join(CONTROL.sub(" ", line).rstrip() for line in BREAK.sub("\n", text).splitlines())


def one_line(text: str, limit: int = 400) -> str:
    """A text's beginning, at most `limit` characters, on one line."""
    return clean(" ".join(BREAK.sub(" ", text[: 4 * limit]).split()), limit)


def clean(text: object, limit: int = 400) -> str:
    """One line of text with control characters made visible as a space, at most `limit` characters."""
    line = CONTROL.sub(" ", str(text))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def cell(value: object, kind: str = "text") -> str:
    """A table's cell: fractions to three decimals (never percentages), counts with separators, None as a dash."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if kind != "text" else str(value)
    if isinstance(value, float):
        if kind == "fraction":
            text = f"{value:.3f}"
            return "0.000" if text == "-0.000" else text
        return f"{value:.4g}" if kind == "float" else (f"{value:,.0f}" if kind == "int" else f"{value:g}")
    return clean(value)


def duration(seconds: float | None) -> str:
    """4 s, 3 m 20 s, 2 h 05 m, 3 d 4 h."""
    if seconds is None or seconds != seconds or seconds < 0:
        return NOTHING
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} m {s % 60:02d} s"
    if s < 86400:
        return f"{s // 3600} h {s % 3600 // 60:02d} m"
    return f"{s // 86400} d {s % 86400 // 3600} h"


def size(count: float | None) -> str:
    """Bytes in the unit that keeps it short: 812 MB, 1.2 GB."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if value >= 100 or unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return NOTHING


def rate(per_minute: float | None) -> str:
    if per_minute is None:
        return NOTHING
    return f"{per_minute:,.0f}/min" if per_minute >= 10 else f"{per_minute:.1f}/min"


def bar(share: float | None, width: int) -> str:
    """A progress bar that reads without colours: ━ done, ╌ to do."""
    filled = 0 if share is None else int(max(0.0, min(1.0, share)) * width + 1e-9)
    return "━" * filled + "╌" * (width - filled)


def plural(count: int, word: str, many: str | None = None) -> str:
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def interval(low: object, mid: object, high: object, span: tuple[float, float], width: int) -> str:
    """A small forest plot on a shared axis: ● the mean, ├──┤ its interval, ┊ zero."""
    start, end = span
    scale = (width - 1) / (end - start) if end > start else 0.0

    def place(value: float) -> int:
        return max(0, min(width - 1, round((value - start) * scale)))

    line = [" "] * width
    if start <= 0 <= end:
        line[place(0.0)] = "┊"
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        a, b = place(low), place(high)
        for x in range(a, b + 1):
            line[x] = "─"
        if b > a:
            line[a], line[b] = ("├" if low >= start else "◂"), ("┤" if high <= end else "▸")
    if isinstance(mid, (int, float)):
        line[place(mid)] = "●"
    return "".join(line)


def wrapped(words: str, width: int, most: int | None = None) -> list[str]:
    """Words on as many lines as they need, but on no more than `most`: the last one is then longer than `width`.

    most: None for what goes wrong, whose advice comes last and must be seen.
    """
    parts = wrap(words, max(12, width - 1), initial_indent=" ", subsequent_indent="   ")
    return (
        parts if most is None or len(parts) <= most else [*parts[: most - 1], "   " + " ".join(part.strip() for part in parts[most - 1 :])]
    )
