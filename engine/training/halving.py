"""Out of memory halves a stack and goes on: the halves train one after the other on the same schedule.

What was too many for the device is remembered, so that the run's later stacks begin with what fits. Who trained in whose company decides
last bits: it is a function of the plan and of what was too many when a stack began, which is stored with each stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.errors import RunFailed
from engine.training.recipe import Trained
from engine.training.room import Room

TrainGroup = Callable[[Sequence[int], Callable[[float], None]], list[Trained]]  # (victims, report) -> what became of them


def in_halves(
    train: TrainGroup, victims: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None], room: Room
) -> list[Trained]:
    """Train `victims` together, in halves where memory does not hold them; results in their order.

    report is called with the victims done. on_halved is told how many were too many, each time; room learns of it. Raises RunFailed when a
    single victim does not fit.
    """
    groups = [list(victims)]
    done: dict[int, Trained] = {}
    while groups:
        group = groups.pop(0)
        before = len(done)
        trained = None
        if room.holds(len(group)):
            try:
                trained = train(group, lambda n, before=before: report(before + n))  # type: ignore[misc]
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(group) == 1:
                    raise RunFailed("one victim alone does not fit in this device's memory", next="use a smaller model.batch") from error
                room.learn(len(group))
                on_halved(len(group))
        if trained is None:
            # outside the handler: while the exception is referenced, its traceback keeps the failed stack's tensors
            half = len(group) // 2
            groups[:0] = [group[:half], group[half:]]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        else:
            done.update(zip(group, trained, strict=True))
    return [done[v] for v in victims]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is for lack of memory, the device's or this machine's."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in text or "can't allocate memory" in text
