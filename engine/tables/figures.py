"""What several tables share, worked out once a build and only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from engine import paper
from engine.evaluation.damage import Damages, damages, off_target, ratio
from engine.evaluation.deconvolve import Mixture
from engine.evaluation.layout import Layout, lay_out
from engine.evaluation.prediction import Replications, members_of, mixture_of, replications
from engine.rows import Subpopulation
from engine.tables.world import World


@dataclass(frozen=True)
class Figures:
    """What several tables share, worked out once a build.

    arm: of which victims the damages are: those without a defence, or with the run's.
    """

    world: World
    arm: Literal["poisoned", "defended"] = "poisoned"

    @cached_property
    def size(self) -> int:
        return self.world.counts.subpopulations

    @cached_property
    def attacked(self) -> tuple[Subpopulation, ...]:
        return tuple(s for s in self.world.subpopulations if s.attacked)

    @cached_property
    def published(self) -> paper.Published | None:
        return paper.published(self.world.facts.reproduces, self.world.facts.system)

    @cached_property
    def labels(self) -> list[int | None]:
        """The class index that each subpopulation's poison is given."""
        place = {name: index for index, name in enumerate(self.world.classes)}
        labels: list[int | None] = [None] * self.size
        for s in self.world.subpopulations:
            labels[s.index] = place.get(s.target_label) if s.target_label is not None else None
        return labels

    @cached_property
    def layout(self) -> Layout:
        return lay_out(self.world.counts, self.world.facts.alphas, self.labels, arm=self.arm, trials=self.world.facts.trials)

    @cached_property
    def damages(self) -> Damages:
        return damages(self.layout)

    @cached_property
    def off_target(self) -> np.ndarray:
        return off_target(self.layout)

    @cached_property
    def label_flip(self) -> Layout:
        """The control of an optimised attack: as many points, drawn and flipped."""
        return lay_out(self.world.counts, self.world.facts.alphas, self.labels, arm="label_flip")

    @cached_property
    def defended(self) -> Layout:
        """The victims with the run's defence."""
        return lay_out(self.world.counts, self.world.facts.alphas, self.labels, arm="defended")

    @cached_property
    def random_removal(self) -> Layout:
        """Their control: as many rows removed at random."""
        return lay_out(self.world.counts, self.world.facts.alphas, self.labels, arm="random_removal")

    @cached_property
    def true_label(self) -> np.ndarray | None:
        if not any(v.spec.arm == "true_label" for v in self.world.counts.victims.values()):
            return None
        layout = lay_out(self.world.counts, self.world.facts.alphas, self.labels, arm="true_label")
        return ratio(
            (layout.have_ATS * layout.clean_TS).sum(axis=1) - layout.right_ATS.sum(axis=1), layout.have_ATS.sum(axis=1) * layout.n_S
        )

    def mask(self, keep: Callable[[Subpopulation], bool]) -> np.ndarray:
        """bool [subpopulations]: attacked, and `keep`."""
        mask = np.zeros(self.size, dtype=bool)
        mask[[s.index for s in self.attacked if keep(s)]] = True
        return mask

    @cached_property
    def published_sizes(self) -> np.ndarray:
        """Which subpopulations the paper's size filter leaves: bool [subpopulations]."""
        least, most = self.world.facts.min_size, self.world.facts.max_size
        return self.mask(lambda s: s.aux_rows >= least and (most is None or s.aux_rows <= most))

    @cached_property
    def enough_test_rows(self) -> np.ndarray:
        return self.mask(lambda s: s.test_rows >= self.world.facts.min_test_rows)

    @property
    def others(self) -> int:
        """Over how many trials the paper's damages were averaged; where nothing is published, as many as there are here."""
        return self.published.trials if self.published is not None else len(self.layout.trials)

    def mixtures(self, among: np.ndarray) -> tuple[tuple[np.ndarray, Mixture] | None, ...]:
        """Of each alpha: which subpopulations among those, and how their true damages are distributed. See `mixture_of`."""
        d = self.damages
        return tuple(mixture_of(damage_S, se_S, among) for damage_S, se_S in zip(d.damage_AS, d.se_AS, strict=True))

    @cached_property
    def replications(self) -> tuple[Replications, ...]:
        """Of each alpha: what the same protocol would show as published, run by another."""
        d = self.damages
        members = [members_of(damage_S, se_S, self.published_sizes) for damage_S, se_S in zip(d.damage_AS, d.se_AS, strict=True)]
        return tuple(replications(self.layout, a, each, self.others) for a, each in enumerate(members))
