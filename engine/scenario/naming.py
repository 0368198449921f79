"""What a scenario calls itself, held against what it runs: a title and a claim that belong to another system are taken out.

A preset that is turned to other data, another model or another attack (`--set dataset.kind=...`, the form, a copy edited by hand) would
else go on under the paper's title, and be said to reproduce a table that it has nothing to do with.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from engine.paper import System, named, published
from engine.printable import name_of
from engine.scenario.presets import presets

DATA = {
    "adult": "UCI Adult",
    "digits": "Handwritten digits",
    "breast_cancer": "Breast cancer",
    "cifar10": "CIFAR-10",
    "utkface": "UTKFace",
    "imdb": "IMDB",
}
MATCHERS = {"cluster_match": "ClusterMatch", "feature_match": "FeatureMatch"}
ATTACKS = {"label_flip": "label flipping", "gradient": "optimised points", "influence": "influence"}
LONGEST = 200  # characters of a title


def corrected(tree: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """(`title` and `reproduces`, as far as they must be others; why, in words) of a scenario's keys. Empty where they may stand.

    `reproduces` may not stand where what it names was measured on another system; a title, where it is a preset's of another system or
    names the system that the claim is of. A title of the person's own stays.
    """
    system = System.of(tree)
    claim, title = tree.get("reproduces"), str(tree.get("title", ""))
    of_paper = named(claim)
    changes: dict[str, Any] = {}
    if of_paper is not None and published(claim, system) is None:
        changes["reproduces"] = None
    others = _titles().get(_folded(title), ())
    foreign = bool(others) and not any(map(system.is_that, others))
    if foreign or ("reproduces" in changes and of_paper is not None and _names(title, of_paper.system, system)):
        changes["title"] = title_of(tree)
    if not changes:
        return {}, ""
    was = f'"{claim}"' if "reproduces" in changes else f'"{title}"'
    note = f"this is not what {was} is of ({_differs(system, of_paper.measured if 'reproduces' in changes and of_paper else others)})"
    cleared = [f"the title is now {changes['title']!r}"] if "title" in changes else []
    return changes, "; ".join([note, *(["reproduces is taken out"] if "reproduces" in changes else []), *cleared])


def title_of(tree: Mapping[str, Any]) -> str:
    """A title made of what is run: "Breast cancer mlp, ClusterMatch, label flipping"."""
    system = System.of(tree)
    matcher, attack = MATCHERS.get(system.matcher, system.matcher), ATTACKS.get(system.attack, system.attack)
    return f"{_data(tree)[: LONGEST // 2]} {system.model}, {matcher}, {attack}"[:LONGEST]


def run_name(source: str, before: str, tree: Mapping[str, Any]) -> str:
    """The name of a run that was given none: after its preset or file (`source`), or after its data where it is another system than that.

    before: the text that the scenario was made from, as TOML; tree: its keys as it is run.
    """
    try:
        was: Mapping[str, Any] = tomllib.loads(before)
    except ValueError:
        return name_of(source)
    was_path, path = (_path(each) for each in (was, tree))
    if System.of(was).is_that(System.of(tree)) and (was_path is None or path is None or Path(was_path).name == Path(path).name):
        return name_of(source)
    system = System.of(tree)
    data = Path(path).stem if path else system.dataset
    return name_of(f"{data[:24]}-{system.model}-{system.matcher.replace('_', '')}")


@cache
def _titles() -> dict[str, tuple[System, ...]]:
    """Title of each preset -> the systems of the presets that bear it."""
    titles: dict[str, tuple[System, ...]] = {}
    for path in presets().values():
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        title = _folded(str(tree.get("title", "")))
        titles[title] = (*titles.get(title, ()), System.of(tree))
    return titles


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _names(title: str, system: str, measured: System) -> bool:
    """Whether a title names the paper's system, or its dataset where the scenario has another."""
    title, words = _folded(title), _folded(system)
    dataset = words if words == _folded(DATA["adult"]) else words.partition(" ")[0]
    return words in title or (dataset in title and dataset != _folded(DATA.get(measured.dataset, "")))


def _data(tree: Mapping[str, Any]) -> str:
    path = _path(tree)
    return name_of(Path(path).name) if path else DATA.get(System.of(tree).dataset, System.of(tree).dataset)


def _path(tree: Mapping[str, Any]) -> str | None:
    section = tree.get("dataset")
    path = section.get("path") if isinstance(section, Mapping) else None
    return None if path is None else str(path)


_KEYS = {
    "dataset": "dataset.kind",
    "model": "model.kind",
    "tune": "model.tune",
    "depth": "model.depth",
    "encoder": "model.name",
    "matcher": "subpopulations.kind",
    "attack": "attack.kind",
}


def _differs(system: System, others: tuple[System, ...]) -> str:
    """In which keys: "dataset.kind = breast_cancer, there adult"; a depth or an encoder that one of them lacks is no difference."""
    nearest = min(others, key=lambda each: sum(getattr(each, name) != getattr(system, name) for name in _KEYS))
    apart = [name for name in _KEYS if (getattr(system, name) or None) and (getattr(nearest, name) or None)]
    apart = [name for name in apart if getattr(system, name) != getattr(nearest, name)]
    return ", ".join(f"{_KEYS[name]} = {getattr(system, name)}, there {getattr(nearest, name)}" for name in apart)
