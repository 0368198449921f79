"""The fields of the scenario form: key, label, help, and when each matters. Types, bounds and choices come from the engine's schema."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One key of a scenario. when: shown only where these keys have one of these values. suggests: what a line of text may say."""

    key: str
    label: str
    help: str
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suggests: tuple[str, ...] = ()


TABLE = {"dataset.kind": ("table",)}
TABLES = {"dataset.kind": ("table", "text_table")}
FILES = {"dataset.kind": ("table", "text_table", "image_folder")}
FOLDER = {"dataset.kind": ("image_folder",)}
PICTURES = {"dataset.kind": ("cifar10", "utkface", "image_folder")}
NETWORKS = {"model.kind": ("conv", "vgg", "torchvision")}
TUNED = {"model.kind": ("conv", "vgg", "torchvision", "bert")}
SPLIT = {"dataset.kind": ("table", "text_table", "image_folder", "digits", "breast_cancer")}
MOVED = {"attack.kind": ("gradient",)}
CLUSTERS = {"subpopulations.kind": ("cluster_match",)}
FEATURES = {"subpopulations.kind": ("feature_match",)}
PLATEAU = {"model.stop": ("plateau",)}

LAYERS = ("input", "hidden", *(f"pool{number}" for number in range(1, 6)), "tokens")
ARCHITECTURES = ("resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "vit_b_16")

SECTIONS: dict[str, tuple[Field, ...]] = {
    "Scenario": (
        Field("title", "Title", "what this is, in words"),
        Field("reproduces", "Reproduces", "the published table, if any"),
        Field("seed", "Seed", "of every random draw"),
    ),
    "Dataset": (
        Field("dataset.kind", "Dataset", ""),
        Field("dataset.path", "File", "a CSV or Parquet file; of pictures their folder", FILES),
        Field("dataset.annotations_file", "Annotations", "a CSV with a column `file` and one for each annotation", FOLDER),
        Field("dataset.image_size", "Pixels", "a picture's side; blank: as published, 64 of yours", PICTURES),
        Field("dataset.text", "Text column", "what the model reads", {"dataset.kind": ("text_table",)}),
        Field("dataset.label", "Label column", "the class to predict", TABLES),
        Field("dataset.positive", "Last class", "which class is put last", FILES),
        Field("dataset.annotations", "Annotations", "columns for FeatureMatch, not fed to the model", TABLES),
        Field("dataset.numeric", "Numbers", "columns forced to numbers", TABLE),
        Field("dataset.categorical", "Categories", "columns forced to categories", TABLE),
        Field("dataset.drop", "Left out", "columns not used", TABLE),
        Field("dataset.missing", "Missing", "rows with missing values", TABLE),
        Field("dataset.split", "Split", "train, aux, test shares", SPLIT),
        Field("dataset.split_column", "Split column", "says train, aux or test", TABLES),
        Field("dataset.scale", "Scale", "how features are scaled", {"dataset.kind": ("table", "digits", "breast_cancer", "adult")}),
        Field("dataset.balance", "Balance", "negatives subsampled, as published", {"dataset.kind": ("adult",)}),
        Field("dataset.rows", "At most", "rows of each part; blank: all"),
    ),
    "Model": (
        Field("model.kind", "Model", ""),
        Field("model.hidden", "Hidden", "units of each layer", {"model.kind": ("mlp",)}),
        Field("model.depth", "Depth", "VGG11 to VGG19", {"model.kind": ("vgg",)}),
        Field("model.architecture", "Network", "one of torchvision's classifiers", {"model.kind": ("torchvision",)}, ARCHITECTURES),
        Field("model.tune", "Tuned", "last_layer: the rest is frozen, its features computed once", TUNED),
        Field("model.weights", "Weights", "random, imagenet, or a file of weights", TUNED, ("random", "imagenet")),
        Field("model.augment", "Augment", "random shifts and flips of the pictures", NETWORKS | {"model.tune": ("all",)}),
        Field("model.epochs", "Epochs", "passes over train; a limit where it stops on a plateau"),
        Field("model.batch", "Batch", "rows a step"),
        Field("model.lr", "Rate", "learning rate of Adam"),
        Field("model.weight_decay", "Decay", "w/2 |W|² in the loss, kernels only"),
        Field("model.weight_decay_per", "Decay per", "rows: scikit-learn's units"),
        Field("model.stop", "Stop", "after all epochs, or on a plateau"),
        Field("model.tol", "Tolerance", "least improvement of the loss", PLATEAU),
        Field("model.patience", "Patience", "epochs without it", PLATEAU),
    ),
    "Subpopulations": (
        Field("subpopulations.kind", "Found by", "clusters, or equal annotations"),
        Field("subpopulations.clusters", "Clusters", "k of k-means", CLUSTERS),
        Field("subpopulations.pca", "PCA", "components kept; blank: none", CLUSTERS),
        Field("subpopulations.layer", "Clustered on", "input, hidden, poolN of a network, tokens of texts", CLUSTERS, LAYERS),
        Field("subpopulations.features", "Features", "annotations that must be equal", FEATURES),
        Field("subpopulations.bins", "Bins", "cuts of numbers, as {age = [30, 45, 60]}", FEATURES),
        Field("subpopulations.select", "Attacked", "which of them"),
        Field(
            "subpopulations.select_count",
            "How many",
            "of each confidence group",
            {"subpopulations.select": ("low_confidence", "mid_confidence", "high_confidence", "confidence")},
        ),
        Field("subpopulations.only", "Only these", "indices; blank: all"),
        Field("subpopulations.min_size", "At least", "aux rows"),
        Field("subpopulations.max_size", "At most", "aux rows; blank: no limit"),
    ),
    "Attack": (
        Field("attack.kind", "Attack", ""),
        Field("attack.alphas", "Alphas", "poison rates"),
        Field("attack.target_label", "Target label", "rarest, least_likely, flip, or a class", suggests=("rarest", "least_likely", "flip")),
        Field("attack.per", "Alpha of", "the size in aux, or in train"),
        Field("attack.steps", "Steps", "of gradient ascent on the pixels", MOVED),
        Field("attack.step_size", "Step size", "pixels are 0 to 1", MOVED),
        Field("attack.step_rule", "Step", "along the gradient, or its sign", MOVED),
        Field("attack.bound", "Bound", "how far a pixel may move, of 0 to 1", MOVED),
        Field("attack.objective", "Objective", "of the two gradients, what is maximised", MOVED),
        Field("attack.layer", "Gradient of", "last, all, or a parameter's name", MOVED, ("last", "all")),
        Field("attack.damping", "Damping", "added to the Hessian's diagonal", {"attack.kind": ("influence",)}),
        Field("adversary.rows", "Aux share", "of the aux data that the adversary holds"),
    ),
    "Evaluation": (
        Field("evaluation.trials", "Trials", "3 or more for intervals, 2 for the corrected worst-k"),
        Field("evaluation.controls", "Controls", "off_target, true_label, label_flip"),
        Field("evaluation.min_test_rows", "Test rows", "least for the corrected worst-k"),
        Field("evaluation.confidence_folds", "Folds", "of the confidence; 1: in-sample, as published"),
    ),
    "Device": (
        Field("compute.device", "Device", "auto, cpu, cuda, cuda:1"),
        Field("compute.precision", "Precision", ""),
        Field("compute.victims_per_stack", "Stack", "victims trained together; auto"),
        Field("compute.nice", "Nice", "0 to 19: how far it gives way"),
        Field("compute.threads", "Threads", "blank: as many as cores"),
    ),
}


def all_fields() -> tuple[Field, ...]:
    return tuple(one for fields in SECTIONS.values() for one in fields)


def kind_of(schema: Tree, key: str) -> tuple[str, tuple[str, ...], Any]:
    """(choice, text, list or raw; the choices; the default) of a dotted key in the engine's schema."""
    node = schema
    for part in key.split("."):
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        node = node.get("properties", {}).get(part, {})
    default = node.get("default")
    variants = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
    if variants and variants[0].get("enum"):
        return "choice", tuple(map(str, variants[0]["enum"])), default
    if variants and variants[0].get("type") == "boolean":
        return "choice", ("yes", "no"), default
    if variants and variants[0].get("type") == "array":
        return "list", (), default
    if variants and variants[0].get("type") == "object":
        return "raw", (), default
    numeric = any(one.get("type") in ("integer", "number") for one in variants)
    return ("number" if numeric else "text"), (), default


def get(tree: Tree, key: str) -> Any:
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def put(tree: Tree, key: str, value: Any) -> None:
    """Set a dotted key; None removes it."""
    *heads, last = key.split(".")
    node = tree
    for part in heads:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value


def to_text(value: Any, kind: str) -> str:
    """A value as it stands in its field."""
    if value is None or value in ([], {}):
        return ""
    if kind == "choice":
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(to_text(one, "number") for one in value)
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {list(cuts) if isinstance(cuts, list | tuple) else cuts}" for name, cuts in value.items())
        return f"{{{inner}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_value(text: str, kind: str, boolean: bool = False) -> Any:
    """What a field's text means; blank: not said. What is no number stays text, so that the engine says what is wrong with it."""
    text = text.strip()
    if not text:
        return None
    if kind == "choice":
        return text == "yes" if boolean else _number(text)
    if kind == "list":
        return (
            [_number(part) for part in text.replace(",", " ").split()]
            if "," not in text
            else [_number(p.strip()) for p in text.split(",") if p.strip()]
        )
    if kind == "raw":
        try:
            return tomllib.loads(f"x = {text}")["x"]
        except ValueError:
            return text
    return _number(text) if kind == "number" else text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def matters(one: Field, tree: Tree, defaults: Mapping[str, Any]) -> bool:
    """Whether a field has a meaning in this scenario."""
    return all(str(get(tree, key) if get(tree, key) is not None else defaults.get(key)) in values for key, values in one.when.items())
