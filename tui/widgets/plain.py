"""Words on screen are text: a `[` in a name, a path or a note is a bracket. Nothing else in tui/ is made of Textual's Static and Label."""

from __future__ import annotations

from rich.console import RenderableType
from textual import widgets
from textual.containers import Vertical
from textual.content import Content


class Static(widgets.Static):
    """Textual's, which reads no markup."""

    def __init__(self, content: RenderableType = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(content, id=id, classes=classes, markup=False)


class Label(widgets.Label):
    """Textual's, which reads no markup."""

    def __init__(self, content: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(content, id=id, classes=classes, markup=False)


class Box(Vertical):
    """With a title in its border that is text too."""

    def render_str(self, text_content: str | Content) -> Content:
        return Content(text_content) if isinstance(text_content, str) else text_content
