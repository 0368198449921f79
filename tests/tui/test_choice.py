"""A choice of words in little room: the word chosen is always in sight, cut where it must be."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from tui.widgets.choice import Choice


@pytest.mark.parametrize(
    ("options", "value", "shown"),
    [
        (("none", "standard"), "standard", "‹ [stand…]"),
        (("standard", "none"), "standard", "[standa…]›"),
        (("a", "cluster_match", "b"), "cluster_match", "‹ [clus…]›"),
        (("a", "b"), "a", "[a]  b  "),
        (("adult", "digits"), "digits", "‹ [digits]"),
    ],
)
async def test_the_word_chosen_is_in_sight(options: tuple[str, ...], value: str, shown: str) -> None:
    class Narrow(App[None]):
        CSS = "Choice { width: 12; }"

        def compose(self) -> ComposeResult:
            yield Choice(options, value)

    app = Narrow()
    async with app.run_test(size=(40, 8)):
        assert app.query_one(Choice).size.width == 10
        assert app.query_one(Choice).render().plain == shown
