"""A scenario while it is changed in the form: its values, what went with a kind that was turned, and what the engine says of it all."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ScenarioError, SubpopError
from tui.presenters import tree
from tui.presenters.form import Question, turned
from tui.presenters.tree import Tree

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

PATHS = ("dataset.path", "dataset.annotations_file")


@dataclass(frozen=True)
class Judgement:
    """What the engine says of it. complaints: key of a field -> what is wrong with it; others: what is wrong beside no field.

    words: the keys of title and claim that changed by it.
    """

    scenario: Scenario | None
    complaints: Mapping[str, str]
    others: tuple[str, ...]
    notes: tuple[str, ...]
    words: frozenset[str]


@dataclass
class Edited:
    """The text that it was opened with is kept as a tree; `[smoke]`, which has no field, stays as it is. Where a kind is turned to another,
    what the new one has no use for is taken out, and is back when it is turned back.

    original: the text that it began with. home: where relative paths are seen from, where it has no file of its own yet.
    """

    original: str
    name: str
    questions: Mapping[str, Question]
    path: Path | None = None
    home: Path | None = None
    values: Tree = field(default_factory=dict)
    broken: str = ""  # why the text could not be read
    turned: dict[str, str] = field(default_factory=dict)  # key of a kind -> what went when it was turned, in words
    put_aside: dict[tuple[str, str], Tree] = field(default_factory=dict)  # (key of a kind, a kind) -> what went with it, by key
    put_by: dict[str, tuple[str | None, Any]] = field(default_factory=dict)  # key of WORDS -> what stands there now, and what it was

    def __post_init__(self) -> None:
        self.take_up(self.original)

    def take_up(self, text: str) -> None:
        """Take over a text that an earlier session left."""
        try:
            self.values, self.broken = tomllib.loads(text), ""
        except ValueError as error:
            self.broken = f"this is not TOML ({error}); the form starts blank"

    @property
    def folder(self) -> Path | None:
        """What its relative paths are relative to."""
        return self.path.parent if self.path else self.home

    @property
    def began(self) -> Tree:
        """The values that it was opened with."""
        try:
            return tomllib.loads(self.original)
        except ValueError:
            return {}

    @property
    def changed(self) -> bool:
        return self.values != self.began

    def text(self) -> str:
        """As TOML: what the form says, and what has no field."""
        from engine.scenario import toml as toml_text

        return toml_text.write({name: value for name, value in self.values.items() if value != {}})

    def run_called(self) -> str:
        """What a run of it is called: after what the form was opened with, or after its data where it was turned to others."""
        from engine.scenario import naming

        return naming.run_name(self.name, self.original, tomllib.loads(self.text()))

    def revert(self) -> None:
        """Undo every change."""
        self.values = self.began
        for kept in (self.turned, self.put_aside, self.put_by):
            kept.clear()

    def move_to(self, path: Path) -> None:
        """Make it the scenario of that file; relative paths are rewritten so that they name the same files."""
        if (folder := self.folder) is not None and folder != path.parent:
            for key in PATHS:
                path_text = self.get(key)
                if isinstance(path_text, str) and path_text and not Path(path_text).expanduser().is_absolute():
                    tree.put(self.values, key, str((folder / path_text).absolute()))
        self.path = path

    # ---- changing ----

    def get(self, key: str) -> Any:
        return tree.get(self.values, key)

    def say(self, key: str, value: Any) -> Collection[str]:
        """Set a key (None: remove it). Returns the keys of other fields that changed with it."""
        if key.endswith(".kind"):
            return self._turn(key, value)
        tree.put(self.values, key, value)
        return ()

    def _turn(self, key: str, kind: str | None) -> Collection[str]:
        """Set the kind of a section (None: remove it). Keys that the new kind lacks go; those that an earlier turn removed are put back."""
        unsaid = self.questions[key].first.default or ""
        was = str(self.get(key) or unsaid)
        if was == str(kind or unsaid):
            return ()
        gone = turned(self.values, key, kind, self.questions)
        back = self.put_aside.pop((key, kind or ""), {})
        self.put_aside[key, was] = gone
        for each, value in back.items():
            if self.get(each) is None:
                tree.put(self.values, each, value)
        section = key.removesuffix(".kind")
        names = [name.removeprefix(f"{section}.") for name in gone if name.startswith(f"{section}.") and kind is not None]
        self.turned[key] = f'{key} is now "{kind}", which has no {", ".join(names)}: taken out of [{section}]' if names else ""
        return {*gone, *back}

    # ---- judging ----

    def judge(self) -> Judgement:
        """Have the engine parse it as it would be run, and assign each complaint to its field."""
        from engine.scenario.parse import parse

        # What nobody has written over since goes back; it is taken out again where it must.
        back = {key: previous for key, (corrected, previous) in self.put_by.items() if self.get(key) == corrected}
        for key, previous in back.items():
            tree.put(self.values, key, previous)
        why = self._rename()
        notes: list[str] = []
        complaints: dict[str, str] = {}
        others: list[str] = []
        scenario: Scenario | None = None
        try:
            scenario = parse(self.text(), where=self.name, folder=self.folder, say=notes.append)
        except ScenarioError as error:
            for mistake in error.mistakes:
                key = self._field_of(mistake.key)
                if key and key not in complaints:
                    complaints[key] = mistake.what
                else:
                    others.append(f"{mistake.key}: {mistake.what}" if mistake.key else mistake.what)
        except SubpopError as error:
            others.append(str(error))
        remarks = [*filter(None, self.turned.values()), *filter(None, [why]), *notes]
        return Judgement(scenario, complaints, tuple(others), tuple(remarks), frozenset({*back, *self.put_by}))

    def _rename(self) -> str:
        """Remove a title or a claim (`reproduces`) that belongs to another system or other data. Returns why, in words."""
        from engine.scenario import naming

        self.put_by.clear()
        changes, why = naming.corrected(self.values)
        began = self.began
        if not changes and self._data(self.values) != self._data(began) and "dataset" in began:
            if began.get("title") and self.get("title") == began["title"]:
                changes["title"] = naming.title_of(self.values)
            if began.get("reproduces") and self.get("reproduces") == began["reproduces"]:
                changes["reproduces"] = None
            why = f"the data are others than {self.name}'s: {' and '.join(changes)} went with them" if changes else ""
        for key, corrected in changes.items():
            previous = self.get(key)
            if corrected != previous:
                self.put_by[key] = (corrected, previous)
                tree.put(self.values, key, corrected)
        return why

    @staticmethod
    def _data(values: Tree) -> tuple[Any, Any]:
        return tree.get(values, "dataset.kind"), tree.get(values, "dataset.path")

    def _field_of(self, key: str) -> str:
        """The field that a mistake's key is of, the nearest above it; "" where it is of none."""
        at = [each for each in self.questions if key == each or key.startswith((f"{each}.", f"{each}["))]
        return max(at, key=len, default="")
