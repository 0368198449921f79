"""Which subpopulations are at risk, before any poisoned victim is trained: some clean models, and LERQ on what their last layers read.

The clean models train on train as victims do, from seeds of their own: no trial of the run has a part in what they foretell. Damage is
foretold twice, on the subpopulation's auxiliary rows, which an adversary holds, and on its test rows, which the owner does. Both ask the
same clean models, so the first is the view of an adversary who may train on the defender's data, or query as good a model.

The target class is the attack's. Flipping labels of two classes has none of its own: the one that most points get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine import subpopulations as matching
from engine.arrays import Foretold
from engine.attacks import label_flip
from engine.attacks.points import size_of
from engine.errors import RequestError
from engine.evaluation import lerq
from engine.features.opened import Opened
from engine.milestones import Arrays, Milestones
from engine.pipeline.discovery import Log
from engine.pipeline.plan import victims_of_trial
from engine.rates import count
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import DenseKeys, Scenario, TriageSection, head_alone, last_layer_alone
from engine.seeds import seed_for
from engine.training.recipe import Job, Trained
from engine.training.trial import OnStep, Stands, Trial
from engine.victims.by_gradient import ByGradient
from engine.victims.choose import AnyFamily, victims_of
from engine.victims.family import how, silent, training_of, workers

WIDEST = 8192  # numbers that a last layer reads: H of them is half a gigabyte
AT_ONCE = 4096  # rows asked about at once
DAMPING, DAMPING_OF_HEADS = 30.0, 300.0


@dataclass(frozen=True)
class Settings:
    """A triage's keys with what blank ones come to."""

    models: int
    damping: float
    link: str
    temperature: float

    @classmethod
    def of(cls, scenario: Scenario) -> Settings:
        section: TriageSection = scenario.triage
        head = head_alone(scenario.model)
        damping = section.damping if section.damping is not None else DAMPING_OF_HEADS if head else DAMPING
        link = section.link if section.link != "auto" else "normal" if head else "sigmoid"
        return cls(section.models, damping, link, section.temperature)


def cost_in_words(scenario: Scenario, subpopulations: Sequence[Subpopulation]) -> str:
    """What foretelling costs beside the run itself; subpopulations: with which of them the scenario would attack without it."""
    models, stacks = scenario.triage.models, isinstance(scenario.model, DenseKeys) or last_layer_alone(scenario.model)
    victims = len(victims_of_trial(scenario, subpopulations, 0, 0)) * scenario.evaluation.trials
    return (
        f"foretelling damage takes {models} clean models, trained now one after the other; "
        f"attacking {sum(s.attacked for s in subpopulations)} subpopulations takes {victims:,} victims ({models / victims:.1%} of them)"
        + (", each far cheaper in its stack" if stacks else "")
    )


def foretell(
    scenario: Scenario,
    dataset: Dataset,
    membership: Membership,
    subpopulations: Sequence[Subpopulation],
    proba_aux: np.ndarray,
    *,
    device: str,
    log: Log,
    progress: Callable[[str, float], None],
    on_step: OnStep | None,
    opened: Opened | None,
    milestones: Milestones,
) -> Foretold:
    """dataset: as the victims' model reads it. proba_aux: float [aux rows, classes], the adversary's model, of which poison labels may ask.

    RequestError for a model whose last layer reads too much.
    """
    _check_width(scenario, dataset, opened)
    log(cost_in_words(scenario, subpopulations))
    settings, rows = Settings.of(scenario), _Rows.of(scenario, dataset, membership, subpopulations, proba_aux)
    before, after = [], []
    for number in range(settings.models):
        name = f"clean model {number + 1} of {settings.models}, to foretell damage"

        def make(number: int = number, name: str = name) -> Arrays:
            return _model(scenario, dataset, rows, number, settings, name, device, progress, on_step, opened, milestones)

        arrays = milestones.step(name, make)
        before.append(arrays["margin"])
        after.append(arrays["shifted"])
    damage_AJ = lerq.damage_of_rows(np.stack(before), np.stack(after), settings.link, settings.temperature)
    aux_J = np.arange(len(rows.of_J)) < rows.aux
    views = [_means(damage_AJ[:, view], rows.of_J[view], len(subpopulations)) for view in (aux_J, ~aux_J)]
    return Foretold(np.array(sorted(scenario.attack.alphas), dtype=np.float64), *views)


def selected(scenario: Scenario, subpopulations: Sequence[Subpopulation], foretold: Foretold) -> tuple[Subpopulation, ...]:
    """The subpopulations with what is foretold of each at the largest alpha, and by it which are attacked where the scenario asks so."""
    ranked_AS = foretold.aux_AS if scenario.triage.rows == "aux" else foretold.test_AS
    at_largest = [None if np.isnan(value) else float(value) for value in ranked_AS[-1]]
    marked = tuple(replace(s, predicted=at_largest[s.index]) for s in subpopulations)
    return matching.reselected(scenario, marked) if scenario.subpopulations.select == "predicted" else marked


# ---- rows -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Which rows are asked, of all subpopulations one after the other: members of aux first, then those of test. J of them.

    of_J           int64, the subpopulation of each;  at_J: its row in aux or in test;  y_J: its true class;  aux: how many are of aux
    own_S, aux_S   train rows that count exactly, and aux rows that stand for the poison
    target_S       the class that the poison is given;  given_A: int64 [aux rows], each aux row's poison label
    points_SA      poison points
    """

    of_J: np.ndarray
    at_J: np.ndarray
    y_J: np.ndarray
    aux: int
    own_S: tuple[np.ndarray, ...]
    aux_S: tuple[np.ndarray, ...]
    target_S: tuple[int, ...]
    given_A: np.ndarray
    points_SA: np.ndarray

    @classmethod
    def of(
        cls, scenario: Scenario, dataset: Dataset, membership: Membership, subpopulations: Sequence[Subpopulation], proba_aux: np.ndarray
    ) -> _Rows:
        given_A = np.zeros(len(dataset.aux), np.int64)
        own, aux, targets = [], [], []
        for s in subpopulations:
            members = np.flatnonzero(membership.aux == s.index)
            given_A[members] = label_flip.labels(s, dataset, members, proba_aux)
            # of two classes either will do: the logit of one is that of the other, its sign turned
            targets.append(int(np.bincount(given_A[members], minlength=1).argmax()) if len(members) else 0)
            one, other = lerq.kept(np.flatnonzero(membership.train == s.index), members)
            own.append(one)
            aux.append(other)
        of_aux, of_test = (np.flatnonzero(members >= 0) for members in (membership.aux, membership.test))
        alphas = sorted(scenario.attack.alphas)
        points = [[count(alpha, size_of(scenario.attack, s)) if s.aux_rows else 0 for alpha in alphas] for s in subpopulations]
        return cls(
            of_J=np.concatenate([membership.aux[of_aux], membership.test[of_test]]).astype(np.int64),
            at_J=np.concatenate([of_aux, of_test]),
            y_J=np.concatenate([dataset.aux.y[of_aux], dataset.test.y[of_test]]),
            aux=len(of_aux),
            own_S=tuple(own),
            aux_S=tuple(aux),
            target_S=tuple(targets),
            given_A=given_A,
            points_SA=np.array(points, dtype=np.float64).reshape(len(subpopulations), len(alphas)),
        )


def _means(damage_AJ: np.ndarray, of_J: np.ndarray, subpopulations: int) -> np.ndarray:
    """Mean over each subpopulation's rows, float64 [alphas, subpopulations]; nan where it has none."""
    rows_S = np.bincount(of_J, minlength=subpopulations)
    sums = np.stack([np.bincount(of_J, weights=damage_J, minlength=subpopulations) for damage_J in damage_AJ])
    return np.where(rows_S > 0, sums / np.maximum(rows_S, 1), np.nan)


# ---- one clean model --------------------------------------------------------------------------------------------------


def _model(
    scenario: Scenario,
    dataset: Dataset,
    rows: _Rows,
    number: int,
    settings: Settings,
    name: str,
    device: str,
    progress: Callable[[str, float], None],
    on_step: OnStep | None,
    opened: Opened | None,
    milestones: Milestones,
) -> Arrays:
    """Train it and ask it: margin of the true class of each asked row, float64 [J], and as each rate leaves it, [alphas, J]."""
    on = how(scenario.compute, device)
    victims = victims_of(scenario.model, dataset, scenario.seed, opened)

    def step(done: float, total: float) -> None:
        if on_step:
            on_step(done, total)
        progress(name, done / total if total else 0.0)

    def between() -> None:
        if on_step:
            on_step(0.0, 1.0)  # a request to pause or stop is met between two parts of what follows training

    progress(name, 0.0)
    clean = Job(np.empty(0, np.int64), np.empty(0, np.int64))
    trial = Trial(
        seed_for(scenario.seed, "triage"), number, on, step, workers(scenario, on.device), stands=Stands(milestones, f"{name}, training")
    )
    fitted = victims.fit(training_of(dataset), [clean], trial)[0]
    kernel, bias = (p.detach().double().cpu().numpy() for p in victims.head(fitted))

    def read(x: np.ndarray) -> np.ndarray:
        return np.concatenate([_hidden(victims, fitted, x[lo : lo + AT_ONCE], on, between) for lo in range(0, max(1, len(x)), AT_ONCE)])

    phi_N, phi_A = read(dataset.train.x), read(dataset.aux.x)
    phi_J = np.concatenate([phi_A[rows.at_J[: rows.aux]], read(dataset.test.x[rows.at_J[rows.aux :]])])

    logits_N, logits_A, logits_J = (phi.astype(np.float64) @ kernel + bias for phi in (phi_N, phi_A, phi_J))
    margin_J, shifted_AJ = np.zeros(len(rows.of_J)), np.zeros((rows.points_SA.shape[1], len(rows.of_J)))
    asked = [np.flatnonzero(rows.of_J == s) for s in range(len(rows.own_S))]
    for target in sorted(set(rows.target_S)):
        some = [s for s, each in enumerate(rows.target_S) if each == target and len(rows.aux_S[s]) and len(asked[s])]
        if not some:
            continue
        f_N, f_A, f_J = (
            lerq.log_odds(logits, y, target) for logits, y in ((logits_N, dataset.train.y), (logits_A, dataset.aux.y), (logits_J, rows.y_J))
        )
        lower = lerq.factor(phi_N, f_N, settings.damping)
        locals_ = [
            lerq.Local(
                phi_N[rows.own_S[s]],
                f_N[rows.own_S[s]],
                phi_A[rows.aux_S[s]],
                f_A[rows.aux_S[s]],
                (rows.given_A[rows.aux_S[s]] == target).astype(np.float64),
                phi_J[asked[s]],
            )
            for s in some
        ]
        towards_J = np.where(rows.y_J == target, 1.0, -1.0)  # a row of the target class gains by what the others lose
        for s, shift_AJ in zip(some, lerq.shifts(lower, locals_, rows.points_SA[some], between), strict=True):
            at = asked[s]
            margin_J[at] = towards_J[at] * f_J[at]
            shifted_AJ[:, at] = towards_J[at] * (f_J[at] + shift_AJ)
    return {"margin": margin_J, "shifted": shifted_AJ}


def _check_width(scenario: Scenario, dataset: Dataset, opened: Opened | None) -> None:
    """Before any model is trained for it."""
    victims = victims_of(scenario.model, dataset, scenario.seed, opened)
    assert isinstance(victims, ByGradient)  # no other has a last layer
    width = len(victims.head(Trained(victims.initial(scenario.seed, 0, torch.float32), 0, 0.0))[0])
    if width > WIDEST:
        raise RequestError(
            f"damage cannot be foretold: the last layer of {scenario.model.kind} reads {width:,} numbers, more than {WIDEST:,}",
            where="triage.predict",
            next="take it out, or use a model with a narrower last layer",
        )


def _hidden(victims: AnyFamily, fitted: object, x: np.ndarray, on: object, between: Callable[[], None]) -> np.ndarray:
    between()
    with torch.no_grad():
        hidden: np.ndarray = victims.hidden(fitted, x, on, silent)  # type: ignore[arg-type]
    return hidden
