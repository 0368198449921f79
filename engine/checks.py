"""What must hold between the keys of a scenario, beyond what each key takes by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.errors import nearest
from engine.toml_text import Path

if TYPE_CHECKING:
    from engine.scenario import Scenario

Problem = tuple[tuple[Path, ...], str]  # the keys that disagree, the one to blame first; and what is wrong

TABLES = ("table", "text_table")
FILES = (*TABLES, "image_folder")
PICTURES = ("cifar10", "utkface", "image_folder")
IMAGES = ("cifar10", "utkface", "image_folder", "digits")
TEXTS = ("imdb", "text_table")
TWO_CLASSES = ("adult", "breast_cancer", "imdb", "utkface")
MANY_CLASSES = ("digits", "cifar10")
RULES = ("rarest", "least_likely", "flip")


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
    for name, kinds in (
        ("path", FILES),
        ("label", TABLES),
        ("positive", FILES),
        ("split_column", TABLES),
        ("image_size", PICTURES),
        ("annotations_file", ("image_folder",)),
    ):
        if d.kind is not None and d.kind not in kinds and getattr(d, name) is not None:
            yield (("dataset", name), kind), f'has no meaning for kind "{d.kind}"; take it out, or use kind "{kinds[0]}"'
    if d.kind in PICTURES and d.scale == "standard":
        yield (("dataset", "scale"), kind), f'is "standard", which columns of numbers can be; kind "{d.kind}" has pictures: take it out'
    if sum(d.split) > 1 + 1e-9:
        yield (("dataset", "split"),), f"sums to {sum(d.split):g}; train, aux and test are disjoint, so their shares sum to at most 1"
    if d.kind in TABLES:
        groups = {name: getattr(d, name) for name in ("numeric", "categorical", "annotations", "drop")}
        for name, columns in groups.items():
            yield from _repeats(("dataset", name), columns)
            if d.label in columns:
                yield (("dataset", name), ("dataset", "label")), f"names the label column {d.label!r}; the label cannot be an input as well"
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
        if m.kind in ("mlp", "logistic") and m.weights != "random":
            yield ((*at, "weights"), kind), f'is "{m.weights}"; kind "{m.kind}" always starts from "random" weights'
        if s.dataset.kind is None:
            continue
        if m.kind in ("conv", "vgg") and s.dataset.kind not in IMAGES:
            yield (kind, data), f'is "{m.kind}", which reads images; dataset "{s.dataset.kind}" has none: use "mlp" or "logistic"'
        if m.kind == "bert" and s.dataset.kind not in TEXTS:
            yield (kind, data), f'is "bert", which reads text; dataset "{s.dataset.kind}" has none'
        if m.kind != "bert" and s.dataset.kind in TEXTS:
            yield (kind, data), f'is "{m.kind}", which cannot read the text of dataset "{s.dataset.kind}": use "bert"'


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


def _attack(s: Scenario) -> Iterator[Problem]:
    a = s.attack
    at: Path = ("attack", "alphas")
    if not a.alphas:
        yield (at,), "is empty; give at least one poison rate, as [0.5, 1, 2]"
    elif not _rising(a.alphas):
        yield (at,), "must rise, each rate once: [0.5, 1, 2]"
    target, kind = ("attack", "target_label"), ("dataset", "kind")
    if not a.target_label.strip():
        yield (target,), f"is empty; give one of {', '.join(RULES)}, or the name of a class"
    elif a.target_label == "flip" and s.dataset.kind in MANY_CLASSES:
        yield (
            (target, kind),
            f'is "flip", which needs two classes; dataset "{s.dataset.kind}" has more: use "rarest", "least_likely" or a class',
        )
    elif (
        a.target_label not in RULES and s.dataset.kind in (*TWO_CLASSES, *MANY_CLASSES) and (near := nearest(a.target_label.lower(), RULES))
    ):
        yield (target, kind), f'is "{a.target_label}", which is no class of "{s.dataset.kind}"; did you mean {near!r}?'


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
