"""What to run: read from TOML, validated once, then immutable and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from engine.scenario.presets import presets as presets

Fraction = Annotated[float, Field(gt=0, le=1)]
Width = Annotated[int, Field(ge=1, le=100_000)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1000)]
File = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) and value else value)]

DatasetKind = Literal["adult", "digits", "breast_cancer", "table", "cifar10", "utkface", "imdb", "image_folder", "text_table"]
ModelKind = Literal["mlp", "logistic", "conv", "vgg", "torchvision", "bert"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetSection(Section):
    kind: DatasetKind
    path: File | None = None  # table: a CSV or Parquet file, text_table: also JSON Lines; relative to the scenario's own folder
    label: str | None = None  # table: the label column
    text: str | None = None  # text_table: the column of texts
    encoding: str | None = Field(None, max_length=40)  # table: of a CSV or JSON Lines file, as "cp1251" or "shift_jis"; None: found
    positive: str | None = None  # table: class put last
    numeric: tuple[str, ...] = ()  # table: columns forced to numbers
    categorical: tuple[str, ...] = ()  # table: columns forced to categories
    annotations: tuple[str, ...] = ()  # table: columns for FeatureMatch, not fed to the model unless also listed above
    drop: tuple[str, ...] = ()  # table: columns left out
    missing: Literal["keep", "drop"] = "keep"
    missing_words: tuple[str, ...] = ()  # table: cells that mean missing, beside those that always do; in the label too
    max_categories: int = Field(50, ge=2, le=100_000)  # table: rarer levels are merged into "other"
    scale: Literal["none", "standard"] = "none"
    split: tuple[Fraction, Fraction, Fraction] = (0.4, 0.4, 0.2)  # train, aux, test; not for datasets with a published split
    split_column: str | None = None  # table: a column that says train, aux or test
    rows: int | None = Field(None, ge=20, le=1_000_000_000)  # at most so many rows of train and of aux, and of test (a sliver; a deviation)
    balance: bool = True  # adult: subsample the negatives
    image_size: int | None = Field(None, ge=8, le=1024)  # images: brought to this square; None: cifar10 32, utkface 100, yours 64
    annotations_file: File | None = None  # image_folder: a CSV with a column `file` and one column for each annotation


class ModelSection(Section):
    kind: ModelKind
    hidden: tuple[Width, ...] = (10,)
    tune: Literal["all", "last_layer"] = "all"  # last_layer: the rest is frozen, its features are computed once
    weights: str = "random"  # random | imagenet | a file of weights
    depth: Literal[11, 13, 16, 19] = 16  # vgg
    architecture: str | None = None  # torchvision: the name of one of its classifiers; bert with random weights: its sizes, bert-base
    name: str | None = None  # bert, which is any text encoder of transformers: of a model of the Hugging Face hub, with weights = "hub"
    length: int = Field(256, ge=3, le=100_000)  # bert: tokens of a text
    attention_dropout: float | None = Field(None, ge=0, lt=1)  # bert: None: as the model's own configuration says
    dropout: float | None = Field(None, ge=0, lt=1)  # bert: of dense layers and the classifier, None as above
    states: Literal["float32", "bfloat16"] = "float32"  # bert, last_layer: how the frozen layers' outputs are kept on disk
    optimizer: Literal["adam", "adamw"] = "adam"  # adamw: bert alone; weight_decay then shrinks the kernels, apart from the loss
    augment: bool = False  # images: random shifts of up to an eighth and horizontal flips
    epochs: int = Field(100, ge=1, le=1_000_000)
    batch: int = Field(200, ge=1, le=1_000_000)
    lr: float = Field(1e-3, gt=0, le=1000)
    weight_decay: float = Field(0.0, ge=0, le=1000)  # w/2 * |W|^2 in the loss, kernels only
    weight_decay_per: Literal["step", "rows"] = "step"  # "rows": divided by the rows of the step, scikit-learn's units
    stop: Literal["epochs", "plateau"] = "epochs"
    tol: float = Field(1e-4, ge=0)  # plateau: least improvement of the epoch's training loss
    patience: int = Field(10, ge=1, le=1_000_000)  # plateau: epochs without it


class SubpopulationsSection(Section):
    kind: Literal["cluster_match", "feature_match"]
    clusters: int = Field(100, ge=2, le=100_000)
    pca: int | None = Field(None, ge=1, le=100_000)  # components kept; None: the raw representation
    layer: str = Field("input", max_length=40)  # input | hidden (what the last layer reads) | poolN of a network | texts: hidden, tokens
    features: tuple[str, ...] = ()
    bins: dict[str, tuple[float, ...]] = {}
    select: Literal["all", "low_confidence", "mid_confidence", "high_confidence", "confidence"] = "all"
    select_count: int = Field(10, ge=1, le=100_000)  # per confidence group
    only: tuple[Index, ...] = ()  # these indices alone
    min_size: int = Field(1, ge=1, le=1_000_000_000)  # aux rows, inclusive
    max_size: int | None = Field(None, ge=1, le=1_000_000_000)  # aux rows, inclusive


class AttackSection(Section):
    kind: Literal["label_flip", "gradient", "influence"] = "label_flip"
    alphas: tuple[Rate, ...] = (0.5, 1.0, 2.0)
    target_label: str = "rarest"  # rarest | least_likely | flip | a class name
    target_min_rows: int | None = Field(None, ge=1, le=1_000_000_000)  # train rows of a class, or it is no target; None: max(10, 1 %)
    per: Literal["aux", "train"] = "aux"
    steps: int = Field(50, ge=1, le=100_000)  # gradient: steps of gradient ascent
    step_size: float = Field(0.2, gt=0, le=1000)  # gradient: pixels are 0 to 1
    step_rule: Literal["gradient", "sign"] = "gradient"  # gradient: a step is step_size times the gradient, or times its sign
    bound: float = Field(0.01, gt=0, le=1)  # gradient: how far a pixel may move, of 0 to 1
    objective: Literal["inner", "cosine"] = "inner"  # gradient: what of the two gradients is maximised
    layer: str = Field("last", max_length=200)  # gradient: of whose weights: last | all | a parameter's name or its start
    damping: float = Field(0.01, gt=0, le=1000)  # influence: added to the Hessian's diagonal


class AdversarySection(Section):
    rows: Fraction = 1.0  # the share of the auxiliary data that it holds
    model: ModelSection | None = None  # when it is not the victim's


class EvaluationSection(Section):
    trials: int = Field(3, ge=1, le=1000)
    first_trial: int = Field(0, ge=0, le=1_000_000)  # its number; another number is another seed: fresh trials of what was looked at
    controls: tuple[Literal["off_target", "true_label", "label_flip"], ...] = ("off_target",)
    min_test_rows: int = Field(30, ge=1, le=1_000_000_000)
    confidence_folds: int = Field(5, ge=1, le=100)
    dose_level: Fraction = 0.2  # the damage of which the table `dose` says how much poison it takes
    find: Fraction | None = None  # search for the alpha that does so much damage: refine the grid once, then fresh trials there

    @property
    def trial_numbers(self) -> range:
        """The scenario's own trials; those beyond are a search's."""
        return range(self.first_trial, self.first_trial + self.trials)


class DefenseSection(Section):
    kind: Literal["none"] = "none"


class ComputeSection(Section):
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    victims_per_stack: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = "auto"
    nice: int = Field(10, ge=0, le=19)
    threads: int | None = Field(None, ge=1, le=4096)


class Scenario(Section):
    """The whole of what to run. Every key has a default but title, dataset.kind, model.kind and subpopulations.kind.

    smoke    the file's overrides for `--smoke`, kept until they are applied
    smoked   they were applied: this is a sliver of the scenario, and says so wherever its numbers are shown
    """

    title: str = Field(max_length=200)
    reproduces: str | None = Field(None, max_length=200)
    seed: int = Field(0, ge=0, le=2**63 - 1)
    smoked: bool = False
    dataset: DatasetSection
    model: ModelSection
    subpopulations: SubpopulationsSection
    attack: AttackSection = AttackSection()
    adversary: AdversarySection = AdversarySection()
    evaluation: EvaluationSection = EvaluationSection()
    defense: DefenseSection = DefenseSection()
    compute: ComputeSection = ComputeSection()
    smoke: dict[str, Any] = {}
