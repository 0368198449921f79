"""Three themes of the app's own; Textual's are there too, made legible. Colours only ever repeat what a word or a sign says.

Text is at least 4.5 : 1 (WCAG 2.1, AA) on whatever it may stand on, in every theme offered: `legible` takes a theme's inks towards white
or black until they are, and `tests/tui/test_contrast.py` measures what is painted. Themes in the terminal's own sixteen colours are not
offered, for nobody knows what those are; SIXTEEN is for terminals that have no more than them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="subpop-dark",
    primary="#6cb0e8",
    secondary="#8f9fb3",
    accent="#f0b35e",
    success="#83c794",
    warning="#e8c266",
    error="#ee7a78",
    foreground="#d5dce4",
    background="#0f1317",
    surface="#13181d",
    panel="#1b2229",
    dark=True,
)
LIGHT = Theme(
    name="subpop-light",
    primary="#1f5f99",
    secondary="#5c6b7a",
    accent="#9a5b00",
    success="#2f7a43",
    warning="#8a6500",
    error="#b3261e",
    foreground="#20262c",
    background="#fbfaf7",
    surface="#f5f3ee",
    panel="#e9e6df",
    dark=False,
)
SIXTEEN = Theme(  # of the colours that such a terminal has, so that none is taken for another
    name="subpop-16",
    primary="#55ffff",
    secondary="#aaaaaa",
    accent="#ffff55",
    success="#55ff55",
    warning="#ffff55",
    error="#ff55ff",  # its red cannot be read on the blue of the cursor's row
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    dark=True,
    variables={
        "primary-muted": "#0000aa",
        "foreground-muted": "#aaaaaa",
        **{f"text-{name}": ink for name, ink in (("primary", "#55ffff"), ("secondary", "#aaaaaa"), ("accent", "#ffff55"))},
        **{f"text-{name}": ink for name, ink in (("success", "#55ff55"), ("warning", "#ffff55"), ("error", "#ff55ff"))},
    },
)
OWN = (DARK, LIGHT, SIXTEEN)
DEFAULT = DARK.name

INKS = ("text-primary", "text-secondary", "text-accent", "text-success", "text-warning", "text-error", "foreground-muted")
LEAST = 4.6  # a little more than is asked for: what is blended is rounded
BODY = 7.0  # of the text itself
FIELD = 0.18  # of the primary colour in a field that has the focus

_legible: dict[str, Theme] = {}


def default(color_system: str | None) -> str:
    """The theme to begin with on a terminal of these colours, in Rich's words."""
    return SIXTEEN.name if color_system == "standard" else DEFAULT


def offered(themes: Mapping[str, Theme]) -> dict[str, Theme]:
    """Those whose colours are known: the app's own first, then the others by name."""
    names = [theme.name for theme in OWN if theme.name in themes]
    return {name: themes[name] for name in (*names, *sorted(set(themes) - set(names))) if not themes[name].ansi}


def legible(theme: Theme) -> Theme:
    """The theme with inks that can be read on all its grounds. A theme is looked at once."""
    if theme.name not in _legible:
        _legible[theme.name] = theme if theme.ansi or theme is SIXTEEN else _mended(theme)
    return _legible[theme.name]


def _mended(theme: Theme) -> Theme:
    generated = theme.to_color_system().generate()
    used = (*INKS, "background", "foreground", "surface", "panel", "boost", "primary", "primary-muted")
    colours = {name: Color.parse(generated[name]) for name in used}
    background, end = colours["background"], Color(255, 255, 255) if theme.dark else Color(0, 0, 0)
    plain = [background, *(colours[name] for name in ("surface", "panel"))]
    boosted = [ground + colours["boost"] for ground in plain]
    fields = [ground.blend(colours["primary"], FIELD) for ground in (*plain, *boosted)]
    ink = _towards(end, colours["foreground"], plain, BODY)
    cursor = _towards(background, colours["primary-muted"], [ink], BODY)
    grounds = [*plain, *boosted, *fields, cursor]
    ink = _towards(end, ink, grounds, LEAST)
    inks = {name: _towards(end, background + colours[name], grounds, LEAST).hex for name in INKS}
    return replace(theme, foreground=ink.hex, variables={**theme.variables, "primary-muted": cursor.hex, **inks})


def _towards(end: Color, colour: Color, others: Iterable[Color], least: float) -> Color:
    """The colour, taken towards `end` no further than it must be to stand out from the others; `end` itself where nothing nearer does."""
    others = list(others)
    for step in range(20):
        nearer = colour.blend(end, step / 20)
        if all(contrast(nearer, other) >= least for other in others):
            return nearer
    return end


def contrast(one: Color, other: Color) -> float:
    """Of two opaque colours, as WCAG 2.1 defines it: 1 (none) to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    """0 (black) to 1 (white)."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def tones(variables: Mapping[str, str]) -> dict[str, str]:
    """Rich styles of text by what it says, from an app's `theme_variables`: good, warn, bad, quiet, title, head, text."""
    ink = {name: variables.get(name, "") for name in (*INKS, "foreground")}
    return {
        "good": ink["text-success"],
        "warn": ink["text-warning"],
        "bad": f"bold {ink['text-error']}",
        "quiet": ink["foreground-muted"],
        "title": f"bold {ink['text-primary']}",
        "head": f"bold {ink['text-accent']}",
        "text": ink["foreground"],
    }
