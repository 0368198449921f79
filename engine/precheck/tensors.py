"""Names and shapes of the tensors in a file of weights, from its header: safetensors' JSON, or the structure in PyTorch's pickle.

A pickle is a program. Here it is read as a list of instructions, and the few that build dictionaries, tuples and tensors are followed by
hand; nothing that it names is ever imported or called. An instruction or a name beyond those makes it a file that is not opened.
"""

from __future__ import annotations

import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.errors import BadData

Shapes = dict[str, tuple[int, ...]]
LARGEST_HEADER = 100 << 20
START_FROM_NOTHING = "start from nothing with --set model.weights=random"
NEXT = f"give another file, or {START_FROM_NOTHING}"
MAGIC = 0x1950A86A20F9469CFC6C  # the first of the pickles in a file of PyTorch before 1.6
WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training programs keep weights under
NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT")
WORDS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING", "STRING")
CONSTANTS = frozenset([*NUMBERS, *WORDS])  # instructions that put their argument on the stack
HARMLESS = ("collections", "torch", "torch._utils", "torch._tensor", "torch.serialization", "_codecs", "numpy", "numpy.core.multiarray")


class Cannot(Exception):
    """The file's pickle does what is not followed here."""


@dataclass(frozen=True)
class _Named:
    """What a pickle names by module and name."""

    name: str


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]


def shapes_of(path: Path) -> Shapes | None:
    """Tensor name -> shape; None where the header does not tell. BadData for what is no file of weights, or holds other objects."""
    where = str(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if path.suffix == ".safetensors":
                return _safetensors(file, path.stat().st_size, where)
            if start == b"PK\x03\x04":
                return _tensors(_zipped(file, where), where)
            return _tensors(_legacy(file, where), where)
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror or error}", where=where, next="check its permissions") from error
    except Cannot:
        return None


def _safetensors(file: IO[bytes], size: int, where: str) -> Shapes:
    damaged = BadData("is not a file of weights, or is cut short or damaged", where=where, next=NEXT)
    head = file.read(8)
    if len(head) < 8 or not 2 <= (length := struct.unpack("<Q", head)[0]) <= min(LARGEST_HEADER, size - 8):
        raise damaged
    try:
        header = json.loads(file.read(length))
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error
    if 8 + length + end != size:
        raise damaged
    if not shapes:
        raise BadData("holds no named tensors", where=where, next="save the model's state_dict()")
    return _bare(shapes)


def _zipped(file: IO[bytes], where: str) -> object:
    try:
        with zipfile.ZipFile(file) as archive:
            [name] = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
            if archive.getinfo(name).file_size > LARGEST_HEADER:
                raise Cannot
            data = archive.read(name)
    except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, EOFError) as error:
        raise BadData("is not a file of weights, or is cut short or damaged", where=where, next=NEXT) from error
    return _followed(io.BytesIO(data), where)


def _legacy(file: IO[bytes], where: str) -> object:
    """The fourth of a file's pickles; the first is PyTorch's mark."""
    if _followed(file, where) != MAGIC:
        raise BadData("is not a file of weights, or is damaged", where=where, next=NEXT)
    for _ in range(2):
        _followed(file, where)
    return _followed(file, where)


def _followed(file: IO[bytes], where: str) -> object:
    """The value of the pickle at the file's place: dicts, tuples, words and numbers, _Tensor and _Named."""
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[int, Any] = {}
    try:
        for code, argument, _ in pickletools.genops(file):
            stack = _step(code.name, argument, stack, marks, memo, where)
    except Cannot:
        raise
    except BadData:
        raise
    except Exception as error:  # no pickle at all, or cut short
        raise BadData("is not a file of weights, or is damaged", where=where, next=NEXT) from error
    return stack[-1] if stack else None


def _step(code: str, argument: Any, stack: list[Any], marks: list[list[Any]], memo: dict[int, Any], where: str) -> list[Any]:
    """The stack after one instruction."""
    if code == "MARK":
        marks.append(stack)
        return []
    if code in CONSTANTS:
        stack.append(argument)
    elif code in ("NONE", "NEWTRUE", "NEWFALSE"):
        stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[code])
    elif code in ("EMPTY_DICT", "EMPTY_TUPLE", "EMPTY_LIST"):
        stack.append({} if code == "EMPTY_DICT" else () if code == "EMPTY_TUPLE" else [])
    elif code in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif code == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif code in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
        many = int(code[-1])
        stack[-many:] = [tuple(stack[-many:])]
    elif code in ("TUPLE", "LIST", "SETITEMS", "APPENDS"):
        items, stack = stack, marks.pop()
        if code in ("TUPLE", "LIST"):
            stack.append(tuple(items) if code == "TUPLE" else items)
        elif code == "APPENDS":
            stack[-1].extend(items)
        elif isinstance(stack[-1], dict):
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif code == "SETITEM":
        value, key = stack.pop(), stack.pop()
        if isinstance(stack[-1], dict):
            stack[-1][key] = value
    elif code == "APPEND":
        value = stack.pop()
        stack[-1].append(value)
    elif code in ("GLOBAL", "STACK_GLOBAL"):
        if code == "GLOBAL":
            place, _, name = argument.partition(" ")
        else:
            name, place = stack.pop(), stack.pop()
        stack.append(_named(str(place), str(name), where))
    elif code == "BINPERSID":
        stack.append(_Named(f"storage {stack.pop()!r:.20}"))
    elif code in ("REDUCE", "NEWOBJ"):
        arguments, called = stack.pop(), stack.pop()
        stack.append(_made(called, arguments))
    elif code == "BUILD":
        stack.pop()  # what an OrderedDict bears beside its items
    elif code not in ("PROTO", "FRAME", "STOP"):
        raise Cannot
    return stack


def _named(place: str, name: str, where: str) -> _Named:
    if place not in HARMLESS:
        what = "holds pickled objects besides tensors, which could run code, and is not opened"
        raise BadData(what, where=where, next="save the model's state_dict() alone, or as .safetensors")
    return _Named(f"{place}.{name}")


def _made(called: object, arguments: Any) -> object:
    """What a call would give, of the calls that state dictionaries are made of."""
    if not isinstance(called, _Named):
        raise Cannot
    if called.name == "collections.OrderedDict":
        return dict(arguments[0]) if arguments else {}
    if called.name == "torch._utils._rebuild_tensor_v2":
        return _Tensor(tuple(arguments[2]))
    if called.name == "torch._utils._rebuild_parameter":
        return arguments[0]
    raise Cannot


def _tensors(content: object, where: str) -> Shapes:
    """The shapes by name, out of whatever dict they are kept in."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    shapes = {str(name): t.shape for name, t in content.items() if isinstance(t, _Tensor)} if isinstance(content, Mapping) else {}
    if not shapes:
        raise BadData("holds no named tensors", where=where, next="save the model's state_dict()")
    return _bare(shapes)


def _bare(shapes: Shapes) -> Shapes:
    if all(name.startswith("module.") for name in shapes):
        return {name.removeprefix("module."): shape for name, shape in shapes.items()}
    return shapes
