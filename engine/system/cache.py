"""The cache folder: what can be made again, in entries that are used, bounded in size, and removed when they were not used for longest.

An entry is a file, a folder, or several files of one stem. Who uses one holds a shared lock on a small file of its name until its process
ends, and so do the processes that it forks; what is locked is never removed. Every block of an entry has a digest, so that damage is
noticed and the block is made again: `digest`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from engine.errors import RequestError
from engine.system.filesystem import cache_dir

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

KINDS = ("decoded", "texts", "tokens", "features", "states")  # nothing else in the folder is touched: data sets may lie there too
OURS = re.compile("[0-9a-f]{16}")  # a digest in the name of each entry: a person's own folder may be called as one of these
USES, PART, GONE = "in-use", ".part", ".gone."
VARIABLE = "SUBPOP_CACHE_GB"
DEFAULT_GB, DEFAULT_SHARE = 20.0, 0.2  # of the disk; the smaller of the two
FRESH_S = 3600.0  # what was used within this time is in use where there are no locks; what has no writer for so long has none left
UNUSED_S = 30 * 86400.0
DIGEST_BYTES = 16

_held: dict[Path, int] = {}  # the open files that hold this process's locks


@dataclass(frozen=True)
class Entry:
    """One entry. size: bytes that it takes on the disk; used: when it was last used, Unix seconds."""

    kind: str
    stem: str
    paths: tuple[Path, ...]
    size: int
    used: float


@dataclass(frozen=True)
class Removed:
    """What was removed, and how many entries were to be and are in use."""

    entries: tuple[Entry, ...]
    in_use: int

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


def digest(*parts: bytes | memoryview) -> bytes:
    """Of a block of an entry: tells damage, not forgery."""
    made = blake2b(digest_size=DIGEST_BYTES, person=b"subpop cache")
    for part in parts:
        made.update(part)
    return made.digest()


def use(kind: str, name: str) -> None:
    """This process uses the entry of this name from now on. Call it before looking whether there is one."""
    path = cache_dir() / USES / f"{kind}-{_stem(name)}"
    with contextlib.suppress(OSError):  # a cache that cannot be written to cannot be cleaned either
        if path in _held:
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            if fcntl is None:
                os.close(file)
                os.utime(path)
                return
            fcntl.flock(file, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):  # it was not removed while this one waited
                    _held[path] = file
                    os.utime(path)
                    return
            os.close(file)


def let_go() -> None:
    """This process uses nothing any more."""
    while _held:
        os.close(_held.popitem()[1])


# ---- what there is --------------------------------------------------------------------------------------------------


def entries() -> list[Entry]:
    """All entries, the one not used for longest first."""
    grouped: dict[tuple[str, str], list[Path]] = {}
    for kind in KINDS:
        for path in _inside(cache_dir() / kind):
            if OURS.search(_stem(path.name)) and not path.name.startswith("."):
                grouped.setdefault((kind, _stem(path.name)), []).append(path)
    found = []
    for (kind, stem), paths in grouped.items():
        stats = [stat for path in paths for stat in _stats(path)]
        stamp = [stat.st_mtime for stat in _stats(cache_dir() / USES / f"{kind}-{stem}")]
        used = max((stat.st_mtime for stat in stats), default=0.0)
        found.append(Entry(kind, stem, tuple(sorted(paths)), sum(map(_on_disk, stats)), max([used, *stamp])))
    return sorted(found, key=lambda entry: (entry.used, entry.kind, entry.stem))


def bound() -> int:
    """How many bytes the cache may take: $SUBPOP_CACHE_GB, else 20 GB, but no more than a fifth of its disk. RequestError."""
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return _default()
    try:
        wanted = float(given)
        if not 0 <= wanted < 1e9:
            raise ValueError
    except ValueError as error:
        raise RequestError(f"{given!r} is not a number of gigabytes", where=f"${VARIABLE}", next="set it to one, as 50") from error
    return int(wanted * 1e9)


def _default() -> int:
    folder = cache_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return int(min(DEFAULT_GB * 1e9, DEFAULT_SHARE * shutil.disk_usage(folder).total))
    except OSError:
        return int(DEFAULT_GB * 1e9)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Of a file, or of what a folder holds; of nothing where it is gone."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            yield from (file.stat() for file in path.iterdir())
        else:
            yield path.stat()


def _on_disk(stat: os.stat_result) -> int:
    """Rows of states have holes, which take no place."""
    return int(stat.st_blocks) * 512 if hasattr(stat, "st_blocks") else stat.st_size


# ---- removing -------------------------------------------------------------------------------------------------------


def sweep() -> Removed:
    """Keep to the bound: what was not used for longest goes first. Call it when an entry was made."""
    try:
        most = bound()
    except RequestError:  # said where somebody looks: `subpop data`
        most = _default()
    every = entries()
    over = sum(entry.size for entry in every) - most
    removed, in_use = [], 0
    for entry in every:
        if over <= 0:
            break
        if _remove(entry):
            removed.append(entry)
            over -= entry.size
        else:
            in_use += 1
    return Removed(tuple(removed), in_use)


def clean(everything: bool = False, now: float | None = None) -> Removed:
    """Remove what was not used for 30 days and what killed processes left; everything: all that is not in use."""
    now = time.time() if now is None else now
    before = sweep()
    wanted = [entry for entry in entries() if everything or now - entry.used > UNUSED_S]
    removed = [entry for entry in wanted if _remove(entry)]
    left = [entry for kind in KINDS for path in _inside(cache_dir() / kind) if (entry := _left(kind, path, now))]
    removed += [entry for entry in left if _discard(entry.paths)]
    made = {f"{entry.kind}-{entry.stem}" for entry in entries()}
    for path in _inside(cache_dir() / USES):  # of what was never made, or was removed by hand
        if path.name not in made:
            kind, _, stem = path.name.partition("-")
            _remove(Entry(kind, stem, (), 0, 0.0))
    return Removed((*before.entries, *removed), len(wanted) + len(left) - len(removed))


def _left(kind: str, path: Path, now: float) -> Entry | None:
    """What a killed process left unfinished."""
    if not (path.name.startswith(".") and path.name.endswith(PART) and (OURS.search(path.name) or path.name.startswith(GONE))):
        return None
    stats = list(_stats(path))
    used = max((stat.st_mtime for stat in stats), default=0.0)
    return Entry(kind, path.name, (path,), sum(map(_on_disk, stats)), used) if now - used > FRESH_S else None


def _remove(entry: Entry) -> bool:
    """False where the entry is in use, or is not ours to remove."""
    if fcntl is None:
        return time.time() - entry.used > FRESH_S and _discard(entry.paths)
    path = cache_dir() / USES / f"{entry.kind}-{entry.stem}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = _discard(entry.paths)
        path.unlink(missing_ok=True)
        return done
    except OSError:
        return False
    finally:
        os.close(file)


def _discard(paths: tuple[Path, ...]) -> bool:
    """Out of the way first, so that nobody sees half of it."""
    if not paths:
        return True
    try:
        away = Path(tempfile.mkdtemp(prefix=GONE, suffix=PART, dir=paths[0].parent))
        for path in paths:
            os.rename(path, away / path.name)
        shutil.rmtree(away)
    except OSError:
        return False
    return True
