"""What long work has come to on its way, put away so that a stop or a crash costs at most a minute of it.

Work that takes minutes before its result can be stored (a discovery, the timing of stacks) is given `Milestones`: it names its steps, and
a step that was finished before the work was stopped is not done again. Who wants nothing kept passes NOTHING_KEPT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from engine.rows import Dataset

Arrays = Mapping[str, "np.ndarray"]  # by name; of the types that a store keeps


class Milestones(Protocol):
    """The steps of one run's work. The same step over the same data must always come to the same arrays."""

    def begin(self, *datasets: Dataset) -> None:
        """Say of which rows what follows is made: what was put away of others does not count. Called before the first step."""
        ...

    def step(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """What `make` comes to: as it was put away before, else made now and put away. Ends the step's `state`."""
        ...

    def state(self, name: str) -> Arrays | None:
        """Where a step stood that was not finished; None where it begins from its beginning."""
        ...

    def hold(self, name: str, state: Callable[[], Arrays]) -> None:
        """Offer where an unfinished step stands, as often as one likes: it is asked for now and then, and when the work is stopped.

        state: must give what it would give now whenever it is called, until the next one is offered.
        """
        ...


class NothingKept:
    """For work that is not a run's: nothing outlives it."""

    def begin(self, *datasets: Dataset) -> None:
        pass

    def step(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        return make()

    def state(self, name: str) -> Arrays | None:
        return None

    def hold(self, name: str, state: Callable[[], Arrays]) -> None:
        pass


NOTHING_KEPT = NothingKept()


def of_texts(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array that can be kept: uint8, the bytes of a JSON list."""
    import json

    import numpy as np

    return np.frombuffer(json.dumps(list(texts), ensure_ascii=False).encode(), np.uint8)


def texts_of(array: np.ndarray) -> tuple[str, ...]:
    """What `of_texts` was given."""
    import json

    return tuple(json.loads(array.tobytes().decode()))
