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
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from engine.runs.control import Control
from engine.runs.executors import Job
from engine.runs.executors.messages import Failed, Hold, Ready, Said, Step
from engine.runs.executors.trainer import engine_pipeline, trained

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
    pipeline, control, asked = (make_pipeline or engine_pipeline)(), Control(), queue.SimpleQueue[Any]()
    threading.Thread(target=_listen, args=(conn, control, asked), name="listener", daemon=True).start()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the worker is gone: so will this be, in a moment
        conn.send(Ready())
        return _serve(conn, device, pipeline, control, asked)
    return 1


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
    said_at = 0.0

    def on_step(done: float, total: float) -> None:
        nonlocal said_at
        control.check()
        if time.monotonic() - said_at >= STEP_S:
            said_at = time.monotonic()
            conn.send(Step(done, total))

    while True:
        message = asked.get()
        if isinstance(message, Job):
            job = message
            continue
        assert job is not None
        answer = trained(pipeline, job, message, device, on_step, lambda line: conn.send(Said(line)))
        conn.send(answer)
        if isinstance(answer, Failed):
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
