"""Downloads against a loopback server: good, wrong, truncated, absent, refused, interrupted. Nothing half-done keeps the file's name."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine import datasets
from engine.datasets import adult
from engine.datasets.files.fetching import STALE_S, Source, checked_path, download, state_of
from engine.errors import BadData, MissingData

BODY = b"39, State-gov\n" * 20_000
OTHER = b"<html>please log in</html>"


def source(name: str) -> Source:
    return Source("tiny", name, hashlib.md5(BODY).hexdigest(), len(BODY), "http://nowhere.invalid/archive", "https://example.org/tiny")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        if name == "absent.csv":
            self.send_error(404)
            return
        body = OTHER if name == "wrong.csv" else BODY
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "truncated.csv" else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/files/"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_good_file_is_put_in_place_with_its_progress(base_url: str, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    path = checked_path(source("good.csv"), tmp_path, lambda what, done: told.append((what, done)), base_url)
    assert path == tmp_path / "tiny" / "good.csv"
    assert path.read_bytes() == BODY
    assert left_in(tmp_path) == ["good.csv"]
    assert path.stat().st_mode & 0o777 == 0o644
    shares = [done for what, done in told if what == "downloading good.csv"]
    assert len(shares) > 2
    assert all(0 < share <= 1 for share in shares)
    assert told[-1] == ("downloaded good.csv", 1.0)
    told.clear()
    assert checked_path(source("good.csv"), tmp_path, lambda what, done: told.append((what, done)), "http://127.0.0.1:1") == path
    assert told == []  # it is here: nothing is asked of the network


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("wrong.csv", BadData, f"what came has MD5 {hashlib.md5(OTHER).hexdigest()} and 26 bytes; the official file has"),
        ("truncated.csv", MissingData, "the connection broke off before the whole file had come"),
        ("absent.csv", MissingData, "the server answers 404 Not Found"),
    ],
)
def test_a_bad_download_leaves_nothing_and_says_what_to_do(
    base_url: str, tmp_path: Path, name: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        download(source(name), tmp_path, base_url=base_url)
    for part in (said, f"{base_url}{name}", "https://example.org/tiny", f"put it at {tmp_path / 'tiny' / name}"):
        assert part in str(caught.value)
    assert left_in(tmp_path) == []


def test_no_network_names_the_file_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(MissingData) as caught:
        datasets.fetch("adult", tmp_path, base_url=closed)
    said = str(caught.value)
    assert "adult/adult.data is not here and could not be fetched (connection refused)" in said
    assert "https://archive.ics.uci.edu/dataset/2/adult" in said
    assert f"put it at {tmp_path / 'adult' / 'adult.data'}" in said
    assert "$SUBPOP_DATA" in said
    assert left_in(tmp_path) == []


def test_ctrl_c_midway_leaves_nothing(base_url: str, tmp_path: Path) -> None:
    def interrupt(what: str, done: float) -> None:
        if done > 0.3:
            assert len(left_in(tmp_path)) == 1  # the partial file, under a name of its own
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(source("good.csv"), tmp_path, interrupt, base_url)
    assert left_in(tmp_path) == []


def test_what_a_killed_download_left_is_swept_away_once_it_is_old(base_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    old, fresh = folder / ".good.csv.dead.part", folder / ".good.csv.busy.part"
    for part in (old, fresh):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - STALE_S - 10,) * 2)
    download(source("good.csv"), tmp_path, base_url=base_url)
    assert left_in(tmp_path) == [".good.csv.busy.part", "good.csv"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("a file where the folder should be")
    with pytest.raises(MissingData, match=r"good\.csv is not here, and the folder cannot be written to"):
        download(source("good.csv"), tmp_path, base_url="http://127.0.0.1:1")


def test_a_file_that_is_here_and_wrong_is_refused_with_both_checksums(tmp_path: Path) -> None:
    place = tmp_path / "tiny" / "good.csv"
    place.parent.mkdir()
    place.write_bytes(BODY[:-5])
    with pytest.raises(BadData) as caught:
        checked_path(source("good.csv"), tmp_path)
    for part in (hashlib.md5(BODY[:-5]).hexdigest(), hashlib.md5(BODY).hexdigest(), str(place), "subpop data fetch tiny"):
        assert part in str(caught.value)
    assert place.read_bytes() == BODY[:-5]  # the person's file, not ours to delete
    assert "279,995 bytes, the official file 280,000" in state_of((source("good.csv"),), tmp_path).detail


def test_a_folder_under_the_files_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny" / "good.csv").mkdir(parents=True)
    with pytest.raises(BadData, match="cannot be read: Is a directory"):
        checked_path(source("good.csv"), tmp_path)


def test_state_of_adult(tmp_path: Path) -> None:
    state = datasets.state("adult", tmp_path)
    assert not state.present
    assert "adult.data is missing; adult.test is missing" in state.detail
    assert state.files == (tmp_path / "adult" / "adult.data", tmp_path / "adult" / "adult.test")


def test_real_adult_truncated_is_refused_and_real_adult_is_served(shared_data: Path, tmp_path: Path) -> None:
    assert datasets.state("adult", shared_data).present
    assert [path.name for path in datasets.fetch("adult", shared_data)] == ["adult.data", "adult.test"]
    (tmp_path / "adult").mkdir()
    for name in ("adult.data", "adult.test"):
        (tmp_path / "adult" / name).write_bytes((shared_data / "adult" / name).read_bytes()[:100_000])
    with pytest.raises(BadData, match=f"the official file's is {adult.TRAIN_FILE.md5}"):
        datasets.fetch("adult", tmp_path)
