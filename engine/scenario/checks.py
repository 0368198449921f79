"""What must hold between the keys of a scenario, beyond what each key takes by itself."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.errors import nearest
from engine.scenario import weights as weights_place
from engine.scenario.kinds import unions
from engine.scenario.sections import (
    BertSection,
    ClusterMatchSection,
    ColumnKeys,
    DenseKeys,
    EstimatorKeys,
    FeatureMatchSection,
    GradientSection,
    Holds,
    InfluenceSection,
    KnnSection,
    LogisticSection,
    ModelSection,
    NetworkKeys,
    Scenario,
    SpectralSection,
    SplitKeys,
    TableSection,
    TextTableSection,
    TorchvisionSection,
    VggSection,
    last_layer_alone,
)
from engine.scenario.toml import Path

Problem = tuple[tuple[Path, ...], str]  # the keys that disagree, the one to blame first; and what is wrong

RULES = ("rarest", "least_likely", "flip")


def check(scenario: Scenario) -> Iterator[Problem]:
    """Every disagreement. Keys that were wrong or missing may stand at their default or None; the caller drops what rests on them."""
    yield from _text(scenario)
    yield from _dataset(scenario)
    yield from _model(scenario)
    yield from _subpopulations(scenario)
    yield from _attack(scenario)
    yield from _defense(scenario)
    yield from _certificates(scenario)
    yield from _triage(scenario)
    yield from _compute(scenario)


def _text(s: Scenario) -> Iterator[Problem]:
    if s.title is not None and not s.title.strip():
        yield (("title",),), "is empty; give the scenario a title"


def _dataset(s: Scenario) -> Iterator[Problem]:
    d = s.dataset
    if isinstance(d, SplitKeys) and sum(d.split) > 1 + 1e-9:
        yield (("dataset", "split"),), f"sums to {sum(d.split):g}; train, aux and test are disjoint, so their shares sum to at most 1"
    if isinstance(d, TextTableSection) and d.text == d.label:
        yield (("dataset", "text"), ("dataset", "label")), f"and label both name {d.text!r}; it can be only one of them"
    if not isinstance(d, ColumnKeys):
        return
    groups = {"annotations": d.annotations}
    if isinstance(d, TableSection):
        groups |= {"numeric": d.numeric, "categorical": d.categorical, "drop": d.drop}
    for name, columns in groups.items():
        yield from _repeats(("dataset", name), columns)
        if d.label in columns:
            yield (("dataset", name), ("dataset", "label")), f"names the label column {d.label!r}; the label cannot be an input as well"
        if isinstance(d, TextTableSection) and d.text in columns:
            yield (("dataset", name), ("dataset", "text")), f"names the column of texts {d.text!r}; it can be only one of them"
    for one, other in (("numeric", "categorical"), ("numeric", "drop"), ("categorical", "drop")):
        if both := [c for c in groups.get(one, ()) if c in groups[other]]:
            yield (("dataset", one), ("dataset", other)), f"and {other} both name {both[0]!r}; it can be only one of them"


def _model(s: Scenario) -> Iterator[Problem]:
    for at, m in ((("model",), s.model), (("adversary", "model"), s.adversary.model)):
        if m is None or m.kind is None:
            continue
        kind, data = (*at, "kind"), ("dataset", "kind")
        yield from _weights(m, at)
        if isinstance(m, NetworkKeys) and m.augment and m.tune == "last_layer":
            yield (
                ((*at, "augment"), (*at, "tune")),
                'is true; with tune = "last_layer" each picture\'s features are computed once: take it out',
            )
        holds = s.dataset.HOLDS
        if s.dataset.kind is not None and holds not in m.READS:
            yield (kind, data), f'is "{m.kind}", which reads {m.READS[0]}; dataset "{s.dataset.kind}" has {holds}: use {_readers(holds)}'


def _readers(holds: Holds) -> str:
    """The kinds of model whose own sort of rows these are: "mlp" or "logistic"."""
    *others, last = (f'"{kind}"' for kind, each in unions()["model",].items() if getattr(each, "READS", ("",))[0] == holds)
    return f"{', '.join(others)} or {last}" if others else last


def _weights(m: ModelSection, at: Path) -> Iterator[Problem]:
    path, kind = (*at, "weights"), (*at, "kind")
    if isinstance(m, BertSection):
        if m.weights == weights_place.HUB and not m.name:
            yield ((*at, "name"), path), 'is missing; weights = "hub" needs a model of the hub: name = "bert-base-uncased"'
        elif m.revision and m.weights != weights_place.HUB:
            yield ((*at, "revision"), path), 'is of a model of the hub; set weights = "hub", or take it out'
        elif m.weights == weights_place.IMAGENET:
            yield (path, kind), 'is "imagenet", which is of pictures; expected "random", "hub" or a folder'
        if m.stop == "plateau" and m.tune == "last_layer":
            yield ((*at, "stop"), kind), 'is "plateau"; the last layer of a text encoder is trained for a number of epochs'
        if m.weight_decay_per == "rows" and (m.tune == "last_layer" or m.optimizer == "adamw"):
            what = "the last layer of a text encoder" if m.tune == "last_layer" else 'optimizer "adamw"'
            yield ((*at, "weight_decay_per"), kind), f'is "rows"; {what} has weight decay that knows no rows: use "step"'
    elif isinstance(m, NetworkKeys):
        words = [weights_place.RANDOM, *([weights_place.IMAGENET] if isinstance(m, VggSection | TorchvisionSection) else [])]
        if m.weights == weights_place.IMAGENET and m.weights not in words:
            yield (path, kind), f'is "imagenet"; there are no such weights of "{m.kind}": use "random", or a file'
        elif m.weights not in words and os.path.splitext(m.weights)[1].lower() not in weights_place.ENDINGS:
            near = nearest(m.weights, words)
            hint = f"; did you mean {near!r}?" if near else ""
            named = ", ".join(f'"{word}"' for word in words)
            yield (path, kind), f'is "{m.weights}"; expected {named} or a .pt, .pth or .safetensors file{hint}'


def _subpopulations(s: Scenario) -> Iterator[Problem]:
    p = s.subpopulations
    at = "subpopulations"
    if isinstance(p, FeatureMatchSection):
        yield from _features(p)
    if p.max_size is not None and p.max_size < p.min_size:
        yield (
            ((at, "max_size"), (at, "min_size")),
            f"is {p.max_size}, below min_size = {p.min_size}; no subpopulation could have such a size",
        )
    yield from _repeats((at, "only"), p.only)
    if isinstance(p, ClusterMatchSection):
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
        yield from _layer(p.layer, s.adversary.model or s.model)


def _features(p: FeatureMatchSection) -> Iterator[Problem]:
    at = "subpopulations"
    yield from _repeats((at, "features"), p.features or ())
    for name, edges in p.bins.items():
        if p.features and name not in p.features:
            near = nearest(name, p.features)
            hint = f"did you mean {near!r}?" if near else "add it to features or take its bins out"
            yield ((at, "bins", name), (at, "features")), f"is not among the features; {hint}"
        if not edges:
            yield ((at, "bins", name),), "is empty; give at least one cut, as [30, 45, 60]"
        elif not _rising(edges):
            yield ((at, "bins", name),), "must rise: each cut above the one before it"


def _layer(layer: str, model: ModelSection) -> Iterator[Problem]:
    """Only where clusters are formed: what the adversary's own model has to form them in."""
    if model.kind is not None and layer not in model.LAYERS:
        named = ", ".join(f'"{name}"' for name in model.LAYERS)
        near = nearest(layer, model.LAYERS)
        yield (
            (("subpopulations", "layer"), ("subpopulations", "kind"), ("model", "kind")),
            f'is "{layer}", which kind "{model.kind}" does not have; use {named}{f"; did you mean {near!r}?" if near else ""}',
        )


def _attack(s: Scenario) -> Iterator[Problem]:
    a = s.attack
    at: Path = ("attack", "alphas")
    if not a.alphas:
        yield (at,), "is empty; give at least one poison rate, as [0.5, 1, 2]"
    elif not _rising(a.alphas):
        yield (at,), "must rise, each rate once: [0.5, 1, 2]"
    if isinstance(a, GradientSection) and s.dataset.kind is not None:
        model = s.adversary.model or s.model
        if s.dataset.HOLDS != "pictures":
            what = f'is "gradient", which moves pixels; dataset "{s.dataset.kind}" has no images: use "label_flip" or "influence"'
            yield (("attack", "kind"), ("dataset", "kind")), what
        elif model.READS[0] != "pictures":
            what = f'is "gradient", which needs an adversary\'s model that reads images; "{model.kind}" does not: use "conv" or "vgg"'
            yield (("attack", "kind"), ("model", "kind"), ("adversary", "model", "kind")), what
    if isinstance(a, InfluenceSection) and isinstance(model := s.adversary.model or s.model, EstimatorKeys):
        what = f'is "influence", which needs an adversary\'s model with gradients; "{model.kind}" has none: use "label_flip", '
        what += 'or give [adversary.model] a kind that has, as "mlp"'
        yield (("attack", "kind"), ("model", "kind"), ("adversary", "model", "kind")), what
    yield from _optimised(s)
    target, kind = ("attack", "target_label"), ("dataset", "kind")
    if not a.target_label.strip():
        yield (target,), f"is empty; give one of {', '.join(RULES)}, or the name of a class"
    elif a.target_label == "flip" and a.target_min_rows is not None:
        at, what = ("attack", "target_min_rows"), 'has no meaning with target_label = "flip", where no class is chosen: take it out'
        yield (at, target), what
    elif a.target_label == "flip" and (s.dataset.CLASSES or 2) > 2:
        yield (
            (target, kind),
            f'is "flip", which needs two classes; dataset "{s.dataset.kind}" has more: use "rarest", "least_likely" or a class',
        )
    elif a.target_label not in RULES and s.dataset.CLASSES is not None and (near := nearest(a.target_label.lower(), RULES)):
        yield (target, kind), f'is "{a.target_label}", which is no class of "{s.dataset.kind}"; did you mean {near!r}?'


def _optimised(s: Scenario) -> Iterator[Problem]:
    """What the keys of optimised points and their control rest on."""
    a, layer, kind = s.attack, ("attack", "layer"), ("attack", "kind")
    if isinstance(a, GradientSection) and a.layer != "last":
        path: Path = ("model",) if s.adversary.model is None else ("adversary", "model")
        if a.objective == "cosine":
            what = 'is "cosine", which is for the last layer alone: use objective = "inner", or layer = "last"'
            yield (("attack", "objective"), layer, kind), what
        if last_layer_alone(s.adversary.model or s.model):
            what = f'is "{a.layer}"; with tune = "last_layer" no other is trained: use layer = "last"'
            yield (layer, (*path, "tune"), kind), what
    if "label_flip" in s.evaluation.controls and a.kind == "label_flip":
        what = 'names "label_flip", which is the attack itself: take it out, or use attack.kind = "gradient" or "influence"'
        yield (("evaluation", "controls"), kind), what


def _defense(s: Scenario) -> Iterator[Problem]:
    d, kind = s.defense, ("defense", "kind")
    if d.kind == "none":
        return
    at = kind if isinstance(d, SpectralSection) else ("defense", "layer") if isinstance(d, KnnSection) and d.layer == "hidden" else None
    if at is not None and isinstance(s.model, LogisticSection | EstimatorKeys):
        instead = '"loss_filter" or "trim"' if at == kind else '"input"'
        what = "asks what the last layer reads" if at == kind else "is what the last layer reads"
        yield (
            (at, ("model", "kind")),
            f'is "{d.kind if at == kind else "hidden"}", which {what}; "{s.model.kind}" has no hidden layer: use {instead}',
        )
    if isinstance(d, KnnSection) and d.layer == "input" and s.dataset.kind is not None and s.dataset.HOLDS == "texts":
        yield (
            (("defense", "layer"), ("dataset", "kind")),
            'is "input", where texts are numbers of words and no distance means anything: use "hidden"',
        )
    if s.evaluation.find is not None:
        yield (
            (("evaluation", "find"), kind),
            f'searches for an alpha, which is not done under defense.kind = "{d.kind}": take one of them out',
        )


def _certificates(s: Scenario) -> Iterator[Problem]:
    """What an inserted row must not move: how every other row is prepared, and into which part of train it falls."""
    k, d, key = s.evaluation.certificates, s.dataset, ("evaluation", "certificates")
    if k is None:
        return
    if d.rows is not None and k > d.rows:
        yield (key, ("dataset", "rows")), f"is {k}, more parts than the {d.rows} rows of train that dataset.rows leaves: use fewer"
    learns = isinstance(d, TableSection) or getattr(d, "scale", "none") == "standard"
    if learns and getattr(d, "fitted_on", None) == "train":
        of = "levels and medians" if isinstance(d, TableSection) else "scales"
        yield (
            (("dataset", "fitted_on"), key),
            f'is "train": {of} learnt from train are moved by one inserted row, and every row with them, so nothing could be certified; '
            'use fitted_on = "aux"' + ("" if isinstance(d, TableSection) else ', or scale = "none"'),
        )


def _triage(s: Scenario) -> Iterator[Problem]:
    if s.predicts and isinstance(s.model, EstimatorKeys):
        chosen = s.subpopulations.select == "predicted"
        at: Path = ("subpopulations", "select") if chosen else ("triage", "predict")
        yield (
            (at, ("model", "kind")),
            f"{'is ' + chr(34) + 'predicted' + chr(34) if chosen else 'is true'}; damage is foretold from a model's last layer, and "
            f'"{s.model.kind}" has none: use a model that has, or {"another selection" if chosen else "take it out"}',
        )


def _compute(s: Scenario) -> Iterator[Problem]:
    if not re.fullmatch(r"auto|cuda:all|(cpu|cuda(:\d{1,3})?)(,(cpu|cuda(:\d{1,3})?)){0,127}|ray://[^\s,/]{1,255}", s.compute.device):
        expected = (
            '"auto", "cpu", "cuda", "cuda:0" and so on; of several "cuda:all", or a list as "cuda:0,cuda:1"; a cluster\'s "ray://HOST:PORT"'
        )
        yield (("compute", "device"),), f'is "{s.compute.device}"; expected {expected}'
    yield from _repeats(("evaluation", "controls"), s.evaluation.controls)
    if isinstance(s.model, EstimatorKeys):
        if "cuda" in s.compute.device:
            yield (
                (("compute", "device"), ("model", "kind")),
                f'is "{s.compute.device}"; "{s.model.kind}" is trained on the CPU: use "auto" or "cpu"',
            )
        if s.compute.precision != "float32":
            what = f'is "{s.compute.precision}"; "{s.model.kind}" has a precision of its own: take it out'
            yield (("compute", "precision"), ("model", "kind")), what
    elif s.compute.precision == "bfloat16" and (isinstance(s.model, DenseKeys) or last_layer_alone(s.model)):
        what = 'is "bfloat16", which is for networks that are trained whole: so small a model loses accuracy and gains no speed by it; '
        yield (("compute", "precision"), ("model", "kind"), ("model", "tune")), f'{what}use "float32" or "float64"'


def _repeats(path: Path, items: Sequence[object]) -> Iterator[Problem]:
    seen: set[object] = set()
    for item in items:
        if item in seen:
            yield (path,), f"names {item!r} twice"
            return
        seen.add(item)


def _rising(numbers: Sequence[float]) -> bool:
    return all(math.isfinite(n) for n in numbers) and all(a < b for a, b in pairwise(numbers))
