"""One subpopulation of a run as rows and words: by alpha, trial by trial, beside its controls. Pure; from the run's stored tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.rows import Column, Table, TableSpec
from engine.tables.columns import VULNERABLE
from engine.tables.predicted import TRIALS
from tui.presenters import format as fmt

Record = dict[str, Any]
Cells = tuple[object, ...]

READ = ("subpopulations", "damage", "dose", "optimization")  # tables that a desk is made of, where the run has them
_INTERVAL = (Column("low", "fraction", "lower end of the 95 % interval"), Column("high", "fraction", "upper end of the 95 % interval"))
_VULNERABLE = Column("vulnerable", "bool", VULNERABLE)

BY_ALPHA = TableSpec(
    "desk_alphas",
    (
        Column("alpha", "float", "poison rate"),
        Column("damage", "fraction", "clean minus poisoned accuracy on its test rows, mean over trials"),
        *_INTERVAL,
        Column("trials", "int", "trials with both arms"),
        _VULNERABLE,
        Column("q", "float", "p adjusted over the subpopulations of the alpha"),
        Column("clean", "fraction", "accuracy of the clean victims on its test rows"),
        Column("poisoned", "fraction", "accuracy of the poisoned victims on them"),
        Column("target_given", "fraction", "share of its test rows given the target label"),
        Column("target_given_clean", "fraction", "the same by the clean victims"),
        Column("poison_points", "float", "mean over trials"),
        Column("poison_share", "fraction", "poison points over train rows"),
        Column("already_target", "float", "poison points whose label was the given one already"),
    ),
    ("alpha",),
    "one subpopulation at every poison rate",
)
BY_TRIAL = TableSpec(
    "desk_trials",
    (
        Column("alpha", "float", "poison rate"),
        Column("trial", "text", "its number, from 0; or the mean over all trials, which the interval is of"),
        *(column for column in TRIALS.columns if column.name not in ("alpha", "trial")),
        *_INTERVAL,
    ),
    ("alpha", "trial"),
    "one subpopulation, trial by trial; behind each alpha's trials their mean with its interval",
)
CONTROLS = TableSpec(
    "desk_controls",
    (
        Column("alpha", "float", "poison rate"),
        Column("poison", "text", "what kind of extra points the victims were fed"),
        Column("damage", "fraction", "what they did to the accuracy on its test rows, mean over trials"),
        *_INTERVAL,
        Column("q", "float", "p adjusted over the subpopulations of the alpha"),
        _VULNERABLE,
        Column("trials", "int", "trials with both arms"),
        Column("says", "text", "what it is there for"),
    ),
    ("alpha", "poison"),
    "the damage beside its controls: what points that should do nothing did to the same test rows",
)
AIMED, OTHERS, TRUE, FLIP, OVER, OUTSIDE = (
    "aimed at it",
    "aimed at others",
    "true labels",
    "label flip",
    "optimised − label flip",
    "outside of it",
)
SAYS = {
    AIMED: "target damage",
    OTHERS: "off-target: poison of the same trial and alpha, aimed at other subpopulations",
    TRUE: "the same extra points with their true labels: what mere addition does",
    FLIP: "label flipping with as many points, in the trials that have both",
    OVER: "the same trials, paired",
    OUTSIDE: "collateral: the same poison, on the test rows that are not its own",
}


def records(table: Table | None) -> list[Record]:
    """The rows of a table by column name; nothing where there is no table."""
    return [] if table is None else table.records()


def of(tables: Mapping[str, Table], name: str, index: int) -> list[Record]:
    """A table's rows about one subpopulation, by alpha where they have one."""
    matching = [row for row in records(tables.get(name)) if row.get("subpopulation") == index]
    return sorted(matching, key=lambda row: row.get("alpha") or 0.0)


def alpha_rows(tables: Mapping[str, Table], index: int) -> list[Cells]:
    renamed = {"clean": "clean_accuracy", "poisoned": "poisoned_accuracy"}
    return [
        tuple(row.get(renamed.get(column.name, column.name)) for column in BY_ALPHA.columns)
        for row in of(tables, "damage", index)
        if row["trials"]
    ]


def trial_rows(tables: Mapping[str, Table], index: int, trials: Table) -> list[Cells]:
    """Each alpha's trials, then their mean from table `damage`. trials: of tables_predicted."""
    single = list(records(trials))
    rows: list[Record] = []
    for mean in of(tables, "damage", index):
        trials_of_alpha = [{**row, "trial": str(row["trial"])} for row in single if row["alpha"] == mean["alpha"]]
        if mean["trials"]:
            mean_cells = {"clean": mean["clean_accuracy"], "poisoned": mean["poisoned_accuracy"], "trial": f"mean of {mean['trials']}"}
            rows += [
                *trials_of_alpha,
                {**mean, **mean_cells, "poison_points": whole(mean["poison_points"]), "already_target": whole(mean["already_target"])},
            ]
    return [tuple(row.get(column.name) for column in BY_TRIAL.columns) for row in rows]


def whole(value: object) -> object:
    """A mean of counts as an int where it is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def control_rows(tables: Mapping[str, Table], index: int) -> list[Cells]:
    """The damage and its controls, alpha by alpha; a control that the run does not have is left out."""
    paired = {row["alpha"]: row for row in of(tables, "optimization", index) if row["group"] == "one"}
    rows: list[Record] = []
    for row in of(tables, "damage", index):
        if not row["trials"]:
            continue
        alpha = {"alpha": row["alpha"], "trials": row["trials"]}
        rows.append({**row, "poison": AIMED})
        rows += [
            {**alpha, "poison": name, "damage": row[column]}
            for name, column in ((OTHERS, "off_target"), (TRUE, "true_label"), (OUTSIDE, "collateral"))
            if row.get(column) is not None
        ]
        pair = paired.get(row["alpha"])
        if pair is not None and pair["label_flip"] is not None:
            both = {"alpha": row["alpha"], "trials": pair["trials"]}
            rows.append({**both, "poison": FLIP, "damage": pair["label_flip"]})
            rows.append({**both, "poison": OVER, "damage": pair["difference"], "low": pair["low"], "high": pair["high"]})
    return [tuple((row | {"says": SAYS[row["poison"]]}).get(column.name) for column in CONTROLS.columns) for row in rows]


def about(tables: Mapping[str, Table], index: int) -> list[str]:
    """Sizes, confidence, classes, target label and the poison it takes, in words: a line each."""
    row = next(iter(of(tables, "subpopulations", index)), None)
    if row is None:
        return []
    count = {split: fmt.cell(row[f"{split}_rows"], "int") for split in ("train", "aux", "test")}
    share = {
        name: fmt.cell(row[name], "fraction") for name in ("confidence", "confidence_in_sample", "adversary_accuracy", "clean_accuracy")
    }
    sizes = f"rows: {count['train']} train, {count['aux']} aux, {count['test']} test"
    sure = f"confidence {share['confidence']} ({share['confidence_in_sample']} in sample)"
    right = f"accuracy: adversary {share['adversary_accuracy']}, clean {share['clean_accuracy']}"
    label = f"poison is labelled {row['target_label']}" if row["target_label"] else "each poison point gets its own label"
    mix = row["class_mix"] or fmt.NOTHING
    lines = [f"{sizes} · {sure} · {right}", f"classes: {mix} · {label}"]
    if not row["attacked"]:
        lines.append(f"not attacked: {row['reason'] or 'no reason was recorded'}")
    return [*lines, *needs(tables, index)]


def needs(tables: Mapping[str, Table], index: int) -> list[str]:
    """How much poison it takes, from table `dose`; nothing before there is a curve."""
    row = next(iter(of(tables, "dose", index)), None)
    if row is None or row["needed"] is None:
        return []
    interval = f", interval {row['interval']}" if row["interval"] else ""
    points = f" ({row['points_needed']} points)" if row["points_needed"] else ""
    return [f"reaches damage {row['level']:g} at alpha {row['needed']}{points}{interval}"]


def described(tables: Mapping[str, Table], index: int) -> str:
    """What its rows have in common; "" where it is not known."""
    return next((str(row["description"]) for row in of(tables, "subpopulations", index) if row["description"]), "")


def alphas(tables: Mapping[str, Table]) -> tuple[float, ...]:
    """The poison rates of the run, as far as its damage table has them."""
    return tuple(sorted({float(row["alpha"]) for row in records(tables.get("damage"))}))


def flips_title(shown: int, flipped: int) -> str:
    """Over the table of the rows that flipped."""
    return f"Flipped, the most often of {flipped:,}" if shown < flipped else "Flipped"


def marked_words(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices[:12])) + (f" and {len(indices) - 12} more" if len(indices) > 12 else "")
