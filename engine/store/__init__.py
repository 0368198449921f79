"""The results store: one SQLite file that the engine writes and the screens read. The only SQL is in this package.

A run's rows are written by its own worker alone; screens write only requests, names and notes. Imports neither numpy nor torch.
"""

from __future__ import annotations

from engine.store.database import default_path
from engine.store.milestones import MilestoneRows
from engine.store.opening import MEMORY
from engine.store.parts import PartRows
from engine.store.results import StoredDiscovery
from engine.store.runs import RunRows
from engine.store.tables import Tables

__all__ = ["MEMORY", "Store", "StoredDiscovery", "default_path"]


class Store(RunRows, PartRows, MilestoneRows, Tables):
    """Runs, their requests, logs and leases (`runs.py`); discovery, plan and victims (`results.py`), an ensemble's models
    (`parts.py`); what of them is not whole yet (`milestones.py`); tables (`tables.py`).

    Made with `Store.open(path)`; see `database.Database.open`. Every method is one short transaction and raises StoreError in words.
    """
