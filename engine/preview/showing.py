"""Pictures as they are looked at: thumbnails, the members of a subpopulation, the most typical first, and the poison of a victim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import DiscoveryArrays
from engine.errors import RequestError
from engine.features.pixels import Pictures
from engine.pipeline.discovery import Discovery
from engine.rows import Dataset, Membership, Poison, VictimSpec
from engine.scenario.sections import GradientSection, InfluenceSection, LabelFlipSection, Scenario


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [pictures, side, side, 3] of images [pictures, height, width, 3], uint8 or floating (0..1)."""
    from PIL import Image

    if images.dtype != np.uint8:
        images = np.clip(np.rint(images * 255), 0, 255).astype(np.uint8)
    small = np.empty((len(images), side, side, 3), np.uint8)
    for at, image in enumerate(images):
        how = Image.Resampling.NEAREST if image.shape[0] < side else Image.Resampling.LANCZOS
        small[at] = image if image.shape[:2] == (side, side) else np.asarray(Image.fromarray(image).resize((side, side), how))
    return small


def members(dataset: Dataset, membership: Membership, arrays: DiscoveryArrays, index: int, split: str) -> tuple[np.ndarray, bool]:
    """int64 [members], row numbers of the split, and whether they come nearest the centre first (pictures, of a clustered aux)."""
    where = np.flatnonzero(getattr(membership, split) == index)
    if split != "aux" or arrays.distance_A is None or dataset.aux.images is None:
        return where, False
    return where[np.argsort(arrays.distance_A[where], kind="stable")], True


@dataclass(frozen=True)
class Points:
    """The poison of one victim. images: float32 or uint8 [points, height, width, 3] of those asked for, or None where there are none.

    share    float32 [points], how far each was moved: the mean of its pixels' moves, as a share of the bound; None where none was
    note     what must be said of them
    """

    poison: Poison
    share: np.ndarray | None
    note: str
    _moved: Pictures | None
    _dataset: Dataset

    def images(self, some: slice | np.ndarray) -> np.ndarray | None:
        pool = self._dataset.aux.images
        if pool is None:
            return None
        if self.poison.moved is None or self._moved is None:
            return np.asarray(pool[self.poison.rows[some]])
        return np.asarray(self._moved[self.poison.moved[some]])


def poison_points(scenario: Scenario, discovery: Discovery, index: int, alpha: float, trial: int) -> Points:
    """What a poisoned victim of one subpopulation is fed beside train. The discovery has the run's arrays if it has any.

    RequestError for an alpha, a trial or a subpopulation that the scenario does not have, and for influence before a run has scored points.
    """
    from engine.pipeline import order as pipeline

    wanted = {"alpha": (alpha, scenario.attack.alphas), "trial": (trial, scenario.evaluation.trial_numbers)}
    wanted["subpopulation"] = (index, range(len(discovery.subpopulations)))
    for name, (value, known) in wanted.items():
        if value not in known:
            raise RequestError(f"there is no {name} {value}", next=f"there are: {', '.join(map(str, list(known)[:20]))}")
    note, moved = "", discovery.arrays.moved
    attack = scenario.attack
    if isinstance(attack, GradientSection) and (moved is None or moved.delta is None):
        drawn = LabelFlipSection(alphas=attack.alphas, target_label=attack.target_label, per=attack.per)
        scenario = scenario.model_copy(update={"attack": drawn})
        note = "as they are drawn: a run moves their pixels"
    if isinstance(attack, InfluenceSection) and discovery.arrays.influence is None:
        raise RequestError("influence picks its points in a run", next="launch one, and look at its poison")
    poison = pipeline.poison_of(scenario, discovery, VictimSpec(0, trial, "poisoned", index, alpha))
    if poison.moved is None or moved is None:
        return Points(poison, None, note, None, discovery.dataset)
    assert isinstance(attack, GradientSection)
    pictures = pipeline.moved_pictures(scenario, discovery.dataset, moved)
    return Points(poison, moved.share[poison.moved], f"pixels moved by ≤ {attack.bound:g}", pictures, discovery.dataset)
