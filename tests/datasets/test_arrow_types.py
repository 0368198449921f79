"""Every Arrow type that a Parquet file can hold: read where it is text, number, truth or time, else left out and said."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.reading import read_column
from engine.errors import BadData
from tests.worlds.tables import labels, loaded, noted, people

N = 200
IDS = [uuid.uuid4().bytes for _ in range(N)]
LEFT_OUT = {
    "uuid": pa.array(IDS, pa.uuid()),
    "json": pa.array(['{"a": 1}'] * N, pa.json_(pa.string())),
    "binary": pa.array(IDS, pa.binary()),
    "large_binary": pa.array(IDS, pa.large_binary()),
    "fixed": pa.array(IDS, pa.binary(16)),
    "list": pa.array([[1, 2]] * N),
    "struct": pa.array([{"a": 1}] * N),
    "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
    "bytes by code": pa.array([b"x", b"y"] * (N // 2)).dictionary_encode(),
}
NOT_IN_PARQUET = {
    "binary_view": pa.array(IDS, pa.binary_view()),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1] * (N // 2), pa.int8())),
    "list_view": pa.array([[1, 2]] * N, pa.list_view(pa.int64())),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3])] * N),
    "run_end": pa.RunEndEncodedArray.from_arrays(pa.array([N], pa.int32()), pa.array([1])),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_left_out_of_a_file_and_said(tmp_path: Path, kind: str) -> None:
    table = pa.Table.from_pandas(people(), preserve_index=False).append_column("u", LEFT_OUT[kind])
    pq.write_table(table, tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    dataset = loaded(tmp_path, content, "mine.parquet")
    assert dataset.feature_names == ("age", "region=s")
    assert "left out: 'u' (holds " in noted(dataset)
    assert (", an identifier" in noted(dataset)) == (kind == "uuid")
    for keys in ({"label": "u"}, {"numeric": ("u",)}, {"categorical": ("u",)}):
        with pytest.raises(BadData, match="column 'u' holds"):
            loaded(tmp_path, content, "mine.parquet", **keys)


@pytest.mark.parametrize("kind", NOT_IN_PARQUET)
def test_left_out_of_any_table(kind: str) -> None:
    found = read_column("u", pa.chunked_array([NOT_IN_PARQUET[kind]]), "here")
    assert isinstance(found, Unreadable)
    assert found.why.startswith("holds ")


@pytest.mark.parametrize(
    ("array", "numbers"),
    [
        (pa.array([1, None, 3], pa.uint64()), [1, np.nan, 3]),
        (pa.array([1.5, 2.5, None], pa.float16()), [1.5, 2.5, np.nan]),
        (pa.array([decimal.Decimal("1.25"), None], pa.decimal128(9, 2)), [1.25, np.nan]),
        (pa.array([decimal.Decimal("1.25"), None], pa.decimal256(60, 2)), [1.25, np.nan]),
        (pa.array([datetime.timedelta(seconds=90), None], pa.duration("ms")), [90, np.nan]),
        (pa.array([1, 2]).dictionary_encode(), [1, 2]),
    ],
)
def test_numbers_of_every_width(array: pa.Array, numbers: list[float]) -> None:
    found = read_column("n", pa.chunked_array([array]), "here")
    assert isinstance(found, Numbers)
    assert np.array_equal(found.values, numbers, equal_nan=True)


@pytest.mark.parametrize(
    ("array", "levels"),
    [
        (pa.array(["a", None, "b"], pa.string_view()), ("a", "b")),
        (pa.array(["a", None, "b"], pa.large_string()), ("a", "b")),
        (pa.array([True, None, False]), ("false", "true")),
        (pa.array([datetime.date(2020, 1, 2), None]), ("2020-01-02",)),
        (pa.array([datetime.time(1, 2), None], pa.time64("us")), ("01:02:00.000000",)),
        (pa.nulls(3), ()),
    ],
)
def test_words_truths_and_times(array: pa.Array, levels: tuple[str, ...]) -> None:
    found = read_column("w", pa.chunked_array([array]), "here")
    assert isinstance(found, Words)
    assert found.levels == levels


def test_labels_of_every_type(tmp_path: Path) -> None:
    plain = people()
    for kind, made in {
        "dictionary": pa.array(plain.y).dictionary_encode(),
        "view": pa.array(plain.y, pa.string_view()),
        "truth": pa.array(plain.y == "yes"),
        "int8": pa.array((plain.y == "yes").astype("int8")),
    }.items():
        table = pa.Table.from_pandas(plain.drop(columns="y"), preserve_index=False).append_column("y", made)
        pq.write_table(table, tmp_path / "t.parquet")
        dataset = loaded(tmp_path, (tmp_path / "t.parquet").read_bytes(), "mine.parquet")
        assert np.array_equal(labels(dataset) == dataset.classes[1], plain.y == "yes"), kind
