"""The official files of CIFAR-10: batches of 10,000 pictures, each a Python pickle, read without unpickling.

A pickle is a program: to load it is to run it, and what it may run is anything that Python can import. These files need none of that: a
dictionary of text, lists, numbers and one block of bytes. So their instructions are read as data (`pickletools` only takes them apart) and
the few that such a file needs are followed; the names it calls are compared with four known ones and never looked up. Anything else is
refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from engine.datasets.files.archives import Leftovers, tar_members
from engine.datasets.files.fetching import md5_of
from engine.datasets.files.places import require_file
from engine.datasets.pictures.decoding import Block
from engine.datasets.pictures.traits import measured
from engine.errors import BadData

FOLDER = "cifar-10-batches-py"
MD5 = {  # of the files in the official archive
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SIDE = 32
PIXELS = 3 * SIDE * SIDE  # of one picture: all red ones row by row, then all green, then all blue
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # as the labels 0..9 are numbered
NOT_SAFE = "a batch of pictures never holds that, and nothing of it was run; get the official archive again"

ARRAY, DTYPE, ENCODE = "an array", "its type", "its bytes"
KNOWN = {  # what an array of bytes is pickled as calls: old and new NumPy, Python 2 and 3
    "numpy.core.multiarray _reconstruct": ARRAY,
    "numpy._core.multiarray _reconstruct": ARRAY,
    "numpy ndarray": "a class",
    "numpy dtype": DTYPE,
    "_codecs encode": ENCODE,
}


@dataclass(frozen=True)
class OfficialBatches:
    """The official archive, or the folder that it unpacks to. `checksum` is the archive's, or of the batches' own."""

    path: Path
    checksum: str

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def key(self) -> str:
        return f"cifar-10 batches {self.checksum}"

    def blocks(self, size: int, left: Leftovers) -> Generator[Block, None, None]:
        """One block a batch. A picture's name is batch/number/class/file name, so that names sort as the archive numbers them."""
        seen = set()
        for name, data, done in self._files(left):
            seen.add(name)
            yield _block(name, data, size, done, f"{self.path}: {name}")
        if missing := [name for name in MD5 if name not in seen]:
            raise BadData(f"lacks {', '.join(missing)}", where=str(self.path), next="get the official archive again")

    def _files(self, left: Leftovers) -> Iterator[tuple[str, bytes, float]]:
        if not self.path.is_dir():
            for path, data, done in tar_members(self.path, lambda path: path.rpartition("/")[2] in MD5, left):
                yield path.rpartition("/")[2], data, done
            return
        for place, name in enumerate(MD5, 1):
            require_file(self.path / name)
            try:
                yield name, (self.path / name).read_bytes(), place / len(MD5)
            except OSError as error:
                where, what = str(self.path / name), f"cannot be read: {error.strerror}"
                raise BadData(what, where=where, next="unpack the official archive again") from error


def missing_in(folder: Path) -> list[str]:
    """The batches that an unpacked folder lacks."""
    return [name for name in MD5 if not (folder / name).is_file()]


def unpacked(folder: Path) -> tuple[OfficialBatches, tuple[str, ...]]:
    """The unpacked folder, its checksum that of all its batches, and the batches that are not the official ones (a deviation)."""
    if missing := missing_in(folder):
        raise BadData(f"lacks {', '.join(missing)}", where=str(folder), next="unpack the official archive again, or delete the folder")
    checksums = {name: md5_of(folder / name) for name in MD5}
    whole = md5("".join(checksums.values()).encode()).hexdigest()
    return OfficialBatches(folder, f"md5:{whole} (of its batches' MD5)"), tuple(name for name in MD5 if checksums[name] != MD5[name])


def _block(batch: str, data: bytes, size: int, done: float, where: str) -> Block:
    import numpy as np

    content = read_batch(data, where)
    pixels = np.frombuffer(content.pixels, np.uint8).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # [pictures, 32, 32, 3]
    if size != SIDE:
        from PIL import Image

        square = (size, size)
        resized = [np.asarray(Image.fromarray(each).resize(square, Image.Resampling.BICUBIC)) for each in np.ascontiguousarray(pixels)]
        pixels = np.stack(resized) if resized else np.empty((0, size, size, 3), np.uint8)
    pixels = np.ascontiguousarray(pixels)
    named = enumerate(zip(content.labels, content.files, strict=True))
    names = [f"{batch}/{place:05d}/{CLASSES[label]}/{file}" for place, (label, file) in named]
    return Block(names, pixels, measured(pixels), [], resized=len(names) if size != SIDE else 0, done=done)


# ---- one batch ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """pixels: 3,072 bytes a picture; labels 0..9; files: each picture's own name, "" where there are none."""

    pixels: bytes
    labels: list[int]
    files: list[str]


def read_batch(data: bytes, where: str) -> Batch:
    """What one batch file holds. BadData where it is not one."""
    try:
        unpickled = followed(data, where)
        fields = {_text(key): value for key, value in unpickled.items()}
        pixels = fields["data"]
        pixels = pixels["bytes"] if isinstance(pixels, dict) else pixels
        labels = fields["labels"]
        files = [_text(name).rpartition("/")[2] for name in fields.get("filenames") or [""] * len(labels)]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadData("has no pixels and labels as a batch of CIFAR-10 has", where=where, next="get the official archive again") from error
    if not isinstance(pixels, bytes) or len(pixels) != PIXELS * len(labels) or len(files) != len(labels):
        raise BadData(f"has not {PIXELS:,} bytes of pixels a label", where=where, next="get the official archive again")
    if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
        raise BadData(f"has labels that are not 0 to {len(CLASSES) - 1}", where=where, next="get the official archive again")
    return Batch(pixels, labels, files)


def _text(value: Any) -> str:
    """Python 2 kept its text as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


MARK = object()
CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
BYTES_OF_TEXT = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # which pickletools gives as Latin-1 text
VALUE = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
         "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")  # fmt: skip
NOTHING = ("PROTO", "FRAME", "STOP")


def followed(data: bytes, where: str) -> dict[Any, Any]:
    """What a pickle describes, as dict, list, tuple, text, bytes and numbers; an array of bytes is {"bytes": ...}. Nothing is called."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            _follow(opcode.name, argument, stack, memo, where)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError, RecursionError, StopIteration) as error:
        raise BadData(f"is damaged: {str(error)[:100]}", where=where, next="get the official archive again") from error
    if len(stack) != 1 or not isinstance(stack[0], dict):
        raise BadData("is not a batch of CIFAR-10", where=where, next="get the official archive again")
    return stack[0]


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], where: str) -> None:
    """One instruction. ValueError and its like where the file is damaged; BadData for one that such a file never needs."""
    if name in VALUE:
        stack.append(argument)
    elif name in BYTES_OF_TEXT:
        stack.append(argument.encode("latin-1"))
    elif name in CONSTANT:
        stack.append(CONSTANT[name])
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[int(argument)])
    elif name == "MARK":
        stack.append(MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack[-int(name[-1]) :] = [tuple(stack[-int(name[-1]) :])]
    elif name in ("TUPLE", "LIST", "DICT"):
        items = _since_mark(stack)
        stack.append(_pairs(items) if name == "DICT" else items if name == "LIST" else tuple(items))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        _of(list, stack[-1]).extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
        _of(dict, stack[-1]).update(_pairs(items))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        called = argument if name == "GLOBAL" else f"{stack.pop(-2)} {stack.pop()}"
        if called not in KNOWN:
            raise BadData(f"wants to call {'.'.join(str(called).split())[:80]}", where=where, next=NOT_SAFE)
        stack.append({"called": KNOWN[called]})
    elif name == "REDUCE":
        _reduce(stack, where)
    elif name == "BUILD":
        state, built = stack.pop(), _of(dict, stack[-1])
        if built.get("made") == ARRAY:  # (version, shape, type, Fortran order, bytes)
            raw = state[4]
            if state[2].get("type") not in ("u1", b"u1") or state[3] or not isinstance(raw, bytes):
                raise BadData("has pixels that are not bytes in rows", where=where, next="get the official archive again")
            built["bytes"] = raw
        elif built.get("made") != DTYPE:
            raise BadData("builds an object", where=where, next=NOT_SAFE)
    elif name not in NOTHING:
        raise BadData(f"holds the instruction {name}", where=where, next=NOT_SAFE)


def _reduce(stack: list[Any], where: str) -> None:
    """A call of one of the known names, described instead of made."""
    arguments, called = stack.pop(), _of(dict, stack.pop()).get("called")
    if called == ARRAY:
        stack.append({"made": ARRAY})
    elif called == DTYPE:
        stack.append({"made": DTYPE, "type": arguments[0]})
    elif called == ENCODE and arguments[1:] in (("latin1",), ("latin-1",)):  # how Python 3 writes bytes for Python 2
        stack.append(arguments[0].encode("latin-1"))
    else:
        raise BadData("calls something", where=where, next=NOT_SAFE)


def _since_mark(stack: list[Any]) -> list[Any]:
    place = len(stack) - 1 - next(back for back, item in enumerate(reversed(stack)) if item is MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{type(value).__name__} where a {kind.__name__} belongs")
    return value
