"""The module that does a kind's work, by the kind's name: the one place where a name worked out at run time opens anything.

Imports nothing heavy: the app asks whether a preset's data are here before it has loaded pydantic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

ENGINE = Path(__file__).resolve().parent.parent


def module(package: str, kind: str) -> ModuleType:
    """engine/<package>/<kind>.py, opened when asked for. package: as "models.dense".

    KeyError where no such file lies there, so that a kind, whoever wrote it, can open nothing but this package's own modules.
    """
    if kind not in names(package):
        raise KeyError(kind)
    return import_module(f"engine.{package}.{kind}")


@cache
def names(package: str) -> Sequence[str]:
    """The modules that lie in a package, by name; those that are no kind's among them."""
    return sorted(file.stem for file in ENGINE.joinpath(*package.split(".")).glob("*.py") if not file.stem.startswith("_"))
