"""Steps of a stack as captured graphs: on a GPU a step is recorded once, and then started by one call instead of dozens.

A thin shell around a step's function, which changes tensors in place (parameters, moments, sums of losses) and returns nothing. All that
differs between steps goes through buffers that lie still: the tensors of the dataclass it is given are copied into them before a graph is
replayed. Numbers that are no tensors belong to the shape: another number is another graph. `forget` what was captured when the stack
changes its tensors.

UNPROVED: no GPU has run this yet; `tests/training/test_graphs.py` holds it, with a stand-in that records operations on a CPU, to the bits
of plain steps. So it is off unless the environment says SUBPOP_CUDA_GRAPHS=1. Shapes are filled up on every GPU, captured or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

SWITCH = "SUBPOP_CUDA_GRAPHS"
WARM = 3  # steps of a shape that run as they are, on a stream aside, before it is captured: libraries allocate at their first calls
MOST_GRAPHS = 32  # of one stack; steps of yet other shapes run as they are


class Graph(Protocol):
    """What was captured."""

    def replay(self) -> None: ...


def wanted(device: torch.device) -> bool:
    """Whether steps on the device are captured."""
    return device.type == "cuda" and os.environ.get(SWITCH) == "1"


class Steps:
    """A step's function, called or replayed. Its first argument is a dataclass of tensors, the others are part of the shape."""

    def __init__(self, function: Callable[..., None], device: torch.device, capture: bool) -> None:
        self.function, self.device, self.capture = function, device, capture
        self._held: dict[object, _Held] = {}
        self._captured: CapturedOn = CAPTURES[device.type](device) if capture else None

    def __call__(self, rows: Any, *more: object) -> None:
        if not self.capture:
            self.function(rows, *more)
            return
        tensors: list[Tensor] = []
        shape = (_taken_apart(rows, tensors), more)
        held = self._held.get(shape)
        if held is None:
            if len(self._held) == MOST_GRAPHS:
                self.function(rows, *more)
                return
            held = self._held[shape] = _Held()
        if held.warm < WARM:
            held.warm += 1
            with self._captured.aside():
                self.function(rows, *more)
            return
        if held.graph is None:
            held.buffers = [t.clone() for t in tensors]
            still = _put_together(shape[0], iter(held.buffers))
            held.graph = self._captured.capture(lambda: self.function(still, *more))
        torch._foreach_copy_(held.buffers, tensors)
        held.graph.replay()

    def forget(self) -> None:
        """Capture anew: the tensors that the function changes are others now."""
        self._held.clear()


class _Held:
    """Of one shape: how many of its steps have run as they are, its graph, and the buffers that the graph reads."""

    def __init__(self) -> None:
        self.warm = 0
        self.graph: Graph | None = None
        self.buffers: list[Tensor] = []


class OnCuda:
    """Graphs of one stack on a GPU. They share memory: none leaves anything in it that another reads."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream, self.pool = device, torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On a stream aside, in order with what comes before and after."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def capture(self, function: Callable[[], None]) -> Graph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            function()
        return graph


CapturedOn = Any  # `OnCuda`, or what stands in for it in tests
CAPTURES: dict[str, Callable[[torch.device], CapturedOn]] = {"cuda": OnCuda}


# ---- what a step is given -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a tensor stood."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    strides: tuple[int, ...] | None  # of one that is not contiguous, as pixels that lie channels last


def _taken_apart(value: Any, tensors: list[Tensor]) -> Any:
    """The value with a place for each tensor, hashable; the tensors are added to the list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(tuple(value.shape), value.dtype, None if value.is_contiguous() else tuple(value.stride()))
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value), *(_taken_apart(getattr(value, field.name), tensors) for field in fields(value)))
    return value


def _put_together(apart: Any, tensors: Iterator[Tensor]) -> Any:
    """The other way round, of other tensors."""
    if isinstance(apart, _Place):
        return next(tensors)
    if isinstance(apart, tuple) and apart and isinstance(apart[0], type):
        return apart[0](*(_put_together(part, tensors) for part in apart[1:]))
    return apart
