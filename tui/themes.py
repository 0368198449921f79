"""Two calm themes of the app's own; Textual's are there too. Colours only ever repeat what a word or a sign says."""

from __future__ import annotations

from collections.abc import Mapping

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
DEFAULT = DARK.name
INKS = ("foreground", "primary", "accent", "success", "warning", "error")


def inks(variables: Mapping[str, str]) -> dict[str, str]:
    """A theme's colours by the names that Rich knows them by: in what Textual calls `ansi_green` it finds no style, and raises."""
    return {name: variables[name].removeprefix("ansi_") for name in INKS if name in variables}
