"""A stack trained where another process asked for it: what every such process does with a message, and what stands on a node's device.

`Trainer` is within an actor, one for each device of a node, and knows nothing of Ray: plain values go in and out. It has one process and
no other (see `parts.in_turn`), and takes the run's data from memory that all actors of its node share and none may write to.
"""

from __future__ import annotations

import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.errors import SubpopError
from engine.runs.control import Control
from engine.runs.executors import Job
from engine.runs.executors.messages import Done, Failed, Train
from engine.runs.executors.sent import unpacked

if TYPE_CHECKING:
    import numpy as np

    from engine.runs.pipeline import OnStep, Pipeline


def engine_pipeline() -> Pipeline:
    from engine.pipeline.order import RunPipeline

    return RunPipeline()


def trained(
    pipeline: Pipeline,
    job: Job,
    message: Train,
    device: str,
    on_step: OnStep,
    say: Callable[[str], None],
    log: str = "the log file of the run",
) -> Done | Failed:
    """The victims of a stack, or in words why there are none. log: where a traceback goes, for the message."""
    try:
        # what other devices learn meanwhile comes with the next stack: who shares a stack's company is decided before it begins
        room = pipeline.room(device)
        room.too_many = message.too_many
        victims = pipeline.train_stack(job.of(message.stack, device), on_step, say)
        return Done(victims, room.too_many)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except SubpopError as error:
        return Failed(error.what, error.where, error.next)
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr, flush=True)  # noqa: T201
        return Failed(f"unexpected {type(error).__name__}: {error}", next=f"{log} has the traceback")


class Trainer:
    """One device's. `train` takes as long as a stack does; `look` and `hold` are called meanwhile, by other threads.

    make_pipeline: of tests; None means the engine's own.
    """

    def __init__(self, device: str, make_pipeline: Callable[[], Pipeline] | None = None) -> None:
        if device.startswith("cuda"):  # what names no device is on its own, not on the first of the machine
            import torch

            torch.cuda.set_device(device)
        self._device, self._pipeline = device, (make_pipeline or engine_pipeline)()
        self._control, self._heard, self._lock = Control(), 0, threading.Lock()
        self._job: tuple[int, Job] | None = None
        self._at = (-1, 0.0, 0.0)  # stack, victims done, of how many
        self._said: list[str] = []

    def begin(self) -> str:
        """Which device it is, in words: said when its libraries are loaded. Of a CPU what PyTorch uses of it, which decides last bits."""
        import torch

        from engine.runs.provenance import device_name

        return f"cpu ({torch.backends.cpu.get_cpu_capability()})" if self._device == "cpu" else device_name(self._device, None)

    def train(self, parts: Sequence[np.ndarray], number: int, message: bytes) -> bytes:
        """parts: the run's `Job`, packed; number: which, to unpack it once. message: a `Train`; comes to (`Done` or `Failed`, lines)."""
        if self._job is None or self._job[0] != number:
            job = unpacked(parts)
            assert isinstance(job, Job)
            self._job = number, job
        asked = pickle.loads(message)
        self._at = (asked.stack.index, 0.0, 0.0)

        def on_step(done: float, total: float) -> None:
            self._control.check()
            self._at = (asked.stack.index, done, total)

        log = "the log of its process on that node, in Ray's folder,"
        return pickle.dumps((trained(self._pipeline, self._job[1], asked, self._device, on_step, self._say, log), self._to_say()))

    def _say(self, line: str) -> None:
        with self._lock:
            self._said.append(line)

    def _to_say(self) -> list[str]:
        with self._lock:
            said, self._said = self._said, []
        return said

    def look(self) -> tuple[int, float, float, list[str]]:
        """How far it is: at which stack, victims done, of how many; and the lines for the run's log since they were asked for last."""
        return (*self._at, self._to_say())

    def hold(self, number: int, still: bool) -> None:
        """Stand still at the next step, or go on. number: later words have a higher one, and may come before earlier ones."""
        with self._lock:
            if number > self._heard:
                self._heard = number
                self._control.obey("pause" if still else "resume")
