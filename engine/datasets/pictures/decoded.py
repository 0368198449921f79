"""Decoded pictures of a source, kept in the cache folder: decoded once, then mapped into memory.

An entry is a folder that gets its name only when it is whole: `pixels` and `traits` (plain arrays) and `about.json`, which has the digests
of both, of `pixels` for each block of pictures. A block is held against its digest when a picture of it is first taken; what is damaged is
decoded again. Runs that decode the same at the same time each write their own; the first to finish is kept. Ctrl-C leaves nothing; what a
killed run left is swept away later.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.datasets.files.archives import Leftovers
from engine.datasets.files.places import Progress
from engine.datasets.pictures.sources import Source
from engine.datasets.pictures.traits import WORDS
from engine.datasets.wording import counted
from engine.system import cache
from engine.system.filesystem import cache_dir

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2  # raise it when the same source would be decoded, named or measured differently
PART = ".part"
BLOCK_BYTES = 1 << 20  # about so much of the pixels is held against a digest at once
STALE_S = 3600.0  # an unfinished entry not written to for this long has no writer left


@dataclass(frozen=True)
class Pictures:
    """All pictures of a source that can be used, in the order of their names.

    names   text [pictures];  pixels  uint8 [pictures, size, size, 3] as they lie in the source, `order` int64 [pictures] into it
    traits  float32 [pictures, traits], in the order of names
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    order: np.ndarray
    traits: np.ndarray
    checksums: dict[str, str]
    notes: tuple[str, ...]
    blocks: Blocks | None = None  # None where they are in memory alone
    again: Callable[[], Pictures] | None = None  # decodes what lies damaged on the disk

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Their pixels in memory, uint8 [rows, size, size, 3]; int64 [rows] in the order of names."""
        places = self.order[rows]
        if self.blocks is not None and self.again is not None and not self.blocks.sound(self.pixels, places):
            return self.again().take(rows)
        return self.pixels[places]


class Blocks:
    """Which blocks of pictures are as they were written, looked at once each. digests: in hexadecimal, a block each."""

    def __init__(self, digests: Sequence[str], rows: int) -> None:
        self.digests, self.rows = digests, rows
        self.seen: set[int] = set()

    def sound(self, pixels: np.ndarray, places: np.ndarray) -> bool:
        """Whether the blocks of the pictures at these places, int64 [rows], are."""
        import numpy as np

        for block in np.unique(places // self.rows).tolist():
            if block not in self.seen:
                data = pixels[block * self.rows : (block + 1) * self.rows].data.cast("B")
                if cache.digest(data).hex() != self.digests[block]:
                    return False
                self.seen.add(block)
        return True


class _NotKept(Exception):
    """The cache cannot be written to."""


def decoded(kind: str, source: Source, size: int, progress: Progress) -> Pictures:
    """The source's pictures, `size` pixels square. BadData where the source cannot be read; a cache that cannot be written is only said."""
    folder = cache_dir() / "decoded" / f"{kind}-{size}-{_key(kind, source, size)}"
    cache.use("decoded", folder.name)

    def again() -> Pictures:
        progress(f"the kept pictures of {source.label} are damaged on the disk: they are decoded again", 0.0)
        _remove(folder)
        return decoded(kind, source, size, progress)

    was_there = folder.exists()
    if (cached := _opened(folder, source, again)) is not None:
        return cached
    if was_there:
        progress(f"the kept pictures of {source.label} are damaged on the disk: they are decoded again", 0.0)
    try:
        part = _new_part(folder)
        try:
            with ExitStack() as files:
                pixels, traits = (files.enter_context(_created(part / name)) for name in ("pixels", "traits"))
                about = _spool(source, size, progress, pixels, traits)
            _keep(part, folder, about, size)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        cache.sweep()
        if (cached := _opened(folder, source, None)) is not None:  # just written: not read again to be sure
            return replace(cached, again=again)
        raise _NotKept("it was gone at once")
    except _NotKept as error:
        note = f"decoded into memory, for this time only: {folder.parent} cannot be written to ({error})"
        return _in_memory(source, size, progress, note)


def _key(kind: str, source: Source, size: int) -> str:
    import PIL

    return sha256(f"{FORMAT} {kind} {size} {PIL.__version__} {source.key}".encode(errors="surrogateescape")).hexdigest()[:32]


# ---- decoding into files or memory -----------------------------------------------------------------------------------


def _spool(source: Source, size: int, progress: Progress, pixels: Any, traits: Any) -> dict[str, Any]:
    """Decode into two open files, in the source's order; what is to be known of it."""
    left = Leftovers()
    names: list[str] = []
    digests: list[tuple[str, bytes]] = []
    resized = squeezed = 0
    what = f"decoding {source.label}"
    progress(what, 0.0)
    with closing(source.blocks(size, left)) as blocks:  # its threads and files are done with before a Ctrl-C travels on
        for block in blocks:
            _write(pixels, block.pixels)
            _write(traits, block.traits)
            names += block.names
            digests += block.digests
            resized, squeezed = resized + block.resized, squeezed + block.squeezed
            progress(what, min(1.0, block.done))
    progress(what, 1.0)
    content = sha256()
    for name, digest in sorted(digests):
        content.update(f"{name}\0".encode(errors="surrogateescape") + digest)
    return {"names": names, "size": size, "left": left.count, "left_names": left.names, "said": left.used, "content": content.hexdigest(),
            "resized": resized, "squeezed": squeezed}  # fmt: skip


def _write(file: IO[bytes], array: np.ndarray) -> None:
    try:
        file.write(array.data.cast("B") if array.size else b"")
    except OSError as error:  # a full disk, mostly
        raise _NotKept(error.strerror or str(error)) from error


def _in_memory(source: Source, size: int, progress: Progress, note: str) -> Pictures:
    import numpy as np

    pixels, traits = _Memory(), _Memory()
    about = _spool(source, size, progress, pixels, traits)
    return _pictures(source, about, np.frombuffer(pixels.held, np.uint8), np.frombuffer(traits.held, np.float32), (note,))


class _Memory:
    """What is written to it."""

    def __init__(self) -> None:
        self.held = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self.held += data


def _pictures(source: Source, about: dict[str, Any], pixels: np.ndarray, traits: np.ndarray, notes: tuple[str, ...] = ()) -> Pictures:
    """ValueError where the arrays' sizes are not what `about` says."""
    import numpy as np

    names, size = about["names"], about["size"]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    square = f"{size}×{size}"
    source_notes = [*Leftovers(about["left"], about["left_names"]).notes(), *about.get("said", ())]
    if about["resized"]:
        cut = f"; {counted(about['squeezed'], 'picture')} not square, squeezed" if about["squeezed"] else ""
        source_notes.append(f"resized to {square}: {about['resized']:,} of {counted(len(names), 'picture')}{cut}")
    return Pictures(
        names=tuple(names[place] for place in order),
        pixels=pixels.reshape(len(names), size, size, 3),
        order=order,
        traits=np.array(traits.reshape(len(names), len(WORDS))[order]),
        checksums={source.label: source.checksum or f"sha256:{about['content']}"},
        notes=(*source_notes, *notes),
    )


# ---- entries ---------------------------------------------------------------------------------------------------------


def _opened(folder: Path, source: Source, again: Callable[[], Pictures] | None) -> Pictures | None:
    """The entry, mapped; None where there is none or it is not what it should be (it is then moved out of the way)."""
    import numpy as np

    try:
        head, _, text = (folder / "about.json").read_text("utf-8").partition("\n")
        if head != cache.digest(text.encode()).hex():
            raise ValueError("it is not as it was written")
        about = json.loads(text)
        if not about["names"]:
            return _pictures(source, about, np.zeros(0, np.uint8), np.zeros(0, np.float32))
        traits = (folder / "traits").read_bytes()
        if about["digests"]["traits"] != cache.digest(traits).hex():
            raise ValueError("its traits are not as they were written")
        pictures = _pictures(source, about, np.memmap(folder / "pixels", np.uint8, "r"), np.frombuffer(traits, np.float32))
        return replace(pictures, blocks=Blocks(about["digests"]["pixels"], about["digests"]["rows"]), again=again)
    except FileNotFoundError:
        if not folder.exists():
            return None
    except (OSError, ValueError, KeyError, TypeError):  # cut off by a crash, or somebody's edit
        pass
    _remove(folder)
    return None


def _new_part(folder: Path) -> Path:
    """An empty folder beside `folder`; sweeps away what killed runs left."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".*{PART}"):
            if time.time() - max((path.stat().st_mtime for path in _with_files(old)), default=0.0) > STALE_S:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=PART, dir=folder.parent))
    except OSError as error:
        raise _NotKept(error.strerror or str(error)) from error


def _with_files(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.iterdir()


def _created(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise _NotKept(error.strerror or str(error)) from error


def _keep(part: Path, folder: Path, about: dict[str, Any], size: int) -> None:
    """Give the whole entry its name. One that another run put there meanwhile is as good."""
    try:
        text = json.dumps(about | {"digests": _digests(part, size)})
        (part / "about.json").write_text(f"{cache.digest(text.encode()).hex()}\n{text}", "utf-8")
        part.chmod(0o755)  # mkdtemp makes it private; a shared cache is read by others
        try:
            os.rename(part, folder)
        except OSError:
            if not folder.is_dir():
                raise
    except OSError as error:
        raise _NotKept(error.strerror or str(error)) from error


def _digests(part: Path, size: int) -> dict[str, Any]:
    """Of what was written, a block of pictures at a time; rows: pictures in a block."""
    picture = size * size * 3
    rows = max(1, BLOCK_BYTES // picture)
    with (part / "pixels").open("rb") as file:
        pixels = [cache.digest(data).hex() for data in iter(lambda: file.read(rows * picture), b"")]
    return {"rows": rows, "pixels": pixels, "traits": cache.digest((part / "traits").read_bytes()).hex()}


def _remove(folder: Path) -> None:
    """Out of the way first, so that no other run sees half of it."""
    try:
        away = Path(tempfile.mkdtemp(prefix=".gone.", suffix=PART, dir=folder.parent))
        os.rename(folder, away / folder.name)
        shutil.rmtree(away, ignore_errors=True)
    except OSError:  # not ours to remove: it stays, and this run decodes for itself
        pass
