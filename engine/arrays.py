"""The arrays of a discovery, as fields; and the names under which a store keeps them. numpy is imported where bytes are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PROBABILITIES, DISTANCES = "proba_aux_AC", "distance_A"
MOVED, INFLUENCE, LEVELS, CODES, FORETOLD = "moved.", "influence.", "groups", "group.", "foretold."
BULK = ("moved.delta", "moved.features")  # hundreds of megabytes perhaps, and no table asks for them


@dataclass(frozen=True)
class MovedPoints:
    """Every point that a victim of a gradient attack may draw, sorted by subpopulation, then by row.

    rows            int64 [points], the aux row that each copies;  subpopulation: int32 [points]
    before, after   float64 [points], the alignment as a copy and as it is left
    share           float32 [points], mean over pixels of |delta| / bound
    delta           int8 [points, height, width, 3], pixels moved by delta * bound / 127; None where a store was not asked for it
    features        float32 [points, width], what a frozen network makes of them; None where the victims' model keeps none
    """

    rows: np.ndarray
    subpopulation: np.ndarray
    before: np.ndarray
    after: np.ndarray
    share: np.ndarray
    delta: np.ndarray | None = None
    features: np.ndarray | None = None


@dataclass(frozen=True)
class Influence:
    """score: float64 [aux rows], by how much the row with its poison label lowers the attacker's loss, nats; nan where it is no candidate.

    check: float64 [3], norm of the fitted layer's gradient, Newton steps, relative residual of the inverse Hessian products.
    """

    score: np.ndarray
    check: np.ndarray


Prepared = MovedPoints | Influence  # what an attack works out once, before any victim


@dataclass(frozen=True)
class Foretold:
    """Damages as clean models alone foretell them. alphas: float64 [alphas], ascending; aux_AS, test_AS: float64 [alphas, subpopulations].

    aux_AS    on each subpopulation's auxiliary rows, as who holds those would see it;  test_AS: on its test rows, as the owner would
    nan where a subpopulation has no such rows.
    """

    alphas: np.ndarray
    aux_AS: np.ndarray
    test_AS: np.ndarray


@dataclass(frozen=True)
class Annotations:
    """The test rows' annotations. levels: column -> its level names, in reading order; codes: column -> int32 [test rows] into them."""

    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_names(cls, arrays: Mapping[str, np.ndarray]) -> Annotations:
        """From arrays by name; empty where there are none."""
        if LEVELS not in arrays:
            return cls()
        levels = json.loads(arrays[LEVELS].tobytes().decode())
        return cls({column: tuple(names) for column, names in levels.items()}, {column: arrays[CODES + column] for column in levels})

    def by_name(self) -> dict[str, np.ndarray]:
        """As a store keeps them: texts cannot be arrays, so level names are the bytes of a JSON object, uint8."""
        import numpy as np

        if not self.levels:
            return {}
        levels = json.dumps({column: list(names) for column, names in self.levels.items()}, ensure_ascii=False).encode()
        codes = {CODES + column: np.asarray(code, dtype=np.int32) for column, code in self.codes.items()}
        return {LEVELS: np.frombuffer(levels, np.uint8), **codes}


@dataclass(frozen=True)
class DiscoveryArrays:
    """All arrays that a resumed run must have again to the bit.

    proba_aux_AC  float32 [aux rows, classes], the adversary's model on aux, cross-fitted: poison rules may ask it
    distance_A    float32 [aux rows], to the centre of its own cluster; ClusterMatch only
    annotations   of the test rows, of which tables of groups are made
    prepared      what the attack worked out; None for label flipping
    foretold      by clean models alone; None without triage
    """

    proba_aux_AC: np.ndarray | None = None
    distance_A: np.ndarray | None = None
    annotations: Annotations = field(default_factory=Annotations)
    prepared: Prepared | None = None
    foretold: Foretold | None = None

    @property
    def moved(self) -> MovedPoints | None:
        return self.prepared if isinstance(self.prepared, MovedPoints) else None

    @property
    def influence(self) -> Influence | None:
        return self.prepared if isinstance(self.prepared, Influence) else None

    @classmethod
    def from_names(cls, arrays: Mapping[str, np.ndarray]) -> DiscoveryArrays:
        """From a store's arrays by name; names that are none of these are passed over. Raises KeyError where one of a group is missing."""
        prepared: Prepared | None = None
        if f"{MOVED}rows" in arrays:
            needed = {each.name: arrays[MOVED + each.name] for each in fields(MovedPoints) if MOVED + each.name not in BULK}
            prepared = MovedPoints(**needed, delta=arrays.get("moved.delta"), features=arrays.get("moved.features"))
        elif f"{INFLUENCE}score" in arrays:
            prepared = Influence(**{each.name: arrays[INFLUENCE + each.name] for each in fields(Influence)})
        foretold: Foretold | None = None
        if f"{FORETOLD}alphas" in arrays:
            foretold = Foretold(**{each.name: arrays[FORETOLD + each.name] for each in fields(Foretold)})
        return cls(arrays.get(PROBABILITIES), arrays.get(DISTANCES), Annotations.from_names(arrays), prepared, foretold)

    def by_name(self) -> dict[str, np.ndarray]:
        """Every array that there is, under the name that a store keeps it by."""
        named: dict[str, np.ndarray | None] = {PROBABILITIES: self.proba_aux_AC, DISTANCES: self.distance_A, **self.annotations.by_name()}
        prefix = MOVED if isinstance(self.prepared, MovedPoints) else INFLUENCE
        if self.prepared is not None:
            named |= {prefix + each.name: getattr(self.prepared, each.name) for each in fields(self.prepared)}
        if self.foretold is not None:
            named |= {FORETOLD + each.name: getattr(self.foretold, each.name) for each in fields(self.foretold)}
        return {name: array for name, array in named.items() if array is not None}
