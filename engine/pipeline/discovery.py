"""What is known before any victim is trained, and what training one stack takes: plain data, with neither torch nor an open file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.arrays import DiscoveryArrays
from engine.rows import Cores, Dataset, Membership, StackPlan, Subpopulation

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

Log = Callable[[str], None]
Progress = Callable[[str, float], None]  # (what is being done, share done of it), as `engine.system.pace` reads them


@dataclass(frozen=True)
class Discovery:
    """What is known before any victim is trained. dataset: as the victims' model reads it (see `Family.see`)."""

    dataset: Dataset
    membership: Membership
    subpopulations: tuple[Subpopulation, ...]
    arrays: DiscoveryArrays


@dataclass(frozen=True)
class StackJob:
    """All that training one stack takes. It can be pickled, so that another process or machine can train it with the same result.

    cores: the plan's; None: as this machine has them, as a plan of an older version meant.
    """

    scenario: Scenario
    discovery: Discovery
    stack: StackPlan
    device: str
    cores: Cores | None = None
