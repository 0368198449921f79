"""The presets that ship with subpop: where they are and what each says of itself. Imports nothing heavy."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from engine.scenario import weights as weights_place
from engine.scenario.weights import WeightsState

FIRST = "quickstart"  # what a newcomer should see first


@dataclass(frozen=True)
class Preset:
    """What a list of presets shows.

    weights_state: whether its model's weights are on this machine. cost: the preset's own `# cost:` comment, in words; empty where none.
    """

    name: str
    path: Path
    title: str
    dataset: str
    model: str
    weights: str
    weights_state: WeightsState
    subpopulations: str
    reproduces: str
    cost: str


def presets() -> dict[str, Path]:
    """Name -> file of every preset, the default first. In a wheel they lie in the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_presets", package.parent / "presets"):
        files = sorted(folder.glob("*.toml"), key=lambda file: (file.stem != FIRST, file.stem))
        if files:
            return {file.stem: file for file in files}
    return {}


def catalog() -> tuple[Preset, ...]:
    """Every preset, read but not validated (a test validates them all)."""
    return tuple(describe(name, path) for name, path in presets().items())


def describe(name: str, path: Path) -> Preset:
    """One preset as its file states it."""
    text = path.read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    cost = next((line.removeprefix("# cost:").strip() for line in text.splitlines() if line.startswith("# cost:")), "")
    model = raw.get("model", {})
    weights = model.get("weights", weights_place.RANDOM)
    return Preset(
        name=name,
        path=path,
        title=raw.get("title", name),
        dataset=raw.get("dataset", {}).get("kind", ""),
        model=model.get("kind", ""),
        weights=weights,
        weights_state=weights_place.state(model, folder=path.parent),
        subpopulations=raw.get("subpopulations", {}).get("kind", ""),
        reproduces=raw.get("reproduces", ""),
        cost=cost,
    )
