"""What parts of the app tell each other. Messages are dataclasses; those of one widget live with it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from engine.rows import RunRow


@dataclass
class StoreMoved(Message):
    """Something was committed to the store, or a second has passed (engines are alive or lost). runs: all, newest first."""

    runs: tuple[RunRow, ...]


@dataclass
class StoreTrouble(Message):
    """The store cannot be read. what: the engine's own words."""

    what: str
