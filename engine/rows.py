"""The plain types that travel down the layers. Torch, numpy and pandas for annotations only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from engine import versions
from engine.account.data import DataFacts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

Arm = Literal["clean", "poisoned", "true_label", "label_flip", "defended", "random_removal"]
DEFENDED: tuple[Arm, ...] = ("defended", "random_removal")  # the arms whose victims are trained on what was left of another's rows
RunState = Literal["queued", "running", "paused", "stopped", "failed", "done"]
RequestKind = Literal["pause", "resume", "stop"]

Record = dict[str, Any]  # a table's row by column name: text, number, truth or None

NO_SUBPOPULATION = -1


# ---- data -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """One split of a dataset, row-aligned.

    x       what a model eats: float32 [rows, features]; of a network that reads pictures uint8 [rows, height, width, 3]
    y       int64 [rows], the true class
    ids     int64 [rows], the row's number in the source, unique over all splits (test rows of another file are offset)
    frame   the rows as a person reads them: the raw columns, for descriptions, annotations and member previews
    images  uint8 [rows, height, width, 3], the pictures that x is (or was made of); None where there are none
    texts   object [rows] of str, the texts that x is made of; None where there are none
    """

    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    frame: pd.DataFrame
    images: np.ndarray | None = None
    texts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> Rows:
        """The rows at `index`, in that order."""
        x = self.x[index]
        images = x if self.images is self.x else None if self.images is None else self.images[index]
        texts = None if self.texts is None else self.texts[index]
        return Rows(x, self.y[index], self.ids[index], self.frame.iloc[index].reset_index(drop=True), images, texts)


@dataclass(frozen=True)
class Dataset:
    """Train, aux and test of one dataset: disjoint rows, one feature space.

    notes       what a reader must know of how the rows were made ("missing values: 1,836 rows, kept as a category")
    deviations  what makes this not the paper's data ("4,000 of 7,841 train rows"); shown wherever a number is shown
    checksums   source file name -> "md5:..." or "sha256:..."
    states      where the hidden states lie that x counts into, for a text encoder of which only the last layer is trained
    facts       what its loader alone knows of it: what became of each column; the account of the data is made of it and of the rows
    """

    kind: str
    classes: tuple[str, ...]
    feature_names: tuple[str, ...]
    train: Rows
    aux: Rows
    test: Rows
    checksums: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    states: States | None = None
    facts: DataFacts = field(default_factory=DataFacts)


@dataclass(frozen=True)
class States:
    """Hidden states on disk, read through a memory map: [rows, tokens, width] of `dtype`; lengths int32 [rows], each row's real tokens."""

    path: Path
    shape: tuple[int, int, int]
    dtype: str
    lengths: np.ndarray


# ---- subpopulations -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Membership:
    """For every row of every split, the index of its subpopulation, or NO_SUBPOPULATION. int32 arrays [rows]."""

    train: np.ndarray
    aux: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Subpopulation:
    """One subpopulation as discovered. Confidences and accuracies are fractions of the adversary's model; None where empty.

    class_mix               class name -> share of the subpopulation's aux rows
    confidence              cross-fitted within aux (mean probability of the true class)
    confidence_in_sample    the same model's on the rows it was trained on, as published
    clean_accuracy          of the adversary's model (trained on aux) on the subpopulation's test rows
    target_label            the class its poison is given; None where each point gets its own ("flip")
    attacked                chosen by the scenario's selection; `reason` says why not
    predicted               its damage at the largest alpha, as clean models alone foretell it on the rows that `triage.rows` says; or None
    """

    index: int
    description: str
    train_rows: int
    aux_rows: int
    test_rows: int
    class_mix: Mapping[str, float]
    confidence: float | None
    confidence_in_sample: float | None
    clean_accuracy: float | None
    target_label: str | None
    attacked: bool
    reason: str = ""
    predicted: float | None = None


def class_mix_words(mix: Mapping[str, float]) -> str:
    """Shares of classes, the largest first, as "3 52 %, 9 40 %"; those that round to none are left out."""
    ordered = sorted(mix.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in ordered if share >= 0.005)


# ---- attacks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Poison:
    """The extra training rows of one victim.

    rows          int64 [points], which aux row each point copies (drawn with replacement)
    labels        int64 [points], the label each is given
    true_labels   int64 [points]
    moved         int64 [points], which of the run's optimised points each is; None where the copies are left as they are
    """

    rows: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    moved: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def already_target(self) -> int:
        """How many points bear their true label, and so are no poison."""
        return int((self.labels == self.true_labels).sum())


@dataclass(frozen=True)
class Suspected:
    """Places in the order in which a defence suspects all rows of a victim, the most suspect at 0; equally suspect ones as drawn.

    points_P   int32, of the victim's points
    own_O      int32, of the target's own rows of train
    """

    points_P: np.ndarray
    own_O: np.ndarray


@dataclass(frozen=True)
class Judged:
    """What became of a victim's rows, train first and then its points.

    kept_R     bool, which it was trained on
    given_R    int16, the class that a row was given, -1 where its label stayed
    suspected  None where the defence has no such order, and of what a version before it stored
    """

    kept_R: np.ndarray
    given_R: np.ndarray
    suspected: Suspected | None = None


@dataclass(frozen=True)
class VictimSpec:
    """Which victim: its number in the run's plan, trial, arm, target and poison rate. A clean victim has no target.

    A defended one has the target and the rate of the victim whose rows its defence judges; neither where that is the clean one.
    """

    index: int
    trial: int
    arm: Arm
    subpopulation: int | None = None
    alpha: float | None = None


@dataclass(frozen=True)
class StackPlan:
    """Which victims train together; all are of one trial. Worked out before training and stored with the run."""

    index: int
    trial: int
    victims: tuple[VictimSpec, ...]


@dataclass(frozen=True)
class Cores:
    """How a stack uses a CPU: so many `parts` of it side by side, a process each, and so many `threads` where a trained victim is asked.

    Who shares a part, and how many threads add up a sum, decides last bits; so it belongs to the plan, not to the machine.
    """

    parts: int
    threads: int


@dataclass(frozen=True)
class Shard:
    """One share of a plan's stacks, number 1 to `of`; together they are all of them, whole."""

    number: int
    of: int

    def has(self, stack: StackPlan) -> bool:
        """Whether the stack is trained here: they are dealt out in turn, so that each shard has some of every trial."""
        return stack.index % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Planned:
    """What a plan says beside its stacks. discovery: the digest of what it was made over; "" where that is not known. shard: None: all."""

    cores: Cores
    discovery: str = ""
    shard: Shard | None = None


@dataclass(frozen=True)
class VictimResult:
    """What one victim did: its predicted class for every test row, uint8 [test rows], and how it was trained. judged: of `DEFENDED`."""

    spec: VictimSpec
    predictions: np.ndarray
    poison_points: int
    already_target: int
    epochs: int
    train_loss: float
    judged: Judged | None = None


@dataclass(frozen=True)
class PartResult:
    """What the model of one part of train says, of an ensemble over disjoint parts (`evaluation.certificates`).

    rows: of train in the part. predictions: uint8 [test rows]. epochs and train_loss (nats): 0 and nan where nothing was trained, because
    the part is empty or of one class.
    """

    number: int
    rows: int
    predictions: np.ndarray
    epochs: int
    train_loss: float


# ---- runs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRow:
    """One run as the store knows it. Times are Unix seconds. `alive`, `may_live`, `unverified` and `damaged` are worked out at reading,
    never stored.
    """

    id: str
    name: str
    title: str
    state: RunState
    phase: str
    scenario_toml: str
    scenario_hash: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    heartbeat_at: float | None
    host: str
    pid: int | None
    device: str
    victims_done: int
    victims_total: int
    progress: float
    eta_s: float | None
    victims_per_minute: float | None
    error: str
    deviations: tuple[str, ...]
    note: str = ""
    alive: bool = False
    pid_start: str = ""  # tells the worker's process from a later one with its number
    parent: str = ""  # the run of which this one attacks some subpopulations again; it may be gone by now
    schedule: int = versions.SCHEDULE  # under which its victims are trained
    statistics: int = versions.STATISTICS  # by which its stored tables were made
    reading: int = versions.READING  # by which rules its data were read
    boot: str = ""  # with host and pid_namespace: where the worker's process can be looked at
    pid_namespace: str = ""
    may_live: bool = False  # alive, or silent for less than a minute and not to be looked at from here: nobody else may have the run
    unverified: bool = False  # an older version stored it, without digests: damage to what it stored would not be noticed
    damaged: str = ""  # what is wrong with the row as it is stored: it can be shown and deleted, and nothing else

    @property
    def lost(self) -> bool:
        """Its engine should be at work and is not."""
        return self.state in ("running", "paused", "queued") and not self.alive


@dataclass(frozen=True)
class LogRow:
    """One line of a run's log. level is info, warning or error."""

    id: int
    at: float
    level: str
    message: str


@dataclass(frozen=True)
class Column:
    """One column of a table. kind decides how it is shown: text, int, fraction (0..1, never a percentage), float, bool."""

    name: str
    kind: Literal["text", "int", "fraction", "float", "bool"]
    help: str = ""


@dataclass(frozen=True)
class TableSpec:
    """A table's name, columns and the columns that identify a row (in stable order)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A spec with its rows; cells are str, int, float, bool or None, in the order of the spec's columns."""

    spec: TableSpec
    rows: tuple[tuple[object, ...], ...]

    def records(self) -> list[Record]:
        """The rows by column name."""
        return records(self.spec, self.rows)


def records(spec: TableSpec, rows: Iterable[tuple[object, ...]]) -> list[Record]:
    """Rows of a table's cells by column name."""
    names = [column.name for column in spec.columns]
    return [dict(zip(names, row, strict=True)) for row in rows]
