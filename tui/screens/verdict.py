"""What the form says beside its fields: the whole help of the focused one, and the engine's verdict on the scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tui.presenters.edited import Edited, Judgement
from tui.presenters.fields import Field
from tui.services.places import Places, Presence
from tui.widgets.detail import Fact


@dataclass(frozen=True)
class Looked:
    """What the disk and the store say of a scenario, which takes a while to ask. launch: (label, words) of what a run of it comes to."""

    places: Places | None = None
    launch: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """All that is said of a scenario. wrong: key of a field -> what is wrong with it; others: what is wrong beside no field."""

    judged: Judgement
    wrong: Mapping[str, str]
    others: Sequence[str]
    looked: Looked = field(default_factory=Looked)
    data: Sequence[str] = ()  # what is odd about the file

    @property
    def good(self) -> bool:
        return self.judged.scenario is not None and not self.wrong and not self.others

    @property
    def line(self) -> str:
        """In one line, for where there is no room beside the fields."""
        if self.good:
            return "✓ valid: ctrl+l launches it"
        return " · ".join([self._count(), *self.others[:1]])

    def _count(self) -> str:
        count = len(self.wrong) + len(self.others)
        return f"✗ {count} thing{'s' if count != 1 else ''} to put right"

    def facts(self, edited: Edited) -> Iterator[Fact]:
        if edited.broken:
            yield Fact("", f"! {edited.broken}", "warn")
        if self.good:
            yield Fact("", self.line, "good")
        else:
            yield Fact("", self._count(), "bad")
            yield from (Fact("", f"{key}: {what}") for key, what in self.wrong.items())
            yield from (Fact("", what) for what in self.others)
        yield from (Fact("", f"! {note}", "warn") for note in self.judged.notes)
        if (places := self.looked.places) is not None:
            yield _place("Data", places.data)
            if places.weights is not None:
                yield _place("Weights", places.weights)
                if not places.weights.present:
                    yield Fact("", "Weights random starts from nothing, and says so beside every number", "quiet")
        yield from (Fact(label, words) for label, words in self.looked.launch)
        if self.data:
            yield Fact("About the data")
            yield from (Fact("", note, "quiet") for note in self.data)
        yield Fact("As TOML")
        yield from (Fact("", line, "code") for line in edited.text().strip().splitlines())


def _place(label: str, presence: Presence) -> Fact:
    return Fact(label, ("✓ " if presence.present else "✗ ") + presence.detail, "good" if presence.present else "warn")


def help_of(field: Field, chosen: str, wrong: str) -> Iterator[Fact]:
    """The whole help of a field: what it asks, what stands there, what is wrong with it, and how it is filled in."""
    if field.help:
        yield Fact("", f"{field.help[0].upper()}{field.help[1:]}.")
    if wrong:
        yield Fact("", f"✗ {wrong}", "bad")
    if field.takes == "choice":
        if line := field.on(chosen):
            yield Fact(chosen, line)
        yield Fact("", f"← → turn it; ⏎ lists all {len(field.options)}, each with a line", "quiet")
        return
    if field.default_text:
        yield Fact("Blank", field.default_text)
    if field.takes in ("texts", "list"):
        yield Fact("", "several, with commas between them", "quiet")
    if field.suggests:
        yield Fact("Such as", ", ".join(field.suggests))
    if field.names == "columns":
        yield Fact("", "⏎ lists the columns; ^k shows them all, and what each is used as", "quiet")
    elif field.names == "file":
        yield Fact("", "→ or tab takes what stands behind the cursor", "quiet")


def help_line(field: Field, chosen: str, wrong: str) -> str:
    """The same in words, for where there is no room beside the fields."""
    facts = list(help_of(field, chosen, wrong))
    phrases = [f"{fact.label}: {fact.value}" if fact.label else fact.value for fact in facts if fact.tone != "quiet"]
    return f"{field.label} ({field.key}): {' '.join(phrases)}"
