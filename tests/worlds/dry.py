"""Training without a GPU on tensors that say they lie on one: what would wait for the GPU, or mix two devices up, is found on any machine.

Fake tensors have shapes, types and devices and no numbers. An operation on tensors of two devices raises, as on a GPU. What asks a fake for
a number is given one here and put down, with the line of ours that asked: all of it is found in one go.

A step lasts from the moment its rows are asked for (OPENS) until Adam is through (CLOSES), and an epoch's steps until the next epoch's
order is drawn or a result is read.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from engine.models.networks import network
from engine.training import graphs, host
from engine.training.adam import DecayedAdam, StackAdam
from engine.training.dense import _EpochPoison
from engine.training.encoders import dropout
from engine.training.encoders.rows import EpochRows
from engine.training.networks.rows import EpochPictures
from engine.training.schedule import Schedule

OPENS: list[tuple[type, str]] = [(_EpochPoison, "rows"), (EpochRows, "step"), (EpochPictures, "step")]
CLOSES: list[tuple[type, str]] = [(StackAdam, "step"), (DecayedAdam, "step")]
ENDS: list[tuple[type, str]] = [(Schedule, "order")]
ENGINE = str(Path(host.__file__).parents[1])
CUDA, META = torch.device("cuda:0"), torch.device("meta")
# what needs numbers to know its own shape or answer: on a GPU the program waits for all that was asked before
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "allclose", "unique_dim", "_unique2",
         "unique_consecutive", "bincount", "repeat_interleave", "histc")  # fmt: skip
MASKS = (torch.bool, torch.uint8)


@dataclass
class Watch:
    """What was found.

    shapes: what graphs tell steps apart by. found: (what, file of ours: line) -> how often, within steps; between: between steps.
    """

    mode: FakeTensorMode = field(default_factory=FakeTensorMode)
    steps: int = 0
    ops: int = 0  # within steps
    uploads: int = 0
    reads: int = 0
    in_step: bool = False
    in_epoch: bool = False
    shapes: dict[graphs.Steps, set[object]] = field(default_factory=lambda: defaultdict(set))  # of steps, for each stack
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    between: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fake(self, tensor: Tensor, device: torch.device | None = None) -> Tensor:
        """A real tensor as a fake, on a device."""
        return self.mode.from_tensor(tensor).to(device or "cpu")

    def note(self, what: str) -> None:
        if self.in_step or self.in_epoch:
            (self.found if self.in_step else self.between)[what, _line_of_ours()] += 1

    def opened(self) -> None:
        self.in_step = self.in_epoch = True

    def closed(self) -> None:
        self.steps += self.in_step
        self.in_step = False

    def ended(self) -> None:
        self.in_step = self.in_epoch = False


class _Ops(TorchDispatchMode):
    """Above the fakes: every operation, and numbers for who asks for some."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        watch, kwargs = self.watch, kwargs or {}
        name = func._schema.name.partition("::")[2]
        watch.ops += watch.in_step and not name.startswith("device")
        if name.rstrip("_") in WAITS or name in WAITS:
            if args[0].device.type != "cpu":  # what lies on the host is waited for by nobody
                watch.note(f"{name} waits for the device")
            return _stand_in(name, args)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            indices = [i for i in args[1] if isinstance(i, Tensor)]
            if any(i.dtype in MASKS for i in indices):
                watch.note(f"{name} by a mask waits for the device")
                [mask] = indices
                return args[0].new_empty((mask.numel(), *args[0].shape[mask.dim() :])) if name == "index" else args[0]
            if any(i.device.type != args[0].device.type for i in indices):
                watch.note(f"{name} by an index that is elsewhere copies it, blocking")
        out = func(*args, **kwargs)
        if name in ("_to_copy", "copy_", "copy"):
            self._copied(args[0] if name == "_to_copy" else args[1], out, kwargs.get("non_blocking", (*args, False, False)[2] is True))
        elif watch.in_step and any(_host(t) for t in (out if isinstance(out, tuple | list) else (out,))):
            watch.note(f"{name} is worked out on the host")
        return out

    def _copied(self, source: Tensor | float, copy: Tensor, non_blocking: bool) -> None:
        if not isinstance(source, Tensor):  # a number, which travels with the call
            return
        there = {source.device.type, copy.device.type}
        if len(there) > 1:
            how = "" if non_blocking else ", blocking"
            self.watch.note(f"a copy from {source.device.type} to {copy.device.type}{how}")


def _host(out: object) -> bool:
    return isinstance(out, Tensor) and out.device.type == "cpu" and out.dim() > 0


def _stand_in(name: str, args: Any) -> Any:
    asked: Tensor = args[0]
    if name == "_local_scalar_dense":
        return True if asked.dtype == torch.bool else 1.0 if asked.is_floating_point() else 1
    if name == "nonzero":
        return asked.new_empty((asked.numel(), asked.dim()), dtype=torch.int64)
    if name == "masked_select":
        return asked.new_empty(asked.numel())
    if name in ("equal", "is_nonzero", "allclose"):
        return True
    raise AssertionError(f"{name}: within a step nothing may wait for the device")


def _line_of_ours() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(ENGINE):
        frame = frame.f_back
    if frame is None:
        return "the backward pass"
    return f"{frame.f_code.co_filename[len(ENGINE) + 1 :]}:{frame.f_lineno}"


@contextmanager
def dry(*, free: int = 2**40) -> Iterator[Watch]:
    """Within it all tensors are fakes; free: bytes that the GPU has to spare."""
    torch._C._ensureCUDADeviceGuardSet()
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        for owners, call in ((OPENS, watch.opened), (CLOSES, watch.closed), (ENDS, watch.ended)):
            for owner, name in owners:
                patch.setattr(owner, name, _told(owner.__dict__[name], call, after=owners is CLOSES))
        patch.setattr(dropout, "seeded", lambda device, seed: None)
        patch.setattr(graphs.Steps, "__call__", _shape_noted(watch, graphs.Steps.__call__))
        patch.setattr(host, "to_host", _to_host(watch))
        patch.setattr(host, "upload", _upload(watch))
        patch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, 2**41))
        for name in ("memory_reserved", "memory_allocated"):
            patch.setattr(torch.cuda, name, lambda device=None: 0)
        network._channels.cache_clear()
        try:
            with watch.mode, _Ops(watch):
                yield watch
        finally:
            network._channels.cache_clear()  # it keeps tensors of each device


def _told(method: Callable[..., Any], call: Callable[[], None], *, after: bool) -> Callable[..., Any]:
    def told(*args: Any, **kwargs: Any) -> Any:
        if not after:
            call()
        out = method(*args, **kwargs)
        if after:
            call()
        return out

    return told


def _shape_noted(watch: Watch, call: Callable[..., None]) -> Callable[..., None]:
    def noted(steps: graphs.Steps, rows: Any, *more: object) -> None:
        watch.shapes[steps].add(graphs._taken_apart(rows, []))
        call(steps, rows, *more)

    return noted


def _to_host(watch: Watch) -> Callable[[Tensor], np.ndarray]:
    def to_host(tensor: Tensor) -> np.ndarray:
        if watch.in_step:
            watch.note("a result is read")
        watch.reads += 1
        watch.ended()
        return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))

    return to_host


def _upload(watch: Watch) -> Callable[[np.ndarray | Tensor, torch.device], Tensor]:
    def upload(rows: np.ndarray | Tensor, device: torch.device) -> Tensor:
        if watch.in_step:
            watch.note("an upload")
        watch.uploads += 1
        on_host = rows if isinstance(rows, Tensor) else torch.from_numpy(np.ascontiguousarray(rows))
        assert on_host.device.type == "cpu", "what is uploaded lies there already"
        return torch.empty(on_host.shape, dtype=on_host.dtype, device=device)  # a copy that the watch does not see

    return upload
