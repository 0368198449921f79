"""Each subpopulation as discovered: sizes, class mix, confidence, clean accuracy, target label, attacked or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import AttackSection, EvaluationSection, Scenario, SubpopulationsSection
from engine.subpopulations.selection import select
from engine.subpopulations.target_label import known_classes, target_label


def summarise(
    section: SubpopulationsSection,
    attack: AttackSection,
    evaluation: EvaluationSection,
    dataset: Dataset,
    membership: Membership,
    descriptions: Sequence[str],
    proba_aux_cv: np.ndarray,
    proba_aux_in_sample: np.ndarray,
    proba_test: np.ndarray,
) -> tuple[Subpopulation, ...]:
    """One Subpopulation for each description, selected and given its target label.

    proba_*: float [rows, classes], the adversary's model on aux rows cross-fitted, on aux rows it was trained on, and on test rows.
    Selection goes by the cross-fitted confidence, or with `confidence_folds = 1` by the in-sample one, as published;
    "least_likely" by the in-sample outputs, which are those of the one model that the adversary has.
    RequestError where nothing is left to attack; UnknownName for a target label that is no class.
    """
    count = len(descriptions)
    aux, test = dataset.aux, dataset.test
    for name, proba, rows in (("cv", proba_aux_cv, aux), ("in_sample", proba_aux_in_sample, aux), ("test", proba_test, test)):
        if proba.shape != (len(rows), len(dataset.classes)):
            raise ValueError(f"proba ({name}) is {proba.shape}, not [rows, classes] = {(len(rows), len(dataset.classes))}")

    sizes = {name: _sizes(of_row, count) for name, of_row in vars(membership).items()}
    confidence = group_means(proba_aux_cv[np.arange(len(aux)), aux.y], membership.aux, count)
    in_sample = group_means(proba_aux_in_sample[np.arange(len(aux)), aux.y], membership.aux, count)
    accuracy = group_means(proba_test.argmax(axis=1) == test.y, membership.test, count)
    ranked = in_sample if evaluation.confidence_folds == 1 else confidence
    reasons = select(section, sizes["aux"], sizes["test"], ranked)

    known = known_classes(dataset.train.y, dataset.classes, attack.target_min_rows)
    summaries = []
    for index, description in enumerate(descriptions):
        aux_rows = np.flatnonzero(membership.aux == index)
        mix = np.bincount(aux.y[aux_rows], minlength=len(dataset.classes)) / max(1, len(aux_rows))
        summaries.append(
            Subpopulation(
                index=index,
                description=description,
                train_rows=sizes["train"][index],
                aux_rows=sizes["aux"][index],
                test_rows=sizes["test"][index],
                class_mix={name: float(share) for name, share in zip(dataset.classes, mix, strict=True)},
                confidence=confidence[index],
                confidence_in_sample=in_sample[index],
                clean_accuracy=accuracy[index],
                target_label=target_label(attack.target_label, dataset.classes, aux.y[aux_rows], proba_aux_in_sample[aux_rows], known),
                attacked=not reasons[index],
                reason=reasons[index],
            )
        )
    return tuple(summaries)


def reselected(scenario: Scenario, subpopulations: Sequence[Subpopulation]) -> tuple[Subpopulation, ...]:
    """The same with which of them are attacked, and why not, by this scenario. RequestError where none is."""
    in_sample = scenario.evaluation.confidence_folds == 1
    ranked = [s.confidence_in_sample if in_sample else s.confidence for s in subpopulations]
    sizes = [s.aux_rows for s in subpopulations], [s.test_rows for s in subpopulations]
    reasons = select(scenario.subpopulations, *sizes, ranked, [s.predicted for s in subpopulations])
    return tuple(replace(s, attacked=not reason, reason=reason) for s, reason in zip(subpopulations, reasons, strict=True))


def group_means(values: np.ndarray, of_row: np.ndarray, count: int) -> list[float | None]:
    """The mean of `values` [rows] over each subpopulation's rows; None where it has none. Rows in no subpopulation count nowhere."""
    member = of_row >= 0
    sums = np.bincount(of_row[member], weights=values[member].astype(np.float64), minlength=count)
    sizes = _sizes(of_row, count)
    return [float(total / size) if size else None for total, size in zip(sums, sizes, strict=True)]


def _sizes(of_row: np.ndarray, count: int) -> list[int]:
    return [int(size) for size in np.bincount(of_row[of_row >= 0], minlength=count)]
