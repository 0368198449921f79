"""The milestones of a run, in the store: what its worker, or the one before it, has done of a discovery or a plan that is not whole yet.

What is done is written every few seconds, not at once, so that a quick discovery writes nothing; what would be made again sooner than it
is written is never written. A stop writes what there is, a crash loses what was done since the last time. All of it is dropped in the
transaction that stores the discovery, or the plan.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from engine.errors import ClaimLost, StoreError, StoreGone
from engine.milestones import Arrays
from engine.store import Store

if TYPE_CHECKING:
    from engine.rows import Dataset

EVERY_S = 10.0  # how much finished work a crash may cost
STATE_EVERY_S = 30.0  # and how much of a step that is not finished
STATE_SHARE = 0.05  # of the time, at most, is spent on writing unfinished steps: the states of large networks are large
STATE_BYTES = 2**29  # of one that is larger nothing is kept
BYTES_A_SECOND = 50e6  # compressed and written


class StoredMilestones:
    """See `engine.milestones.Milestones`. provenance: of the run, given the data's checksums; another's milestones do not count.

    reused: how many steps were there already.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        provenance: Callable[[Mapping[str, str]], Mapping[str, object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reused = 0
        self._store, self._run_id, self._provenance, self._clock = store, run_id, provenance, clock
        self._made_of = ""
        self._there: dict[str, bool] = {}  # step -> whether it is not done
        self._pending: dict[str, Arrays] = {}
        self._state: tuple[str, Callable[[], Arrays]] | None = None
        self._written_at = self._state_at = clock()
        self._state_write_s = 0.0

    def begin(self, *datasets: Dataset) -> None:
        digest = blake2b(digest_size=16)
        for dataset in datasets:
            digest.update(json.dumps(dict(self._provenance(dataset.checksums)), sort_keys=True, default=str).encode())
            for rows in (dataset.train, dataset.aux, dataset.test):
                digest.update(repr((rows.x.shape, str(rows.x.dtype))).encode() + rows.y.tobytes() + rows.ids.tobytes())
        self._made_of = digest.hexdigest()
        kept = self._store.milestones(self._run_id)
        self._there = {step: unfinished for step, (made_of, unfinished) in kept.items() if made_of == self._made_of}
        if len(self._there) < len(kept):
            self._store.drop_milestones(self._run_id)
            self._there = {}
            self._store.log(self._run_id, "warning", "what was kept of it was made of other data, or by other code: it begins anew")
        self.forget()

    def forget(self) -> None:
        """What they led to is stored: nothing of them is to be written any more."""
        self._pending.clear()
        self._state = None
        self._written_at = self._state_at = self._clock()

    def step(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        if self._there.get(name) is False and (kept := self._read(name)) is not None:
            self.reused += 1
            return kept
        start = self._clock()
        arrays = make()
        if self._state is not None and self._state[0] == name:
            self._state = None
        if arrays and sum(array.nbytes for array in arrays.values()) <= BYTES_A_SECOND * (self._clock() - start):
            self._pending[name] = arrays
        if self._clock() - self._written_at >= EVERY_S:
            self._write_or_wait()
        return arrays

    def state(self, name: str) -> Arrays | None:
        return self._read(name) if self._there.get(name) else None

    def hold(self, name: str, state: Callable[[], Arrays]) -> None:
        self._state = (name, state)
        if self._clock() - self._state_at >= max(STATE_EVERY_S, self._state_write_s / STATE_SHARE):
            self._write_or_wait(with_state=True)

    def put_away(self, *, stopped: bool) -> None:
        """Write what there is as the work ends, as far as the store takes it. stopped: it ended where a step's state was just offered."""
        with contextlib.suppress(StoreError):
            self._write(with_state=stopped)

    def _write_or_wait(self, *, with_state: bool = False) -> None:
        """A store that is locked, or a full disk, ends no work that need not be written yet: the next time will do."""
        try:
            self._write(with_state=with_state)
        except (ClaimLost, StoreGone):
            raise
        except StoreError:
            self._written_at = self._state_at = self._clock()

    def _read(self, name: str) -> Arrays | None:
        try:
            return self._store.milestone(self._run_id, name) or None
        except ClaimLost:
            raise
        except StoreError as error:
            self._store.log(self._run_id, "warning", f"{error.what}: this step of the discovery is made anew")
            return None

    def _write(self, *, with_state: bool = False) -> None:
        steps, unfinished, start = dict(self._pending), "", self._clock()
        if with_state and self._state is not None:
            name, state = self._state
            arrays = state()
            if sum(array.nbytes for array in arrays.values()) <= STATE_BYTES:
                steps[name], unfinished = arrays, name
        if steps:
            self._store.put_milestones(self._run_id, self._made_of, steps, unfinished=unfinished)
        self._pending.clear()
        self._written_at = self._clock()
        if with_state:
            self._state_at, self._state_write_s = self._written_at, self._written_at - start
