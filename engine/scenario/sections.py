"""The grammar of a scenario: every key, its bounds, default and a line of help. Validated once, then immutable and hashed.

A dataset, a model, a subpopulation, an attack and a defence each have kinds. A kind is one class with its own keys alone, told from the
others of its section by `kind`, and one module of the kind's name that does the work (engine/datasets/adult.py). What several kinds share
is a class that they derive from. Messages, `subpop show`, the app's form and the JSON schema are made of these classes and of nothing else:

title, description   the label and the help of a key in the form; the description also completes "kind "table" needs ..."
examples             what a line of text may say, suggested in the form
_each                a line on each choice; of a kind its class's docstring is that line
_names               what a line of text names: the columns of the dataset's file, or a file
_when                the key means nothing unless another key of its section has one of these values; the form hides it else
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from engine.scenario.presets import presets as presets

Fraction = Annotated[float, Field(gt=0, le=1)]
Width = Annotated[int, Field(ge=1, le=100_000)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1000)]
File = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) and value else value)]

Holds = Literal["numbers", "pictures", "texts"]  # what the rows of a dataset are, and what a model can read


def _when(key: str, *values: str) -> JsonDict:
    return {"when": {key: [*values]}}


def _each(**lines: str) -> JsonDict:
    return {"each": {**lines}}


def _names(what: Literal["columns", "file"]) -> JsonDict:
    return {"names": what}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# ---- [dataset] ------------------------------------------------------------------------------------------------------

Scale = Annotated[
    Literal["none", "standard"],
    Field(
        description="how columns of numbers are scaled",
        json_schema_extra=_each(none="as they are", standard="mean 0 and deviation 1, both of the rows in fitted_on"),
    ),
]
Fitted = Literal["train", "aux"]
_FROM = _each(train="the defender's own", aux="the auxiliary, which no poison is among: so certificates need it")
FittedOn = Annotated[
    Fitted,
    Field(title="Learnt from", description="from which rows scales are learnt", json_schema_extra=_when("scale", "standard") | _FROM),
]
ImageSize = Annotated[
    int | None,
    Field(ge=8, le=1024, title="Pixels", description="a picture's side, brought to a square; blank: cifar10 32, utkface 100, yours 64"),
]


class DatasetKeys(Section):
    """What every kind of dataset has. CLASSES: how many there are, where that is known before the data are read."""

    HOLDS: ClassVar[Holds] = "numbers"
    CLASSES: ClassVar[int | None] = None

    kind: str
    rows: int | None = Field(
        None,
        ge=20,
        le=1_000_000_000,
        title="At most",
        description="rows of train, of aux and of test; blank: all",
    )


class SplitKeys(DatasetKeys):
    """Of data without a published split."""

    split: tuple[Fraction, Fraction, Fraction] = Field((0.4, 0.4, 0.2), description="shares of train, aux and test")


class FileKeys(DatasetKeys):
    """Of data of one's own. path: relative to the scenario's own folder."""

    path: File = Field(title="File", description="a file of yours")
    positive: str | None = Field(None, title="Last class", description="which class is put last")


class ColumnKeys(SplitKeys, FileKeys):
    """Of rows with a label column."""

    label: str = Field(
        min_length=1, title="Label column", description="the name of the column to predict", json_schema_extra=_names("columns")
    )
    annotations: tuple[str, ...] = Field(
        (),
        description="columns for FeatureMatch, not fed to the model unless also forced to a type",
        json_schema_extra=_names("columns"),
    )
    split_column: str | None = Field(
        None, title="Split column", description="a column that says train, aux or test", json_schema_extra=_names("columns")
    )
    missing_words: tuple[str, ...] = Field((), title="Missing", description="cells that mean missing, beside those that always do")
    encoding: str | None = Field(None, max_length=40, description='of a text file, as "cp1251" or "shift_jis"; blank: found')


class AdultSection(DatasetKeys):
    """UCI Adult, the census of 1994: does a person earn more than $50,000?"""

    CLASSES = 2
    kind: Literal["adult"] = "adult"
    balance: bool = Field(True, description="negatives subsampled, as published")
    scale: Scale = "none"
    fitted_on: FittedOn = "train"


class DigitsSection(SplitKeys):
    """Handwritten digits of 8 x 8 pixels that come with scikit-learn: nothing to download."""

    CLASSES = 10
    kind: Literal["digits"] = "digits"
    scale: Scale = "none"
    fitted_on: FittedOn = "train"


class BreastCancerSection(SplitKeys):
    """Measurements of 569 tumours that come with scikit-learn: nothing to download."""

    CLASSES = 2
    kind: Literal["breast_cancer"] = "breast_cancer"
    scale: Scale = "none"
    fitted_on: FittedOn = "train"


class TableSection(ColumnKeys):
    """A table of your own with a label column: CSV, Parquet or JSON Lines."""

    kind: Literal["table"] = "table"
    path: File = Field(title="File", description="a file of yours, CSV or Parquet")
    numeric: tuple[str, ...] = Field((), title="Numbers", description="columns forced to numbers", json_schema_extra=_names("columns"))
    categorical: tuple[str, ...] = Field(
        (), title="Categories", description="columns forced to categories", json_schema_extra=_names("columns")
    )
    drop: tuple[str, ...] = Field((), title="Left out", description="columns not used", json_schema_extra=_names("columns"))
    missing: Literal["keep", "drop"] = Field(
        "keep",
        description="rows with missing values",
        json_schema_extra=_each(keep="words as a level of their own, numbers as the median with a flag", drop="those rows are left out"),
    )
    max_categories: int = Field(50, ge=2, le=100_000, title="Levels", description='of a column at most; rarer ones are merged into "other"')
    scale: Scale = "none"
    fitted_on: Fitted = Field(
        "train",
        title="Learnt from",
        description="from which rows levels, medians and scales are learnt",
        json_schema_extra=_FROM,
    )


class Cifar10Section(DatasetKeys):
    """CIFAR-10, 60,000 colour pictures of ten classes."""

    HOLDS, CLASSES = "pictures", 10
    kind: Literal["cifar10"] = "cifar10"
    image_size: ImageSize = None


class UtkfaceSection(DatasetKeys):
    """UTKFace, pictures of faces with age, race and gender."""

    HOLDS, CLASSES = "pictures", 2
    kind: Literal["utkface"] = "utkface"
    image_size: ImageSize = None


class ImdbSection(DatasetKeys):
    """IMDB, 50,000 film reviews, good or bad."""

    HOLDS, CLASSES = "texts", 2
    kind: Literal["imdb"] = "imdb"


class ImageFolderSection(SplitKeys, FileKeys):
    """Pictures of your own, a folder for each class."""

    HOLDS = "pictures"
    kind: Literal["image_folder"] = "image_folder"
    path: File = Field(title="Folder", description="a folder of yours, with a folder of pictures for each class")
    image_size: ImageSize = None
    annotations_file: File | None = Field(None, title="Annotations", description="a CSV with a column `file` and one for each annotation")


class TextTableSection(ColumnKeys):
    """Texts of your own with a label column: CSV, JSON Lines or Parquet."""

    HOLDS = "texts"
    kind: Literal["text_table"] = "text_table"
    path: File = Field(title="File", description="a file of yours, CSV, JSON Lines or Parquet")
    text: str = Field(
        min_length=1, title="Text column", description="the name of the column that holds the texts", json_schema_extra=_names("columns")
    )


DatasetSection = Annotated[
    AdultSection
    | DigitsSection
    | BreastCancerSection
    | TableSection
    | Cifar10Section
    | UtkfaceSection
    | ImdbSection
    | ImageFolderSection
    | TextTableSection,
    Field(discriminator="kind", title="Dataset"),
]


# ---- [model] and [adversary.model] ----------------------------------------------------------------------------------


class ModelKeys(Section):
    """What every kind of model has. READS: what rows it can read, its own sort first; LAYERS: what clusters can be formed in."""

    READS: ClassVar[tuple[Holds, ...]] = ("numbers",)
    LAYERS: ClassVar[tuple[str, ...]] = ("input", "hidden")

    kind: str


class TrainedKeys(ModelKeys):
    """Of models that are trained in steps of gradient descent."""

    epochs: int = Field(100, ge=1, le=1_000_000, description="passes over train; a limit where it stops on a plateau")
    batch: int = Field(200, ge=1, le=1_000_000, description="rows a step")
    lr: float = Field(1e-3, gt=0, le=1000, title="Rate", description="learning rate of Adam")
    weight_decay: float = Field(0.0, ge=0, le=1000, title="Decay", description="w/2 |W|² in the loss, kernels only")
    weight_decay_per: Literal["step", "rows"] = Field(
        "step",
        title="Decay per",
        description="the units of the decay",
        json_schema_extra=_each(step="as it stands, in every step", rows="divided by the rows of the step: scikit-learn's units"),
    )
    stop: Literal["epochs", "plateau"] = Field(
        "epochs",
        description="when training ends",
        json_schema_extra=_each(epochs="after all epochs", plateau="where the loss improves no more; epochs is a limit"),
    )
    tol: float = Field(
        1e-4, ge=0, title="Tolerance", description="least improvement of the loss", json_schema_extra=_when("stop", "plateau")
    )
    patience: int = Field(10, ge=1, le=1_000_000, description="epochs without it", json_schema_extra=_when("stop", "plateau"))


class DenseKeys(TrainedKeys):
    """Of models that read plain numbers; a picture's pixels are some."""

    READS = ("numbers", "pictures")


class EstimatorKeys(ModelKeys):
    """Of scikit-learn's estimators, which read tables, have no gradients and are trained on the CPU."""

    LAYERS = ("input",)


class PretrainedKeys(TrainedKeys):
    """Of models that may start from weights that others trained."""

    tune: Literal["all", "last_layer"] = Field(
        "all",
        title="Tuned",
        description="which layers are trained",
        json_schema_extra=_each(all="every layer", last_layer="the last alone: the rest is frozen, its outputs computed once"),
    )
    weights: str = Field("random", description="random, or a file of weights", examples=["random"], json_schema_extra=_names("file"))


class NetworkKeys(PretrainedKeys):
    """Of networks that read pictures."""

    READS = ("pictures",)
    augment: bool = Field(
        False,
        description="random shifts of up to an eighth and horizontal flips of the pictures",
        json_schema_extra=_when("tune", "all"),
    )


class MlpSection(DenseKeys):
    """A network of dense layers."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = Field((10,), min_length=1, description="units of each hidden layer")


class LogisticSection(DenseKeys):
    """Logistic regression: one dense layer."""

    LAYERS = ("input",)
    kind: Literal["logistic"] = "logistic"


class ConvSection(NetworkKeys):
    """A small convolutional network, the paper's on CIFAR-10."""

    LAYERS = ("input", "hidden", "pool1", "pool2", "pool3")
    kind: Literal["conv"] = "conv"


class VggSection(NetworkKeys):
    """VGG11 to VGG19, from random weights or ImageNet's."""

    LAYERS = ("input", "hidden", "pool1", "pool2", "pool3", "pool4", "pool5")
    kind: Literal["vgg"] = "vgg"
    depth: Literal[11, 13, 16, 19] = Field(16, description="VGG11 to VGG19")
    weights: str = Field(
        "random", description="random, imagenet, or a file of weights", examples=["random", "imagenet"], json_schema_extra=_names("file")
    )


class TorchvisionSection(NetworkKeys):
    """Any of torchvision's classifiers of pictures, as resnet18."""

    kind: Literal["torchvision"] = "torchvision"
    architecture: str = Field(
        min_length=1,
        title="Network",
        description="one of torchvision's classifiers",
        examples=["resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "vit_b_16"],
    )
    weights: str = Field(
        "random", description="random, imagenet, or a file of weights", examples=["random", "imagenet"], json_schema_extra=_names("file")
    )


class BertSection(PretrainedKeys):
    """Any text encoder of transformers.

    A rate of dropout that is not given is what the model's own configuration says.
    """

    READS = ("texts",)
    LAYERS = ("hidden", "tokens")
    kind: Literal["bert"] = "bert"
    weights: str = Field(
        "random",
        description="random, hub, or a folder with config.json and safetensors",
        examples=["random", "hub"],
        json_schema_extra=_names("file"),
    )
    name: str | None = Field(None, description="a model of the Hugging Face hub, with weights = hub", examples=["bert-base-uncased"])
    revision: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="of that model: a commit, which pins it, a tag or a branch; blank: the newest that is here",
        json_schema_extra=_when("weights", "hub"),
    )
    architecture: str | None = Field(
        None,
        title="Sizes",
        description="of a BERT with random weights; blank: bert-base",
        examples=["bert-base", "bert-mini"],
        json_schema_extra=_when("weights", "random"),
    )
    length: int = Field(256, ge=3, le=100_000, description="tokens of a text")
    dropout: float | None = Field(None, ge=0, lt=1, description="of dense layers and the classifier; blank: the model's own")
    attention_dropout: float | None = Field(None, ge=0, lt=1, title="Att. dropout", description="of attention; blank: the model's own")
    states: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="how the frozen layers' outputs are kept on disk",
        json_schema_extra=_when("tune", "last_layer") | _each(float32="exactly", bfloat16="in half the room, to three digits"),
    )
    optimizer: Literal["adam", "adamw"] = Field(
        "adam",
        description="what takes the steps",
        json_schema_extra=_each(adam="weight decay is a term of the loss", adamw="weight decay shrinks the kernels, apart from the loss"),
    )


class GradientBoostingSection(EstimatorKeys):
    """scikit-learn's boosted trees, HistGradientBoostingClassifier, whose names of parameters these are."""

    kind: Literal["gradient_boosting"] = "gradient_boosting"
    max_iter: int = Field(100, ge=1, le=100_000, title="Rounds", description="of boosting; a limit where it stops early")
    learning_rate: float = Field(0.1, gt=0, le=10, title="Shrinkage", description="by which each tree's leaves are multiplied")
    max_leaf_nodes: int = Field(31, ge=2, le=100_000, title="Leaves", description="of a tree at most")
    max_depth: int | None = Field(None, ge=1, le=1000, title="Depth", description="of a tree at most; blank: no limit")
    min_samples_leaf: int = Field(20, ge=1, le=1_000_000, title="Leaf rows", description="least rows of a leaf")
    l2_regularization: float = Field(0.0, ge=0, le=1e6, title="L2", description="penalty on the leaves' values")
    max_bins: int = Field(255, ge=2, le=255, title="Bins", description="of a column's values")
    early_stopping: bool = Field(False, title="Early stop", description="where rows that are held back gain no more by further rounds")
    validation_fraction: Fraction = Field(
        0.1, lt=1, title="Held back", description="share of train and poison", json_schema_extra=_when("early_stopping", "True")
    )
    n_iter_no_change: int = Field(
        10, ge=1, le=100_000, title="Patience", description="rounds without gain", json_schema_extra=_when("early_stopping", "True")
    )


class RandomForestSection(EstimatorKeys):
    """scikit-learn's RandomForestClassifier, whose names of parameters these are."""

    kind: Literal["random_forest"] = "random_forest"
    n_estimators: int = Field(100, ge=1, le=100_000, title="Trees", description="of the forest")
    max_depth: int | None = Field(None, ge=1, le=1000, title="Depth", description="of a tree at most; blank: no limit")
    min_samples_leaf: int = Field(1, ge=1, le=1_000_000, title="Leaf rows", description="least rows of a leaf")
    max_features: Literal["sqrt", "log2", "all"] = Field(
        "sqrt",
        title="Columns",
        description="of them, how many each split chooses from",
        json_schema_extra=_each(sqrt="the root of their number", log2="the logarithm of it, to base 2", all="every one"),
    )
    bootstrap: bool = Field(True, description="each tree sees rows drawn with replacement")


ModelSection = Annotated[
    MlpSection
    | LogisticSection
    | ConvSection
    | VggSection
    | TorchvisionSection
    | BertSection
    | GradientBoostingSection
    | RandomForestSection,
    Field(discriminator="kind", title="Model"),
]


# ---- [subpopulations] -----------------------------------------------------------------------------------------------


class SubpopulationsKeys(Section):
    """What every kind of subpopulation has: which are attacked. Sizes are aux rows, inclusive."""

    kind: str
    select: Literal["all", "low_confidence", "mid_confidence", "high_confidence", "confidence", "predicted"] = Field(
        "all",
        title="Attacked",
        description="which of them",
        json_schema_extra=_each(
            all="every one of a fitting size",
            low_confidence="those that a clean model is least sure of",
            mid_confidence="those in the middle",
            high_confidence="those that it is surest of",
            confidence="the three groups, one after the other",
            predicted="those that clean models alone rank worst, by their damage at the largest alpha: see [triage]",
        ),
    )
    select_count: int = Field(
        10,
        ge=1,
        le=100_000,
        title="How many",
        description="of each confidence group, or of those predicted worst",
        json_schema_extra=_when("select", "low_confidence", "mid_confidence", "high_confidence", "confidence", "predicted"),
    )
    only: tuple[Index, ...] = Field((), title="Only these", description="indices; blank: all")
    min_size: int = Field(1, ge=1, le=1_000_000_000, title="At least", description="aux rows")
    max_size: int | None = Field(None, ge=1, le=1_000_000_000, title="At most", description="aux rows; blank: no limit")


class ClusterMatchSection(SubpopulationsKeys):
    """Clusters of k-means: needs no annotations."""

    kind: Literal["cluster_match"] = "cluster_match"
    clusters: int = Field(100, ge=2, le=100_000, description="k of k-means")
    pca: int | None = Field(None, ge=1, le=100_000, title="PCA", description="components kept; blank: the raw representation")
    layer: str = Field(
        "input",
        max_length=40,
        title="Clustered on",
        description="input, hidden (what the last layer reads), poolN of a network; of texts hidden or tokens",
        examples=["input", "hidden", "pool1", "pool2", "pool3", "pool4", "pool5", "tokens"],
    )


class FeatureMatchSection(SubpopulationsKeys):
    """Rows whose annotations are equal, as district and age."""

    kind: Literal["feature_match"] = "feature_match"
    features: tuple[str, ...] = Field(min_length=1, description="the annotations that must be equal", json_schema_extra=_names("columns"))
    bins: dict[str, tuple[float, ...]] = Field({}, description="cuts of numbers, as {age = [30, 45, 60]}")


SubpopulationsSection = Annotated[
    ClusterMatchSection | FeatureMatchSection, Field(discriminator="kind", title="Found by", description="clusters, or equal annotations")
]


# ---- [attack] -------------------------------------------------------------------------------------------------------


class AttackKeys(Section):
    """What every kind of attack has."""

    kind: str
    alphas: tuple[Rate, ...] = Field((0.5, 1.0, 2.0), description="poison rates")
    target_label: str = Field(
        "rarest", title="Target label", description="rarest, least_likely, flip, or a class", examples=["rarest", "least_likely", "flip"]
    )
    target_min_rows: int | None = Field(
        None, ge=1, le=1_000_000_000, title="Target rows", description="fewest train rows of a class to be a target; blank: max(10, 1 %)"
    )
    per: Literal["aux", "train"] = Field(
        "aux",
        title="Alpha of",
        description="what an alpha is a share of",
        json_schema_extra=_each(aux="the subpopulation's rows that the adversary has", train="its rows in the defender's data"),
    )


class LabelFlipSection(AttackKeys):
    """Copies of the subpopulation's rows with the target label."""

    kind: Literal["label_flip"] = "label_flip"


class GradientSection(AttackKeys):
    """Copies whose pixels are moved to align with the attacker's gradient: pictures and networks."""

    kind: Literal["gradient"] = "gradient"
    steps: int = Field(50, ge=1, le=100_000, description="of gradient ascent on the pixels")
    step_size: float = Field(0.2, gt=0, le=1000, title="Step size", description="pixels are 0 to 1")
    step_rule: Literal["gradient", "sign"] = Field(
        "gradient",
        title="Step",
        description="which way a pixel moves",
        json_schema_extra=_each(gradient="step size times the gradient", sign="step size times its sign"),
    )
    bound: float = Field(0.01, gt=0, le=1, description="how far a pixel may move, of 0 to 1")
    objective: Literal["inner", "cosine"] = Field(
        "inner",
        description="of the two gradients, what is maximised",
        json_schema_extra=_each(inner="their inner product, as published", cosine="their cosine, whatever their lengths"),
    )
    layer: str = Field(
        "last", max_length=200, title="Gradient of", description="last, all, or a parameter's name or its start", examples=["last", "all"]
    )


class InfluenceSection(AttackKeys):
    """The copies that influence functions on the last layer promise most of."""

    kind: Literal["influence"] = "influence"
    damping: float = Field(0.01, gt=0, le=1000, description="added to the Hessian's diagonal")


AttackSection = Annotated[LabelFlipSection | GradientSection | InfluenceSection, Field(discriminator="kind", title="Attack")]


# ---- [defense] ------------------------------------------------------------------------------------------------------


class DefenseKeys(Section):
    """What every kind of defence has."""

    kind: str


class BudgetKeys(DefenseKeys):
    """Of defences that remove so many rows."""

    budget: Annotated[float, Field(gt=0, lt=1)] | Literal["oracle"] = Field(
        0.05, description="rows removed, as a share of train; oracle: as many as there is poison, which no defender knows"
    )


class NoDefenseSection(DefenseKeys):
    """None: the victims train on all rows."""

    kind: Literal["none"] = "none"


class OracleSection(DefenseKeys):
    """Control: exactly the poison is removed, which is the most that any could do."""

    kind: Literal["oracle"] = "oracle"


class RandomSection(DefenseKeys):
    """Control: rows are removed at random."""

    kind: Literal["random"] = "random"
    share: float = Field(0.05, gt=0, lt=1, description="of train and poison")


class LossFilterSection(BudgetKeys):
    """One refit without the rows of largest loss."""

    kind: Literal["loss_filter"] = "loss_filter"


class TrimSection(BudgetKeys):
    """Fit and keep the rows of least loss, in turn (TRIM; Jagielski et al. 2018)."""

    kind: Literal["trim"] = "trim"
    rounds: int = Field(5, ge=1, le=100, description="of keeping and refitting")


class KnnSection(DefenseKeys):
    """Rows whose nearest neighbours have another label (Paudice et al. 2018)."""

    kind: Literal["knn"] = "knn"
    neighbors: int = Field(10, ge=1, le=10_000, description="nearest rows that are asked, the row itself left out")
    eta: float = Field(0.5, gt=0, le=1, title="Outvoted", description="a row is when fewer than 1 - eta of its neighbours share its label")
    action: Literal["relabel", "remove"] = Field(
        "relabel",
        description="what becomes of such a row",
        json_schema_extra=_each(relabel="it gets the label of most neighbours", remove="it is left out"),
    )
    layer: Literal["input", "hidden"] = Field(
        "input",
        description="where rows are near each other",
        json_schema_extra=_each(input="as the model reads them", hidden="at what its last layer reads"),
    )
    scaling: Literal["standard", "none"] = Field(
        "standard",
        description="of the columns, before distances are taken",
        json_schema_extra=_each(standard="mean 0 and deviation 1", none="as they are"),
    )


class SpectralSection(BudgetKeys):
    """Rows that stand out along the main direction of their class's hidden states (Tran et al. 2018)."""

    kind: Literal["spectral"] = "spectral"


DefenseSection = Annotated[
    NoDefenseSection | OracleSection | RandomSection | LossFilterSection | TrimSection | KnnSection | SpectralSection,
    Field(discriminator="kind", title="Defence"),
]


# ---- what has no kinds ----------------------------------------------------------------------------------------------


class AdversarySection(Section):
    rows: Fraction = Field(1.0, title="Aux share", description="of the aux data that the adversary holds")
    model: ModelSection | None = Field(None, description="the adversary's; same: the victims'")


class EvaluationSection(Section):
    trials: int = Field(3, ge=1, le=1000, description="3 or more for intervals, 2 for the corrected worst-k")
    first_trial: int = Field(
        0, ge=0, le=1_000_000, title="First trial", description="its number; others are other seeds: fresh trials of what was looked at"
    )
    controls: tuple[Literal["off_target", "true_label", "label_flip"], ...] = Field(
        ("off_target",), description="off_target, true_label, label_flip"
    )
    min_test_rows: int = Field(8, ge=1, le=1_000_000_000, title="Test rows", description="least for the corrected worst-k")
    confidence_folds: int = Field(5, ge=1, le=100, title="Folds", description="of the confidence; 1: in-sample, as published")
    dose_level: Fraction = Field(0.2, title="Dose level", description="the damage of which the table `dose` says how much poison it takes")
    find: Fraction | None = Field(None, description="search for the alpha that does so much damage; blank: no search")
    certificates: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="parts of train, a model each, whose vote certifies rows against half as many points; blank: none",
    )

    @property
    def trial_numbers(self) -> range:
        """The scenario's own trials; those beyond are a search's."""
        return range(self.first_trial, self.first_trial + self.trials)


class TriageSection(Section):
    """Which subpopulations are at risk, from clean models alone (LERQ: `engine/evaluation/lerq.py`).

    The defaults were chosen on Adult, COMPAS and digits, before it was judged on anything else.
    """

    predict: bool = Field(False, description="predict each subpopulation's damage before any is attacked; select = predicted does too")
    rows: Literal["aux", "test"] = Field(
        "aux",
        title="Ranked on",
        description="by which rows' foretold damage subpopulations are ranked and chosen",
        json_schema_extra=_each(
            aux="auxiliary rows, which an adversary holds: the test rows have no part in the choice",
            test="the test rows that damage is measured on, as the owner can: nearer to what this run will show",
        ),
    )
    models: int = Field(4, ge=2, le=100, title="Clean models", description="trained for it, of seeds of their own")
    damping: float | None = Field(
        None, gt=0, le=1e9, description="of the other rows' curvature; blank: 30, or 300 where the last layer is all that is trained"
    )
    link: Literal["auto", "sigmoid", "normal"] = Field(
        "auto",
        description="from a row's margin to its chance of being right",
        json_schema_extra=_each(
            auto="normal where the last layer is all that is trained, else sigmoid",
            sigmoid="of the margin over a temperature, mean over clean models",
            normal="normal cdf of the mean margin over its spread across clean models",
        ),
    )
    temperature: float = Field(
        0.4,
        gt=0,
        le=1000,
        description="logits, that margins are divided by in the sigmoid",
        json_schema_extra=_when("link", "auto", "sigmoid"),
    )


class ComputeSection(Section):
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1; of several cuda:all, or cuda:0,cuda:1; ray://HOST:PORT",
        examples=["auto", "cpu", "cuda"],
    )
    precision: Literal["float32", "float64", "bfloat16"] = Field(
        "float32",
        description="of the arithmetic",
        json_schema_extra=_each(float32="as usual", float64="twice as exact, slower", bfloat16="of networks trained whole, on a GPU"),
    )
    victims_per_stack: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = Field(
        "auto", title="Stack", description="victims trained together; auto"
    )
    nice: int = Field(10, ge=0, le=19, description="0 to 19: how far it gives way")
    threads: int | None = Field(None, ge=1, le=4096, description="blank: as many as cores")


class Scenario(Section):
    """The whole of what to run. Every key has a default but title, what a kind cannot do without, and the kinds of dataset, model and
    subpopulations.

    smoke    the file's overrides for `--smoke`, kept until they are applied
    smoked   they were applied: this is a sliver of the scenario, and says so wherever its numbers are shown
    """

    title: str = Field(max_length=200, description="what this is, in words")
    reproduces: str | None = Field(None, max_length=200, description="the published table, if any")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of every random draw")
    smoked: bool = False
    dataset: DatasetSection
    model: ModelSection
    subpopulations: SubpopulationsSection
    attack: AttackSection = LabelFlipSection()
    adversary: AdversarySection = AdversarySection()
    evaluation: EvaluationSection = EvaluationSection()
    defense: DefenseSection = NoDefenseSection()
    triage: TriageSection = TriageSection()
    compute: ComputeSection = ComputeSection()
    smoke: dict[str, Any] = {}

    @property
    def predicts(self) -> bool:
        """Whether damages are predicted before any subpopulation is attacked."""
        return self.triage.predict or self.subpopulations.select == "predicted"

    @property
    def device(self) -> str:
        """What `compute.device` comes to with this model: an estimator has no use for a GPU, so "auto" takes none for it."""
        return "cpu" if self.compute.device == "auto" and isinstance(self.model, EstimatorKeys) else self.compute.device

    @property
    def device_here(self) -> str:
        """The device of this machine that does all but train victims, where `compute.device` is a cluster."""
        return "cpu" if isinstance(self.model, EstimatorKeys) else "auto"


def last_layer_alone(section: ModelSection) -> bool:
    """Whether only the model's last layer is trained, over outputs of frozen layers that are computed once."""
    return isinstance(section, PretrainedKeys) and section.tune == "last_layer"


def head_alone(section: ModelSection) -> bool:
    """Whether what is trained is one linear layer over rows that stay as they are: a convex problem."""
    return isinstance(section, LogisticSection) or (isinstance(section, NetworkKeys) and last_layer_alone(section))
