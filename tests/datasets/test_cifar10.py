"""CIFAR-10 in every layout; its official batches are read without running anything that is in them."""

from __future__ import annotations

import contextlib
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from engine import datasets
from engine.datasets.pictures import batches as cifar10_batches
from engine.datasets.pictures.batches import CLASSES, read_batch
from engine.errors import BadData, MissingData
from engine.scenario.sections import Cifar10Section
from engine.system import cache
from engine.system.filesystem import cache_dir
from tests.worlds.pictures import (
    assert_pictures,
    cifar_tree,
    coded,
    official_batch,
    official_files,
    official_source,
    packed,
    pixels,
    splits,
    unpacked,
)

CIFAR = Cifar10Section()
NOT_OFFICIAL = "CIFAR-10 from an image tree: not the official archive's pixels"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


# ---- layouts --------------------------------------------------------------------------------------------------------


def test_the_tree_is_the_same_packed_and_unpacked_wherever_it_begins(tmp_path: Path) -> None:
    tree = cifar_tree()
    unpacked(tree, tmp_path / "a" / "cifar10")
    packed(dict(reversed(tree.items())), tmp_path / "b" / "cifar10" / "pictures.tar.gz")
    packed({f"./some/where/{name}": data for name, data in tree.items()}, tmp_path / "c" / "cifar10" / "pictures.tar", "w")
    loaded = [datasets.load(CIFAR, 3, tmp_path / place) for place in "abc"]
    for dataset in loaded:
        assert_pictures(dataset, 32)
        assert [len(rows) for rows in splits(dataset)] == [30, 30, 20]
        assert [np.bincount(rows.y).tolist() for rows in splits(dataset)] == [[3] * 10, [3] * 10, [2] * 10]
        assert dataset.classes == CLASSES
        assert dataset.deviations == (NOT_OFFICIAL, "60 of 50,000 training and 20 of 10,000 test images are here")
        for rows, first in zip(splits(dataset), loaded[0:1] and splits(loaded[0]), strict=True):
            assert (rows.ids == first.ids).all()
            assert (rows.x == first.x).all()
        assert list(dataset.train.frame.columns) == ["class", "brightness", "contrast", "warmth", "colour", "surroundings", "file"]
        for place in (0, 17):
            split, name, number = dataset.train.frame["file"][place].split("/")
            assert (split, name) == ("train", dataset.train.frame["class"][place])
            assert CLASSES[dataset.train.y[place]] == name
            assert (dataset.train.x[place] == pixels(100 * CLASSES.index(name) + int(number[:4]))).all()
    assert next(iter(loaded[1].checksums)) == "pictures.tar.gz"
    assert all(value.startswith("sha256:") for dataset in loaded for value in dataset.checksums.values())
    other = datasets.load(CIFAR, 4, tmp_path / "a")
    assert (other.train.ids != loaded[0].train.ids).any()
    assert (other.test.ids == loaded[0].test.ids).all()


def test_the_official_archive_and_its_folder_are_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = official_files()
    official_source(monkeypatch, packed(files, tmp_path / "a" / "cifar10" / "cifar-10-python.tar.gz").read_bytes())
    unpacked(files, tmp_path / "b" / "cifar10")
    unpacked(cifar_tree(), tmp_path / "a" / "cifar10")  # the official pixels come first
    archive, folder = (datasets.load(CIFAR, 0, tmp_path / place) for place in "ab")
    for dataset in (archive, folder):
        assert_pictures(dataset, 32)
        assert [len(rows) for rows in splits(dataset)] == [50, 50, 20]
    for one, other in zip(splits(archive), splits(folder), strict=True):
        assert (one.x == other.x).all()
        assert (one.ids == other.ids).all()
    assert archive.deviations == ("100 of 50,000 training and 20 of 10,000 test images are here",)
    assert archive.checksums["cifar-10-python.tar.gz"].startswith("md5:")
    assert folder.deviations[0].startswith("CIFAR-10: data_batch_1, data_batch_2")
    data = np.random.default_rng(2).integers(0, 256, (20, 3072)).astype(np.uint8)  # data_batch_3's
    row = int(np.flatnonzero(np.concatenate([archive.train.ids, archive.aux.ids]) == 47)[0])
    picture = np.concatenate([archive.train.x, archive.aux.x])[row]
    assert (picture == data[7].reshape(3, 32, 32).transpose(1, 2, 0)).all()  # ids number the pictures as the archive does
    assert (archive.test.ids >= 100).all()


def test_a_size_that_is_not_the_papers_and_a_sliver_are_deviations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked(cifar_tree(), tmp_path / "cifar10")
    dataset = datasets.load(Cifar10Section(image_size=16, rows=20), 0, tmp_path)
    assert_pictures(dataset, 16)
    assert [len(rows) for rows in splits(dataset)] == [20, 20, 20]
    assert "images brought to 16×16 (the paper's are 32×32)" in dataset.deviations
    assert dataset.deviations[-1] == "a subset of the data: 20 of 30 train rows, 20 of 30 aux rows"
    assert "resized to 16×16: 80 of 80 pictures" in dataset.notes
    files = official_files()
    official_source(monkeypatch, packed(files, tmp_path / "o" / "cifar10" / "cifar-10-python.tar.gz").read_bytes())
    assert_pictures(datasets.load(Cifar10Section(image_size=48), 0, tmp_path / "o"), 48)


def test_what_is_malformed_is_counted_and_named(tmp_path: Path) -> None:
    tree = cifar_tree()
    tree["train/cat/9999.jpg"] = b"\xff\xd8\xff not a picture"
    tree["train/cat/9998.jpg"] = b""
    tree["train/cats/0000.png"] = coded(pixels(0))
    tree["../../etc/passwd"] = b"root"
    tree["notes.txt"] = b"hello"
    tree["train/dog/../../0001.png"] = coded(pixels(1))
    packed(tree, tmp_path / "cifar10" / "t.tar.gz")
    dataset = datasets.load(CIFAR, 0, tmp_path)
    assert [len(rows) for rows in splits(dataset)] == [30, 30, 20]
    assert "left out, not readable as a picture: 1 file (train/cat/9999.jpg)" in dataset.notes
    assert "left out, empty: 1 file (train/cat/9998.jpg)" in dataset.notes
    assert any(note.startswith("left out, not in train/<class>/ or test/<class>/: 4 files (") for note in dataset.notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cifar10"]
    again = datasets.load(CIFAR, 0, tmp_path)  # from the cache, with the same notes
    assert again.notes == dataset.notes


# ---- where it is not here --------------------------------------------------------------------------------------------


def test_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = datasets.state("cifar10", tmp_path)
    assert not state.present
    assert "cifar-10-python.tar.gz is missing" in state.detail
    assert "an image tree, train/<class>/ and test/<class>/, will do" in state.detail
    unpacked(cifar_tree(1, 1), tmp_path / "cifar10")
    assert datasets.state("cifar10", tmp_path).detail.startswith("an image tree, in ")
    packed(cifar_tree(1, 1), tmp_path / "cifar10" / "x.tar.gz")
    assert datasets.state("cifar10", tmp_path).detail.startswith("an image tree, packed, in ")
    (tmp_path / "cifar10" / cifar10_batches.FOLDER).mkdir()
    assert "lacks data_batch_1" in datasets.state("cifar10", tmp_path).detail
    with pytest.raises(BadData, match=r"lacks data_batch_1.*unpack the official archive again"):
        datasets.load(CIFAR, 0, tmp_path)
    with pytest.raises(MissingData):
        datasets.fetch("cifar10", tmp_path, base_url="http://127.0.0.1:1")
    unpacked(official_files(1), tmp_path / "cifar10")
    assert datasets.state("cifar10", tmp_path).detail.startswith("the unpacked archive, in ")
    assert [path.name for path in datasets.fetch("cifar10", tmp_path)] == list(cifar10_batches.MD5)
    (tmp_path / "cifar10" / "cifar-10-python.tar.gz").write_bytes(b"half")
    assert "has 4 bytes, the official file 170,498,071" in datasets.state("cifar10", tmp_path).detail
    with pytest.raises(BadData, match="the official file's is c58f30108f718f92721af3b95e74349a"):
        datasets.load(CIFAR, 0, tmp_path)


def test_it_is_downloaded_with_its_progress_and_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = packed(official_files(), tmp_path / "server.tar.gz").read_bytes()
    official_source(monkeypatch, body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    told: list[tuple[str, float]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        dataset = datasets.load(CIFAR, 0, tmp_path / "data", lambda what, done: told.append((what, done)), base_url=url)
        server.shutdown()
        thread.join()
    assert [len(rows) for rows in splits(dataset)] == [50, 50, 20]
    whats = list(dict.fromkeys(what for what, _ in told))
    assert whats[0] == "downloading cifar-10-python.tar.gz"
    assert "decoding cifar-10-python.tar.gz" in whats
    assert [path.name for path in datasets.fetch("cifar10", tmp_path / "data", base_url="http://127.0.0.1:1")] == ["cifar-10-python.tar.gz"]


def test_where_it_cannot_be_had_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingData) as caught:
        datasets.load(CIFAR, 0, tmp_path, base_url="http://127.0.0.1:1")
    said = str(caught.value)
    for part in ("cifar10/cifar-10-python.tar.gz is not here", "https://www.cs.toronto.edu/~kriz/cifar.html", f"put it at {tmp_path}"):
        assert part in said
    packed(cifar_tree(), tmp_path / "cifar10" / "t.tar.gz")
    with pytest.raises(MissingData, match=r"until then .*t\.tar\.gz is used, an image tree"):
        datasets.fetch("cifar10", tmp_path, base_url="http://127.0.0.1:1")


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "longer"])
def test_a_damaged_archive_is_refused_whole(tmp_path: Path, damage: str) -> None:
    path = packed(cifar_tree(), tmp_path / "cifar10" / "t.tar", "w")
    data = bytearray(path.read_bytes())
    if damage in ("cut", "flipped"):
        path.unlink()
        path = packed(cifar_tree(), tmp_path / "cifar10" / "t.tar.gz")
        data = bytearray(path.read_bytes())
        if damage == "cut":
            del data[len(data) // 2 :]
        else:
            data[-6] ^= 1  # gzip's checksum
    elif damage == "header":
        place = data.index(b"train/dog/0003.png")
        data[place] ^= 1
    else:
        data += b"more"
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"t\.tar.*: cannot be read as a tar archive: .*is it whole\? delete or move it"):
        datasets.load(CIFAR, 0, tmp_path)
    assert not [path for path in cache_dir().rglob("*") if path.is_file() and path.parent.name != cache.USES]


# ---- the official batches, read as data ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("text", [False, True])
def test_a_batch_of_any_protocol(protocol: int, text: bool) -> None:
    batch = read_batch(official_batch(1, 20, protocol, text), "here")
    assert batch.labels == [row % 10 for row in range(20)]
    assert batch.files[3] == "thing_s_010003.png"
    assert batch.pixels == np.random.default_rng(1).integers(0, 256, (20, 3072)).astype(np.uint8).tobytes()


def test_a_batch_as_python_2_wrote_it() -> None:
    raw = bytes(range(256)) * 12
    string = lambda text: b"U" + bytes([len(text)]) + text  # noqa: E731
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87q\x05Rq\x06(K\x01K\x01M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x07U\x02u1q\x08K\x00K\x01\x87q\tRq\n(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"
        + raw
        + b"tb"
    )
    data = (
        b"\x80\x02}q\x00("
        + string(b"data")
        + array
        + string(b"labels")
        + b"]K\x03a"
        + string(b"filenames")
        + b"]"
        + string(b"a.png")
        + b"au."
    )
    batch = read_batch(data, "here")
    assert (batch.labels, batch.files, batch.pixels) == ([3], ["a.png"], raw)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_batch_that_would_run_something_is_refused_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps({b"data": Evil(tmp_path / "run"), b"labels": []}, protocol)
    with pytest.raises(BadData, match=r"wants to call (builtins|__builtin__)\.exec; a batch of pictures never holds that"):
        read_batch(data, "here")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80", b".", b"}.", b"(.", b"N.", b"garbage", b"\x80\x02}q\x00(U\x04data", b"K\x01u.", b"h\x05.", b"R.", b"b.",
        b"]K\x01K\x02s.",
        pickle.dumps({b"data": b"abc", b"labels": [1]}, 2),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, 2),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [None]}, 2),
        pickle.dumps({b"data": np.zeros((1, 3072), np.float32), b"labels": [1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, 2),
        pickle.dumps({b"labels": [1]}, 2),
        pickle.dumps([1, 2], 2),
        pickle.dumps(np.float64(1), 2),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_bad_data_and_nothing_else(data: bytes) -> None:
    with pytest.raises(BadData, match="here: "):
        read_batch(data, "here")


def test_any_flip_of_a_batchs_first_bytes_is_read_or_refused() -> None:
    good = official_batch(1, 10)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        data[int(rng.integers(0, 400))] = int(rng.integers(0, 256))
        with contextlib.suppress(BadData):
            read_batch(bytes(data), "here")


def test_an_archive_without_a_batch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: data for name, data in official_files().items() if not name.endswith("data_batch_4")}
    official_source(monkeypatch, packed(files, tmp_path / "cifar10" / "cifar-10-python.tar.gz").read_bytes())
    with pytest.raises(BadData, match="lacks data_batch_4"):
        datasets.load(CIFAR, 0, tmp_path)
