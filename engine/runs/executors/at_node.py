"""What Ray carries to a node as it stands here, and not by name: so a node without this package can say so, and the head needs none.

At its top it needs the standard library alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def probe(distributions: Sequence[str], whole: Sequence[str], sized: Sequence[str]) -> Mapping[str, Any]:
    """What a node says of itself: {"python", "system", "package", "why", "environment", "versions", "files"}.

    package     version and hash of this package's sources; "" where it cannot be imported, and why
    versions    of each distribution, "" where it is not installed
    files       path -> the digest of `whole` ones (a folder's: of its files' names and contents), the size of `sized` ones; "" where
                there is nothing
    """
    import hashlib
    import importlib.metadata
    import os
    import platform
    import sys

    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def digest(path: str) -> str:
        try:
            folder = os.path.isdir(path)
            files = sorted(e.path for e in os.scandir(path) if e.is_file()) if folder else [path]
            total = hashlib.sha256()
            for name in files:
                total.update(os.path.basename(name).encode("utf-8", "surrogateescape") + b"\0" if folder else b"")
                with open(name, "rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
            return total.hexdigest()
        except OSError as error:
            return f"cannot be read: {error.strerror}" if os.path.exists(path) else ""

    def size(path: str) -> str:
        try:
            return str(os.path.getsize(path))
        except OSError:
            return ""

    package, why = "", ""
    try:
        from engine.runs.provenance import code_version

        package = code_version()
    except ImportError as error:
        why = str(error)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "package": package,
        "why": why,
        "environment": sys.prefix,
        "versions": {name: version(name) for name in distributions},
        "files": {**{path: digest(path) for path in whole}, **{path: size(path) for path in sized}},
    }


class Post:
    """The actor of one device: a `trainer.Trainer` of the node's own package."""

    def __init__(self, device: str) -> None:
        from engine.runs.executors.trainer import Trainer
        from engine.training import parts

        parts.in_turn = True  # this process speaks gRPC, which survives no fork
        self._trainer = Trainer(device)

    def begin(self) -> str:
        return self._trainer.begin()

    def train(self, parts: Any, number: int, message: bytes) -> bytes:
        return self._trainer.train(parts, number, message)

    def look(self) -> tuple[int, float, float, list[str]]:
        return self._trainer.look()

    def hold(self, number: int, still: bool) -> None:
        self._trainer.hold(number, still)
