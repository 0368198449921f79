"""What must hold between the keys of a scenario, beyond what each key takes by itself."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.errors import nearest
from engine.scenario import weights as weights_place
from engine.scenario.toml import Path

if TYPE_CHECKING:
    from engine.scenario.sections import ModelSection, Scenario

Problem = tuple[tuple[Path, ...], str]  # the keys that disagree, the one to blame first; and what is wrong

TABLES = ("table", "text_table")
FILES = (*TABLES, "image_folder")
PICTURES = ("cifar10", "utkface", "image_folder")
IMAGES = ("cifar10", "utkface", "image_folder")
TEXTS = ("imdb", "text_table")
TWO_CLASSES = ("adult", "breast_cancer", "imdb", "utkface")
MANY_CLASSES = ("digits", "cifar10")
RULES = ("rarest", "least_likely", "flip")
DENSE = ("mlp", "logistic")  # models that read plain numbers
NETWORKS = ("conv", "vgg", "torchvision")  # models that read pictures
POOLS = {"conv": 3, "vgg": 5}  # how many pooling layers can be named


def check(scenario: Scenario) -> Iterator[Problem]:
    """Every disagreement. Keys that were wrong or missing may stand at their default or None; the caller drops what rests on them."""
    yield from _text(scenario)
    yield from _dataset(scenario)
    yield from _model(scenario)
    yield from _subpopulations(scenario)
    yield from _attack(scenario)
    yield from _compute(scenario)


def _text(s: Scenario) -> Iterator[Problem]:
    if s.title is not None and not s.title.strip():
        yield (("title",),), "is empty; give the scenario a title"


def _dataset(s: Scenario) -> Iterator[Problem]:
    d = s.dataset
    kind: Path = ("dataset", "kind")
    if d.kind in FILES and d.path is None:
        yield (("dataset", "path"), kind), f'is missing; kind "{d.kind}" reads a file or folder of yours: path = "..."'
    if d.kind in TABLES and not d.label:
        yield (("dataset", "label"), kind), f'is missing; kind "{d.kind}" needs the name of the column to predict: label = "..."'
    if d.kind == "text_table" and not d.text:
        yield (("dataset", "text"), kind), 'is missing; kind "text_table" needs the name of the column that holds the texts: text = "..."'
    elif d.kind == "text_table" and d.text == d.label:
        yield (("dataset", "text"), ("dataset", "label")), f"and label both name {d.text!r}; it can be only one of them"
    for name, kinds in (
        ("path", FILES),
        ("text", ("text_table",)),
        ("label", TABLES),
        ("positive", FILES),
        ("split_column", TABLES),
        ("encoding", TABLES),
        ("image_size", PICTURES),
        ("annotations_file", ("image_folder",)),
    ):
        if d.kind is not None and d.kind not in kinds and getattr(d, name) is not None:
            yield (("dataset", name), kind), f'has no meaning for kind "{d.kind}"; take it out, or use kind "{kinds[0]}"'
    if d.kind in (*PICTURES, *TEXTS) and d.scale == "standard":
        have = "texts" if d.kind in TEXTS else "pictures"
        yield (("dataset", "scale"), kind), f'is "standard", which columns of numbers can be; kind "{d.kind}" has {have}: take it out'
    if sum(d.split) > 1 + 1e-9:
        yield (("dataset", "split"),), f"sums to {sum(d.split):g}; train, aux and test are disjoint, so their shares sum to at most 1"
    if d.kind in TABLES:
        groups = {name: getattr(d, name) for name in ("numeric", "categorical", "annotations", "drop")}
        for name, columns in groups.items():
            yield from _repeats(("dataset", name), columns)
            if d.label in columns:
                yield (("dataset", name), ("dataset", "label")), f"names the label column {d.label!r}; the label cannot be an input as well"
            if d.text in columns:
                yield (("dataset", name), ("dataset", "text")), f"names the column of texts {d.text!r}; it can be only one of them"
        for one, other in (("numeric", "categorical"), ("numeric", "drop"), ("categorical", "drop")):
            if both := [c for c in groups[one] if c in groups[other]]:
                yield (("dataset", one), ("dataset", other)), f"and {other} both name {both[0]!r}; it can be only one of them"


def _model(s: Scenario) -> Iterator[Problem]:
    for at, m in ((("model",), s.model), (("adversary", "model"), s.adversary.model)):
        if m is None or m.kind is None:
            continue
        kind, data = (*at, "kind"), ("dataset", "kind")
        if m.kind == "mlp" and not m.hidden:
            yield ((*at, "hidden"), kind), 'is empty; give the widths of the hidden layers, as hidden = [10], or use kind "logistic"'
        yield from _weights(m, at)
        if m.tune == "last_layer" and m.kind in DENSE:
            yield ((*at, "tune"), kind), f'is "last_layer"; kind "{m.kind}" has nothing below it to freeze: use "all"'
        if m.augment and m.kind not in NETWORKS:
            yield ((*at, "augment"), kind), f'is true; kind "{m.kind}" reads no pictures that could be shifted: take it out'
        elif m.augment and m.tune == "last_layer":
            yield (
                ((*at, "augment"), (*at, "tune")),
                'is true; with tune = "last_layer" each picture\'s features are computed once: take it out',
            )
        if m.kind == "torchvision" and not m.architecture:
            what = 'is missing; kind "torchvision" needs the name of one of its classifiers: architecture = "resnet18"'
            yield ((*at, "architecture"), kind), what
        if m.kind not in ("torchvision", "bert") and m.architecture is not None:
            yield ((*at, "architecture"), kind), f'has no meaning for kind "{m.kind}"; take it out, or use kind "torchvision"'
        if s.dataset.kind is None:
            continue
        if m.kind in NETWORKS and s.dataset.kind not in IMAGES:
            yield (kind, data), f'is "{m.kind}", which reads images; dataset "{s.dataset.kind}" has none: use "mlp" or "logistic"'
        if m.kind == "bert" and s.dataset.kind not in TEXTS:
            yield (kind, data), f'is "bert", which reads text; dataset "{s.dataset.kind}" has none'
        if m.kind != "bert" and s.dataset.kind in TEXTS:
            yield (kind, data), f'is "{m.kind}", which cannot read the text of dataset "{s.dataset.kind}": use "bert"'


def _weights(m: ModelSection, at: Path) -> Iterator[Problem]:
    path, kind = (*at, "weights"), (*at, "kind")
    if m.kind == "bert":
        if m.weights == weights_place.HUB and not m.name:
            yield ((*at, "name"), path), 'is missing; weights = "hub" needs a model of the hub: name = "bert-base-uncased"'
        elif m.weights == weights_place.IMAGENET:
            yield (path, kind), 'is "imagenet", which is of pictures; expected "random", "hub" or a folder'
        if m.stop == "plateau" and m.tune == "last_layer":
            yield ((*at, "stop"), kind), 'is "plateau"; the last layer of a text encoder is trained for a number of epochs'
        if m.weight_decay_per == "rows" and (m.tune == "last_layer" or m.optimizer == "adamw"):
            what = "the last layer of a text encoder" if m.tune == "last_layer" else 'optimizer "adamw"'
            yield ((*at, "weight_decay_per"), kind), f'is "rows"; {what} has weight decay that knows no rows: use "step"'
    elif m.name is not None:
        yield ((*at, "name"), kind), f'has no meaning for kind "{m.kind}"; it names a text encoder of the hub'
    if m.optimizer == "adamw" and m.kind != "bert":
        yield ((*at, "optimizer"), kind), f'is "adamw", which kind "{m.kind}" is not trained with; use "adam"'
    if m.kind in DENSE and m.weights != weights_place.RANDOM:
        yield (path, kind), f'is "{m.weights}"; kind "{m.kind}" always starts from "random" weights'
    elif m.kind == "conv" and m.weights == weights_place.IMAGENET:
        yield (path, kind), 'is "imagenet"; there are no such weights of "conv": use "random", or a file'
    elif m.kind in NETWORKS and m.weights not in (weights_place.RANDOM, weights_place.IMAGENET):
        ending = os.path.splitext(m.weights)[1].lower()
        if ending not in weights_place.ENDINGS:
            near = nearest(m.weights, (weights_place.RANDOM, weights_place.IMAGENET))
            hint = f"; did you mean {near!r}?" if near else ""
            yield (path, kind), f'is "{m.weights}"; expected "random", "imagenet" or a .pt, .pth or .safetensors file{hint}'


def _subpopulations(s: Scenario) -> Iterator[Problem]:
    p = s.subpopulations
    at = "subpopulations"
    if p.kind == "feature_match" and not p.features:
        yield (
            ((at, "features"), (at, "kind")),
            'is missing; kind "feature_match" needs the annotations to match on: features = ["race", "sex"]',
        )
    yield from _repeats((at, "features"), p.features)
    if p.kind == "feature_match":
        for name in p.bins:
            if name not in p.features:
                near = nearest(name, p.features)
                hint = f"did you mean {near!r}?" if near else "add it to features or take its bins out"
                yield ((at, "bins", name), (at, "features")), f"is not among the features; {hint}"
    for name, edges in p.bins.items():
        if not edges:
            yield ((at, "bins", name),), "is empty; give at least one cut, as [30, 45, 60]"
        elif not _rising(edges):
            yield ((at, "bins", name),), "must rise: each cut above the one before it"
    if p.max_size is not None and p.max_size < p.min_size:
        yield (
            ((at, "max_size"), (at, "min_size")),
            f"is {p.max_size}, below min_size = {p.min_size}; no subpopulation could have such a size",
        )
    yield from _repeats((at, "only"), p.only)
    if p.kind == "cluster_match":
        if p.only and max(p.only) >= p.clusters:
            yield (
                ((at, "only"), (at, "clusters")),
                f"names cluster {max(p.only)}; with clusters = {p.clusters} they are numbered 0 to {p.clusters - 1}",
            )
        if s.dataset.rows is not None and p.clusters > s.dataset.rows * s.adversary.rows:
            rows = int(s.dataset.rows * s.adversary.rows)
            yield (
                ((at, "clusters"), ("dataset", "rows"), ("adversary", "rows")),
                f"is {p.clusters}, more than the {rows} auxiliary rows that dataset.rows and adversary.rows leave; lower it or raise those",
            )
        own = s.adversary.model or s.model
        if p.layer == "hidden" and own.kind == "logistic":
            yield (
                ((at, "layer"), (at, "kind"), ("model", "kind")),
                'is "hidden", but a logistic model has no hidden layer; use layer = "input"',
            )
        yield from _layer(p.layer, own)


def _layer(layer: str, own: ModelSection) -> Iterator[Problem]:
    """Only where clusters are formed: what the adversary's own model has to form them in."""
    if own.kind is not None:
        there = ["input", "hidden", *(f"pool{n + 1}" for n in range(POOLS.get(own.kind, 0)))]
        if own.kind == "bert":
            there = ["hidden", "tokens"]
        if layer not in there:
            named = ", ".join(f'"{name}"' for name in there)
            near = nearest(layer, there)
            yield (
                (("subpopulations", "layer"), ("subpopulations", "kind"), ("model", "kind")),
                f'is "{layer}", which kind "{own.kind}" does not have; use {named}{f"; did you mean {near!r}?" if near else ""}',
            )


def _attack(s: Scenario) -> Iterator[Problem]:
    a = s.attack
    at: Path = ("attack", "alphas")
    if not a.alphas:
        yield (at,), "is empty; give at least one poison rate, as [0.5, 1, 2]"
    elif not _rising(a.alphas):
        yield (at,), "must rise, each rate once: [0.5, 1, 2]"
    if a.kind == "gradient" and s.dataset.kind is not None:
        own = s.adversary.model or s.model
        if s.dataset.kind not in IMAGES:
            what = f'is "gradient", which moves pixels; dataset "{s.dataset.kind}" has no images: use "label_flip" or "influence"'
            yield (("attack", "kind"), ("dataset", "kind")), what
        elif own.kind in DENSE:
            what = f'is "gradient", which needs an adversary\'s model that reads images; "{own.kind}" does not: use "conv" or "vgg"'
            yield (("attack", "kind"), ("model", "kind"), ("adversary", "model", "kind")), what
    yield from _optimised(s)
    target, kind = ("attack", "target_label"), ("dataset", "kind")
    if not a.target_label.strip():
        yield (target,), f"is empty; give one of {', '.join(RULES)}, or the name of a class"
    elif a.target_label == "flip" and a.target_min_rows is not None:
        at, what = ("attack", "target_min_rows"), 'has no meaning with target_label = "flip", where no class is chosen: take it out'
        yield (at, target), what
    elif a.target_label == "flip" and s.dataset.kind in MANY_CLASSES:
        yield (
            (target, kind),
            f'is "flip", which needs two classes; dataset "{s.dataset.kind}" has more: use "rarest", "least_likely" or a class',
        )
    elif (
        a.target_label not in RULES and s.dataset.kind in (*TWO_CLASSES, *MANY_CLASSES) and (near := nearest(a.target_label.lower(), RULES))
    ):
        yield (target, kind), f'is "{a.target_label}", which is no class of "{s.dataset.kind}"; did you mean {near!r}?'


def _optimised(s: Scenario) -> Iterator[Problem]:
    """What the keys of optimised points and their control rest on."""
    a, layer, kind = s.attack, ("attack", "layer"), ("attack", "kind")
    if a.kind == "gradient" and a.layer != "last":
        own: Path = ("model",) if s.adversary.model is None else ("adversary", "model")
        if a.objective == "cosine":
            what = 'is "cosine", which is for the last layer alone: use objective = "inner", or layer = "last"'
            yield (("attack", "objective"), layer, kind), what
        if (s.adversary.model or s.model).tune == "last_layer":
            what = f'is "{a.layer}"; with tune = "last_layer" no other is trained: use layer = "last"'
            yield (layer, (*own, "tune"), kind), what
    if "label_flip" in s.evaluation.controls and a.kind == "label_flip":
        what = 'names "label_flip", which is the attack itself: take it out, or use attack.kind = "gradient" or "influence"'
        yield (("evaluation", "controls"), kind), what


def _compute(s: Scenario) -> Iterator[Problem]:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", s.compute.device):
        yield (("compute", "device"),), f'is "{s.compute.device}"; expected "auto", "cpu", "cuda" or "cuda:0" and so on'
    yield from _repeats(("evaluation", "controls"), s.evaluation.controls)


def _repeats(path: Path, items: Sequence[object]) -> Iterator[Problem]:
    seen: set[object] = set()
    for item in items:
        if item in seen:
            yield (path,), f"names {item!r} twice"
            return
        seen.add(item)


def _rising(numbers: Sequence[float]) -> bool:
    return all(math.isfinite(n) for n in numbers) and all(a < b for a, b in pairwise(numbers))
