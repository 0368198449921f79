"""What a run found and did, in the store: its discovery, its stack plan, and every victim's predictions. Arrays are never pickled."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from engine.account.data import DataAccount, of_json
from engine.arrays import BULK, DiscoveryArrays
from engine.errors import StoreError
from engine.rows import Cores, Membership, Planned, Shard, StackPlan, Subpopulation, Table, VictimResult, VictimSpec
from engine.store import digests
from engine.store.checks import DTYPES
from engine.store.database import Database
from engine.store.judged import pack, unpack
from engine.store.tables import put_tables
from engine.store.words import damage_in_words

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


PART_BYTES = 1 << 26  # of an array in one value, compressed: SQLite takes none of 1e9 bytes


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
        head = {
            "classes": _json(list(classes)),
            "provenance": _json(dict(provenance)),
            "at": self.now(),
            "account": None if account is None else _json(account.as_json()),
        }
        with self.write() as db:
            db.execute(DROP_MILESTONES, (run_id,))  # what was done of it on the way
            if db.execute("SELECT 1 FROM discoveries WHERE run_id = ?", (run_id,)).fetchone():
                raise StoreError("its subpopulations are already stored", where=f"run {run_id}", next="start a new run")
            fields = [{"number": s.index, "fields": _json(asdict(replace(s, class_mix=dict(s.class_mix))))} for s in subpopulations]
            digests.insert(db, "subpopulations", run_id, fields)
            most = min(PART_BYTES, db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) // 2)
            for name, (dtype, shape, data) in encoded.items():
                digests.insert(db, "arrays", run_id, [{"name": name, "dtype": dtype, "shape": shape, "data": data[:most]}])
                rest = ({"name": name, "number": at // most, "data": data[at : at + most]} for at in range(most, len(data), most))
                digests.insert(db, "array_parts", run_id, rest)
            digests.insert(db, "discoveries", run_id, [head], digests.under_discovery(db, run_id))

    def _discovery(self, db: sqlite3.Connection, run_id: str) -> sqlite3.Row | None:
        """Inside a snapshot: the row of a run's discovery, as it was written; None before it."""
        names = digests.columns("discoveries")
        row: sqlite3.Row | None = db.execute(f"SELECT {names}, {digests.SEALED} FROM discoveries WHERE run_id = ?1", (run_id,)).fetchone()
        if row is not None:
            self._check_row(db, "discoveries", run_id, row, "its discovery", digests.under_discovery(db, run_id))
        return row

    def _check_row(self, db: sqlite3.Connection, table: str, run_id: str, row: sqlite3.Row, what: str, under: bytes = b"") -> None:
        """Inside a snapshot: StoreError where a row that was read with SEALED is not as it was written."""
        digests.check(table, run_id, row, where=f"{self.path}, run {run_id}, {what}", next=way_out(db, table, run_id), under=under)

    def subpopulations(self, run_id: str) -> tuple[Subpopulation, ...]:
        """A run's subpopulations by index; empty before its discovery. Needs no numpy."""
        with self.snapshot() as db:
            return self._subpopulations(db, run_id) if self._discovery(db, run_id) is not None else ()

    def _subpopulations(self, db: sqlite3.Connection, run_id: str) -> tuple[Subpopulation, ...]:
        query = f"SELECT number, fields, digest, {digests.SEALED} FROM subpopulations WHERE run_id = ?1 ORDER BY number"
        rows = db.execute(query, (run_id,)).fetchall()
        for row in rows:
            self._check_row(db, "subpopulations", run_id, row, f"subpopulation {row['number']}")
        with damage_in_words(f"{self.path}, run {run_id}, its subpopulations"):
            return tuple(Subpopulation(**json.loads(row["fields"])) for row in rows)

    def provenance(self, run_id: str) -> dict[str, Any]:
        """Whence a run's rows come: versions, checksums, device, seed; empty before its discovery. Needs no numpy."""
        with self.snapshot() as db:
            head = self._discovery(db, run_id)
        with damage_in_words(f"{self.path}, run {run_id}, its provenance"):
            return {} if head is None else dict(json.loads(head["provenance"]))

    def trained_by(self, run_id: str, cluster: Mapping[str, object]) -> None:
        """Add to the provenance which of a cluster's nodes train: {"ray": version, "nodes": {node: devices}}; nodes of before stay."""
        with self.write() as db:
            row = self._discovery(db, run_id)
            if row is None:
                return
            stored = dict(json.loads(row["provenance"]))
            nodes = {**stored.get("cluster", {}).get("nodes", {}), **cast("Mapping[str, str]", cluster["nodes"])}
            stored["cluster"] = {**cluster, "nodes": dict(sorted(nodes.items()))}
            head = {**{name: row[name] for name in digests.COVERED["discoveries"]}, "provenance": _json(stored)}
            sealed = None if row["digest"] is None else digests.digest_of("discoveries", run_id, head, digests.under_discovery(db, run_id))
            db.execute("UPDATE discoveries SET provenance = ?, digest = ? WHERE run_id = ?", (head["provenance"], sealed, run_id))

    def account(self, run_id: str) -> DataAccount | None:
        """The account of a run's data; None before its discovery, and of a run whose discovery an older version made. Needs no numpy."""
        with self.snapshot() as db:
            head = self._discovery(db, run_id)
        with damage_in_words(f"{self.path}, run {run_id}, the account of its data"):
            return None if head is None or head["account"] is None else of_json(json.loads(head["account"]))

    def discovery(self, run_id: str, *, bulk: bool = False) -> StoredDiscovery | None:
        """What was stored of a run's discovery, or None before it. bulk: the arrays too that only training needs (BULK)."""
        with self.snapshot() as db:
            head = self._discovery(db, run_id)
            if head is None:
                return None
            subpopulations = self._subpopulations(db, run_id)
            arrays = self._arrays(db, run_id, () if bulk else BULK)
        try:
            members = Membership(*(arrays.pop(f"membership.{split}") for split in ("train", "aux", "test")))
            y_test = arrays.pop("y_test")
            further = DiscoveryArrays.from_names(arrays)
        except KeyError as error:
            raise StoreError(f"the array {error} is missing", where=f"{self.path}, run {run_id}", next="start the run anew") from error
        with damage_in_words(f"{self.path}, run {run_id}, its classes and provenance"):
            classes, provenance = tuple(json.loads(head["classes"])), dict(json.loads(head["provenance"]))
        return StoredDiscovery(subpopulations, members, y_test, classes, provenance, further)

    def _arrays(self, db: sqlite3.Connection, run_id: str, left_out: Sequence[str]) -> dict[str, np.ndarray]:
        """Inside a snapshot: a run's arrays by name."""
        wanted = f"run_id = ?1 AND name NOT IN ({', '.join(f'?{2 + at}' for at in range(len(left_out)))})"
        parts: dict[str, list[bytes]] = {}
        heads = {}
        for table, order in (("arrays", "name"), ("array_parts", "name, number")):
            query = f"SELECT {digests.columns(table)}, {digests.SEALED} FROM {table} WHERE {wanted} ORDER BY {order}"
            for row in db.execute(query, (run_id, *left_out)):
                self._check_row(db, table, run_id, row, str(row["name"]))
                parts.setdefault(row["name"], []).append(row["data"])
                if table == "arrays":
                    heads[row["name"]] = row["dtype"], row["shape"]
        places = {name: f"{self.path}, run {run_id}, {name}" for name in heads}
        return {name: decode(dtype, shape, parts.pop(name), where=places[name]) for name, (dtype, shape) in heads.items()}

    # ---- the plan ---------------------------------------------------------------------------------------------------

    def save_plan(self, run_id: str, stacks: Sequence[StackPlan], planned: Planned | None = None) -> None:
        """Store which victims train together, once, before any is trained; sets how many victims the run has."""
        with self.write() as db:
            db.execute(DROP_MILESTONES, (run_id,))
            if db.execute("SELECT 1 FROM stacks WHERE run_id = ?", (run_id,)).fetchone():
                raise StoreError("its plan is already stored", where=f"run {run_id}", next="start a new run")
            digests.insert(db, "stacks", run_id, map(_stack_values, stacks))
            if planned is not None:
                digests.insert(db, "plans", run_id, [_planned_values(planned)])
            total = sum(len(stack.victims) for stack in stacks)
            digests.update_run(db, run_id, {"victims_total": total, "victims_done": 0})

    def planned(self, run_id: str) -> Planned | None:
        """What the plan says beside its stacks; None before there is one, and of one that an older version made."""
        query = f"SELECT {digests.columns('plans')}, {digests.SEALED} FROM plans WHERE run_id = ?1"
        with self.snapshot() as db:
            row: sqlite3.Row | None = db.execute(query, (run_id,)).fetchone()
            if row is None:
                return None
            self._check_row(db, "plans", run_id, row, "its plan")
        shard = None if row["shard"] is None else Shard(row["shard"], row["shards"])
        return Planned(Cores(row["parts"], row["threads"]), row["discovery"], shard)

    def extend_plan(self, run_id: str, stacks: Sequence[StackPlan]) -> None:
        """Add stacks to a stored plan, numbered on from its last; what a run has trained decides what it trains next."""
        with self.write() as db:
            last = db.execute("SELECT max(number) FROM stacks WHERE run_id = ?", (run_id,)).fetchone()[0]
            (before,) = db.execute("SELECT victims_total FROM runs WHERE id = ?", (run_id,)).fetchone() or (0,)
            if last is None or [stack.index for stack in stacks] != list(range(last + 1, last + 1 + len(stacks))):
                raise StoreError("its plan is not the one to be gone on from", where=f"run {run_id}", next="start a new run")
            digests.insert(db, "stacks", run_id, map(_stack_values, stacks))
            more = sum(len(stack.victims) for stack in stacks)
            digests.update_run(db, run_id, {"victims_total": before + more})

    def plan(self, run_id: str) -> tuple[StackPlan, ...] | None:
        """The stored plan, or None before there is one."""
        with self.snapshot() as db:
            rows = self._stacks(db, run_id)
        if not rows:
            return None
        with damage_in_words(f"{self.path}, run {run_id}, its plan"):
            return tuple(StackPlan(r["number"], r["trial"], _specs(r)) for r in rows)

    def _stacks(self, db: sqlite3.Connection, run_id: str) -> list[sqlite3.Row]:
        """Inside a snapshot: the rows of a run's stacks by number, as they were written, none missing."""
        query = f"SELECT {digests.columns('stacks')}, {digests.SEALED} FROM stacks WHERE run_id = ?1 ORDER BY number"
        rows = db.execute(query, (run_id,)).fetchall()
        for row in rows:
            self._check_row(db, "stacks", run_id, row, f"stack {row['number']}")
        if rows and rows[0]["sealed"]:
            (total,) = db.execute("SELECT victims_total FROM runs WHERE id = ?", (run_id,)).fetchone()
            if (planned := sum(len(_specs(row)) for row in rows)) != total:
                where = f"{self.path}, run {run_id}, its plan"
                raise digests.damaged(f"{planned} victims where {total} were planned", where=where, next=way_out(db, "stacks", run_id))
        return rows

    def stacks_done(self, run_id: str) -> set[int]:
        """The indices of the stacks whose victims are committed."""
        with self.snapshot() as db:
            return {row["number"] for row in self._stacks(db, run_id) if row["done_at"] is not None}

    def take_back_damaged(self, run_id: str) -> list[int]:
        """Take back the stacks that have a victim which is not as it was written, so that they are trained again; their indices.

        For the worker that goes on with a run.
        """
        with self.write() as db:
            query = f"SELECT {digests.columns('victims')}, {digests.SEALED} FROM victims WHERE run_id = ?1"
            sound: dict[int, set[int]] = {}
            for row in db.execute(query, (run_id,)):
                if not digests.wrong("victims", run_id, row, sealed=bool(row["sealed"])):
                    sound.setdefault(row["stack"], set()).add(row["number"])
            stacks = self._stacks(db, run_id)
            lacking = [
                row for row in stacks if row["done_at"] is not None and {s.index for s in _specs(row)} != sound.get(row["number"], set())
            ]
            for row in lacking:
                numbers = [(run_id, spec.index) for spec in _specs(row)]
                db.executemany("DELETE FROM victims WHERE run_id = ? AND number = ?", numbers)
                db.execute("DELETE FROM victims WHERE run_id = ? AND stack = ?", (run_id, row["number"]))
                _set_stack(db, run_id, row, done_at=None, duration_s=None)
            if lacking:
                _count_victims(db, run_id)
        return [row["number"] for row in lacking]

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
        rows = [_victim_values(stack_index, result) for stack_index, results in stacks.items() for result in results]
        with self.write() as db:
            planned = {index: _check_stack(db, run_id, index, results) for index, results in stacks.items()}
            digests.insert(db, "victims", run_id, rows)
            for row in planned.values():
                _set_stack(db, run_id, row, done_at=self.now(), duration_s=duration_s, too_many=too_many)
            put_tables(db, run_id, tables, self.now())
            _count_victims(db, run_id)

    def victims(self, run_id: str, with_predictions: bool = True, *, of: int | None = None) -> list[VictimResult]:
        """Every committed victim by number; predictions uint8 [test rows], or an empty array where not asked for.

        of: only those that aim at this subpopulation, and the clean ones.
        """
        import numpy as np

        query = (
            f"SELECT {digests.columns('victims')}, {digests.SEALED} "
            "FROM victims WHERE run_id = ?1 AND (?2 IS NULL OR subpopulation IS NULL OR subpopulation = ?2) ORDER BY number"
        )
        with self.snapshot() as db:
            rows = db.execute(query, (run_id, of)).fetchall()
            for row in rows:
                self._check_row(db, "victims", run_id, row, f"victim {row['number']}")
            if (sealed := db.execute("SELECT digest FROM runs WHERE id = ?", (run_id,)).fetchone()) and sealed["digest"] is not None:
                due = [s for row in self._stacks(db, run_id) if row["done_at"] is not None for s in _specs(row)]
                wanted = sorted(s.index for s in due if of is None or s.subpopulation in (None, of))
                if wanted != [row["number"] for row in rows]:
                    where, there = f"{self.path}, run {run_id}, its victims", f"{len(rows)} are there where {len(wanted)} were committed"
                    raise digests.damaged(there, where=where, next=way_out(db, "victims", run_id))
        results = []
        for row in rows:
            where = f"{self.path}, run {run_id}, victim {row['number']}"
            predictions = np.empty(0, np.uint8)
            if with_predictions:
                predictions = decode("uint8", f"[{row['test_rows']}]", [row["predictions"]], where=where)
            spec = VictimSpec(row["number"], row["trial"], row["arm"], row["subpopulation"], row["alpha"])
            loss = float("nan") if row["train_loss"] is None else row["train_loss"]
            judged = None if row["judged"] is None else unpack(row["judged"], where=where)
            results.append(VictimResult(spec, predictions, row["poison_points"], row["already_target"], row["epochs"], loss, judged))
        return results

    def too_many(self, run_id: str) -> int | None:
        """How many victims at a time were too many for the device's memory, as the run's committed stacks knew it; None: none were."""
        with self.snapshot() as db:
            known = [row["too_many"] for row in self._stacks(db, run_id) if row["done_at"] is not None]
        return min((size for size in known if size is not None), default=None)

    def stack_durations(self, run_id: str) -> dict[int, float]:
        """Stack index -> seconds it took, of those committed."""
        with self.snapshot() as db:
            return {row["number"]: row["duration_s"] for row in self._stacks(db, run_id) if row["done_at"] is not None}


def way_out(db: sqlite3.Connection, table: str, run_id: str) -> str:
    """What to do about a damaged row of a run."""
    row = db.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
    if table in ("victims", "parts") and row is not None and row["state"] not in ("done", "queued"):
        return f"resume it, which trains what is damaged again: subpop resume {run_id}"
    return f"restore the store from a copy, or delete the run (subpop delete {run_id}) and start it again"


def _check_stack(db: sqlite3.Connection, run_id: str, stack_index: int, results: Sequence[VictimResult]) -> sqlite3.Row:
    """The stack's row, which these results may be committed to."""
    where = f"run {run_id}, stack {stack_index}"
    query = f"SELECT {digests.columns('stacks')}, {digests.SEALED} FROM stacks WHERE run_id = ?1 AND number = ?2"
    row: sqlite3.Row | None = db.execute(query, (run_id, stack_index)).fetchone()
    if row is None:
        raise StoreError("the plan has no such stack", where=where, next="the run may have been deleted; start it anew")
    digests.check("stacks", run_id, row, where=where, next=way_out(db, "stacks", run_id))
    if row["done_at"] is not None:
        raise StoreError("its victims are already committed", where=where, next="another engine is at work on this run; stop one of them")
    if sorted(_specs(row), key=_number) != sorted((result.spec for result in results), key=_number):
        raise StoreError("these are not the victims that the plan names", where=where, next="start the run anew")
    return row


def _set_stack(db: sqlite3.Connection, run_id: str, row: sqlite3.Row, **fields: float | None) -> None:
    """Inside a transaction: change a stack's row and its digest."""
    digest = None if row["digest"] is None else digests.digest_of("stacks", run_id, {**dict(row), **fields})
    names = ", ".join(f"{name} = ?" for name in fields)
    db.execute(f"UPDATE stacks SET {names}, digest = ? WHERE run_id = ? AND number = ?", (*fields.values(), digest, run_id, row["number"]))


def _count_victims(db: sqlite3.Connection, run_id: str) -> None:
    (count,) = db.execute("SELECT count(*) FROM victims WHERE run_id = ?", (run_id,)).fetchone()
    digests.update_run(db, run_id, {"victims_done": count})


def _specs(row: sqlite3.Row) -> tuple[VictimSpec, ...]:
    with damage_in_words(f"stack {row['number']} of a run's plan"):
        return tuple(VictimSpec(*fields) for fields in json.loads(row["victims"]))


def _number(spec: VictimSpec) -> int:
    return spec.index


def _spec_list(spec: VictimSpec) -> list[object]:
    return [spec.index, spec.trial, spec.arm, spec.subpopulation, spec.alpha]


def _stack_values(stack: StackPlan) -> dict[str, object]:
    victims = _json([_spec_list(spec) for spec in stack.victims])
    return {"number": stack.index, "trial": stack.trial, "victims": victims, "done_at": None, "duration_s": None, "too_many": None}


def _planned_values(planned: Planned) -> dict[str, object]:
    shard = (None, None) if planned.shard is None else (planned.shard.number, planned.shard.of)
    values = {"parts": planned.cores.parts, "threads": planned.cores.threads, "discovery": planned.discovery}
    return {**values, "shard": shard[0], "shards": shard[1]}


def _victim_values(stack_index: int, result: VictimResult) -> dict[str, object]:
    dtype, _, data = encode(result.predictions)
    if dtype != "uint8" or result.predictions.ndim != 1:
        raise ValueError(f"predictions are {dtype} of shape {result.predictions.shape}, not uint8 [test rows]")
    spec = result.spec
    return {
        "number": spec.index,
        "stack": stack_index,
        "trial": spec.trial,
        "arm": spec.arm,
        "subpopulation": spec.subpopulation,
        "alpha": spec.alpha,
        "poison_points": int(result.poison_points),
        "already_target": int(result.already_target),
        "epochs": int(result.epochs),
        "train_loss": float(result.train_loss),  # SQLite keeps NaN as NULL
        "test_rows": len(result.predictions),
        "predictions": data,
        "judged": None if result.judged is None else pack(result.judged),
    }


def encode(array: np.ndarray, level: int = 6) -> tuple[str, str, bytes]:
    """(dtype, shape as JSON, zlib-compressed little-endian bytes) of an array. level: of the compression."""
    import numpy as np

    dtype = array.dtype.name
    if dtype not in DTYPES:
        raise ValueError(f"arrays of {dtype} are not stored; use one of {', '.join(sorted(DTYPES))}")
    raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return dtype, json.dumps(list(array.shape)), zlib.compress(raw, level)


def decode(dtype: str, shape: str, parts: Sequence[bytes], *, where: str) -> np.ndarray:
    """The array that `encode` stored, its bytes in a part or several. StoreError where type, shape and bytes do not fit each other."""
    import numpy as np

    try:
        if dtype not in DTYPES:
            raise ValueError(f"unknown type {dtype!r}")
        dims = tuple(int(n) for n in json.loads(shape))
        size = int(np.prod(dims, dtype=np.int64)) * np.dtype(dtype).itemsize
        unpack = zlib.decompressobj()
        pieces, length = [], 0
        for part in parts:  # no more than it says: a damaged blob cannot fill the memory
            if length <= size:
                pieces.append(unpack.decompress(part, size + 1 - length))
                length += len(pieces[-1])
        raw = b"".join(pieces)
        if len(raw) != size or not unpack.eof:
            raise ValueError(f"{len(raw)} bytes where {size} are needed")
    except (ValueError, TypeError, zlib.error) as error:
        raise StoreError(
            f"a stored array is damaged ({error})", where=where, next="restore the store from a copy, or start the run anew"
        ) from error
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(dims).astype(dtype)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
