"""What single flipped bits and forged bundles do to what is shown: `python -m tests.studies.damage [--bits 500] [--bundles 200]`.

A real run (quickstart --smoke) is stored; pictures and texts of one's own are read through their caches. Then, one at a time, a bit of the
store, of its write-ahead log or of a cache file is flipped, or a value of a bundle is forged, and all that the command line shows of the
run is asked for again, in this process. Each ends as one of

harmless   every export is the same, byte for byte, and nothing was said
said       in words: a nonzero exit status, or that something was damaged and made anew
silent     something else was exported, and nothing was said
internal   "this is a bug in subpop", or an exception

Of bundles, `harmless` is one that opens to the right tables, `said` one that is refused, `silent` one that opens to other tables than its
predictions have. It runs with any version of the engine that has bundles: what it knows of digests it asks the engine for.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from engine.cli import main as cli
from engine.pipeline.order import RunPipeline
from engine.runs import start
from engine.runs.worker import work
from engine.scenario.parse import load, parse
from engine.store import Store
from engine.store.bundle import bundle

TABLES = ("worst", "damage", "victims", "subpopulations", "confidence", "predictions")
WORDS = ("damaged", "made anew", "unverified", "decoded again", "tokenised again", "read again", "computed again")
Outputs = dict[str, tuple[int, bytes, str]]  # by command: exit status, what was shown, what was said


def called(*words: str) -> tuple[int, bytes, str]:
    """One command line in this process: its status, stdout and stderr."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(list(words))
        except BaseException as error:
            return 1, b"", f"this is a bug in subpop: {type(error).__name__}: {error}"
    return status, out.buffer.getvalue(), err.getvalue()


def shown(store: Path, run_id: str, tables: Sequence[str] = TABLES) -> Outputs:
    """All that is looked at: the list, and each table."""
    place = ("--store", str(store))
    outputs = {name: called("export", run_id, "--table", name, *place) for name in tables}
    status, listed, words = called("runs", "--json", *place)
    with contextlib.suppress(ValueError, AttributeError):  # how long ago it was is another each time
        lists = json.loads(listed)
        rows = [{k: v for k, v in row.items() if k not in ("heartbeat_at", "alive", "may_live")} for row in lists]
        words += "".join(str(row.get("damaged", "")) and "damaged" for row in rows if row.get("damaged"))
        listed = json.dumps(rows).encode()
    return outputs | {"runs": (status, listed, words)}


def judged(before: Outputs, after: Outputs) -> str:
    said = [text for _, _, text in after.values()]
    if any("this is a bug" in text for text in said):
        return "internal"
    if any(status for status, _, _ in after.values()) or any(word in text for text in said for word in WORDS):
        others = [name for name, (status, data, text) in after.items() if not status and data != before[name][1] and name != "runs"]
        return "silent" if others and not any(word in text for text in said for word in WORDS) else "said"
    return "harmless" if all(data == before[name][1] for name, (_, data, _) in after.items()) else "silent"


# ---- bits of a store --------------------------------------------------------------------------------------------------


def made_store(place: Path, preset: str, *overrides: str) -> tuple[Path, Path, str]:
    """A store of one finished run, checkpointed; the same with all of it in its write-ahead log; the run's id."""
    place.mkdir(parents=True)
    with Store.open(place / "log.db") as store:
        store._db.execute("PRAGMA wal_autocheckpoint = 0")
        run_id = start.start(store, load(preset, overrides, smoke=True), spawn=False).id
        assert work(store, run_id) == "done"
        (place / "logged").mkdir()
        for end in ("", "-wal"):
            # not in this process, where to close a file drops SQLite's locks on it
            subprocess.run(["cp", str(place / f"log.db{end}"), str(place / "logged" / f"runs.db{end}")], check=True)
    (place / "whole").mkdir()
    shutil.copyfile(place / "log.db", place / "whole" / "runs.db")
    return place / "whole", place / "logged", run_id


def flipped(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        value = file.read(1)[0]
        file.seek(at)
        file.write(bytes([value ^ 1 << bit]))


def bits_of_store(
    folder: Path, target: str, run_id: str, count: int, rng: random.Random, tables: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(how each ended, where the bit was)."""
    before = None
    size = (folder / target).stat().st_size
    hard = [*range(16, 100, 9), *range(100, 110)]  # the file's header, and the schema page's
    for number in range(-1, count):
        with tempfile.TemporaryDirectory() as copied:
            for file in folder.iterdir():
                shutil.copyfile(file, Path(copied) / file.name)
            where = ""
            if number >= 0:
                at, bit = hard[number // 4] if number % 4 == 0 and number // 4 < len(hard) else rng.randrange(size), rng.randrange(8)
                flipped(Path(copied) / target, at, bit)
                where = f"{target} byte {at} (page {at // 4096} + {at % 4096}) bit {bit}"
            after = shown(Path(copied) / "runs.db", run_id, tables)
            if before is None:
                before = after
                continue
            yield judged(before, after), where


# ---- bits of a cache --------------------------------------------------------------------------------------------------


def pictures_and_texts(place: Path) -> dict[str, Callable[[], tuple[str, str]]]:
    """Name -> reads a dataset as its model does: (a digest of all of it, what was said)."""
    from tests.models.test_encoders import pieces, reviews, saved, scenario_of
    from tests.pipeline.test_opened_once import PICTURES, pictures, weights_of

    saved("bert", place / "model")
    pieces(place / "model")
    texts = scenario_of(reviews(place / "reviews.csv", 60), place / "model", "compute.threads=1")
    weights = weights_of(place / "w.pt")
    seen = parse(
        PICTURES.format(attack="label_flip", folder=pictures(place / "pictures")),
        overrides=[f'model.weights="{weights}"', 'model.tune="last_layer"'],
    )
    films = place / "data" / "imdb" / "aclImdb"
    for split in ("train", "test"):
        for kind, rating in (("pos", 9), ("neg", 2)):
            (films / split / kind).mkdir(parents=True)
            for number in range(20):
                (films / split / kind / f"{number}_{rating}.txt").write_text(f"film {number} of {split} was {kind} " * 5, "utf-8")
    imdb = load("imdb-bert-ll", [f'model.weights="{place / "model"}"', "model.length=8", "compute.threads=1"])

    def reader(scenario: Any) -> Callable[[], tuple[str, str]]:
        def read() -> tuple[str, str]:
            said: list[str] = []
            dataset = RunPipeline().load(
                scenario, place / "data", device="cpu", log=said.append, progress=lambda what, share: said.append(what)
            )
            digest = blake2b()
            for rows in (dataset.train, dataset.aux, dataset.test):
                for array in (rows.x, rows.y, rows.images):
                    digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
                digest.update(str(None if rows.texts is None else list(rows.texts)).encode())
            if dataset.states is not None:
                from engine.training.encoders.states import mapped

                rows_NTW = mapped(dataset.states).numpy()
                for rows in (dataset.train, dataset.aux, dataset.test):
                    for number in rows.x[:, 0].tolist():
                        digest.update(rows_NTW[number, : dataset.states.lengths[number]].tobytes())
                digest = blake2b(digest.digest())
            return digest.hexdigest(), "\n".join(said)

        return read

    # rows' numbers in the states are others where one was computed again: what they lead to is compared, not they
    return {"pictures": reader(seen), "texts": reader(texts), "imdb": reader(imdb)}


def bits_of_caches(place: Path, count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    place.mkdir(parents=True)
    cache, kept = place / "cache", place / "kept"
    os.environ["SUBPOP_CACHE"] = str(cache)
    readers = pictures_and_texts(place)
    before = {}
    files: list[tuple[str, Path]] = []
    for name, read in readers.items():
        there = set(cache.rglob("*"))
        before[name] = read()[0]
        files += [
            (name, path.relative_to(cache)) for path in sorted(set(cache.rglob("*")) - there) if path.is_file() and path.stat().st_size
        ]
    shutil.copytree(cache, kept)
    for number in range(count):
        name, file = files[number % len(files)]
        shutil.rmtree(cache)
        shutil.copytree(kept, cache)
        size = (cache / file).stat().st_size
        where = f"{file.parts[0]}/{file.name[-12:]}"
        if number // len(files) == 0:
            with (cache / file).open("r+b") as whole:
                whole.truncate(size - 1)
            where += " cut by a byte"
        else:
            at, bit = rng.randrange(size), rng.randrange(8)
            flipped(cache / file, at, bit)
            where += f" byte {at} of {size} bit {bit}"
        try:
            after, said = readers[name]()
        except Exception as error:
            ours = type(error).__module__ == "engine.errors"
            yield ("said" if ours else "internal"), f"{where}: {type(error).__name__}: {error}"
            continue
        if any(word in said for word in WORDS):
            yield "said", where
        else:
            yield ("harmless" if after == before[name] else "silent"), where


# ---- bundles ----------------------------------------------------------------------------------------------------------

VALUES: tuple[object, ...] = (
    b"\x00\xff", None, "yesterday", -1, 2**62, float("inf"), 0.001, "", "[1", "\x1b]0;mine\x07", "x" * 20_000_000, "[[null]]",
    "[NaN, 1e999]",
)  # fmt: skip


def forgeries(file: Path, count: int, rng: random.Random) -> Iterator[tuple[str, Callable[[sqlite3.Connection], None]]]:
    """What is forged, and how."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = [name for name in tables if db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]]
        columns = [(table, row[1]) for table in filled for row in db.execute(f"PRAGMA table_info({table})")]
    every: list[tuple[str, Callable[[sqlite3.Connection], None]]] = []
    for table, column in columns:
        for value in VALUES:

            def put(db: sqlite3.Connection, table: str = table, column: str = column, value: object = value) -> None:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (value,))

            every.append((f"{table}.{column} = {str(value)[:12]!r}", put))
    rng.shuffle(every)
    structural: list[tuple[str, Callable[[sqlite3.Connection], None]]] = []
    for table in filled:
        structural += [
            (
                f"{table}: its last row is missing",
                lambda db, t=table: db.execute(f"DELETE FROM {t} WHERE rowid = (SELECT max(rowid) FROM {t})"),
            ),
            (f"{table}: a row twice", lambda db, t=table: db.execute(f"INSERT INTO {t} SELECT * FROM {t} LIMIT 1")),
            (f"{table}: no row", lambda db, t=table: db.execute(f"DELETE FROM {t}")),
        ]
    for table, column in (("victims", "predictions"), ("subpopulations", "fields"), ("result_rows", "cells"), ("arrays", "data")):

        def swap(db: sqlite3.Connection, table: str = table, column: str = column) -> None:
            rows = db.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid DESC LIMIT 2").fetchall()
            for (rowid, _), (_, value) in zip(rows, reversed(rows), strict=True):
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))

        structural.append((f"{table}: {column} of two rows swapped", swap))

    def cells(db: sqlite3.Connection) -> None:
        for rowid, text in db.execute("SELECT rowid, cells FROM result_rows WHERE cells IS NOT NULL").fetchall():
            row = [0.001 if type(cell) is float else cell for cell in json.loads(text)]
            db.execute("UPDATE result_rows SET cells = ? WHERE rowid = ?", (json.dumps(row, separators=(",", ":")), rowid))

    structural.append(("every fraction of every table is 0.001", cells))
    yield from (structural + every)[:count]


def forged(original: Path, place: Path, before: Outputs, run_id: str, count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    for number, (what, forge) in enumerate(forgeries(original, count, rng)):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            file, store = Path(folder) / "forged.subpop", Path(folder) / "runs.db"
            shutil.copyfile(original, file)
            how = ("digests as they were", "no digests", "digests worked out again")[number % 3]
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
                freed(db)
                with contextlib.suppress(OverflowError):
                    forge(db)
                redone(db, how)
            status, out, said = called("open", str(file), "--store", str(store))
            where = f"{what} ({how})"
            if "this is a bug" in said:
                yield "internal", f"{where}: {said}"
                continue
            if status:
                kept = called("runs", "--json", "--store", str(store))
                yield (
                    ("said" if status == 2 and len(said.splitlines()) == 1 and kept[:2] == (0, b"[]\n") else "internal"),
                    f"{where}: {said[:200]}",
                )
                continue
            after = shown(store, out.decode().strip() or run_id)
            if any("this is a bug" in text for _, _, text in after.values()) or any(s not in (0, 2) for s, _, _ in after.values()):
                yield "internal", where
            elif what.startswith(("result_", "every fraction")):
                same = all(after[name][1].split(b"\n#")[0] and body(after[name][1]) == body(before[name][1]) for name in TABLES)
                yield ("harmless" if same else "silent"), where
            else:
                yield "harmless", where


def body(data: bytes) -> bytes:
    """An export without its provenance."""
    return b"\n".join(line for line in data.splitlines() if not line.startswith(b"#"))


def freed(db: sqlite3.Connection) -> None:
    """Without types, checks and keys."""
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall():
        names = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})"))
        db.executescript(f"CREATE TABLE free ({names}); INSERT INTO free SELECT * FROM {table}; DROP TABLE {table};")
        db.execute(f"ALTER TABLE free RENAME TO {table}")


def redone(db: sqlite3.Connection, how: str) -> None:
    """What a forger does about digests, where this version has any."""
    try:
        from engine.store import digests
    except ImportError:
        return
    if how == "no digests":
        for table in digests.COVERED:
            db.execute(f"UPDATE {table} SET digest = NULL")
    if how != "digests worked out again":
        return
    db.row_factory = sqlite3.Row
    with contextlib.suppress(TypeError, sqlite3.Error, IndexError):
        run_id = db.execute("SELECT id FROM runs").fetchone()["id"]
        for table in sorted(digests.COVERED, key=lambda name: name in ("discoveries", "result_tables")):
            for row in db.execute(f"SELECT rowid AS place, * FROM {table}").fetchall():
                under = b""
                if table == "discoveries":
                    under = digests.under_discovery(db, run_id)
                if table == "result_tables":
                    under = digests.under_table(db, run_id, row["name"])
                digest = digests.digest_of(table, run_id, row, under)
                db.execute(f"UPDATE {table} SET digest = ? WHERE rowid = ?", (digest, row["place"]))


# ---- all of it --------------------------------------------------------------------------------------------------------


def tally(name: str, ends: Iterator[tuple[str, str]], bad: list[str]) -> Counter[str]:
    count: Counter[str] = Counter()
    began = time.perf_counter()
    for end, where in ends:
        count[end] += 1
        if end in ("silent", "internal"):
            bad.append(f"{end}: {where}")
    words = ", ".join(f"{count[end]} {end}" for end in ("harmless", "said", "silent", "internal"))
    print(f"{name}: {count.total()} in {time.perf_counter() - began:.0f} s: {words}", flush=True)
    return count


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, default=500)
    parser.add_argument("--bundles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--said", action="store_true", help="list each that is silent or internal")
    args = parser.parse_args(argv)
    bad: list[str] = []
    with tempfile.TemporaryDirectory(prefix="subpop-damage-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        os.environ["SUBPOP_STORE"] = str(place / "none.db")
        whole, logged, run_id = made_store(place / "store", "quickstart")
        share = args.bits // 10
        tally("bits of a store", bits_of_store(whole, "runs.db", run_id, 5 * share, random.Random(args.seed), TABLES), bad)
        tally("bits of its log", bits_of_store(logged, "runs.db-wal", run_id, 2 * share, random.Random(args.seed + 1), TABLES), bad)
        with Store.open(logged / "runs.db") as store:
            bundle(store, run_id, place / "good.subpop")
        before = shown(whole / "runs.db", run_id)
        tally("bits of caches", bits_of_caches(place / "caches", args.bits - 7 * share, random.Random(args.seed + 2)), bad)
        tally("forged bundles", forged(place / "good.subpop", place, before, run_id, args.bundles, random.Random(args.seed + 3)), bad)
    if args.said:
        print("\n".join(bad))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
