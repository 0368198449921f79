"""Component styles for Line API widgets, translucent colours blended over what lies beneath (Rich knows no transparency)."""

from __future__ import annotations

from collections.abc import Iterable

from rich.style import Style
from textual.widget import Widget


def component_styles(widget: Widget, prefix: str, names: Iterable[str]) -> dict[str, Style]:
    """name -> what `prefix--name` says, and nothing else, to be added to a base style. CSS may not use `auto` colours there."""
    beneath = widget.background_colors[1]
    styles = {}
    for name in names:
        rules = widget.get_component_styles(f"{prefix}--{name}")
        ground = beneath + rules.background if rules.has_rule("background") and rules.background.a else None
        ink = (ground or beneath) + rules.color if rules.has_rule("color") and rules.color.a else None
        style = Style(color=ink.rich_color if ink else None, bgcolor=ground.rich_color if ground else None)
        styles[name] = style + rules.text_style
    return styles
