"""Text of a column by its distinct values, and the words in it that stand for a missing value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.columns import MISSING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Written in any case; in a label column only an empty cell or NaN is none.
MISSING_WORDS = (
    "", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "(null)", "\\n", "none", "nil", "#null!", "#div/0!", "#value!", "#ref!",
    "#num!", "#name?", MISSING,
)  # fmt: skip
UNLABELLED = ("", "NaN", "nan", "NAN")
# Missing where the rest of the column is numbers; elsewhere a word like any other.
MISSING_BESIDE_NUMBERS = (
    "-", "--", "---", "–", "—", ".", "..", "...", "*", "**", "n.a.", "n.a", "n. a.", "n/d", "n.d.", "nd", "unknown", "unk", "not available",
    "not applicable", "not known", "no data", "no answer", "not reported", "refused", "tbd", "k.a.", "k. a.", "keine angabe", "x", "xx",
    "#", "varies", "varies with device",
)  # fmt: skip


@dataclass(frozen=True)
class Distinct:
    """Text by its distinct values. values: Arrow text [distinct]; codes: int32 [rows] into it, -1 where missing; count: [distinct]."""

    values: Any
    codes: np.ndarray
    count: np.ndarray

    def rows(self, mask: Any) -> int:
        """In how many rows the mask over the distinct values holds."""
        return int(self.count[mask.to_numpy(zero_copy_only=False)].sum())

    @property
    def present(self) -> int:
        return int(self.count.sum())

    def share(self, pattern: str) -> float:
        """Share of the present rows whose value matches."""
        from pyarrow import compute

        return self.rows(compute.match_substring_regex(self.values, pattern)) / max(1, self.present)

    def among(self, words: Sequence[str]) -> Any:
        """Which of the distinct values are one of the words (lower case), in any case."""
        import pyarrow as pa
        from pyarrow import compute

        return compute.is_in(compute.utf8_lower(self.values), value_set=pa.array(words, pa.large_string()))

    def spread(self, numbers: np.ndarray) -> np.ndarray:
        """One number per distinct value, [distinct], to one per row; NaN where missing."""
        import numpy as np

        return np.append(numbers, np.nan)[self.codes]


def distinct(text: Any) -> Distinct:
    import numpy as np
    from pyarrow import compute

    coded = text.dictionary_encode()
    codes = compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Distinct(coded.dictionary, codes, np.bincount(codes + 1, minlength=len(coded.dictionary) + 1)[1:])


def trimmed(array: pa.ChunkedArray, missing_words: Sequence[str] = (), *, label: bool = False) -> tuple[Any, dict[str, int]]:
    """Trimmed text [rows], null where missing; the words that were read as missing, but for an empty cell, with their rows.

    missing_words: words that the scenario says mean missing, as they are written. label: only those, an empty cell and NaN do.
    """
    import pyarrow as pa
    from pyarrow import compute

    text: Any = compute.utf8_trim_whitespace(array.cast(pa.large_string()))
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    if label:
        gone = compute.is_in(text, value_set=pa.array([*UNLABELLED, *missing_words], pa.large_string()))
    else:
        gone = compute.is_in(compute.utf8_lower(text), value_set=pa.array(MISSING_WORDS, pa.large_string()))
        if missing_words:
            gone = compute.or_(gone, compute.is_in(text, value_set=pa.array(missing_words, pa.large_string())))
    written = compute.filter(text, compute.and_(gone, compute.fill_null(compute.not_equal(text, ""), False)))
    words = {pair["values"]: pair["counts"] for pair in compute.value_counts(written).to_pylist() if pair["values"]}
    return compute.if_else(gone, pa.scalar(None, pa.large_string()), text), words
