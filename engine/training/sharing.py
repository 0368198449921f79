"""A stack's victims shared out: as one group in this process, or in parts side by side; in halves where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.training.halving import TrainGroup, in_halves
from engine.training.parts import can_fork, train_in_parts
from engine.training.recipe import Trained
from engine.training.room import Room
from engine.training.trial import Trial


def train_shared_out(train_group: TrainGroup, victims: int, trial: Trial, parts: int) -> list[Trained]:
    """Train victims 0 to `victims`, in `parts` processes where that is more than one and a fork is safe; results in their order."""

    room = trial.room or Room()
    known = room.too_many

    def train(part: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
        room = Room(known)  # its own, also where parts share a process: what another learns on the way changes nobody's company
        if not trial.alone:
            return in_halves(train_group, part, report, on_halved, room)
        done: list[Trained] = []
        for at, v in enumerate(part):
            done += in_halves(train_group, [v], lambda share, before=at: report(before + share), on_halved, room)  # type: ignore[misc]
        return done

    def report(done: float) -> None:
        if trial.on_step:
            trial.on_step(done, victims)

    def on_halved(victims: int) -> None:
        room.learn(victims)  # here too: a part of its own process has learned it there alone
        if trial.on_halved:
            trial.on_halved(victims)

    if parts < 2 or not can_fork():
        return train(range(victims), report, on_halved)
    dealt = [range(first, victims, parts) for first in range(parts)]  # each part gets large and small poison alike
    trained = train_in_parts(train, dealt, report, on_halved)
    return [trained[v] for v in range(victims)]
