"""What the list of presets shows, gathered cheaply: the engine's catalog and whether each one's data are here."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import SubpopError
from engine.rows import Column, TableSpec
from engine.scenario.presets import Preset, catalog

SPEC = TableSpec(
    "presets",
    (
        Column("name", "text", "the preset's name, as in `subpop run NAME`"),
        Column("data", "text", "whether its data and weights are on this machine; ✗ names what is not, d fetches data"),
        Column("cost", "text", "roughly what the whole run takes, on two cores"),
        Column("made_for", "text", "GPU: what the whole run is meant for"),
        Column("reproduces", "text", "the published table or section that it sets out to reproduce"),
        Column("dataset", "text"),
        Column("model", "text"),
        Column("subpopulations", "text"),
        Column("title", "text"),
    ),
    ("name",),
)
DRAFTS = Column("draft", "text", "✎ what you changed of it in the form is kept: e goes on with it, ctrl+r there starts anew")
WITH_DRAFTS = TableSpec("presets", (SPEC.columns[0], DRAFTS, *SPEC.columns[1:]), SPEC.key)


@dataclass(frozen=True)
class Listed:
    """One preset as listed, which knows of its weights. data_present: its data are on this machine; detail: where, or what to do."""

    preset: Preset
    data_present: bool
    detail: str
    drafted: bool = False  # a form of it was left unsaved

    @property
    def cells(self) -> tuple[object, ...]:
        preset = self.preset
        lacks = [what for what, present in (("data", self.data_present), ("weights", preset.weights_state.present)) if not present]
        state = f"✗ {', '.join(lacks)}" if lacks else "✓ here"
        return (
            preset.name,
            state,
            *cost_cells(preset.cost),
            preset.reproduces or None,
            preset.dataset,
            preset.model,
            preset.subpopulations,
            preset.title,
        )


NUMBERS = {"a": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "half a year": "6 months"}


def cost_cells(cost: str) -> tuple[str | None, str | None]:
    """(how long, "GPU" where that is what it is made for) of a preset's cost: "three months on two cores; made for a GPU".

    Short, for a column of a narrow list; a cost in other words stays as it is.
    """
    words, _, remark = (part.strip() for part in cost.partition(";"))
    long, _, where = words.partition(" on ")
    first, _, rest = long.partition(" ")
    short = NUMBERS.get(long) or (f"{NUMBERS[first]} {rest}" if first in NUMBERS else long)
    gpu = "GPU" if "GPU" in remark or "GPU" in where else None
    return (short if not where or where.startswith("two cores") else words) or None, gpu


def listed(data_dir: Path, drafts: Collection[str] = ()) -> tuple[Listed, ...]:
    """Every preset with the state of its data; the default one first. Opens no data. drafts: the names of those that a form changed."""
    return tuple(Listed(preset, *data_state(preset.dataset, data_dir), preset.name in drafts) for preset in catalog())


def table_of(items: Collection[Listed]) -> tuple[TableSpec, list[tuple[object, ...]]]:
    """The list as a table. Which ones a form changed has a column where there are such."""
    if not any(item.drafted for item in items):
        return SPEC, [item.cells for item in items]
    return WITH_DRAFTS, [(item.cells[0], "✎" if item.drafted else "", *item.cells[1:]) for item in items]


def data_state(kind: str, data_dir: Path) -> tuple[bool, str]:
    from engine import datasets

    try:
        state = datasets.state(kind, data_dir)
    except SubpopError as error:
        return False, str(error)
    return state.present, state.detail


def raw(path: Path) -> dict[str, Any]:
    """A preset's file as TOML says it, unvalidated."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def remarks(path: Path) -> str:
    """The comment at the head of a preset's file: what it is, in its author's words."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# cost:"):
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def published(reproduces: str) -> list[tuple[str, str]]:
    """(alpha, worst 1, 5 and 10 as the paper has them) of what a preset reproduces; empty where nothing is known."""
    from engine import paper

    paper_table = paper.named(reproduces or None)
    if paper_table is None or not paper_table.worst:
        return []
    lines = []
    for alpha in sorted({alpha for alpha, _ in paper_table.worst}):
        cells = [f"{paper_table.worst[alpha, k].value:.3f}" if (alpha, k) in paper_table.worst else "–" for k in (1, 5, 10)]
        lines.append((f"alpha {alpha:g}", "   ".join(cells)))
    sure = {reading.certainty for reading in paper_table.worst.values()}
    return [
        ("worst", "    1       5      10"),
        *lines,
        ("", f"target damage, {paper_table.worst[min(paper_table.worst)].table} ({', '.join(sorted(sure))})"),
    ]
