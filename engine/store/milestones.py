"""What long work of a run has come to on its way: kept until its result is stored, and of no use to anybody but the run's own worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.store.database import Database
from engine.store.results import DROP_MILESTONES, decode, encode

if TYPE_CHECKING:
    import numpy as np

FAST = 1  # level of compression: these are written in the middle of the work, and read once, if at all


class MilestoneRows(Database):
    """The part of the store that holds unfinished work. A discovery, or a plan, drops what was kept of it in its own transaction."""

    def put_milestones(self, run_id: str, made_of: str, steps: Mapping[str, Mapping[str, np.ndarray]], *, unfinished: str = "") -> None:
        """Keep the arrays of these steps of a run's work, in one transaction; each in the place of what was kept of it before.

        made_of: tells of which data and by which code they were made. unfinished: which of them is not done, if one is.
        """
        # compressed before the write lock is taken
        encoded = [(run_id, step, name, *encode(array, FAST)) for step, arrays in steps.items() for name, array in arrays.items()]
        with self.write() as db:
            for step in steps:
                db.execute("DELETE FROM milestones WHERE run_id = ? AND step = ?", (run_id, step))
                db.execute(
                    "INSERT INTO milestones (run_id, step, made_of, unfinished, at) VALUES (?, ?, ?, ?, ?)",
                    (run_id, step, made_of, step == unfinished, self.now()),
                )
            db.executemany(
                "INSERT INTO milestone_arrays (run_id, step, name, dtype, shape, data) VALUES (?, ?, ?, ?, ?, ?)",
                encoded,
            )

    def milestones(self, run_id: str) -> dict[str, tuple[str, bool]]:
        """Step -> of what it was made, and whether it is not done."""
        rows = self.read("SELECT step, made_of, unfinished FROM milestones WHERE run_id = ?", (run_id,))
        return {row["step"]: (row["made_of"], bool(row["unfinished"])) for row in rows}

    def milestone(self, run_id: str, step: str) -> dict[str, np.ndarray]:
        """The arrays of one step. Raises StoreError where one is damaged."""
        rows = self.read("SELECT name, dtype, shape, data FROM milestone_arrays WHERE run_id = ? AND step = ?", (run_id, step))
        where = f"{self.path}, run {run_id}, {step}"
        return {row["name"]: decode(row["dtype"], row["shape"], [row["data"]], where=f"{where}, {row['name']}") for row in rows}

    def drop_milestones(self, run_id: str) -> None:
        """Keep nothing of them any longer."""
        with self.write() as db:
            db.execute(DROP_MILESTONES, (run_id,))
