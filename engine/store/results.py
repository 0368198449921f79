"""What a run found and did, in the store: its discovery, its stack plan, and every victim's predictions. Arrays are never pickled."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.account.data import DataAccount, of_json
from engine.arrays import BULK, DiscoveryArrays
from engine.errors import StoreError
from engine.rows import Membership, StackPlan, Subpopulation, Table, VictimResult, VictimSpec
from engine.store.checks import DTYPES
from engine.store.database import Database, damage_in_words
from engine.store.tables import put_tables

if TYPE_CHECKING:
    import numpy as np

DROP_MILESTONES = "DELETE FROM milestones WHERE run_id = ?"


@dataclass(frozen=True)
class StoredDiscovery:
    """What a run's discovery left in the store; tables are made from it without the data.

    y_test int64 [test rows]; provenance: whence it came (versions, data checksums, device, seed).
    """

    subpopulations: tuple[Subpopulation, ...]
    membership: Membership
    y_test: np.ndarray
    classes: tuple[str, ...]
    provenance: Mapping[str, Any]
    arrays: DiscoveryArrays = field(default_factory=DiscoveryArrays)


class Results(Database):
    """The part of the store that holds what tables are made of."""

    # ---- discovery --------------------------------------------------------------------------------------------------

    def save_discovery(
        self,
        run_id: str,
        *,
        subpopulations: Sequence[Subpopulation],
        membership: Membership,
        y_test: np.ndarray,
        classes: Sequence[str],
        provenance: Mapping[str, object],
        arrays: DiscoveryArrays | None = None,
        account: DataAccount | None = None,
    ) -> None:
        """Store what was discovered, once, in one transaction; a second time is an error, for victims were chosen by the first."""
        members = {f"membership.{split}": getattr(membership, split) for split in ("train", "aux", "test")}
        encoded = {name: encode(array) for name, array in {**members, "y_test": y_test, **(arrays or DiscoveryArrays()).by_name()}.items()}
        with self.write() as db:
            db.execute(DROP_MILESTONES, (run_id,))  # what was done of it on the way
            if db.execute("SELECT 1 FROM discoveries WHERE run_id = ?", (run_id,)).fetchone():
                raise StoreError("its subpopulations are already stored", where=f"run {run_id}", next="start a new run")
            db.execute(
                "INSERT INTO discoveries (run_id, classes, provenance, at, account) VALUES (?, ?, ?, ?, ?)",
                (run_id, _json(list(classes)), _json(dict(provenance)), self.now(), None if account is None else _json(account.as_json())),
            )
            db.executemany(
                "INSERT INTO subpopulations (run_id, number, fields) VALUES (?, ?, ?)",
                [(run_id, s.index, _json(asdict(replace(s, class_mix=dict(s.class_mix))))) for s in subpopulations],
            )
            db.executemany(
                "INSERT INTO arrays (run_id, name, dtype, shape, data) VALUES (?, ?, ?, ?, ?)",
                [(run_id, name, *parts) for name, parts in encoded.items()],
            )

    def subpopulations(self, run_id: str) -> tuple[Subpopulation, ...]:
        """A run's subpopulations by index; empty before its discovery. Needs no numpy."""
        rows = self.read("SELECT fields FROM subpopulations WHERE run_id = ? ORDER BY number", (run_id,))
        with damage_in_words(f"{self.path}, run {run_id}, its subpopulations"):
            return tuple(Subpopulation(**json.loads(row["fields"])) for row in rows)

    def provenance(self, run_id: str) -> dict[str, Any]:
        """Whence a run's rows come: versions, checksums, device, seed; empty before its discovery. Needs no numpy."""
        rows = self.read("SELECT provenance FROM discoveries WHERE run_id = ?", (run_id,))
        with damage_in_words(f"{self.path}, run {run_id}, its provenance"):
            return dict(json.loads(rows[0]["provenance"])) if rows else {}

    def account(self, run_id: str) -> DataAccount | None:
        """The account of a run's data; None before its discovery, and of a run whose discovery an older version made. Needs no numpy."""
        rows = self.read("SELECT account FROM discoveries WHERE run_id = ? AND account IS NOT NULL", (run_id,))
        with damage_in_words(f"{self.path}, run {run_id}, the account of its data"):
            return of_json(json.loads(rows[0]["account"])) if rows else None

    def discovery(self, run_id: str, *, bulk: bool = False) -> StoredDiscovery | None:
        """What was stored of a run's discovery, or None before it. bulk: the arrays too that only training needs (BULK)."""
        heads = self.read("SELECT classes, provenance FROM discoveries WHERE run_id = ?", (run_id,))
        if not heads:
            return None
        arrays = {}
        left_out = () if bulk else BULK
        wanted = f"SELECT name, dtype, shape, data FROM arrays WHERE run_id = ? AND name NOT IN ({', '.join('?' * len(left_out))})"
        for row in self.read(wanted, (run_id, *left_out)):
            arrays[row["name"]] = decode(row["dtype"], row["shape"], row["data"], where=f"{self.path}, run {run_id}, {row['name']}")
        try:
            members = Membership(*(arrays.pop(f"membership.{split}") for split in ("train", "aux", "test")))
            y_test = arrays.pop("y_test")
            further = DiscoveryArrays.from_names(arrays)
        except KeyError as error:
            raise StoreError(f"the array {error} is missing", where=f"{self.path}, run {run_id}", next="start the run anew") from error
        with damage_in_words(f"{self.path}, run {run_id}, its classes"):
            classes = tuple(json.loads(heads[0]["classes"]))
        return StoredDiscovery(self.subpopulations(run_id), members, y_test, classes, self.provenance(run_id), further)

    # ---- the plan ---------------------------------------------------------------------------------------------------

    def save_plan(self, run_id: str, stacks: Sequence[StackPlan]) -> None:
        """Store which victims train together, once, before any is trained; sets how many victims the run has."""
        rows = [(run_id, stack.index, stack.trial, _json([_spec_list(spec) for spec in stack.victims])) for stack in stacks]
        with self.write() as db:
            db.execute(DROP_MILESTONES, (run_id,))
            if db.execute("SELECT 1 FROM stacks WHERE run_id = ?", (run_id,)).fetchone():
                raise StoreError("its plan is already stored", where=f"run {run_id}", next="start a new run")
            db.executemany("INSERT INTO stacks (run_id, number, trial, victims) VALUES (?, ?, ?, ?)", rows)
            total = sum(len(stack.victims) for stack in stacks)
            db.execute("UPDATE runs SET victims_total = ?, victims_done = 0 WHERE id = ?", (total, run_id))

    def extend_plan(self, run_id: str, stacks: Sequence[StackPlan]) -> None:
        """Add stacks to a stored plan, numbered on from its last; what a run has trained decides what it trains next."""
        rows = [(run_id, stack.index, stack.trial, _json([_spec_list(spec) for spec in stack.victims])) for stack in stacks]
        with self.write() as db:
            last = db.execute("SELECT max(number) FROM stacks WHERE run_id = ?", (run_id,)).fetchone()[0]
            if last is None or [stack.index for stack in stacks] != list(range(last + 1, last + 1 + len(stacks))):
                raise StoreError("its plan is not the one to be gone on from", where=f"run {run_id}", next="start a new run")
            db.executemany("INSERT INTO stacks (run_id, number, trial, victims) VALUES (?, ?, ?, ?)", rows)
            more = sum(len(stack.victims) for stack in stacks)
            db.execute("UPDATE runs SET victims_total = victims_total + ? WHERE id = ?", (more, run_id))

    def plan(self, run_id: str) -> tuple[StackPlan, ...] | None:
        """The stored plan, or None before there is one."""
        rows = self.read("SELECT number, trial, victims FROM stacks WHERE run_id = ? ORDER BY number", (run_id,))
        if not rows:
            return None
        with damage_in_words(f"{self.path}, run {run_id}, its plan"):
            return tuple(StackPlan(r["number"], r["trial"], tuple(VictimSpec(*v) for v in json.loads(r["victims"]))) for r in rows)

    def stacks_done(self, run_id: str) -> set[int]:
        """The indices of the stacks whose victims are committed."""
        return {row["number"] for row in self.read("SELECT number FROM stacks WHERE run_id = ? AND done_at IS NOT NULL", (run_id,))}

    # ---- victims ----------------------------------------------------------------------------------------------------

    def commit_stack(
        self,
        run_id: str,
        stack_index: int,
        results: Sequence[VictimResult],
        duration_s: float,
        tables: Mapping[str, Table],
        too_many: int | None = None,
    ) -> None:
        """A trained stack's victims, the tables made with them and the run's count, in one transaction: all of it or nothing.

        too_many: how many victims at a time the device's memory was known not to hold by then.
        Raises StoreError where the stack is not in the plan, its victims are not those planned, or it is already committed.
        """
        self.commit_stacks(run_id, {stack_index: results}, duration_s, tables, too_many)

    def commit_stacks(
        self,
        run_id: str,
        stacks: Mapping[int, Sequence[VictimResult]],
        duration_s: float,
        tables: Mapping[str, Table],
        too_many: int | None = None,
    ) -> None:
        """The same of several stacks at once. duration_s: of each; nothing where they were taken over from another run."""
        # compressed before the write lock is taken
        rows = [_victim_values(run_id, stack_index, result) for stack_index, results in stacks.items() for result in results]
        with self.write() as db:
            for stack_index, results in stacks.items():
                _check_stack(db, run_id, stack_index, results)
            db.executemany(
                "INSERT INTO victims (run_id, number, stack, trial, arm, subpopulation, alpha, poison_points, already_target, epochs, "
                "train_loss, test_rows, predictions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.executemany(
                "UPDATE stacks SET done_at = ?, duration_s = ?, too_many = ? WHERE run_id = ? AND number = ?",
                [(self.now(), duration_s, too_many, run_id, stack_index) for stack_index in stacks],
            )
            put_tables(db, run_id, tables)
            db.execute("UPDATE runs SET victims_done = (SELECT count(*) FROM victims WHERE run_id = ?1) WHERE id = ?1", (run_id,))

    def victims(self, run_id: str, with_predictions: bool = True, *, of: int | None = None) -> list[VictimResult]:
        """Every committed victim by number; predictions uint8 [test rows], or an empty array where not asked for.

        of: only those that aim at this subpopulation, and the clean ones.
        """
        import numpy as np

        blob = "predictions" if with_predictions else "NULL AS predictions"
        rows = self.read(
            "SELECT number, trial, arm, subpopulation, alpha, poison_points, already_target, epochs, train_loss, test_rows, "
            f"{blob} FROM victims WHERE run_id = ?1 AND (?2 IS NULL OR subpopulation IS NULL OR subpopulation = ?2) ORDER BY number",
            (run_id, of),
        )
        results = []
        for row in rows:
            where = f"{self.path}, run {run_id}, victim {row['number']}"
            predictions = np.empty(0, np.uint8)
            if with_predictions:
                predictions = decode("uint8", f"[{row['test_rows']}]", row["predictions"], where=where)
            spec = VictimSpec(row["number"], row["trial"], row["arm"], row["subpopulation"], row["alpha"])
            loss = float("nan") if row["train_loss"] is None else row["train_loss"]
            results.append(VictimResult(spec, predictions, row["poison_points"], row["already_target"], row["epochs"], loss))
        return results

    def too_many(self, run_id: str) -> int | None:
        """How many victims at a time were too many for the device's memory, as the run's committed stacks knew it; None: none were."""
        least: int | None = self.read("SELECT min(too_many) FROM stacks WHERE run_id = ? AND done_at IS NOT NULL", (run_id,))[0][0]
        return least

    def stack_durations(self, run_id: str) -> dict[int, float]:
        """Stack index -> seconds it took, of those committed."""
        rows = self.read("SELECT number, duration_s FROM stacks WHERE run_id = ? AND done_at IS NOT NULL ORDER BY number", (run_id,))
        return {row["number"]: row["duration_s"] for row in rows}


def _check_stack(db: sqlite3.Connection, run_id: str, stack_index: int, results: Sequence[VictimResult]) -> None:
    where = f"run {run_id}, stack {stack_index}"
    row = db.execute("SELECT victims, done_at FROM stacks WHERE run_id = ? AND number = ?", (run_id, stack_index)).fetchone()
    if row is None:
        raise StoreError("the plan has no such stack", where=where, next="the run may have been deleted; start it anew")
    if row["done_at"] is not None:
        raise StoreError("its victims are already committed", where=where, next="another engine is at work on this run; stop one of them")
    planned = [VictimSpec(*fields) for fields in json.loads(row["victims"])]
    if sorted(planned, key=_number) != sorted((result.spec for result in results), key=_number):
        raise StoreError("these are not the victims that the plan names", where=where, next="start the run anew")


def _number(spec: VictimSpec) -> int:
    return spec.index


def _spec_list(spec: VictimSpec) -> list[object]:
    return [spec.index, spec.trial, spec.arm, spec.subpopulation, spec.alpha]


def _victim_values(run_id: str, stack_index: int, result: VictimResult) -> tuple[object, ...]:
    dtype, _, data = encode(result.predictions)
    if dtype != "uint8" or result.predictions.ndim != 1:
        raise ValueError(f"predictions are {dtype} of shape {result.predictions.shape}, not uint8 [test rows]")
    spec, loss = result.spec, float(result.train_loss)
    trained = (int(result.poison_points), int(result.already_target), int(result.epochs), loss)  # SQLite keeps NaN as NULL
    return (run_id, spec.index, stack_index, spec.trial, spec.arm, spec.subpopulation, spec.alpha, *trained, len(result.predictions), data)


def encode(array: np.ndarray, level: int = 6) -> tuple[str, str, bytes]:
    """(dtype, shape as JSON, zlib-compressed little-endian bytes) of an array. level: of the compression."""
    import numpy as np

    dtype = array.dtype.name
    if dtype not in DTYPES:
        raise ValueError(f"arrays of {dtype} are not stored; use one of {', '.join(sorted(DTYPES))}")
    raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return dtype, json.dumps(list(array.shape)), zlib.compress(raw, level)


def decode(dtype: str, shape: str, data: bytes, *, where: str) -> np.ndarray:
    """The array that `encode` stored. Raises StoreError where type, shape and bytes do not fit each other."""
    import numpy as np

    try:
        if dtype not in DTYPES:
            raise ValueError(f"unknown type {dtype!r}")
        dims = tuple(int(n) for n in json.loads(shape))
        size = int(np.prod(dims, dtype=np.int64)) * np.dtype(dtype).itemsize
        unpack = zlib.decompressobj()
        raw = unpack.decompress(data, size + 1)  # no more than it says: a damaged blob cannot fill the memory
        if len(raw) != size or not unpack.eof:
            raise ValueError(f"{len(raw)} bytes where {size} are needed")
    except (ValueError, TypeError, zlib.error) as error:
        raise StoreError(
            f"a stored array is damaged ({error})", where=where, next="restore the store from a copy, or start the run anew"
        ) from error
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(dims).astype(dtype)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
