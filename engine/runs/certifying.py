"""A run's ensemble: its models are trained before the victims, and stored some at a time, so that a resumed run repeats none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engine.rows import Dataset
from engine.runs import reuse
from engine.scenario.sections import Scenario
from engine.store import Store, StoredDiscovery

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline


class AtWork(Protocol):
    """What is asked of the run at work, as `runs.work.Work` has it."""

    @property
    def store(self) -> Store: ...
    @property
    def run_id(self) -> str: ...
    @property
    def scenario(self) -> Scenario: ...
    @property
    def device(self) -> str: ...
    def log(self, message: str, level: str = "info") -> None: ...
    def enter(self, phase: str) -> None: ...
    def at(self, what: str, share: float) -> None: ...
    def worked_s(self) -> float: ...


def certify(w: AtWork, pipeline: Pipeline, dataset: Dataset, stored: StoredDiscovery) -> None:
    """Train and commit what of the ensemble is not committed yet, and the tables made with it."""
    from engine.tables import build
    from engine.tables import world as tables

    if again := w.store.take_back_damaged_parts(w.run_id):
        w.log(f"the models of parts {', '.join(map(str, again))} are damaged in the store: they are trained again", "warning")
    world = tables.World.start(w.scenario, stored, w.store.victims(w.run_id), w.store.parts(w.run_id))
    if world.ensemble.complete:
        return
    kept = [part for part in reuse.reusable_parts(w.store, w.run_id, w.scenario, stored) if part.number not in world.ensemble.parts]
    if kept:
        world.ensemble.add(kept)
        w.store.commit_parts(w.run_id, kept, 0.0, build.build(world))
        w.log(f"reused {len(kept)} models of the ensemble of the run that this one attacks again")
    k, done = world.ensemble.k, len(world.ensemble.parts)
    if world.ensemble.complete:
        return
    what = f"training an ensemble of {k} models"
    w.enter(what)
    parts = [part for part in pipeline.parts(w.scenario, dataset, log=w.log) if part.number not in world.ensemble.parts]
    if done:
        w.log(f"{done} of {k} models of the ensemble are committed already")

    def on_step(share: float, whole: float) -> None:
        w.at(what, (k - len(parts) + len(parts) * min(share / whole, 1.0)) / k)

    start_s = w.worked_s()
    for trained in pipeline.train_parts(w.scenario, dataset, parts, w.device, on_step):
        world.ensemble.add(trained)
        duration_s = w.worked_s() - start_s
        w.store.commit_parts(w.run_id, trained, duration_s / len(trained), build.build(world))
        done += len(trained)
        w.log(f"committed {done} of {k} models of the ensemble: {len(trained)} in {duration_s:.1f} s")
        start_s = w.worked_s()
