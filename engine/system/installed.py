"""What is installed beside us."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def library_version(name: str) -> str:
    """The installed version of a distribution, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
