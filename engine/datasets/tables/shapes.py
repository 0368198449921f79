"""Values taken apart by a pattern that knows no digit from another: once for each shape ("$00,000"), of which a column has few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Pieces:
    """shape: int [values], which of the shapes each has; number: Arrow text [values], "" where the pattern does not match.

    fits: bool [shapes], whether it matches; of: the other named groups, each object [shapes] of str.
    """

    shape: np.ndarray
    number: Any
    fits: np.ndarray
    of: dict[str, np.ndarray]


def pieces(values: Any, pattern: str) -> Pieces:
    """values: Arrow text [n]. The pattern has no digit but the class [0-9], and named groups; all digits lie in the group `number`."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute

    shapes = compute.replace_substring_regex(values, "[0-9]", "0").dictionary_encode()
    head, behind = pattern.split("(?P<number>")
    parts = compute.extract_regex(shapes.dictionary, f"^(?P<head>{head.removeprefix('^')})(?P<number>{behind}")
    fits = compute.is_valid(parts).to_numpy(zero_copy_only=False)
    text = {field.name: compute.fill_null(compute.struct_field(parts, field.name), "") for field in parts.type}
    code = shapes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    start = compute.utf8_length(text["head"]).to_numpy(zero_copy_only=False)
    stop = start + compute.utf8_length(text["number"]).to_numpy(zero_copy_only=False)

    order = np.argsort(code, kind="stable")  # values of one shape side by side: in all of them the number stands in the same place
    ends = np.cumsum(np.bincount(code, minlength=len(fits)))
    together = values.take(pa.array(order))
    cut, at = [], 0
    for shape, end in enumerate(ends.tolist()):
        part = together.slice(at, end - at)
        if fits[shape]:
            cut.append(compute.utf8_slice_codeunits(part, int(start[shape]), int(stop[shape])))
        else:
            cut.append(pa.nulls(end - at, values.type).fill_null(""))
        at = end
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    number = pa.concat_arrays(cut).take(pa.array(back)) if cut else values
    of = {name: np.array(each.to_pylist(), dtype=object) for name, each in text.items() if name not in ("head", "number")}
    return Pieces(code, number, fits, of)
