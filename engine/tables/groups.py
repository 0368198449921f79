"""The `groups` table (paper, section 5.5): what one chosen attack did to every annotated group of test rows, hardest hit first.

Made at export, for it needs each victim's prediction for every test row, and for one attack at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

from engine import paper
from engine.errors import RequestError, UnknownName
from engine.rows import Table, VictimResult
from engine.tables.cells import Row, cell, line, reading
from engine.tables.columns import SPECS
from engine.tables.world import Discovered, Facts

if TYPE_CHECKING:
    import numpy as np

    from engine.arrays import Annotations


CROSSING = " × "


@dataclass(frozen=True)
class Choice:
    """Which attack, and which groups. None: the attack of largest damage at the largest alpha, of those with enough test rows.

    by: columns to cross ("race", "sex"), beside each column alone.
    """

    subpopulation: int | None = None
    alpha: float | None = None
    by: tuple[tuple[str, ...], ...] = field(default=())


def groups(facts: Facts, discovered: Discovered, victims: Sequence[VictimResult], choice: Choice = Choice()) -> Table:
    """RequestError where the run has no annotations or no such attack; UnknownName for a column that it does not have."""
    import numpy as np

    from engine.evaluation import groups as evaluated
    from engine.evaluation import vulnerable

    annotations = discovered.arrays.annotations
    if not annotations.levels:
        raise RequestError(
            "its test rows have no annotations of few levels",
            where="groups",
            next="runs of other data, or begun with this version, may have them",
        )
    y_R = np.asarray(discovered.y_test)
    counted = [v for v in victims if facts.trials is None or v.spec.trial < facts.trials]
    clean = {v.spec.trial: v.predictions == y_R for v in counted if v.spec.arm == "clean"}
    poisoned = _poisoned(counted, clean)
    s, alpha = _attack(facts, discovered, clean, poisoned, y_R, choice)
    attack = {trial: predictions == y_R for trial, predictions in poisoned[s, alpha].items()}
    trials = sorted(attack)
    names, members = _members(annotations, _crossings(facts, annotations, choice))
    if facts.features:  # their crossing is what FeatureMatch found: called as it is called there
        of_row, descriptions = discovered.membership.test, {each.index: each.description for each in discovered.subpopulations}
        feature = CROSSING.join(facts.features)
        names = [
            (a, descriptions.get(int(of_row[rows[0]]), g)) if a == feature else (a, g) for (a, g), rows in zip(names, members, strict=True)
        ]
    effects = evaluated.groups(np.stack([clean[t] for t in trials]), np.stack([attack[t] for t in trials]), members, facts.min_test_rows)
    inside_R = np.asarray(discovered.membership.test) == s
    beside = [rows[~inside_R[rows]] for rows in members]  # what the group's damage owes to the target's own rows says nothing of the others
    outside = evaluated.groups(np.stack([clean[t] for t in trials]), np.stack([attack[t] for t in trials]), beside, facts.min_test_rows)
    described = next(each.description for each in discovered.subpopulations if each.index == s)
    published = paper.published(facts.reproduces, facts.system)
    rows: list[Row] = []
    order = sorted(range(len(names)), key=lambda g: (effects.rows[g] < facts.min_test_rows, -effects.damage[g], names[g]))
    for g in order:
        attribute, group = names[g]
        single = published.single.get((group, alpha)) if published is not None and group == described else None
        value, source = reading(single)
        rows.append(
            line(
                "groups",
                subpopulation=s,
                description=described,
                alpha=alpha,
                attribute=attribute,
                group=group,
                rows=int(effects.rows[g]),
                inside=float(inside_R[members[g]].mean()),
                clean_accuracy=cell(effects.clean[g]),
                poisoned_accuracy=cell(effects.poisoned[g]),
                damage=cell(effects.damage[g]),
                low=cell(effects.low[g]),
                high=cell(effects.high[g]),
                low_all=cell(effects.low_all[g]),
                high_all=cell(effects.high_all[g]),
                p=cell(effects.p[g]),
                q=cell(effects.q[g]),
                hit=None if isnan(effects.q[g]) else bool(effects.q[g] <= vulnerable.Q),
                rows_of_others=int(outside.rows[g]),
                clean_of_others=cell(outside.clean[g]),
                poisoned_of_others=cell(outside.poisoned[g]),
                damage_of_others=cell(outside.damage[g]),
                low_of_others=cell(outside.low[g]),
                high_of_others=cell(outside.high[g]),
                q_of_others=cell(outside.q[g]),
                hit_of_others=None if isnan(outside.q[g]) else bool(outside.q[g] <= vulnerable.Q),
                looked_at=effects.looked_at,
                trials=len(trials),
                published=value,
                published_as=source,
            )
        )
    return Table(SPECS["groups"], tuple(rows))


def _poisoned(victims: Iterable[VictimResult], clean: Mapping[int, np.ndarray]) -> dict[tuple[int, float], dict[int, np.ndarray]]:
    """(subpopulation, alpha) -> trial -> predictions, of poisoned victims whose trial has its clean one."""
    by_attack: dict[tuple[int, float], dict[int, np.ndarray]] = {}
    for v in victims:
        if v.spec.arm == "poisoned" and v.spec.subpopulation is not None and v.spec.alpha is not None and v.spec.trial in clean:
            by_attack.setdefault((v.spec.subpopulation, v.spec.alpha), {}).setdefault(v.spec.trial, v.predictions)
    return by_attack


def _attack(
    facts: Facts,
    discovered: Discovered,
    clean: Mapping[int, np.ndarray],
    poisoned: Mapping[tuple[int, float], Mapping[int, np.ndarray]],
    y_R: np.ndarray,
    choice: Choice,
) -> tuple[int, float]:
    fits = [
        (s, alpha)
        for s, alpha in poisoned
        if choice.subpopulation in (None, s) and (choice.alpha is None or abs(choice.alpha - alpha) < 1e-9)
    ]
    if not fits:
        of_choice = "" if choice.subpopulation is None else f" on subpopulation {choice.subpopulation}"
        of_choice += "" if choice.alpha is None else f" at alpha {choice.alpha:g}"
        raise RequestError(f"it has no attack{of_choice} yet", where="groups", next="see its table `damage` for what there is")
    if choice.alpha is None:
        largest = max((alpha for _, alpha in fits if alpha in facts.alphas), default=max(alpha for _, alpha in fits))
        fits = [(s, alpha) for s, alpha in fits if alpha == largest]
    test_rows = {s.index: s.test_rows for s in discovered.subpopulations}
    enough = [fit for fit in fits if test_rows[fit[0]] >= facts.min_test_rows]

    def lost(fit: tuple[int, float]) -> tuple[float, int]:
        inside_R = discovered.membership.test == fit[0]
        if not inside_R.any():
            return (-2.0, -fit[0])
        each = [clean[t][inside_R].mean() - (predictions == y_R)[inside_R].mean() for t, predictions in poisoned[fit].items()]
        return (float(sum(each) / len(each)), -fit[0])

    return max(enough or fits, key=lost)


def _crossings(facts: Facts, annotations: Annotations, choice: Choice) -> list[tuple[str, ...]]:
    """Each column alone; those that FeatureMatch crosses; those asked for."""
    wanted: list[tuple[str, ...]] = [(column,) for column in annotations.levels]
    if len(facts.features) > 1 and all(name in annotations.levels for name in facts.features):
        wanted.append(facts.features)
    for columns in choice.by:
        for name in columns:
            if name not in annotations.levels:
                raise UnknownName("annotated column", name, annotations.levels)
        if len(columns) > 1:
            wanted.append(columns)
    return list(dict.fromkeys(wanted))


def _members(annotations: Annotations, crossings: Iterable[tuple[str, ...]]) -> tuple[list[tuple[str, str]], list[np.ndarray]]:
    """((attribute, group) of each group, its test rows)."""
    import numpy as np

    names: list[tuple[str, str]] = []
    members: list[np.ndarray] = []
    for columns in crossings:
        codes = np.stack([annotations.codes[column] for column in columns], axis=1)
        tuples, of_row = np.unique(codes, axis=0, return_inverse=True)
        of_row = of_row.reshape(-1)
        for at, levels in enumerate(tuples.tolist()):
            names_of_levels = [annotations.levels[column][code] for column, code in zip(columns, levels, strict=True)]
            names.append((CROSSING.join(columns), ", ".join(names_of_levels)))
            members.append(np.flatnonzero(of_row == at))
    return names, members
