"""scikit-learn's estimators, a victim a process. No kind is of this family yet."""

from __future__ import annotations

from typing import Any

from engine.victims.family import Family


class Estimators(Family[Any]):
    """Victims that are trained by scikit-learn."""
