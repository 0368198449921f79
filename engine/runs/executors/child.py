"""The process that trains on one of several devices: `python -m engine.runs.executors.child DEVICE SOCKET`. It writes to no store.

It trains what its worker sends it and answers with the victims. The worker alone decides when it ends: signals for the whole group pass
it by, and where the worker's end of the socket closes it goes at once, with the parts of its stack.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from engine.errors import SubpopError
from engine.runs.control import Control
from engine.runs.executors import Job
from engine.runs.executors.messages import Done, Failed, Hold, Ready, Said, Step, Train

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline

STEP_S = 0.2  # how often it says how far it is
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def main(words: list[str], make_pipeline: Callable[[], Pipeline] | None = None) -> int:
    """make_pipeline: of tests; None means the engine's own."""
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    device, conn = words[0], Connection(int(words[1]))
    if device.startswith("cuda"):  # what names no device is on its own, not on the first of the machine
        import torch

        torch.cuda.set_device(device)
    pipeline, control, asked = (make_pipeline or _engine)(), Control(), queue.SimpleQueue[Any]()
    threading.Thread(target=_listen, args=(conn, control, asked), name="listener", daemon=True).start()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the worker is gone: so will this be, in a moment
        conn.send(Ready())
        return _serve(conn, device, pipeline, control, asked)
    return 1


def _engine() -> Pipeline:
    from engine.pipeline.order import RunPipeline

    return RunPipeline()


def _listen(conn: Connection, control: Control, asked: queue.SimpleQueue[Any]) -> None:
    """Take messages as they come, also while a stack is trained."""
    while True:
        try:
            message = conn.recv()
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)  # a group of its own: itself and the parts of its stack
        if isinstance(message, Hold):
            control.obey("pause" if message.still else "resume")
        else:
            asked.put(message)


def _serve(conn: Connection, device: str, pipeline: Pipeline, control: Control, asked: queue.SimpleQueue[Any]) -> int:
    job: Job | None = None
    while True:
        message = asked.get()
        if isinstance(message, Job):
            job = message
            continue
        assert job is not None
        try:
            conn.send(_trained(conn, device, pipeline, control, job, message))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except SubpopError as error:
            conn.send(Failed(error.what, error.where, error.next))
            return 1
        except Exception as error:
            print(traceback.format_exc(), file=sys.stderr, flush=True)  # noqa: T201 - the log file of the run's worker
            conn.send(Failed(f"unexpected {type(error).__name__}: {error}", next="the log file of the run has the traceback"))
            return 1


def _trained(conn: Connection, device: str, pipeline: Pipeline, control: Control, job: Job, message: Train) -> Done:
    said_at = 0.0

    def on_step(done: float, total: float) -> None:
        nonlocal said_at
        control.check()
        if time.monotonic() - said_at >= STEP_S:
            said_at = time.monotonic()
            conn.send(Step(done, total))

    # what other devices learn meanwhile comes with the next stack: who shares a stack's company is decided before it begins
    room = pipeline.room(device)
    room.too_many = message.too_many
    victims = pipeline.train_stack(job.of(message.stack, device), on_step, lambda line: conn.send(Said(line)))
    return Done(victims, room.too_many)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
