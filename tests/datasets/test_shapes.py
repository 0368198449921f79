"""Values taken apart once a shape are taken apart as each by itself would be."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import compute

from engine.datasets.tables.distinct import distinct
from engine.datasets.tables.numbers import MAYBE, WRITTEN, numbers_in
from engine.datasets.tables.shapes import pieces

NUMBERS = st.from_regex(r"\A\(? ?[+-]?(\$|€|USD|kr\.)? ?-?[0-9][0-9.,]{0,6}[0-9]?(e-?[0-9])? ?(€|CHF)? ?(%|months?|km/h|k)?-? ?\)?\Z")
TEXTS = st.lists(st.one_of(NUMBERS, st.text("0123456789.,-+()$€% kemonthsß²９", max_size=12)), min_size=1, max_size=40)


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_as_each_value_by_itself(texts: list[str]) -> None:
    values = pa.array(texts, pa.large_string())
    found = pieces(values, WRITTEN)
    parts = compute.extract_regex(values, WRITTEN)
    assert found.fits[found.shape].tolist() == compute.is_valid(parts).to_pylist()
    for field in parts.type:
        wanted = compute.fill_null(compute.struct_field(parts, field.name), "").to_pylist()
        got = found.number.to_pylist() if field.name == "number" else found.of[field.name][found.shape].tolist()
        assert got == wanted, field.name


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_all_that_is_written_like_a_number_begins_like_one(texts: list[str]) -> None:
    """What is looked for first leaves out nothing that would be found."""
    values = pa.array(texts, pa.large_string())
    fits = compute.is_valid(compute.extract_regex(values, WRITTEN)).to_pylist()
    begins = compute.match_substring_regex(values, MAYBE).to_pylist()
    assert all(begun for fit, begun in zip(fits, begins, strict=True) if fit)


def test_a_column_of_many_shapes() -> None:
    texts = [f"{'-' * (i % 2)}${'1' * (1 + i % 30)}" for i in range(500)]
    read = numbers_in("x", distinct(pa.array(texts, pa.large_string())), 0.95)
    assert read is not None
    assert read[2] == "money"
    assert read[0].tolist() == [float(text.replace("$", "")) for text in texts]
