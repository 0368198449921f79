"""The order of things, for whoever drives it: rows -> discovery -> plan -> stacks of victims.

rows             the scenario's rows as adversary and defender hold them; load: as the victims' model reads them
discover         adversary's model, subpopulations, targets, their poison: a Discovery
plan             which victims train together
train_stack      one stack's victims and what each predicts; poison_of: the extra rows of one
"""

from __future__ import annotations

from engine.pipeline.discover import discover, load, rows
from engine.pipeline.discovery import Discovery, Log, Progress, deviations, moved_pictures
from engine.pipeline.plan import plan, victims_of_trial
from engine.pipeline.train import poison_of, train_stack

__all__ = [
    "Discovery",
    "Log",
    "Progress",
    "deviations",
    "discover",
    "load",
    "moved_pictures",
    "plan",
    "poison_of",
    "rows",
    "train_stack",
    "victims_of_trial",
]
