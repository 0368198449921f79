"""Reading a store needs no writing: a read-only mount, another person's store, a full disk, an unread log, an older schema."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import versions
from engine.errors import DiskFull, StoreError
from engine.export.export import export
from engine.runs import rebuild
from engine.runs import start as runs
from engine.scenario.parse import parse
from engine.store import Store, reading
from engine.store import bundle as store_bundle
from tests.runs.test_again import parent_run
from tests.runs.test_versions import aged
from tests.worlds.fake_pipeline import SCENARIO
from tests.worlds.store import as_of, new_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a run in it, closed, and the run's id."""
    path = tmp_path_factory.mktemp("made") / "runs.db"
    with Store.open(path) as store:
        return path, parent_run(store)


@pytest.fixture
def strangers(made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as somebody else's: this process is told that it may not write there. What it makes there all the same is seen."""
    path = tmp_path / "theirs" / "runs.db"
    path.parent.mkdir()
    shutil.copy(made[0], path)
    monkeypatch.setattr(reading, "may_write", lambda file: file.parent != path.parent)
    return path


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}


def exported(store: Store, run_id: str, table: str = "damage") -> str:
    out = io.BytesIO()
    export(store, run_id, table, "csv", out)
    return out.getvalue().decode()


def copies() -> set[str]:
    import tempfile

    return {file.name for file in Path(tempfile.gettempdir()).glob("subpop-store-*")}


def log_of(path: Path, *, shared_memory: bool) -> None:
    """Leave an unread log at the store, as an engine that was killed does: a note is in it alone."""
    work = path.parent.parent / "work"
    work.mkdir()
    shutil.copy(path, work / "runs.db")
    with Store.open(work / "runs.db") as store:
        store.annotate(store.find("latest").id, "in the log alone")
        for ending in ("", "-wal", *(("-shm",) if shared_memory else ())):
            shutil.copy(work / f"runs.db{ending}", path.with_name(f"runs.db{ending}"))


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_a_closed_store_is_read_and_nothing_is_made_beside_it(strangers: Path, made: tuple[Path, str], tmp_path: Path) -> None:
    before, temporary = files(strangers), copies()
    with Store.open(made[0]) as store:
        wanted = exported(store, made[1])
    with Store.open(strangers, to_read=True) as store:
        assert "read-only" in store.read_only
        assert [run.id for run in store.runs()] == [made[1]]
        assert exported(store, made[1]) == wanted
        store_bundle.bundle(store, made[1], tmp_path / "run.subpop")
        assert files(strangers) == before
        assert copies() == temporary
    assert files(strangers) == before
    with Store.open(tmp_path / "mine.db") as mine:
        assert store_bundle.open_bundle(mine, tmp_path / "run.subpop") == made[1]


@pytest.mark.parametrize("shared_memory", [False, True], ids=["without its -shm", "with its -shm"])
def test_what_is_in_the_log_alone_is_read(strangers: Path, made: tuple[Path, str], shared_memory: bool) -> None:
    log_of(strangers, shared_memory=shared_memory)
    before, temporary = files(strangers), copies()
    with Store.open(strangers, to_read=True) as store:
        assert store.run(made[1]).note == "in the log alone"
        assert (copies() == temporary) == shared_memory
    assert files(strangers).keys() == before.keys()
    assert files(strangers)["runs.db"] == before["runs.db"]
    assert copies() == temporary


def test_what_its_owner_commits_meanwhile_is_seen(strangers: Path, made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """First nobody has it open, then its owner has, then nobody again."""
    with Store.open(strangers, to_read=True) as store:
        first = store.data_version()
        assert store.run(made[1]).note == ""
        with Store.open(strangers) as owner:
            for note in ("one", "two"):
                owner.annotate(made[1], note)
                assert store.run(made[1]).note == note
                assert store.data_version() != first
                first = store.data_version()
        with Store.open(strangers) as owner:
            owner.annotate(made[1], "three")
        assert store.run(made[1]).note == "three"
        assert store.data_version() != first


def test_an_older_schema_is_read_from_a_copy(strangers: Path, made: tuple[Path, str]) -> None:
    as_of(strangers, 5)
    db = sqlite3.connect(strangers)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    before, temporary = files(strangers), copies()
    with Store.open(strangers, to_read=True) as store:
        assert store.discovery(made[1]) is not None
    assert files(strangers) == before
    assert copies() == temporary


def test_tables_of_older_statistics_are_worked_out_and_not_stored(strangers: Path, made: tuple[Path, str]) -> None:
    with Store.open(strangers) as owner:
        wanted = exported(owner, made[1])
        aged(owner, made[1], schedule=versions.SCHEDULE)
    before, temporary = files(strangers), copies()
    with Store.open(strangers, to_read=True) as store:
        assert "0.987" in exported(store, made[1])
        assert rebuild.rebuild(store, [made[1]]) == {made[1]: rebuild.OLDER}
        lines = exported(store, made[1]).splitlines()
        assert [line for line in lines if not line.startswith("# unverified")] == wanted.splitlines()  # what is old has no digests
        with pytest.raises(StoreError, match="read-only"):  # the copy takes what is worked out, and nothing else
            store.annotate(made[1], "x")
        assert not store.outdated
        with Store.open(strangers) as owner:
            owner.annotate(made[1], "x")
        assert store.outdated
    assert copies() == temporary
    assert before.keys() == files(strangers).keys()


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_whatever_writes_is_refused_in_words(strangers: Path, made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_spawn", lambda *given: pytest.fail("an engine was started"))
    before = files(strangers)
    with Store.open(strangers, to_read=True) as store:
        for deed in (
            lambda: store.rename(made[1], "x"),
            lambda: store.annotate(made[1], "x"),
            lambda: store.delete_run(made[1]),
            lambda: store.request(made[1], "stop"),
            lambda: runs.start(store, parse(SCENARIO)),
            lambda: runs.resume(store, made[1]),
            lambda: runs.delete(store, made[1]),
            lambda: new_run(store),
        ):
            with pytest.raises(StoreError, match=r"the store is read-only; make the file and its folder writable, or name another"):
                deed()
    assert files(strangers) == before


@pytest.mark.parametrize("text", [b"no database at all, but long enough to be looked at" * 20, b""])
def test_other_files_are_told_as_ever(strangers: Path, text: bytes) -> None:
    strangers.write_bytes(text)
    if text:
        with pytest.raises(StoreError, match="not a results store"):
            Store.open(strangers, to_read=True)
    else:
        with Store.open(strangers, to_read=True) as store:
            assert store.runs() == []


def test_where_there_is_no_room_for_a_copy_it_is_said(strangers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(strangers, shared_memory=False)
    before = copies()

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskFull, match="no room for one; make room, or set TMPDIR"):
        Store.open(strangers, to_read=True)
    assert copies() == before


# ---- for real -------------------------------------------------------------------------------------------------------

CLI = """
import contextlib, io, os, sys
import engine.runs.finding
from engine.cli import main as cli
user, store, run, mine = int(sys.argv[1]), *sys.argv[2:]
READS = ["runs"], ["export", run, "--table", "damage"], ["bundle", run, "-o", "x.subpop"], ["watch", run]
WRITES = ["rename", run, "x"], ["delete", run, "--yes"], ["resume", run], ["run", "quickstart", "--smoke", "--detach"]
def say(words, store):
    out, err = io.StringIO(), io.StringIO()
    out.buffer = io.BytesIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([*words, "--store", store])
    return f"{words[0]} {status} {' '.join(err.getvalue().split())}"
if user:  # who may not get at this Python's own files: what is needed of them is loaded before
    for words in READS:
        say(words, mine)
    say(("rename", "nosuch", "x"), mine)
    os.unlink("x.subpop")
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
for words in READS + WRITES:
    print(say(words, store))
"""


def told(path: Path, run_id: str, folder: Path, user: int = 0) -> dict[str, str]:
    """What commands say to a user of a store: command -> exit status and words."""
    mine = folder / "mine.db"
    shutil.copy(path, mine)
    command = [sys.executable, "-c", CLI, str(user), str(path), run_id, str(mine)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def as_it_should_be(said: dict[str, str], why: str) -> None:
    assert [said[word][0] for word in ("runs", "export", "bundle", "watch")] == ["0"] * 4, said
    for word in ("rename", "delete", "resume", "run"):
        assert why in said[word], said
        assert "bug" not in said[word]


@pytest.fixture
def open_to_all(tmp_path: Path) -> Iterator[Path]:
    """A folder that other users get to."""
    mine = [each for each in (tmp_path, *tmp_path.parents) if each.stat().st_uid == os.geteuid() and each.stat().st_mode & 0o077 == 0]
    for parent in mine:
        parent.chmod(0o755)
    yield tmp_path
    for parent in mine:
        parent.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_persons_store(made: tuple[Path, str], open_to_all: Path) -> None:
    path, out = open_to_all / "theirs" / "runs.db", open_to_all / "out"
    path.parent.mkdir(mode=0o755)
    out.mkdir()
    out.chmod(0o777)
    shutil.copy(made[0], path)
    path.chmod(0o644)
    before = files(path)
    as_it_should_be(told(path, made[1], out, 65534), "the store is read-only")
    assert files(path) == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where this process may have one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_mount(made: tuple[Path, str], disk: Path, tmp_path: Path) -> None:
    shutil.copy(made[0], disk / "runs.db")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    as_it_should_be(told(disk / "runs.db", made[1], tmp_path), "the store is read-only")


def test_a_full_disk(made: tuple[Path, str], disk: Path, tmp_path: Path) -> None:
    shutil.copy(made[0], disk / "runs.db")
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (4096, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                pass
    as_it_should_be(told(disk / "runs.db", made[1], tmp_path), "the disk is full")
    with Store.open(disk / "runs.db", to_read=True) as store, store.privately():
        store.annotate(made[1], "in a copy alone")
        assert store.run(made[1]).note == "in a copy alone"
