"""How a table's columns are shown: short headers, order of importance, what is pinned. Columns named nowhere are shown plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.rows import TableSpec
from tui.presenters.side_by_side import ALPHA


@dataclass(frozen=True)
class Look:
    """One column on screen. `show`: its value, a progress bar of it, or a forest plot `of` (low, mid, high) columns.

    Columns come in the order of the looks: what matters first, so that a narrow terminal cuts off what matters least
    (the rest is reached by moving the column cursor to the right). `pinned` ones never scroll away. `flex` ones give way.
    """

    column: str
    header: str = ""
    show: Literal["value", "bar", "interval"] = "value"
    of: tuple[str, str, str] | None = None
    min_width: int = 0
    max_width: int = 44
    pinned: bool = False
    flex: bool = False
    share: float = 0.0  # of the table's width, kept for a flexible column even where others are cut off
    apart: bool = False  # texts that begin alike are cut where they agree, not where they differ
    hidden: bool = False
    words: bool = False  # a text of the program's own, that stands in files with underscores
    state: bool = False  # a word such as running, failed or smoke, given its sign and colour
    signed: bool = False  # a forest plot of differences: below zero its axis goes as far as the values do
    beside: tuple[str, ...] = ()  # columns that the value must never stand without, and how they are written after it
    beside_as: str = ""

    @property
    def label(self) -> str:
        return self.header or self.column.replace("_", " ")


COMPARED = (  # the baseline is told above the table
    Look("subpopulation", "#", pinned=True),
    Look("description", "subpopulation", pinned=True, flex=True, min_width=14, max_width=48, share=0.3, apart=True),
    Look("alpha"),
    Look("difference"),
    Look("compare_plot", "95 % interval", show="interval", of=("low", "difference", "high"), signed=True),
    Look("differs"),
    Look("baseline_damage", "baseline"),
    Look("other_damage", "other"),
    Look("matched", "paired"),
    Look("q"),
    Look("low"),
    Look("high"),
    Look("baseline_trials", "trials of it"),
    Look("other_trials", "of the other"),
    Look("test_rows", "test rows"),
    Look("note", flex=True, min_width=12),
    Look("p"),
    Look("baseline", hidden=True),
    Look("other", hidden=True),
)
WORST_COMPARED = (
    Look("alpha", pinned=True),
    Look("k", pinned=True),
    Look("difference"),
    Look("compare_worst_plot", "95 % interval", show="interval", of=("low", "difference", "high"), signed=True),
    Look("baseline_corrected", "baseline"),
    Look("other_corrected", "other"),
    Look("baseline_as_published", "as published"),
    Look("other_as_published", "other's"),
    Look("as_published_difference", "difference"),
    Look("low"),
    Look("high"),
    Look("note", flex=True, min_width=12),
    Look("baseline", hidden=True),
    Look("other", hidden=True),
)
LOOKS: dict[str, tuple[Look, ...]] = {
    "choices": (Look("choice", " ", pinned=True, max_width=30), Look("what", " ", flex=True, max_width=90)),
    "columns": (
        Look("name", "column", pinned=True, flex=True, min_width=10, max_width=26, share=0.25),
        Look("read_as", "read as", max_width=11),
        Look("used", "used as", max_width=10),
        Look("matched", "group"),
        Look("tells", "tells label"),
        Look("leak", " "),
        Look("missing", "missing"),
        Look("different", "different"),
        Look("example", "example", flex=True, min_width=10, max_width=24),
        Look("why", "why", flex=True, min_width=12, max_width=60),
    ),
    "presets": (
        Look("name", "preset", pinned=True, max_width=28),
        Look("draft", "draft"),
        Look("cost", "takes", max_width=20),
        Look("data", "data", flex=True, min_width=9, max_width=18),
        Look("made_for", "for"),
        Look("reproduces", "reproduces", flex=True, min_width=12, max_width=34, share=0.32),
    ),
    "runs": (
        Look("name", "run", pinned=True, flex=True, min_width=14, max_width=32, share=0.2),
        Look("dataset", "data", max_width=18),
        Look("caution", " ", state=True, max_width=10),
        Look("state", "state", state=True, min_width=9),
        Look("progress", "progress", show="bar", min_width=14),
        Look("victims", "victims", min_width=9),
        Look("eta", "ETA", min_width=9),
        Look("rate", "rate"),
        Look("device", "device", max_width=20),
        Look("started", "started", min_width=13),
        Look("id", "id"),
    ),
    "choose_run": (
        Look("id", pinned=True),
        Look("name", "run", flex=True, min_width=14, max_width=32),
        Look("caution", " ", state=True, max_width=10),
        Look("state", state=True),
    ),
    "damage": (
        Look("subpopulation", "#", pinned=True),
        Look("description", "subpopulation", pinned=True, flex=True, min_width=14, max_width=48, share=0.3, apart=True),
        Look("alpha", "alpha"),
        Look("damage", "damage"),
        Look("damage_plot", "95 % interval", show="interval", of=("low", "damage", "high")),
        Look("trials", "trials"),
        Look("off_target", "off-target"),
        Look("vulnerable", "vulnerable"),
        Look("collateral", "collateral"),
        Look("low", "low"),
        Look("high", "high"),
        Look("clean_accuracy", "clean"),
        Look("poisoned_accuracy", "poisoned"),
        Look("target_given", "given target"),
        Look("poison_points", "poison"),
        Look("poison_share", "of train"),
        Look("test_rows", "test rows"),
        Look("aux_rows", "aux rows"),
    ),
    "side_by_side": (  # the alphas come between
        Look("subpopulation", "#", pinned=True),
        Look("description", "subpopulation", pinned=True, flex=True, min_width=14, max_width=48, share=0.3, apart=True),
        Look("side_plot", "95 % interval", show="interval", of=("low", "damage", "high")),
        Look("vulnerable_from", "vulnerable from"),
        Look("damage", hidden=True),  # the last of the alphas says it
        Look("poison_points", "poison"),
        Look("poison_share", "of train"),
        Look("low"),
        Look("high"),
    ),
    "worst": (
        Look("alpha", "α", pinned=True),
        Look("k", "k", pinned=True),
        Look("as_published", "as published", beside=("fewest_test_rows",), beside_as="n≥{}"),
        Look("corrected", "corrected", beside=("eligible", "attacked"), beside_as="{}/{}"),
        Look("published", "paper"),
        Look("worst_plot", "95 % interval", show="interval", of=("low", "corrected", "high")),
        Look("low", "low"),
        Look("high", "high"),
        Look("on_eligible", "on eligible"),
        Look("fewest_test_rows", "test rows ≥"),
        Look("eligible", "eligible"),
        Look("attacked", "of attacked"),
        Look("k_used", "of"),
        Look("clean_accuracy", "clean"),
        Look("size", "size"),
        Look("published_size", "paper's size"),
        Look("note", "note", flex=True, min_width=12),
        Look("published_as", "source", flex=True, min_width=12),
    ),
    "defenses": (
        Look("alpha", "α", pinned=True),
        Look("group", "group", pinned=True, max_width=21),
        Look("subpopulation", "#", pinned=True),
        Look("damage_without", "without"),
        Look("damage_defended", "with it"),
        Look("damage_random", "at random"),
        Look("defenses_plot", "with − without", show="interval", of=("difference_low", "difference", "difference_high"), signed=True),
        Look("poison_recall", "poison caught"),
        Look("removed_own", "own rows gone"),
        Look("removed_others", "others'"),
        Look("cost", "cost, no poison"),
        Look("cost_elsewhere", "elsewhere"),
        Look("beyond_plot", "with − random", show="interval", of=("beyond_low", "beyond_random", "beyond_high"), signed=True),
        Look("difference", "with − without"),
        Look("beyond_random", "with − random"),
        Look("trials", "trials"),
        Look("precision", "precision"),
        Look("removed_rows", "rows gone"),
        Look("poison_points", "poison"),
        Look("description", "subpopulation", flex=True, min_width=14, max_width=48, apart=True),
        Look("subpopulations", "of"),
    ),
    "certificates": (
        Look("alpha", "α", pinned=True),
        Look("group", "group", pinned=True, max_width=16),
        Look("subpopulation", "#", pinned=True),
        Look("points", "points"),
        Look("certified", "certified"),
        Look("certified_right", "and right"),
        Look("ensemble_accuracy", "vote right"),
        Look("clean_accuracy", "one model"),
        Look("withstood", "half withstand"),
        Look("most_points", "at most"),
        Look("withstood_right", "and are right"),
        Look("description", "subpopulation", flex=True, min_width=14, max_width=48, apart=True),
        Look("note", flex=True, min_width=12, max_width=56),
        Look("out_of_reach", "out of reach"),
        Look("test_rows", "test rows"),
        Look("subpopulations", "of"),
    ),
    "susceptibility": (
        Look("alpha", "α", pinned=True),
        Look("group", "group", pinned=True, max_width=18, words=True),
        Look("subpopulation", "#", pinned=True),
        Look("rank", "rank"),
        Look("predicted", "predicted"),
        Look("damage", "measured"),
        Look("susceptibility_plot", "95 % interval", show="interval", of=("low", "damage", "high")),
        Look("spearman", "rank corr."),
        Look("recall_50", "worst in half"),
        Look("mae", "error"),
        Look("mae_constant", "of constant"),
        Look("predicted_on_test", "on test rows"),
        Look("rank_on_test", "rank there"),
        Look("attacked", "attacked"),
        Look("spearman_low", "corr. low"),
        Look("spearman_high", "high"),
        Look("recall_20", "in 20 %"),
        Look("recall_30", "in 30 %"),
        Look("worst", "worst"),
        Look("subpopulations", "of"),
        Look("confidence", "confidence"),
        Look("description", "subpopulation", flex=True, min_width=14, max_width=48, apart=True),
        Look("note", "note", flex=True, min_width=12),
    ),
    "collateral": (
        Look("alpha", "alpha", pinned=True),
        Look("group", "group", pinned=True),
        Look("collateral", "collateral"),
        Look("collateral_plot", "95 % interval", show="interval", of=("low", "collateral", "high")),
        Look("largest", "largest"),
        Look("damage", "damage"),
        Look("published", "paper"),
    ),
    "confidence": (
        Look("alpha", "alpha", pinned=True),
        Look("group", "group", pinned=True),
        Look("confidence"),
        Look("damage"),
        Look("spearman"),
    ),
    "subpopulations": (
        Look("subpopulation", "#", pinned=True),
        Look("description", "subpopulation", pinned=True, flex=True, min_width=14, max_width=60, share=0.3, apart=True),
        Look("train_rows", "train"),
        Look("aux_rows", "aux"),
        Look("test_rows", "test"),
        Look("confidence", "confidence"),
        Look("adversary_accuracy", "accuracy"),
        Look("predicted", "predicted"),
        Look("class_mix", "class mix", flex=True, min_width=16, max_width=36),
        Look("target_label", "target", max_width=16),
        Look("attacked", "attacked"),
        Look("reason", "why not", flex=True, min_width=10),
        Look("clean_accuracy", "clean"),
        Look("confidence_in_sample", "in-sample"),
    ),
    "desk_alphas": (
        Look("alpha", pinned=True),
        Look("damage"),
        Look("alphas_plot", "95 % interval", show="interval", of=("low", "damage", "high")),
        Look("trials"),
        Look("vulnerable"),
        Look("poison_points", "poison"),
        Look("clean"),
        Look("poisoned"),
    ),
    "desk_trials": (
        Look("alpha", pinned=True),
        Look("trial", pinned=True),
        Look("clean"),
        Look("poisoned"),
        Look("damage"),
        Look("trials_plot", "damage, interval", show="interval", of=("low", "damage", "high")),
        Look("collateral"),
        Look("poison_points", "poison"),
    ),
    "desk_controls": (
        Look("alpha", pinned=True),
        Look("poison", pinned=True),
        Look("damage"),
        Look("controls_plot", "95 % interval", show="interval", of=("low", "damage", "high")),
        Look("q"),
        Look("vulnerable"),
        Look("trials"),
        Look("says", flex=True, min_width=12, max_width=72),
    ),
    "predicted_of_one": (
        Look("alpha", pinned=True),
        Look("class", pinned=True, max_width=24),
        Look("true"),
        Look("clean"),
        Look("poisoned"),
        Look("difference"),
    ),
    "flipped_of_one": (
        Look("row", pinned=True),
        Look("true_class", "is", max_width=20),
        Look("to", "now often", max_width=20),
        Look("flipped"),
        Look("of"),
        Look("broken"),
        Look("mended"),
        Look("by_alpha", "by alpha", flex=True, min_width=14),
    ),
    "compare": COMPARED,
    "compare of several": (*COMPARED[:2], Look("other"), *(look for look in COMPARED[2:] if look.column != "other")),
    "compare_worst": WORST_COMPARED,
    "compare_worst of several": (Look("other", pinned=True), *(look for look in WORST_COMPARED if look.column != "other")),
    "victims": (Look("victim", "#", pinned=True), Look("trial"), Look("arm"), Look("subpopulation"), Look("alpha")),
}


def looks_for(spec: TableSpec) -> tuple[Look, ...]:
    """The looks of a table: those written for it, then its other columns in their own order."""
    names = {column.name for column in spec.columns}
    written = tuple(look for look in LOOKS.get(spec.name, ()) if look.column in names or (look.of and set(look.of) <= names))
    of_alphas = tuple(Look(name, f"α {name.removeprefix(ALPHA)}") for name in names_of_alphas(spec))
    pinned_first = sum(look.pinned for look in written)
    written = written[:pinned_first] + of_alphas + written[pinned_first:]
    covered = {look.column for look in written}
    pinned = () if written else spec.key[:1]
    rest = tuple(plain(spec, column.name, pinned) for column in spec.columns if column.name not in covered)
    return tuple(look for look in written + rest if not look.hidden)


def names_of_alphas(spec: TableSpec) -> tuple[str, ...]:
    """The columns that are one for each alpha."""
    return tuple(column.name for column in spec.columns if column.name.startswith(ALPHA))


def plain(spec: TableSpec, name: str, pinned: Sequence[str]) -> Look:
    kind = next(column.kind for column in spec.columns if column.name == name)
    return Look(name, pinned=name in pinned, flex=kind == "text" and name not in pinned, min_width=8 if kind == "text" else 0)
