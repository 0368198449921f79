"""Whether this version may go on with a run that an older or newer one began."""

from __future__ import annotations

import tomllib

from engine import versions
from engine.rows import RunRow


def refuse_other_versions(run: RunRow) -> None:
    """RequestError where a run began under another schedule of training, or over one's own data under other rules of reading."""
    versions.refuse_other_schedule(run.id, run.schedule)
    versions.refuse_other_reading(run.id, run.reading, _kind_of(run))


def _kind_of(run: RunRow) -> str:
    """The kind of the run's dataset; "" where its scenario cannot be read, which is told by whoever needs it."""
    try:
        dataset = tomllib.loads(run.scenario_toml).get("dataset", {})
    except tomllib.TOMLDecodeError:
        return ""
    return str(dataset.get("kind", "")) if isinstance(dataset, dict) else ""
