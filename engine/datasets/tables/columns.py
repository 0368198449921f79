"""What a column of one's own table holds, numbers or words, and whether a model should be fed it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

if TYPE_CHECKING:
    import numpy as np

MISSING = "missing"  # the level of a missing word, and how it is shown
STRICT_ID = re.compile(r"(?i:(^|[_\-. ])(id|uuid|guid|rowid)([_\-. ]?(no|nr|number|code))?$|^id[_\-. ])|[a-z]I[dD]$", re.ASCII)
# Names of what may be a count as well: only where nearly every row has its own.
ID_NAME = re.compile(r"(^|[_\-. ])(index|idx|key|identifier|no|nr|num|number|ref|reference|code|serial)$|#$", re.IGNORECASE)
INDEX_NAME = re.compile(r"^(unnamed: [0-9.]+|__index_level_[0-9]+__|level_[0-9]+|row ?names?|row|column [0-9]+|(?-i:X))$", re.IGNORECASE)
PERSON_NAME = re.compile(  # in English, German, French and Spanish, without accents
    r"^(first|last|given|family|middle|full|maiden|nick|user|customer|patient|passenger|employee|student|client|player)[_\-. ]?names?$"
    r"|^(vor|nach|zu|familien|geburts|ruf|kunden|patienten|mitarbeiter|benutzer|schueler|schuler)namen?$"
    r"|^(prenoms?|nom[_\-. ](de[_\-. ])?(famille|client|patient)|apellidos?|nombres?[_\-. ](y|de|completo)([_\-. ].*)?)$"
    r"|^(surname|forename|e-?mail|phone|mobile|telephone|ssn|passport|iban|address|street|licen[cs]e[_ ]?plate|ip"
    r"|anschrift|strasse|telefon|handy|adresse|courriel|direccion|telefono|correo)([_\-. ]?(address|no|number|nr|nummer))?$",
    re.IGNORECASE,
)
ANY_NAME = re.compile(r"^(names?|namen|noms?|nombres?)$", re.IGNORECASE)  # of persons, where the values look like it: else of anything
PERSON = re.compile(r"[^\W\d_][\w'’.-]*(,? [^\W\d_][\w'’.-]*){1,4}")  # "Ada Lovelace", "Braund, Mr. Owen Harris"
WEIGHT_NAME = re.compile(
    r"^(sample|sampling|survey|instance|case|row|obs|observation|person|household|population|final|base|design|class|frequency|freq)"
    r"[_\-. ]?(weight|wt|wgt)s?$|^(fnlwgt|pweight|fweight|iweight|perwt|hhwt|pwgtp|wgtp|wgt|final_?wt)$",
    re.IGNORECASE,
)
NEARLY = 0.95  # different values of a column, by its rows, that make it an identifier
MOST_ROWS_OF_ONE = 5  # a word that stands on average in fewer rows is next to an identifier
LOOKED_AT, MOSTLY = 1_000, 0.8  # values of a column called "name", and the share that must look like persons
MOST_PERSONS = 20  # different names of persons that may still be categories


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: float64 [rows], NaN where missing. notes: what was done to read it so; gone: words read as missing -> rows.

    form: how the file writes them: "number", "money", "per cent", "date", "duration", or their unit ("months").
    """

    name: str
    values: np.ndarray
    notes: tuple[str, ...] = ()
    gone: Mapping[str, int] = field(default_factory=dict)
    form: str = "number"

    @property
    def missing(self) -> np.ndarray:
        import numpy as np

        return np.isnan(self.values)


@dataclass(frozen=True)
class Words:
    """A column of words: int32 [rows] into levels (trimmed, sorted), -1 where missing. dates: they read as dates."""

    name: str
    codes: np.ndarray
    levels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    dates: bool = False
    gone: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> np.ndarray:
        return self.codes < 0


@dataclass(frozen=True)
class Unreadable:
    """A column that holds neither numbers nor words (lists, bytes, structures)."""

    name: str
    why: str


def why_left_out(column: Numbers | Words, max_categories: int) -> str | None:
    """Why a model should not be fed this column unless a person says so, or None."""
    import numpy as np

    present = ~column.missing
    n = int(present.sum())
    if n == 0:
        return "all missing"
    if isinstance(column, Numbers):
        values = column.values[present]
        if values.min() == values.max():
            return None if n < len(present) else "the same in every row"
        return _why_no_measure(column.name, values, n == len(present), max_categories)
    counts = np.bincount(column.codes[present], minlength=len(column.levels))
    different = int((counts > 0).sum())
    if different == 1:
        return None if n < len(present) else "the same in every row"
    if column.dates:
        return "dates; list it in dataset.numeric for days, or in dataset.annotations"
    kept = np.sort(counts)[::-1][: max_categories - 1].sum()
    if different > MOST_PERSONS and _names_persons(column):
        return f"names of persons or the like: {different:,} different values"
    if different > max_categories and STRICT_ID.search(column.name):
        return f"an identifier: {different:,} different values in {n:,} rows"
    if different > max_categories and (different > n / MOST_ROWS_OF_ONE or kept < n / 10):
        return f"an identifier or free text: {different:,} different values in {n:,} rows"
    return None


def unaccented(name: str) -> str:
    """A name as it is typed where there are no accents: "Prénom" is "Prenom", "Straße" is "Strasse"."""
    return "".join(char for char in normalize("NFKD", name.replace("ß", "ss")) if not combining(char))


def _names_persons(column: Words) -> bool:
    """Whether a column is of names of persons or the like: by its own name, or where that is just "name" by most of its values."""
    name = unaccented(column.name)
    if not ANY_NAME.search(name):
        return bool(PERSON_NAME.search(name))
    some = column.levels[:LOOKED_AT]
    like = sum(level[:1].isupper() and PERSON.fullmatch(level) is not None and level.split()[-1][:1].isupper() for level in some)
    return like >= MOSTLY * len(some)


def _why_no_measure(name: str, values: np.ndarray, complete: bool, max_categories: int) -> str | None:
    """Why a column of numbers measures nothing, or None: it numbers or names the rows, or weighs them. complete: no row lacks one."""
    import numpy as np

    if WEIGHT_NAME.search(name):
        return "a weight of rows"
    different, n = len(np.unique(values)), len(values)
    if n < 20 or not bool((values == np.round(values)).all()):
        return None
    if different == n and complete and values.max() - values.min() == n - 1:
        return "numbers the rows"
    if different >= NEARLY * n:
        if INDEX_NAME.search(name):
            return "numbers the rows, by its name"
        if STRICT_ID.search(name) or ID_NAME.search(name):
            return "an identifier, different in every row" if different == n else "an identifier, different in nearly every row"
    if different > max_categories and (STRICT_ID.search(name) or PERSON_NAME.search(unaccented(name))):
        return f"an identifier: {different:,} different values in {n:,} rows"
    return None


def rises(values: np.ndarray) -> bool:
    """Whether whole numbers rise or fall from each row to the next, as those that number the rows do. values: float64 [rows]."""
    import numpy as np

    if len(values) < 20 or np.isnan(values).any() or bool((values != np.round(values)).any()):
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())
