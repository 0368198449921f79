"""Parts of a stack side by side on a CPU, a forked process each.

Threads would not do: a step is some forty short calls, and Python's lock lets one thread at a time make them (two threads measured
slower than one; threads inside so small a product wait for each other more than they work). A fork shares the rows it reads without
a copy and hands back its victims through a file in memory opened before it: their bytes, with shapes and types beside them, so nothing
is pickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import select
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import RequestError, RunFailed, SubpopError
from engine.system.threads import of_torch
from engine.training.halving import is_out_of_memory
from engine.training.recipe import Trained

POLL_S = 0.1  # how often the control is called
in_turn = False  # set once by a process that must not fork: its parts are trained one after another, each as it would be by itself

TrainPart = Callable[[Sequence[int], Callable[[float], None], Callable[[int], None]], list[Trained]]
"""(victims, report, on_halved) -> what became of them: called in the part's own process."""


class NoMemory(RunFailed):
    """A part ended for lack of memory, or without a word, as what the system kills for it does."""


def can_fork() -> bool:
    """Whether parts can have processes here, or turns (`in_turn`). Elsewhere than on Linux a fork of a process with threads is not safe."""
    return sys.platform == "linux"


@dataclass
class _Shared:
    """Memory that the parent and its parts map."""

    done_W: Tensor  # float64 [parts], victims done, counting parts of them
    hold: Tensor  # uint8 [1]: while it is not zero, parts stand still

    @classmethod
    def of(cls, parts: int) -> _Shared:
        return cls(_mapped((parts,), torch.float64), _mapped((1,), torch.uint8))


def _mapped(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros that a fork shares instead of copying."""
    count = max(1, torch.Size(shape).numel())
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype)[:count].view(shape)


@dataclass
class _Part:
    pid: int
    words: int  # file descriptor: what it says, a JSON line each
    tensors: int  # file descriptor: what its victims leave, one tensor after the other


def train_in_parts(
    train: TrainPart,
    parts: Sequence[Sequence[int]],
    control: Callable[[float], None],
    on_halved: Callable[[int], None],
    at_once: int | None = None,
) -> dict[int, Trained]:
    """Train `parts` (lists of victim numbers) side by side; victim number -> what became of it.

    at_once: so many processes at a time, a part begins where another has ended; None: all.
    control is called by this process alone, often, with the victims done; while it holds, the parts stand still, and what it raises
    ends them. Raises what a part raised: a RequestError as it was, another SubpopError as a RunFailed in its own words.
    """
    if in_turn:
        return _one_after_another(train, parts, control, on_halved)
    shared = _Shared.of(len(parts))
    done: dict[int, Trained] = {}
    running: list[_Part] = []
    try:
        waiting = list(enumerate(parts))

        def begin() -> None:
            while waiting and len(running) < (at_once or len(parts)):
                running.append(_start(*waiting.pop(0), train, shared))

        begin()
        _watch(running, shared, control, on_halved, done, begin)
    finally:
        for part_ in running:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(part_.pid, signal.SIGKILL)  # nothing that it has is needed any more, and it may hang
                os.waitpid(part_.pid, 0)
            _close(part_)
    return done


def _one_after_another(
    train: TrainPart, parts: Sequence[Sequence[int]], control: Callable[[float], None], on_halved: Callable[[int], None]
) -> dict[int, Trained]:
    """The same in this process: the same parts with one thread each, so the same bits."""
    done: dict[int, Trained] = {}
    with of_torch(1):
        for part in parts:
            before = len(done)
            fits = train(part, lambda share, before=before: control(before + share), on_halved)  # type: ignore[misc]
            done.update(zip(part, fits, strict=True))
    return done


def _start(number: int, part: Sequence[int], train: TrainPart, shared: _Shared) -> _Part:
    parent = os.getpid()
    read, write = os.pipe()
    tensors = os.memfd_create("victims")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return _Part(pid, read, tensors)
    status = 1
    try:
        # the parent's handlers are about the parent; it alone decides when a part ends
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        os.close(read)
        _end_with(parent)
        torch.set_num_threads(1)
        _keep_freed_memory()

        def report(done: float) -> None:
            shared.done_W[number] = done
            while shared.hold[0] and os.getppid() == parent:
                time.sleep(0.001)
            if os.getppid() != parent:
                os._exit(0)

        for v, fit in zip(part, train(part, report, lambda victims: _say(write, halved=victims)), strict=True):
            _hand_over(v, fit, tensors, write)
        _say(write, through=True)
        status = 0
    except SubpopError as error:
        _say(write, what=error.what, where=error.where, next=error.next, refused=isinstance(error, RequestError))
    except BaseException as error:
        if is_out_of_memory(error):
            _say(write, no_memory=str(error)[:1000] or type(error).__name__)
        else:
            _say(write, crash=traceback.format_exc()[-3000:])
    finally:
        os._exit(status)  # not sys.exit: what the parent registered for its own end is not the part's to do


def _end_with(parent: int) -> None:
    """Have the system end this process with the one that forked it, whatever it is at: a part may report nothing for long."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def _say(words: int, **message: object) -> None:
    os.write(words, json.dumps(message).encode() + b"\n")


def _keep_freed_memory() -> None:
    """Have the allocator keep what a step frees for the next one: fresh from the system it costs a page fault per 4 KiB, a tenth of a
    convolutional network's step. For a process that ends with its part."""
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        tune = ctypes.CDLL(None).mallopt
        tune(-3, 32 * 2**20)  # M_MMAP_THRESHOLD, at its highest
        tune(-1, 2**30)  # M_TRIM_THRESHOLD


def _close(part: _Part) -> None:
    os.close(part.words)
    os.close(part.tensors)


def _hand_over(v: int, fit: Trained, tensors: int, words: int) -> None:
    """Write a victim's tensors to the file and say where."""
    places = []
    for tensor in fit.params:
        data = memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())  # type: ignore[arg-type]
        start = os.lseek(tensors, 0, os.SEEK_CUR)
        while data:
            data = data[os.write(tensors, data) :]
        places.append([start, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")])
    _say(words, victim=v, epochs=fit.epochs, train_loss=fit.train_loss, tensors=places)


def _take_over(message: Mapping[str, Any], tensors: int) -> Trained:
    """A victim as its part handed it over."""

    def read(start: int, shape: list[int], name: str) -> Tensor:
        dtype = getattr(torch, name)
        tensor = torch.empty(math.prod(shape) * dtype.itemsize, dtype=torch.uint8)
        data = memoryview(tensor.numpy())  # type: ignore[arg-type]
        while data:
            got = os.preadv(tensors, [data], start)
            if not got:
                raise RunFailed("what a victim left is shorter than its part said", next="resume the run")
            data, start = data[got:], start + got
        return tensor.view(dtype).view(shape)

    return Trained([read(*place) for place in message["tensors"]], message["epochs"], message["train_loss"])


def _watch(
    running: list[_Part],
    shared: _Shared,
    control: Callable[[float], None],
    on_halved: Callable[[int], None],
    done: dict[int, Trained],
    begin: Callable[[], None],
) -> None:
    """Return when all parts are through, with their victims in `done`. begin: starts those that waited for a place."""
    heard: dict[int, bytes] = defaultdict(bytes)
    through = set()
    while running:
        for part in list(running):
            ended, _ = os.waitpid(part.pid, os.WNOHANG)
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(part.words, 65536):
                    heard[part.pid] += chunk
            *lines, heard[part.pid] = heard[part.pid].split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "victim" in message:
                    done[message["victim"]] = _take_over(message, part.tensors)
                elif _obey(message, on_halved):
                    through.add(part.pid)
            if ended:
                running.remove(part)
                _close(part)
                if part.pid not in through:
                    raise NoMemory("a part of the stack ended without a word, perhaps killed for memory", next="resume with fewer threads")
        begin()
        shared.hold[0] = 1
        control(float(shared.done_W.sum()))
        shared.hold[0] = 0
        if running:
            select.select([part.words for part in running], [], [], POLL_S)


def _obey(message: Mapping[str, Any], on_halved: Callable[[int], None]) -> bool:
    """Act on what a part says; True where it says that it is through."""
    if "halved" in message:
        on_halved(int(message["halved"]))
    elif "no_memory" in message:
        what = f"a part of the stack does not fit in memory beside the others: {message['no_memory']}"
        raise NoMemory(what, next="resume with fewer threads")
    elif "crash" in message:
        raise RuntimeError(f"in a part of the stack:\n{message['crash']}")
    elif "what" in message:
        kind = RequestError if message["refused"] else RunFailed
        raise kind(message["what"], where=message["where"], next=message["next"])
    return "through" in message
