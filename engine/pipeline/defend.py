"""The defended victims of a stack: what their defence is told, the refits that it asks for, and as many rows removed at random.

A defended victim has the rows of an undefended one of its stack, whose fit is the first that the defence looks at. Beside it, in an arm of
its own, a victim without as many rows, drawn at random: one refit alone moves a target by more than most defences do.

The oracle's victims are the clean one again, to the bit. In a stack they would not be: the shapes of its products depend on its company,
sums over other shapes differ in their last bits, and training carries those as far as another epoch at which the plateau is reached. So
they and the clean victim are trained each alone, with rows of weight 0 set aside for as many points as any victim of the run has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine import rates
from engine.defenses import random
from engine.defenses.seen import Asked, Judgement, Seen, Shared, defence_of
from engine.pipeline.discovery import Discovery
from engine.rows import DEFENDED, Arm, Judged, Subpopulation, Suspected, VictimSpec
from engine.scenario.sections import BudgetKeys, DefenseSection, OracleSection, Scenario, TrimSection
from engine.seeds import generator
from engine.training import recipe
from engine.training.recipe import Job, Training
from engine.training.trial import OnStep, Trial
from engine.victims.choose import AnyFamily
from engine.victims.family import Outcome, silent


@dataclass(frozen=True)
class Defended:
    """A victim of a stack with what became of its rows."""

    outcome: Outcome
    judged: Judged | None = None


def company(spec: VictimSpec, first: int) -> tuple[VictimSpec, VictimSpec]:
    """The defended victim of the rows of this one and the one without as many rows, numbered from `first`."""
    defended, control = (replace(spec, index=first + at, arm=arm) for at, arm in enumerate(DEFENDED))
    return defended, control


def is_judged(spec: VictimSpec) -> bool:
    """Whether a defence judges the rows of such a victim."""
    return spec.arm in ("clean", "poisoned")


def _judged_arm(spec: VictimSpec) -> Arm:
    """The arm of the victim whose rows a victim of `DEFENDED` has."""
    return "clean" if spec.subpopulation is None else "poisoned"


def refits(section: DefenseSection) -> int:
    """How many fits a defended victim takes beside the undefended one's."""
    return section.rounds if isinstance(section, TrimSection) else 1


def most_points(scenario: Scenario, subpopulations: Sequence[Subpopulation]) -> int:
    """The poison points of the run's victim that has most."""
    attack = scenario.attack
    sizes = [s.train_rows if attack.per == "train" else s.aux_rows for s in subpopulations if s.attacked]
    return max((rates.count(alpha, size) for alpha in attack.alphas for size in sizes), default=0)


def trained(
    scenario: Scenario,
    discovery: Discovery,
    victims: AnyFamily,
    data: Training,
    specs: Sequence[VictimSpec],
    jobs: Sequence[Job],
    trial: Trial,
) -> list[Defended]:
    """Train a stack whose victims have a defence; results in the order of `specs`. jobs: each one's rows, as without a defence."""
    plain = [at for at, spec in enumerate(specs) if spec.arm not in DEFENDED]
    oracle = isinstance(scenario.defense, OracleSection)
    alike = {at for at, spec in enumerate(specs) if oracle and spec.arm in ("clean", "defended")}
    places = {(spec.arm, spec.subpopulation, spec.alpha): at for at, spec in enumerate(specs)}
    arms = {arm: [at for at, spec in enumerate(specs) if spec.arm == arm] for arm in DEFENDED}
    first = {at: places[_judged_arm(specs[at]), specs[at].subpopulation, specs[at].alpha] for arm in arms.values() for at in arm}
    asking = _Asking(scenario, victims, data, trial)
    most, member_N = most_points(scenario, discovery.subpopulations), discovery.membership.train
    rounds = refits(scenario.defense)
    progress = _Progress(trial.on_step, len(specs), len(plain) + rounds * len(arms["defended"]) + len(arms["random_removal"]))

    judgements: dict[int, Judgement] = {}
    fits: dict[int, Any] = {}
    done: dict[int, Defended] = {}

    def left(at: int) -> Job:
        job = judged_job(jobs[at], judgements[at]) if at in judgements else jobs[at]
        return with_places(job, most, asking.y_N) if at in alike else job

    def fit(arm: Sequence[int]) -> None:
        for some, alone in ([at for at in arm if at not in alike], False), ([at for at in arm if at in alike], True):
            if some:
                on = replace(trial, on_step=progress.part(), alone=alone)
                fits.update(zip(some, victims.fit(data, [left(at) for at in some], on), strict=True))
            progress.passed(len(some))

    def answer(arm: Sequence[int]) -> None:
        for some in ([at for at in arm if at not in alike], *([at] for at in arm if at in alike)):
            x_test = victims.dataset.test.x
            outcomes = victims.answered([fits[at] for at in some], data, x_test, [left(at) for at in some], trial) if some else []
            for at, outcome in zip(some, outcomes, strict=True):
                own_N = np.zeros(0, np.int64) if specs[at].subpopulation is None else np.flatnonzero(member_N == specs[at].subpopulation)
                done[at] = Defended(outcome, asking.stored(specs[at], jobs[at], judgements[at], own_N) if at in judgements else None)

    fit(plain)
    answer(plain)
    for number in range(rounds):
        for at in arms["defended"]:
            judgements[at] = asking.judgement(specs[at], jobs[at], fits[at if number else first[at]])
        fit(arms["defended"])
    answer(arms["defended"])
    defended = {first[at]: at for at in arms["defended"]}
    for at in arms["random_removal"]:
        judgements[at] = asking.at_random(specs[at], jobs[at], judgements[defended[first[at]]])
    fit(arms["random_removal"])
    answer(arms["random_removal"])
    return [done[at] for at in range(len(specs))]


def judged_job(job: Job, judgement: Judgement) -> Job:
    """The job with the rows that were left."""
    n = len(judgement.kept_R) - len(job.rows)
    judged = recipe.Judged(judgement.kept_R[:n], judgement.kept_R[n:], judgement.labels_R[:n])
    return replace(job, labels=judgement.labels_R[n:], judged=judged)


def with_places(job: Job, points: int, y_N: np.ndarray) -> Job:
    """The job with places for so many points: those beyond its own are copies of the pool's first row, of weight 0."""
    own, more = len(job.rows), points - len(job.rows)
    judged = job.judged or recipe.Judged(np.ones(len(y_N), bool), np.ones(own, bool), y_N)
    none = np.zeros(more, np.int64)
    return Job(
        np.concatenate([job.rows, none]),
        np.concatenate([job.labels, none]),
        None if job.delta is None else np.concatenate([job.delta, np.zeros((more, *job.delta.shape[1:]), job.delta.dtype)]),
        replace(judged, kept_M=np.concatenate([judged.kept_M, np.zeros(more, bool)])),
    )


class _Asking:
    """Puts together what the run's defence is told of a victim's rows."""

    def __init__(self, scenario: Scenario, victims: AnyFamily, data: Training, trial: Trial) -> None:
        self.section, self.seed, self.victims, self.data, self.trial = scenario.defense, scenario.seed, victims, data, trial
        self.defence = defence_of(self.section)
        self.asks: frozenset[Asked] = self.defence.asks(self.section)
        self.y_N = data.y_N.cpu().numpy()
        self.shared = Shared(_as_numbers(victims.dataset.train.x)) if "input" in self.asks else None

    def judgement(self, spec: VictimSpec, job: Job, fitted: Any) -> Judgement:
        return self.defence.judge(self.section, self.seen(job, fitted), self._budget(job), self._draws("defence", spec))

    def seen(self, job: Job, fitted: Any) -> Seen:
        """What the defence asks for, of train and the job's points."""
        how, labels_R = self.trial.how, np.concatenate([self.y_N, job.labels])
        train, points = self.victims.dataset.train.x, self._points(job)
        looks: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
            "losses": lambda x, y: self.victims.losses(fitted, x, y, how),
            "hidden": lambda x, y: self.victims.hidden(fitted, x, how, silent),
            "input": lambda x, y: _as_numbers(x),
        }

        def told(name: Asked) -> np.ndarray | None:
            if name not in self.asks:
                return None
            look = looks[name]
            return np.concatenate([look(train, self.y_N), look(points, job.labels)]) if len(points) else look(train, self.y_N)

        poison_R = np.arange(len(labels_R)) >= len(self.y_N) if "poison" in self.asks else None
        return Seen(labels_R, told("losses"), told("hidden"), told("input"), poison_R, self.shared)

    def _points(self, job: Job) -> np.ndarray:
        """The job's points as the victim's model reads them. Pixels that were moved are rounded to bytes, as a picture's file has them."""
        rows: np.ndarray = self.data.x_AF[job.rows].cpu().numpy()
        if job.delta is None:
            return rows
        moved: np.ndarray = np.rint(255 * np.clip(rows / 255.0 + job.delta, 0, 1)).astype(np.uint8)
        return moved

    def at_random(self, spec: VictimSpec, job: Job, like: Judgement) -> Judgement:
        """As many rows removed, and as many others given the labels that were given, drawn at random."""
        labels_R, draws = np.concatenate([self.y_N, job.labels]), self._draws("random removal", spec)
        seen = Seen(labels_R)
        judgement = random.removed(seen, int((~like.kept_R).sum()), draws)
        changed = np.flatnonzero(like.labels_R != labels_R)
        if not len(changed):
            return judgement
        given_R = labels_R.copy()
        at = draws.permutation(len(labels_R))
        for label in np.unique(like.labels_R[changed]):  # to each class as many as the defence moved there, of rows of others
            others = at[given_R[at] != label]
            at_label = others[: int((like.labels_R[changed] == label).sum())]
            given_R[at_label] = label
            at = np.setdiff1d(at, at_label, assume_unique=True)[draws.permutation(len(at) - len(at_label))]
        return Judgement(judgement.kept_R, given_R)

    def stored(self, spec: VictimSpec, job: Job, judgement: Judgement, own: np.ndarray) -> Judged:
        """own: which rows of train are the target's, int64."""
        draws = self._draws("order of the equally suspect", spec)
        before_R = np.concatenate([self.y_N, job.labels])
        given_R = np.where(judgement.labels_R == before_R, -1, judgement.labels_R).astype(np.int16)
        if judgement.score_R is None:
            return Judged(judgement.kept_R, given_R)
        place_R = places(judgement.score_R, draws)
        return Judged(judgement.kept_R, given_R, Suspected(place_R[len(self.y_N) :], place_R[own]))

    def _budget(self, job: Job) -> int:
        if not isinstance(self.section, BudgetKeys):
            return 0
        return len(job.rows) if self.section.budget == "oracle" else round(self.section.budget * len(self.y_N))

    def _draws(self, purpose: str, spec: VictimSpec) -> np.random.Generator:
        return generator(self.seed, purpose, spec.trial, str(spec.subpopulation), str(spec.alpha))


def places(score_R: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """The place of each row when the largest score comes first, from 0; equal ones in a drawn order. int32 [rows]."""
    place_R = np.empty(len(score_R), np.int32)
    place_R[np.lexsort((draws.permutation(len(score_R)), -score_R))] = np.arange(len(score_R), dtype=np.int32)
    return place_R


def _as_numbers(x: np.ndarray) -> np.ndarray:
    """float32 [rows, numbers]: pictures flattened, 0 to 1."""
    flat = x.reshape(len(x), -1).astype(np.float32)
    return flat / 255 if x.dtype == np.uint8 else flat


class _Progress:
    """Victims done of a stack whose fits are more than its victims: each fit is its share of them all."""

    def __init__(self, on_step: OnStep | None, victims: int, fits: int) -> None:
        self.on_step, self.victims, self.fits, self.done = on_step, victims, fits, 0

    def part(self) -> OnStep | None:
        on_step, before = self.on_step, self.done
        if on_step is None:
            return None
        return lambda done, total: on_step(self.victims * (before + done) / self.fits, self.victims)

    def passed(self, fits: int) -> None:
        self.done += fits
