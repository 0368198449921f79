"""What is looked at of a subpopulation: which rows, how large; the question to the engine, and its answer as cells or cards. Pure."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from engine.rows import Column, class_mix_words
from engine.tables.columns import SPECS
from tui.presenters import format as fmt

SPLITS = ("aux", "train", "test", "poison")
SIZES = (16, 24, 32, 48)  # pixels of a thumbnail's side, that many cells wide and half as many lines high
ROWS = 200  # asked for at once; of pictures the engine tells fewer
NAMES_A_ROW = frozenset({"file", "filename", "path", "image", "id"})  # columns not worth a caption's room
IN_STACKS = ("mlp", "logistic")  # kinds of model whose victims train many at once
HEADS = ("row", "class", "point", "given", "true", "moved")


@dataclass(frozen=True)
class Card:
    """One picture: RGB bytes, side x side of them, row by row; and the lines under it, the first the most telling."""

    side: int
    pixels: bytes
    captions: tuple[str, ...]


@dataclass
class Look:
    """split: one of SPLITS. alpha and trial: of the poison. pixels: of thumbnails; rates known from the engine's answers.

    There are `trials` trials, numbered from `first_trial`.
    """

    split: str = "aux"
    alpha: float | None = None
    trial: int = 0
    pixels: int = SIZES[0]
    alphas: tuple[float, ...] = ()
    trials: int = 0
    first_trial: int = 0

    @classmethod
    def remembered(cls, split: str, pixels: int) -> Look:
        return cls(split if split in SPLITS else SPLITS[0], pixels=pixels if pixels in SIZES else SIZES[0])

    def question(self, index: object, first: int = 0) -> dict[str, Any]:
        page = {"first": first, "limit": ROWS, "pixels": self.pixels}
        if self.split == "poison" and self.alpha is not None:
            return {"poison": index, "alpha": self.alpha, "trial": self.trial, **page}
        return {"members": index, "split": self.split if self.split != "poison" else "aux", **page}

    def learn(self, answer: dict[str, Any]) -> None:
        """Take what an answer says of the rates there are."""
        self.alphas, self.trials = tuple(answer.get("alphas", ())), int(answer.get("trials", 0))
        self.first_trial = int(answer.get("first_trial", 0))
        if self.alphas and self.alpha not in self.alphas:
            self.alpha = 1.0 if 1.0 in self.alphas else self.alphas[0]
        self.trial = self.trial if 0 <= self.trial - self.first_trial < max(1, self.trials) else self.first_trial

    def next_split(self) -> None:
        splits = SPLITS if self.alphas else SPLITS[:3]
        self.split = splits[(splits.index(self.split) + 1) % len(splits)] if self.split in splits else "aux"

    def next_alpha(self) -> None:
        if self.alpha in self.alphas:
            self.alpha = self.alphas[(self.alphas.index(self.alpha) + 1) % len(self.alphas)]

    def next_trial(self) -> None:
        self.trial = self.first_trial + (self.trial - self.first_trial + 1) % max(1, self.trials)

    def next_size(self) -> None:
        self.pixels = SIZES[(SIZES.index(self.pixels) + 1) % len(SIZES)] if self.pixels in SIZES else SIZES[0]


def title(answer: dict[str, Any], loaded: int) -> str:
    """What an answer shows, in words."""
    total = answer["total"]
    order = f", {answer['order']}" if answer.get("order") else ""
    if answer["split"] == "poison":
        note = f", {answer['note']}" if answer.get("note") else ""
        return f"Poison of {answer['index']}: {fmt.plural(total, 'point')}, alpha {answer['alpha']:g}, trial {answer['trial']}{note}"
    some = f", the first {loaded}" if loaded < total and not order else ""
    return f"Members of {answer['index']}: {total:,} in {answer['split']}{some}{order}"


def cards(answer: dict[str, Any]) -> list[Card]:
    """The pictures of an answer with their captions: class, annotations, row; of poison the label given, the true one, how far it moved."""
    names = answer["columns"]
    notes = [at for at, name in enumerate(names) if name not in HEADS and name.lower() not in NAMES_A_ROW]
    pictured = []
    for picture, row in zip(answer["pictures"], answer["rows"], strict=True):
        of = dict(zip(names, row, strict=True))
        known = (None, of.get("class", of.get("true")))  # a column that repeats the class says nothing more
        annotations = ", ".join(fmt.cell(row[at]) for at in notes if row[at] not in known)
        if answer["split"] == "poison":
            same = of["given"] == of["true"]
            lines = [f"given {of['given']}", "its true label" if same else f"is {of['true']}"]
            lines.append(f"moved {of['moved']:.2f}" if "moved" in of else f"row {of['row']}")
        else:
            lines = [str(of["class"]), *([annotations] if notes else []), f"row {of['row']}"]
        pictured.append(Card(answer["pixels"], base64.b64decode(picture), tuple(fmt.clean(line) for line in lines)))
    return pictured


def with_texts(answer: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    """(columns, rows) of an answer; of texts the beginning of each on one line is the last column."""
    names, rows = answer["columns"], answer["rows"]
    if "texts" not in answer:
        return names, rows
    name = next(name for name in ("text", "its text", "the text read") if name not in names)
    return [*names, name], [[*row, fmt.one_line(text)] for row, text in zip(rows, answer["texts"], strict=True)]


def reading(answer: dict[str, Any], place: int) -> tuple[str, str]:
    """(title, text) of one of an answer's texts: its label, of poison the label given and the true one, and the whole of it."""
    of = dict(zip(answer["columns"], answer["rows"][place], strict=True))
    if answer["split"] == "poison":
        head = (
            f"given {of['given']}, " + ("its true label" if of["given"] == of["true"] else f"is {of['true']}") + f" · point {of['point']}"
        )
    else:
        head = str(of["class"])
    return fmt.clean(f"{head} · row {of['row']}"), fmt.whole(answer["texts"][place])


def in_full(told_columns: Sequence[str], row: Sequence[object]) -> str:
    """All that is known of one picture, on one line."""
    return fmt.clean(" · ".join(f"{name} {fmt.cell(cell)}" for name, cell in zip(told_columns, row, strict=True) if cell is not None))


def discovered_cells(one: dict[str, Any]) -> tuple[object, ...]:
    """A discovered subpopulation as a row of the `subpopulations` table."""
    mix = class_mix_words(one["class_mix"])
    cells = {**one, "subpopulation": one["index"], "class_mix": mix, "adversary_accuracy": one["clean_accuracy"], "clean_accuracy": None}
    return tuple(cells.get(column.name) if cells.get(column.name) != "" else None for column in SPECS["subpopulations"].columns)


def price_of_prediction(text: str, subpopulations: int) -> str:
    """What foretelling damage costs, before it is done. text: the scenario's; subpopulations: that can be attacked."""
    tree = _tree(text)
    models, trials, alphas = (
        tree.get(section, {}).get(key, default)
        for section, key, default in (("triage", "models", 4), ("evaluation", "trials", 3), ("attack", "alphas", (0.5, 1, 2)))
    )
    victims = trials * (1 + subpopulations * len(alphas))
    model = tree.get("model", {})
    stacked = model.get("kind") in IN_STACKS or model.get("tune") == "last_layer"
    cheaper = ", each far cheaper in its stack" if stacked else ""
    return (
        f"{models} clean models are trained, one after the other, on this machine's CPU.\n"
        f"Attacking all {subpopulations} subpopulations takes {victims:,} such models{cheaper}.\n"
        "What comes of it is a ranking: as numbers the damages are rough."
    )


def sizes_attacked(text: str) -> tuple[int, float]:
    """The fewest and the most aux rows of what a scenario attacks."""
    section = _tree(text).get("subpopulations", {})
    return int(section.get("min_size", 1)), float(section.get("max_size", inf))


def attacks_some(text: str) -> bool:
    """Whether a scenario names the subpopulations that it attacks."""
    return bool(_tree(text).get("subpopulations", {}).get("only"))


def how_many_predicted(text: str) -> int:
    """How many a scenario would attack by prediction."""
    return int(_tree(text).get("subpopulations", {}).get("select_count", 10))


def _tree(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def columns_of(names: list[str], rows: list[list[object]]) -> list[Column]:
    """Columns of the data's own rows: numbers where every cell is one."""
    columns = []
    for at, name in enumerate(names):
        cells = [row[at] for row in rows if row[at] is not None]
        numeric = bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        whole = numeric and all(isinstance(cell, int) for cell in cells)
        columns.append(Column(name, ("int" if whole else "float") if numeric and name != "row" else "text"))
    return columns
