"""Every text can be read on its ground, in every theme offered: measured on what is painted, character by character.

Text is held to 4.5 : 1. Marks that are drawn (plots, bars, frames) are held to 3 : 1, as WCAG 2.1 (1.4.11) asks of graphics; the lines
between panes and scrollbars, which say nothing, to nothing.

Looking at a screen in a theme takes a fifth of a second. So the inks of every theme are held against all grounds that the style sheet
has, and of what is painted each screen is looked at in the app's own themes and in every fourth of the others. SUBPOP_EVERY_THEME=1 looks
at all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from rich.color import Color as RichColor
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES, Theme

from engine.store import Store
from tests.tui.conftest import running
from tests.worlds import app as worlds
from tests.worlds.hands import field_of, opened_form, settled, until
from tui import themes
from tui.app import SubpopApp
from tui.dialogs.base import Dialog
from tui.dialogs.help import HelpScreen
from tui.dialogs.launch import LaunchDialog
from tui.screens.plots import PlotsScreen
from tui.widgets.plain import Box

TEXT, DRAWN = 4.5, 3.0
GROUNDS = ("background", "surface", "panel")
MARKS = "●○▲■◆▼△◇□▸◂❯‖✎▶"  # signs of series, states, the cursor's row


def needed(text: str) -> float:
    """The contrast that a run of characters must have: that of the one that needs most."""
    if not set(text) - set(" ─"):  # a line between panes
        return 0.0
    return max(_of_one(char) for char in text)


def _of_one(char: str) -> float:
    code = ord(char)
    if char.isspace() or char in "▏▕" or 0x2580 <= code <= 0x259F:  # lines between panes, scrollbars
        return 0.0
    return DRAWN if 0x2500 <= code <= 0x257F or 0x2800 <= code <= 0x28FF or char in MARKS else TEXT


def ink_and_ground(style: Style, background: Color) -> tuple[Color, Color]:
    """As a terminal paints them. background: where a style has no ground of its own."""

    def of(colour: RichColor | None, otherwise: Color) -> Color:
        return otherwise if colour is None or colour.is_default else Color(*colour.get_truecolor())

    ground = of(style.bgcolor, background)
    ink = of(style.color, Color(255, 255, 255) if background.brightness < 0.5 else Color(0, 0, 0))
    ink, ground = (ground, ink) if style.reverse else (ink, ground)
    return (ink.blend(ground, 0.5) if style.dim else ink), ground


def unreadable(app: SubpopApp) -> Iterator[tuple[str, float, str, str]]:
    """(text, contrast, ink, ground) of each run of characters that lacks contrast, on the top screen; of a dialog, inside its frame: what
    it covers is greyed out, for nothing there can be done until it closes."""
    background = Color.parse(app.theme_variables["background"])
    region = app.screen.query(Box).first().region if isinstance(app.screen, Dialog) else app.screen.region
    reached: dict[Style, tuple[float, Color, Color]] = {}
    for strip in app.screen._compositor.render_strips(app.size)[region.y : region.bottom]:
        for segment in strip.crop(region.x, region.right):
            if segment.style is None or segment.control or not segment.text.strip():
                continue
            if segment.style not in reached:
                ink, ground = ink_and_ground(segment.style, background)
                reached[segment.style] = themes.contrast(ink, ground), ink, ground
            contrast, ink, ground = reached[segment.style]
            if contrast < needed(segment.text):
                yield segment.text.strip(), round(contrast, 2), ink.hex, ground.hex


def wear(app: SubpopApp, theme: str) -> None:
    """Put a theme on, all that is in sight at once and nothing twice: as setting `app.theme` does in the end."""
    app.set_reactive(App.theme, theme)
    app.set_class(app.current_theme.dark, "-dark-mode", update=False)
    app.set_class(not app.current_theme.dark, "-light-mode", update=False)
    app.refresh_css(animate=False)
    app.theme_changed_signal.publish(app.current_theme)


def test_contrast_is_what_wcag_says() -> None:
    assert themes.contrast(Color.parse("#ffffff"), Color.parse("#000000")) == pytest.approx(21)
    assert themes.contrast(Color.parse("#777777"), Color.parse("#ffffff")) == pytest.approx(4.48, abs=0.005)  # the grey just short of it
    assert themes.contrast(Color.parse("#0000ff"), Color.parse("#ffffff")) == pytest.approx(8.59, abs=0.005)
    assert themes.contrast(Color.parse("#ff0000"), Color.parse("#ff0000")) == 1


def test_no_theme_is_of_colours_that_nobody_knows(app: SubpopApp) -> None:
    assert [name for name, theme in app.available_themes.items() if theme.ansi] == []
    assert list(app.available_themes)[:3] == ["subpop-dark", "subpop-light", "subpop-16"]
    assert (themes.default("standard"), themes.default("256"), themes.default("truecolor")) == ("subpop-16", "subpop-dark", "subpop-dark")


def short(theme: Theme) -> list[str]:
    """What of a theme's inks lacks contrast on which of its grounds, as tui/app.tcss and the widgets put them together."""
    variables = {**theme.to_color_system().generate(), **theme.variables}  # as the app puts them together
    made = {name: Color.parse(variables[name]) for name in (*GROUNDS, *themes.INKS, "foreground", "boost", "primary", "primary-muted")}
    plain = {name: made[name] for name in GROUNDS}
    boosted = {f"{name} boosted": ground + made["boost"] for name, ground in plain.items()}
    focused = {f"{name} focused": ground.blend(made["primary"], 0.18) for name, ground in {**plain, **boosted}.items()}
    grounds = {**plain, **boosted, **focused, "cursor": made["primary-muted"]}
    return [
        f"{ink} on {name}: {themes.contrast(ground + made[ink], ground):.2f}"
        for name, ground in grounds.items()
        for ink in ("foreground", *themes.INKS)
        if themes.contrast(ground + made[ink], ground) < TEXT
    ]


def test_every_ink_can_be_read_on_every_ground_of_its_theme(app: SubpopApp) -> None:
    assert len(app.available_themes) > 15
    assert {name: found for name in app.available_themes if (found := short(themes.legible(app.available_themes[name])))} == {}
    as_they_come = [name for name, theme in BUILTIN_THEMES.items() if not theme.ansi and short(theme)]
    assert len(as_they_come) > 10  # the rule has something to do


async def test_every_text_can_be_read_in_every_theme(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store, name="one", deviations=("smoke: a sliver",))
    worlds.make_run(store, name="two", state="failed", error="cluster 17 has 0 test rows; lower `clusters`", trials=1, ready=0.4)
    running(store, name="three", trials=2, ready=0.6)
    worlds.make_run(store, name="four", state="running", trials=2, ready=0.6)
    looked: list[str] = []
    wrong: dict[str, set[tuple[str, float, str, str]]] = {}

    async def seen(pilot: Pilot[int], where: str, *keys: str) -> None:
        await settled(pilot, *keys)
        looked.append(where)
        for at, theme in enumerate(app.available_themes):
            if at >= len(themes.OWN) and (at + len(looked)) % 4 and not os.environ.get("SUBPOP_EVERY_THEME"):
                continue
            wear(app, theme)
            if isinstance(app.screen, HelpScreen):  # which is written anew, and laid out
                await pilot.pause()
            if found := set(unreadable(app)):
                wrong[f"{theme}, {where}"] = found

    async with app.run_test(size=(100, 24)) as pilot:
        await seen(pilot, "plan", "1")
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await seen(pilot, "launch")
        await settled(pilot, "escape")
        await opened_form(pilot)
        field_of(app, "model.epochs").focus_field()
        await settled(pilot, "end", "backspace", "backspace", *"none")
        await until(pilot, lambda: field_of(app, "model.epochs").has_class("-wrong"))
        await seen(pilot, "form")
        await seen(pilot, "runs", "escape", "3", "down", "space")
        await seen(pilot, "help", "question_mark")
        await seen(pilot, "results", "escape", "4", "space", "slash", *"sales")
        await settled(pilot, "enter", "v")
        await until(pilot, lambda: isinstance(app.screen, PlotsScreen))
        await seen(pilot, "plots", "right")
        await seen(pilot, "subpopulations", "escape", "2", "space")
        await seen(pilot, "compare", "5")
    worst = {where: sorted(each, key=lambda one: one[1])[:3] for where, each in wrong.items()}
    assert worst == {}
