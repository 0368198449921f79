"""What to run: read from TOML, validated once, then immutable and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DatasetSection(Section):
    kind: Literal["adult", "digits", "breast_cancer", "table", "cifar10", "utkface", "imdb", "image_folder", "text_table"]
    path: Path | None = None  # table: a CSV or Parquet file
    label: str | None = None  # table: the label column
    positive: str | None = None  # table: class put last
    numeric: tuple[str, ...] = ()  # table: columns forced to numbers
    categorical: tuple[str, ...] = ()  # table: columns forced to categories
    annotations: tuple[str, ...] = ()  # table: columns for FeatureMatch, not fed to the model unless also listed above
    drop: tuple[str, ...] = ()  # table: columns left out
    missing: Literal["keep", "drop"] = "keep"
    max_categories: int = Field(50, ge=2)  # table: rarer levels are merged into "other"
    scale: Literal["none", "standard"] = "none"
    split: tuple[Fraction, Fraction, Fraction] = (0.4, 0.4, 0.2)  # train, aux, test; not for datasets with a published split
    split_column: str | None = None  # table: a column that says train, aux or test
    rows: int | None = Field(None, ge=20)  # at most so many rows of train and of aux, and of test (a sliver; a deviation)
    balance: bool = True  # adult: subsample the negatives


class ModelSection(Section):
    kind: Literal["mlp", "logistic", "conv", "vgg", "bert"]
    hidden: tuple[int, ...] = (10,)
    tune: Literal["all", "last_layer"] = "all"
    weights: str = "random"
    epochs: int = Field(100, ge=1)
    batch: int = Field(200, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)  # w/2 * |W|^2 in the loss, kernels only
    weight_decay_per: Literal["step", "rows"] = "step"  # "rows": divided by the rows of the step, scikit-learn's units
    stop: Literal["epochs", "plateau"] = "epochs"
    tol: float = 1e-4  # plateau: least improvement of the epoch's training loss
    patience: int = 10  # plateau: epochs without it


class SubpopulationsSection(Section):
    kind: Literal["cluster_match", "feature_match"]
    clusters: int = Field(100, ge=2)
    pca: int | None = None  # components kept; None: the raw representation
    layer: Literal["input", "hidden"] = "input"
    features: tuple[str, ...] = ()
    bins: dict[str, tuple[float, ...]] = {}
    select: Literal["all", "low_confidence", "mid_confidence", "high_confidence", "confidence"] = "all"
    select_count: int = Field(10, ge=1)  # per confidence group
    only: tuple[int, ...] = ()  # these indices alone
    min_size: int = Field(1, ge=1)  # aux rows, inclusive
    max_size: int | None = None  # aux rows, inclusive


class AttackSection(Section):
    kind: Literal["label_flip", "gradient", "influence"] = "label_flip"
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0)
    target_label: str = "rarest"  # rarest | least_likely | flip | a class name
    per: Literal["aux", "train"] = "aux"


class AdversarySection(Section):
    rows: Fraction = 1.0  # the share of the auxiliary data that it holds
    model: ModelSection | None = None  # when it is not the victim's


class EvaluationSection(Section):
    trials: int = Field(3, ge=1)
    controls: tuple[Literal["off_target", "true_label"], ...] = ("off_target",)
    min_test_rows: int = Field(30, ge=1)
    confidence_folds: int = Field(5, ge=1)


class DefenseSection(Section):
    kind: Literal["none"] = "none"


class ComputeSection(Section):
    device: str = "auto"  # auto | cpu | cuda | cuda:N
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    victims_per_stack: int | Literal["auto"] = "auto"
    nice: int = Field(10, ge=0, le=19)
    threads: int | None = None


class Scenario(Section):
    """The whole of what to run. Every key has a default but dataset.kind, model.kind and subpopulations.kind."""

    title: str
    reproduces: str | None = None
    seed: int = Field(0, ge=0)
    dataset: DatasetSection
    model: ModelSection
    subpopulations: SubpopulationsSection
    attack: AttackSection = AttackSection()
    adversary: AdversarySection = AdversarySection()
    evaluation: EvaluationSection = EvaluationSection()
    defense: DefenseSection = DefenseSection()
    compute: ComputeSection = ComputeSection()
    smoke: dict[str, object] = {}
