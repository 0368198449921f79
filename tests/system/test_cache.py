"""The cache keeps to its bound: what was not used for longest goes first, and never what is in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.cli import main as cli
from engine.errors import RequestError
from engine.system import cache

MB = 1 << 20

DIGEST = "0123456789abcdef" * 2
FACES, ENC, T = f"faces-32-{DIGEST}", f"{DIGEST}e", f"{DIGEST}t"  # as our entries are called, each after a digest


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path))
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    yield tmp_path
    cache.let_go()


def made(place: Path, path: str, days: float, size: int = MB) -> Path:
    file = place / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    os.utime(file, (time.time() - days * 86400,) * 2)
    return file


def three(place: Path) -> None:
    made(place, f"decoded/{FACES}/pixels", 40)
    made(place, f"features/{ENC}.rows", 3)
    made(place, f"features/{ENC}.keys", 3, 10)
    made(place, f"tokens/{T}.int32", 2)
    made(place, "data/adult/adult.data", 400)
    made(place, "features/mine.csv", 400)  # a folder of the person's own that has a name of ours
    made(place, "texts/0123/letter.txt", 400)


def everything_of_others(place: Path) -> None:
    assert all((place / path).exists() for path in ("data/adult/adult.data", "features/mine.csv", "texts/0123/letter.txt"))


def names() -> list[str]:
    return [f"{entry.kind}/{entry.stem}" for entry in cache.entries()]


def test_what_was_not_used_for_longest_goes_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three(place)
    assert names() == [f"decoded/{FACES}", f"features/{ENC}", f"tokens/{T}"]
    cache.use("decoded", FACES)
    cache.let_go()
    assert names() == [f"features/{ENC}", f"tokens/{T}", f"decoded/{FACES}"]
    monkeypatch.setenv(cache.VARIABLE, "0.0025")
    assert [entry.stem for entry in cache.sweep().entries] == [ENC]
    assert names() == [f"tokens/{T}", f"decoded/{FACES}"]
    assert cache.sweep().entries == ()
    everything_of_others(place)
    assert not list(place.rglob("*.part"))


def test_what_is_in_use_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three(place)
    cache.use("features", f"{ENC}.rows")
    monkeypatch.setenv(cache.VARIABLE, "0")
    removed = cache.sweep()
    assert ([entry.stem for entry in removed.entries], removed.in_use) == ([FACES, T], 1)
    assert names() == [f"features/{ENC}"]
    cache.let_go()
    assert [entry.stem for entry in cache.sweep().entries] == [ENC]


@pytest.mark.parametrize("given", ["many", "-1", "nan", "inf"])
def test_a_bound_that_is_none_is_said_and_stops_no_run(place: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    three(place)
    monkeypatch.setenv(cache.VARIABLE, given)
    with pytest.raises(RequestError, match="is not a number of gigabytes"):
        cache.bound()
    assert cache.sweep().entries == ()
    assert cli.main(["data", "clean", "--all"]) == 2
    assert len(names()) == 3


def test_the_command_says_what_it_removed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three(place)
    made(place, f"decoded/.{FACES}.x.part/pixels", 1)
    os.utime(place / f"decoded/.{FACES}.x.part", (1, 1))
    assert cli.main(["data", "list"]) == 0
    assert f"cache: 3.1 MB in 3 entries in {place}, kept below" in capsys.readouterr().err
    assert cli.main(["data", "clean"]) == 0
    said = capsys.readouterr()
    assert f"removed decoded/{FACES} (1.0 MB, last used 40 days ago)" in said.out
    assert "removed 2 entries, 2.1 MB; 2.1 MB left" in said.err
    cache.use("tokens", f"{T}.int32")
    assert cli.main(["data", "clean", "--all"]) == 0
    assert "removed 1 entry, 1.1 MB; 1.0 MB left; 1 entry kept: in use" in capsys.readouterr().err
    assert names() == [f"tokens/{T}"]
    everything_of_others(place)


READER = """
import sys
from pathlib import Path
from engine.system import cache
from engine.system.filesystem import cache_dir
rounds, gone = 0, 0
while rounds < 40:
    cache.use("tokens", f"{sys.argv[1]}.int32")
    path = cache_dir() / "tokens" / f"{sys.argv[1]}.int32"
    if not path.exists():  # as every maker of an entry does
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(b"y" * 5000)
        part.replace(path)
    for look in range(20):
        gone += path.read_bytes() != b"y" * 5000
    cache.let_go()
    rounds += 1
print(gone)
"""


def test_two_read_while_one_cleans(place: Path) -> None:
    (place / "tokens").mkdir()
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, name], stdout=subprocess.PIPE, text=True, env={**os.environ})
        for name in (FACES, ENC, FACES)
    ]
    removed = 0
    while any(reader.poll() is None for reader in readers):
        removed += len(cache.clean(everything=True).entries)
    assert [reader.communicate()[0].strip() for reader in readers] == ["0", "0", "0"]
    assert removed > 0
