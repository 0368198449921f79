"""Parts of a stack side by side on a CPU, a forked process each.

Threads would not do: a step is some forty short calls, and Python's lock lets one thread at a time make them (two threads measured
slower than one; threads inside so small a product wait for each other more than they work). A fork shares the rows it reads without
a copy and hands back its victims through memory mapped before it, so nothing is serialised.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import RunFailed, SubpopError
from engine.training.recipe import Trained

POLL_S = 0.1  # how often the control is called

TrainPart = Callable[[Sequence[int], Callable[[float], None], Callable[[int], None]], list[Trained]]
"""(victims, report, on_halved) -> what became of them: called in the part's own process."""


def can_fork() -> bool:
    """Whether parts can have processes here. Elsewhere than on Linux a fork of a process with threads is not safe."""
    return sys.platform == "linux"


@dataclass
class _Shared:
    """Memory that the parent and its parts map: where victims' parameters and progress arrive."""

    params_VP: Tensor  # every victim's parameters, flattened
    ends_V2: Tensor  # float64 [victims, 2]: epochs, training loss
    done_W: Tensor  # float64 [parts], victims done, counting parts of them
    hold: Tensor  # uint8 [1]: while it is not zero, parts stand still

    @classmethod
    def of(cls, victims: int, numbers: int, parts: int, dtype: torch.dtype) -> _Shared:
        return cls(
            _mapped((victims, numbers), dtype),
            _mapped((victims, 2), torch.float64),
            _mapped((parts,), torch.float64),
            _mapped((1,), torch.uint8),
        )


def _mapped(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros that a fork shares instead of copying."""
    count = max(1, torch.Size(shape).numel())
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype)[:count].view(shape)


@dataclass
class _Part:
    pid: int
    words: int  # file descriptor: what it says, a JSON line each


def train_in_parts(
    train: TrainPart, shapes: Sequence[torch.Size], dtype: torch.dtype, parts: Sequence[Sequence[int]], control: Callable[[float], None],
    on_halved: Callable[[int], None],
) -> dict[int, Trained]:  # fmt: skip
    """Train `parts` (lists of victim numbers) side by side; victim number -> what became of it.

    shapes: of one victim's parameters. control is called by this process alone, often, with the victims done; while it holds, the parts
    stand still, and what it raises ends them. Raises what a part raised: a SubpopError in its own words, else RunFailed.
    """
    victims = sum(map(len, parts))
    shared = _Shared.of(victims, sum(s.numel() for s in shapes), len(parts), dtype)
    running: list[_Part] = []
    try:
        for number, part in enumerate(parts):
            running.append(_start(number, part, train, shared))
        _watch(running, shared, control, on_halved)
    finally:
        for part_ in running:
            os.close(part_.words)
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(part_.pid, signal.SIGKILL)  # nothing that it has is needed any more, and it may hang
                os.waitpid(part_.pid, 0)
    return {v: _read(shared, v, shapes) for part in parts for v in part}


def _start(number: int, part: Sequence[int], train: TrainPart, shared: _Shared) -> _Part:
    parent = os.getpid()
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return _Part(pid, read)
    status = 1
    try:
        # the parent's handlers are about the parent; it alone decides when a part ends
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        os.close(read)
        torch.set_num_threads(1)

        def report(done: float) -> None:
            shared.done_W[number] = done
            while shared.hold[0] and os.getppid() == parent:
                time.sleep(0.001)
            if os.getppid() != parent:
                os._exit(0)

        for v, fit in zip(part, train(part, report, lambda size: _say(write, halved=size)), strict=True):
            shared.params_VP[v] = torch.cat([p.flatten() for p in fit.params])
            shared.ends_V2[v, 0], shared.ends_V2[v, 1] = fit.epochs, fit.train_loss
        _say(write, through=True)
        status = 0
    except SubpopError as error:
        _say(write, what=error.what, where=error.where, next=error.next)
    except BaseException:
        _say(write, crash=traceback.format_exc()[-3000:])
    finally:
        os._exit(status)  # not sys.exit: what the parent registered for its own end is not the part's to do


def _say(words: int, **message: object) -> None:
    os.write(words, json.dumps(message).encode() + b"\n")


def _watch(running: list[_Part], shared: _Shared, control: Callable[[float], None], on_halved: Callable[[int], None]) -> None:
    """Return when all parts are through."""
    heard = {part.pid: b"" for part in running}
    through = set()
    while running:
        for part in list(running):
            ended, _ = os.waitpid(part.pid, os.WNOHANG)
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(part.words, 65536):
                    heard[part.pid] += chunk
            *lines, heard[part.pid] = heard[part.pid].split(b"\n")
            for line in lines:
                if _obey(json.loads(line), on_halved):
                    through.add(part.pid)
            if ended:
                running.remove(part)
                os.close(part.words)
                if part.pid not in through:
                    raise RunFailed("a part of the stack ended without a word, perhaps killed for memory", next="resume with fewer threads")
        shared.hold[0] = 1
        control(float(shared.done_W.sum()))
        shared.hold[0] = 0
        if running:
            select.select([part.words for part in running], [], [], POLL_S)


def _obey(message: dict[str, str], on_halved: Callable[[int], None]) -> bool:
    """Act on what a part says; True where it says that it is through."""
    if "halved" in message:
        on_halved(int(message["halved"]))
    elif "crash" in message:
        raise RuntimeError(f"in a part of the stack:\n{message['crash']}")
    elif "what" in message:
        raise RunFailed(message["what"], where=message["where"], next=message["next"])
    return "through" in message


def _read(shared: _Shared, v: int, shapes: Sequence[torch.Size]) -> Trained:
    pieces = shared.params_VP[v].split([s.numel() for s in shapes])
    epochs, loss = shared.ends_V2[v].tolist()
    return Trained([p.clone().view(s) for p, s in zip(pieces, shapes, strict=True)], int(epochs), loss)
