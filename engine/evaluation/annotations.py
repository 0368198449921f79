"""The test rows' annotations as a run stored them at discovery: codes into level names, column by column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

NAMES, CODES = "groups", "group."  # uint8 bytes of JSON {column: [level, ...]}; int32 [test rows] a column


@dataclass(frozen=True)
class Annotations:
    """levels: column -> its level names, in reading order; codes: column -> int32 [test rows]."""

    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Annotations:
        """From a discovery's arrays; none where it has none."""
        if NAMES not in arrays:
            return cls()
        names = json.loads(arrays[NAMES].tobytes().decode())
        return cls({c: tuple(levels) for c, levels in names.items()}, {c: arrays[CODES + c] for c in names})

    def arrays(self) -> dict[str, np.ndarray]:
        """As they are stored: texts cannot be arrays, so names are bytes."""
        if not self.levels:
            return {}
        names = json.dumps({column: list(levels) for column, levels in self.levels.items()}, ensure_ascii=False).encode()
        codes = {CODES + column: np.asarray(code, dtype=np.int32) for column, code in self.codes.items()}
        return {NAMES: np.frombuffer(names, np.uint8), **codes}
