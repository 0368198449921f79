"""One run in its worker, as all of its steps know it: where it reads and writes, on what it trains, how it says where it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.rows import Cores, RunState
from engine.runs.control import PAUSING, STOPPING, Control
from engine.runs.executors.devices import CHILD
from engine.runs.milestones import StoredMilestones
from engine.runs.progress import Progress
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.system.pace import Pace, in_words, step_of

SAID_AGAIN_S = 20.0  # a long step's share is logged at its quarters, where these lie so far apart


class Status:
    """What the run's row should say now; the work writes it, the heartbeat's thread reads it."""

    def __init__(self) -> None:
        self.phase = "starting its engine"
        self.pace = Pace()  # of the step it is at, until victims are trained
        self.progress: Progress | None = None
        self.control: Control | None = None
        self.paused_s = 0.0
        self.steps_said: set[str] = set()  # by their lines in the log
        self.said_at = 0.0

    def fields(self) -> dict[str, object]:
        phase = self.phase
        if self.control is not None and (self.control.stopping or (self.control.pausing and phase != "paused")):
            phase = f"{phase}, {STOPPING if self.control.stopping else PAUSING}"
        return {"phase": phase, **(self.progress.fields() if self.progress else self._of_step())}

    def _of_step(self) -> dict[str, object]:
        return {"progress": self.pace.share, "eta_s": None if self.phase == "paused" else self.pace.eta_s}


@dataclass(frozen=True)
class Terms:
    """What a worker is told beside its run.

    device      as `compute.device`, in its place: a shard is trained on what its own machine has; "" means the scenario's
    child       what starts a process for one of several devices
    only_plan   end, as if it were stopped, when the plan is stored
    committed   called after each stack is committed
    """

    device: str = ""
    child: Sequence[str] = CHILD
    only_plan: bool = False
    committed: Callable[[], None] = lambda: None


DEFAULT_TERMS = Terms()


@dataclass(frozen=True)
class Work:
    """One run in one worker: where it reads and writes, on what it trains, and how it hears of requests.

    devices: several may train its stacks; the first does the rest. cluster: the address of one whose devices train instead, or "".
    cores: how a stack uses a CPU; None: as an older version's plan did.
    """

    store: Store
    run_id: str
    scenario: Scenario
    data_dir: Path
    devices: tuple[str, ...]
    cores: Cores | None
    control: Control
    status: Status
    milestones: StoredMilestones
    terms: Terms
    cluster: str = ""

    @property
    def device(self) -> str:
        return self.devices[0]

    @property
    def where(self) -> str:
        """All of its devices, as its row has them."""
        return self.cluster or ",".join(self.devices)

    def log(self, message: str, level: str = "info") -> None:
        self.store.log(self.run_id, level, message)

    def enter(self, phase: str, state: RunState | None = None, *, logged: bool = True, **fields: object) -> None:
        """Say what is being done now, in the run's row at once; then a moment at which requests are met, in the state just entered.

        logged: False where a fuller line of the log says it.
        """
        self.say(phase, **({"state": state} if state else {}), **fields)
        if logged:
            self._log_step(phase)
        self.control.check()

    def say(self, phase: str, **fields: object) -> None:
        """What is being done now, in the run's row at once."""
        self.status.pace.at(phase, 0.0)
        self.status.phase = phase
        known = {**self.status.fields(), "phase": phase}  # its share too: else the step before's stands until the next heartbeat
        self.store.update_run(self.run_id, **known, **fields)

    def at(self, what: str, share: float) -> None:
        """The pipeline's progress within a phase: a step that begins is said at once, in the row and the log, what comes of it by the
        heartbeat; a long one's quarters are logged.
        """
        self.control.check()
        pace, before = self.status.pace, self.status.pace.share
        begins = pace.at(what, share)
        self.status.phase = str(pace)
        if begins:
            self.store.update_run(self.run_id, **self.status.fields())
            self._log_step(what)
        elif int(4 * share) > int(4 * before) and share < 1 and time.monotonic() - self.status.said_at >= SAID_AGAIN_S:
            left = f", {in_words(pace.eta_s)} left of this step" if pace.eta_s is not None else ""
            self.log(f"{pace}{left}")
            self.status.said_at = time.monotonic()

    def worked_s(self) -> float:
        """A clock that stands while the run is paused."""
        return time.monotonic() - self.status.paused_s

    def _log_step(self, what: str) -> None:
        """Each step has its line once, however often the work comes back to it."""
        self.status.said_at = time.monotonic()
        if step_of(what) not in self.status.steps_said:
            self.status.steps_said.add(step_of(what))
            self.log(what)
