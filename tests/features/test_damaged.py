"""Rows, tokens and pictures in the cache that are not as they were written are made again, and that is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.datasets.pictures.decoded import Pictures, decoded
from engine.datasets.pictures.sources import folder_of_pictures
from engine.features.keyed_rows import HASH_BYTES, KeyedRows, Places
from engine.system import cache
from tests.worlds.pictures import coded, pixels, unpacked

ROW = 4096
KEYS = [bytes([number]) * HASH_BYTES for number in range(8)]
ROWS = [np.random.default_rng(number).bytes(ROW) for number in range(8)]


@pytest.fixture
def kept(tmp_path: Path) -> KeyedRows:
    rows = KeyedRows(tmp_path, "a", ROW)
    rows.append(KEYS[:5], ROWS[:5])
    rows.append(KEYS[5:], ROWS[5:])
    assert rows.places(KEYS) == Places(dict(zip(KEYS, range(8), strict=True)))
    assert rows.places([b"?" * HASH_BYTES]) == Places({})
    return rows


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda rows: flipped(rows.rows_path, 3 * ROW + 5),
        lambda rows: flipped(rows.sums_path, 3 * 16 + 9),
        lambda rows: flipped(rows.sums_path, 3 * 16),
        lambda rows: flipped(rows.keys_path, 3 * HASH_BYTES + 1),
    ],
    ids=["row", "digest", "digest of the hash", "hash"],
)
def test_a_damaged_row_is_missing_and_said_and_is_there_again_when_written_anew(kept: KeyedRows, harm: Callable[[KeyedRows], None]) -> None:
    harm(kept)
    places = kept.places(KEYS)
    assert (places.by_hash, places.damaged) == ({key: at for at, key in enumerate(KEYS) if at != 3}, 1)
    assert places.said("features") == [
        "1 of the kept features are damaged, or were never finished, on the disk: what is missing is computed again"
    ]
    assert kept.append([KEYS[3]], [ROWS[3]]) == 8
    assert kept.places(KEYS) == Places({**places.by_hash, KEYS[3]: 8})


@pytest.mark.parametrize("end", ["rows", "keys", "sums"])
def test_a_file_that_is_cut_by_a_byte(kept: KeyedRows, end: str) -> None:
    path = kept.rows_path.with_suffix(f".{end}")
    os.truncate(path, path.stat().st_size - 1)
    places = kept.places(KEYS)
    assert (sorted(places.by_hash.values()), places.damaged) == ([*range(7)], 1)
    kept.append([KEYS[7]], [ROWS[7]])
    assert KEYS[7] in kept.places(KEYS).by_hash


def test_rows_of_an_older_version_are_unverified_and_used(kept: KeyedRows) -> None:
    kept.sums_path.unlink()
    assert kept.places(KEYS) == Places(dict(zip(KEYS, range(8), strict=True)), 0, 8)
    kept.append([b"9" * HASH_BYTES], [ROWS[0]])
    places = kept.places([*KEYS, b"9" * HASH_BYTES])
    assert (len(places.by_hash), places.damaged, places.unverified) == (9, 0, 8)
    assert places.said("features") == ["8 of the kept features are from before digests were kept: unverified, and used as they are"]
    flipped(kept.rows_path, 8 * ROW)
    assert kept.places([b"9" * HASH_BYTES]) == Places({}, damaged=1)


# ---- pictures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Pictures]:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.datasets.pictures.decoded.BLOCK_BYTES", 10 * 8 * 8 * 3)
    files = unpacked({f"{number:03}.png": coded(pixels(number, 8)) for number in range(40)}, tmp_path / "pictures")
    return lambda said: decoded("tiny", folder_of_pictures(files, lambda name: name), 8, lambda what, share: said.append(what))


ALL = np.arange(40)


@pytest.mark.parametrize("file", ["pixels", "traits", "about.json"])
def test_damaged_pictures_are_decoded_again(read: Callable[[list[str]], Pictures], tmp_path: Path, file: str) -> None:
    whole = read([]).take(ALL)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    said: list[str] = []
    assert (read(said).take(ALL) == whole).all()
    assert said == []
    data = (entry / file).read_bytes()
    for harmed in (data[:-1], data[: len(data) // 2] + bytes(len(data) // 2), data[:7] + bytes([data[7] ^ 4]) + data[8:]):
        (entry / file).write_bytes(harmed)
        said = []
        pictures = read(said)
        assert (pictures.take(ALL) == whole).all()
        assert (pictures.traits == read([]).traits).all()
        assert any("are damaged on the disk: they are decoded again" in line for line in said)
        assert (entry / file).read_bytes() == data


def test_only_the_blocks_that_are_read_are_looked_at(read: Callable[[list[str]], Pictures], tmp_path: Path) -> None:
    whole = read([]).take(ALL)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    said: list[str] = []
    pictures = read(said)
    assert pictures.blocks is not None
    first = pictures.order[np.arange(3)]
    flipped(entry / "pixels", (int(first.max()) // 10 + 1) % 4 * 10 * 192)
    if len({int(place) // 10 for place in first}) == 1:
        assert (pictures.take(np.arange(3)) == whole[:3]).all()
        assert said == []
    assert (pictures.take(ALL) == whole).all()
    assert said
    assert len(cache.entries()) == 1
