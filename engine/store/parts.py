"""The models of a run's ensemble in the store: what each part's predicts for every test row, a row and a digest each."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Mapping, Sequence

from engine.rows import PartResult, Table
from engine.store import digests
from engine.store.results import Results, decode, encode, way_out
from engine.store.tables import put_tables


class PartRows(Results):
    """The part of the store that holds what certificates are made of."""

    def commit_parts(self, run_id: str, parts: Sequence[PartResult], duration_s: float, tables: Mapping[str, Table]) -> None:
        """Models of a run's ensemble and the tables made with them, in one transaction. duration_s: of each, their shares of the time."""
        rows = [_part_values(part, duration_s) for part in parts]
        with self.write() as db:
            digests.insert(db, "parts", run_id, rows)
            put_tables(db, run_id, tables, self.now())

    def parts(self, run_id: str) -> list[PartResult]:
        """Every committed model of a run's ensemble, by number. StoreError where one is not as it was written."""
        query = f"SELECT {digests.columns('parts')}, {digests.SEALED} FROM parts WHERE run_id = ?1 ORDER BY number"
        with self.snapshot() as db:
            rows = db.execute(query, (run_id,)).fetchall()
            for row in rows:
                self._check_row(db, "parts", run_id, row, f"the model of part {row['number']}")
            run = db.execute("SELECT state, scenario_toml, digest FROM runs WHERE id = ?", (run_id,)).fetchone()
            asked = parts_due(db, run_id, run["scenario_toml"]) if run is not None else 0
            if run is not None and run["digest"] is not None and run["state"] == "done" and len(rows) != asked:
                where, why = f"{self.path}, run {run_id}, its ensemble", f"{len(rows)} models are there where {asked} were committed"
                raise digests.damaged(why, where=where, next=way_out(db, "parts", run_id))
        results = []
        for row in rows:
            where = f"{self.path}, run {run_id}, the model of part {row['number']}"
            predictions = decode("uint8", f"[{row['test_rows']}]", [row["predictions"]], where=where)
            loss = float("nan") if row["train_loss"] is None else row["train_loss"]
            results.append(PartResult(row["number"], row["rows"], predictions, row["epochs"], loss))
        return results

    def take_back_damaged_parts(self, run_id: str) -> list[int]:
        """Take back the models that are not as they were written, so that they are trained again; their numbers. For the run's worker."""
        with self.write() as db:
            query = f"SELECT rowid AS place, {digests.columns('parts')}, {digests.SEALED} FROM parts WHERE run_id = ?1"
            rows = db.execute(query, (run_id,)).fetchall()
            damaged = [row for row in rows if digests.wrong("parts", run_id, row, sealed=bool(row["sealed"]))]
            db.executemany("DELETE FROM parts WHERE rowid = ?", [(row["place"],) for row in damaged])
        return [row["number"] for row in damaged]


def parts_due(db: sqlite3.Connection, run_id: str, scenario_toml: str) -> int:
    """How many models a run that is done has: what its scenario asks for, of a plan's shards the first alone."""
    shard = db.execute("SELECT shard FROM plans WHERE run_id = ?", (run_id,)).fetchone()
    return 0 if shard is not None and shard["shard"] not in (None, 1) else parts_asked(scenario_toml)


def parts_asked(scenario_toml: str) -> int:
    """How many parts a run's scenario asks for; 0: it has no ensemble."""
    try:
        section = tomllib.loads(scenario_toml).get("evaluation")
    except ValueError:  # a run's row that holds none is told where its scenario is read
        return 0
    asked = section.get("certificates") if isinstance(section, dict) else None
    return asked if type(asked) is int else 0


def _part_values(part: PartResult, duration_s: float) -> dict[str, object]:
    dtype, _, data = encode(part.predictions)
    if dtype != "uint8" or part.predictions.ndim != 1:
        raise ValueError(f"predictions are {dtype} of shape {part.predictions.shape}, not uint8 [test rows]")
    return {
        "number": part.number,
        "rows": part.rows,
        "epochs": int(part.epochs),
        "train_loss": float(part.train_loss),
        "duration_s": duration_s,
        "test_rows": len(part.predictions),
        "predictions": data,
    }
