"""What is installed beside us."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "subpop-audit"  # this one's own name; never to be installed by it: the package index does not have it


def library_version(name: str) -> str:
    """The installed version of a distribution, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
