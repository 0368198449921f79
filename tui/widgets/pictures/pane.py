"""A grid of pictures under a line that says what they are, over one that says all of the one under the cursor."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from tui.presenters import members
from tui.widgets.pictures.grid import PictureGrid
from tui.widgets.plain import Static


class PicturePane(Vertical):
    DEFAULT_CSS = """
    PicturePane { height: 1fr; }
    PicturePane:focus-within { height: 1fr; }  /* so that Textual looks at its parts again when the focus comes and goes */
    PicturePane > .caption { height: 1; color: $foreground-muted; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    PicturePane:focus-within > .caption { color: $foreground; }
    PicturePane > .under { display: none; }
    PicturePane:focus-within > .under { display: block; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.answer: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield Static(classes="caption")
        yield PictureGrid()
        yield Static(classes="caption under")

    @property
    def grid(self) -> PictureGrid:
        return self.query_one(PictureGrid)

    def show(self, answer: dict[str, Any]) -> None:
        """An answer of the engine: of other pictures, or the next of those shown."""
        same = all(self.answer.get(name) == answer.get(name) for name in ("index", "split", "alpha", "trial", "pixels"))
        if same and answer["first"] and answer["first"] == len(self.grid.cards):
            self.answer["rows"] += answer["rows"]
            self.grid.add(members.cards(answer))
        elif not answer["first"]:
            self.answer = answer
            self.grid.show(members.cards(answer), answer["total"], empty="none here")
        self.query(".caption").first(Static).update(members.title(answer, len(self.grid.cards)))

    @on(PictureGrid.Highlighted)
    def _highlighted(self, event: PictureGrid.Highlighted) -> None:
        event.stop()
        rows = self.answer.get("rows", [])
        known = event.index is not None and event.index < len(rows)
        self.query_one(".under", Static).update(members.in_full(self.answer["columns"], rows[event.index]) if known else "")
