"""A stand-in on the CPU for captured graphs: operations are recorded with the very tensors and numbers they met, and replayed with these.

As on a GPU, capturing leaves no trace (what it changed is put back), what asks for a number on the host is refused, and a replay knows
nothing but the memory that it recorded: an input that bypasses the buffers, a number worked out on the host, or a tensor that was replaced
since give other results than the step itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.worlds.dry import WAITS

Call = tuple[Any, tuple[Any, ...], dict[str, Any], list[tuple[int, Tensor]]]


class Tape(TorchDispatchMode):
    """One captured step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.saved: dict[int, tuple[Tensor, Tensor]] = {}
        self.born: dict[int, Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        assert name.rstrip("_") not in WAITS, f"{name} waits for the device: it cannot be captured"
        assert not any(word in name for word in ("rand", "bernoulli", "dropout")), f"{name} draws: it is not replayed alike"
        written = _written(func, args, kwargs)
        for tensor in written:
            self._save(tensor)
        out = func(*args, **kwargs)
        given = {_memory(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        fresh = [(i, t) for i, t in enumerate(tree_leaves(out)) if isinstance(t, Tensor) and _memory(t) not in given]
        for _, tensor in fresh:
            self.born[_memory(tensor)] = tensor
        if fresh or written:
            self.calls.append((func, args, kwargs, fresh))
        return out

    def _save(self, tensor: Tensor) -> None:
        at = _memory(tensor)
        if at and at not in self.born and at not in self.saved:
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            self.saved[at] = (whole, whole.clone())

    def put_back(self) -> None:
        for whole, before in self.saved.values():
            whole.copy_(before)

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, fresh in self.calls:
                leaves = tree_leaves(func(*args, **kwargs))
                for i, tensor in fresh:
                    tensor.copy_(leaves[i])


class OnTape:
    """In the place of `graphs.OnCuda`."""

    made: list[Tape]

    def __init__(self, device: torch.device) -> None:
        self.made = []
        ALL.append(self)

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def capture(self, function: Callable[[], None]) -> Tape:
        tape = Tape()
        with tape:
            function()
        tape.put_back()
        self.made.append(tape)
        return tape


ALL: list[OnTape] = []  # for tests to count what was captured


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for at, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[at] if at < len(args) else kwargs.get(argument.name)
            found += [t for t in tree_leaves(value) if isinstance(t, Tensor)]
    if func._schema.name.endswith("batch_norm"):  # its schema does not say that it writes the running statistics
        found += [t for t in args[3:5] if isinstance(t, Tensor)]
    return found
