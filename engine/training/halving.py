"""Out of memory halves a stack and goes on: the halves train one after the other on the same schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.errors import RunFailed
from engine.training.recipe import Trained

TrainGroup = Callable[[Sequence[int], Callable[[float], None]], list[Trained]]  # (victims, report) -> what became of them


def in_halves(
    train: TrainGroup, victims: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]
) -> list[Trained]:
    """Train `victims` together, in halves where memory does not hold them; results in their order.

    report is called with the victims done. on_halved is told each new size. Raises RunFailed when a single victim does not fit.
    """
    groups = [list(victims)]
    done: dict[int, Trained] = {}
    while groups:
        group = groups.pop(0)
        before = len(done)
        try:
            trained = train(group, lambda n, before=before: report(before + n))  # type: ignore[misc]
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(group) == 1:
                raise RunFailed("one victim alone does not fit in this device's memory", next="use a smaller model.batch") from error
            trained = None
        if trained is None:
            # outside the handler: while the exception is referenced, its traceback keeps the failed stack's tensors
            half = len(group) // 2
            groups[:0] = [group[:half], group[half:]]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            on_halved(half)
        else:
            done.update(zip(group, trained, strict=True))
    return [done[v] for v in victims]


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "out of memory" in text or "can't allocate memory" in text
