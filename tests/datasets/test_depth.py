"""Pictures of more than 8 bits are scaled by one scale for all; pipes and devices are refused at once."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import datasets
from engine.errors import BadData
from engine.rows import Dataset
from tests.worlds import sections
from tests.worlds.pictures import coded, pixels, splits, unpacked
from tests.worlds.tables import noted, people

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))


def load(path: Path) -> Dataset:
    return datasets.load(sections.dataset(kind="image_folder", path=path, image_size=16), 0, path)


def folder(path: Path, values: dict[str, np.ndarray], ending: str = "tif") -> Path:
    """Ten pictures a class, of these values [10, 16, 16]."""
    files = {}
    for name, of in values.items():
        for k, one in enumerate(of):
            file = io.BytesIO()
            Image.fromarray(one).save(file, {"tif": "TIFF", "png": "PNG"}[ending])
            files[f"{name}/{k}.{ending}"] = file.getvalue()
    return unpacked(files, path)


def shown(dataset: Dataset) -> dict[str, np.ndarray]:
    """File name -> its pixels, one channel."""
    return {name: rows.x[i, :, :, 0] for rows in splits(dataset) for i, name in enumerate(rows.frame["file"])}


UNIT = RNG.random((10, 16, 16))


@pytest.mark.parametrize(
    ("dark", "bright", "said", "low", "width"),
    [
        (UNIT.astype(np.float32) / 2, (UNIT / 2 + 0.5).astype(np.float32), "20 float pictures", 0, 1),
        ((UNIT - 1).astype(np.float32), UNIT.astype(np.float32), "20 float pictures", -1, 2),
        ((UNIT * 90).astype(np.float32), (UNIT * 255).astype(np.float32), "20 float pictures", 0, 256),
        ((UNIT * 700).astype(np.int32), (UNIT * 4000).astype(np.int32), "20 32-bit pictures", 0, 4096),
        ((UNIT * 60_000).astype(np.int32), (UNIT * 9_000_000).astype(np.int32), "20 32-bit pictures", None, None),
        ((UNIT * 200).astype(np.uint16), (UNIT * 4000).astype(np.uint16), "20 16-bit pictures", 0, 4096),
        ((UNIT * 200).astype(np.uint16), (UNIT * 1000).astype(np.uint16), "20 16-bit pictures", 0, 1024),
        ((UNIT * 9000).astype(np.uint16), (UNIT * 65_000).astype(np.uint16), "20 16-bit pictures", 0, 65536),
    ],
)
def test_deep_pictures_are_scaled_by_one_scale_and_it_is_said(
    tmp_path: Path, dark: np.ndarray, bright: np.ndarray, said: str, low: float | None, width: float | None
) -> None:
    dataset = load(folder(tmp_path / "deep", {"a": dark, "b": bright}))
    both = np.stack([dark, bright]).astype(np.float64)
    if low is None or width is None:
        low, width = both.min(), both.max() - both.min()
    wanted = np.clip(np.floor((both - low) * 256 / width), 0, 255)
    for name, found in shown(dataset).items():
        assert np.abs(found - wanted["ab".index(name[0]), int(name[2:-4])]).max() <= 1
    assert f"{said} with values {both.min():g} to {both.max():g}: the range" in noted(dataset)
    assert 0 < shown(dataset)["a/0.tif"].mean() < shown(dataset)["b/0.tif"].mean(), "a dark picture stays the darker one"
    assert load(tmp_path / "deep").notes == dataset.notes, "and is said again when they come from the cache"


def test_sixteen_bit_png_and_pictures_of_8_bits_beside_them(tmp_path: Path) -> None:
    path = folder(tmp_path / "mixed", {"a": (UNIT * 4000).astype(np.uint16)}, "png")
    unpacked({f"b/{k}.png": coded(pixels(k, 16)) for k in range(10)}, path)
    dataset = load(path)
    assert "10 16-bit pictures with values" in noted(dataset)
    assert (shown(dataset)["b/3.png"] == pixels(3, 16)[:, :, 0]).all()
    assert np.abs(shown(dataset)["a/3.png"] - np.floor((UNIT[3] * 4000).astype(np.uint16) / 16.0)).max() <= 1
    plain = unpacked({f"{c}/{k}.png": coded(pixels(k, 16)) for c in "ab" for k in range(10)}, tmp_path / "plain")
    assert "brought to 0 to 255" not in noted(load(plain))


def test_a_float_that_is_no_number_is_black_and_a_broken_file_is_told(tmp_path: Path) -> None:
    holes = UNIT.astype(np.float32)
    holes[:, 0, 0], holes[:, 0, 1] = np.nan, np.inf
    path = folder(tmp_path / "holes", {"a": holes, "b": UNIT.astype(np.float32)})
    (path / "b" / "0.tif").write_bytes((path / "b" / "0.tif").read_bytes()[:200])
    dataset = load(path)
    assert shown(dataset)["a/4.tif"][0, 0] == 0
    assert shown(dataset)["a/4.tif"][0, 1] == 255
    assert "left out, not readable as a picture: 1 file (b/0.tif)" in noted(dataset)


# ---- pipes and devices ----------------------------------------------------------------------------------------------


def test_a_pipe_or_a_device_among_pictures_is_left_out_at_once(tmp_path: Path) -> None:
    path = unpacked({f"{c}/{k}.png": coded(pixels(k, 16)) for c in "ab" for k in range(10)}, tmp_path / "pets")
    os.mkfifo(path / "a" / "pipe.png")
    (path / "a" / "zero.png").symlink_to("/dev/zero")
    (path / "b" / "link.tif").symlink_to(path / "a" / "pipe.png")
    start = time.monotonic()
    dataset = load(path)
    assert time.monotonic() - start < 20
    assert sum(len(rows) for rows in splits(dataset)) == 20
    assert "left out, a pipe, a device or the like: 3 files (a/pipe.png, a/zero.png, b/link.tif)" in noted(dataset)


@pytest.mark.parametrize("kind", ["table", "text_table"])
@pytest.mark.parametrize("what", ["pipe", "device", "link", "lines"])
def test_a_pipe_or_a_device_as_a_file_is_refused_at_once(tmp_path: Path, kind: str, what: str) -> None:
    path = tmp_path / ("data.jsonl" if what == "lines" else "data.csv")
    if what == "device":
        path = Path("/dev/zero")
    elif what == "link":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    else:
        os.mkfifo(path)
    section = sections.dataset(**{"kind": kind, "path": path, "label": "y", **({"text": "t"} if kind == "text_table" else {})})
    start = time.monotonic()
    with pytest.raises(BadData, match="this is a pipe, a device or the like, not a file"):
        datasets.load(section, 0, tmp_path)
    assert not datasets.state(section, tmp_path).present
    assert "a pipe, a device or the like" in datasets.state(section, tmp_path).detail
    assert time.monotonic() - start < 5
    (tmp_path / "fine.csv").write_text(people().to_csv(index=False))
    assert datasets.state(sections.dataset(kind="table", path=tmp_path / "fine.csv", label="y"), tmp_path).present
