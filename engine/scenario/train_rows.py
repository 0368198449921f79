"""Whether train has the rows that a scenario asks of it. Plain Python: it is asked before anything heavy is loaded."""

from __future__ import annotations

from engine.errors import RequestError
from engine.scenario.sections import KnnSection, Scenario


def check_train_rows(scenario: Scenario, train_rows: int) -> None:
    """RequestError where train has fewer rows than it is to have parts, or than a defence asks of as neighbours.

    train_rows: as many, or where that is not known yet as many as there are at most; before they are capped or after.
    """
    k, defense, capped = scenario.evaluation.certificates, scenario.defense, scenario.dataset.rows
    rows = train_rows if capped is None else min(train_rows, capped)
    if k is not None and k > rows:
        what = f"is {k:,}, more parts than train has rows ({rows:,})"
        raise RequestError(what, where="evaluation.certificates", next=f"use fewer than {rows:,}, and so few that each can be learnt from")
    if isinstance(defense, KnnSection) and defense.neighbors >= rows:
        what = f"asks {defense.neighbors:,} neighbours of a row; train has {rows:,} rows"
        raise RequestError(what, where="defense.neighbors", next=f"use fewer than {rows:,}")
