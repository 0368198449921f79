"""Fixtures that several test files share. Tests own tiny worlds; real data is used wherever it is there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """One cache for the whole session, workers included, that nobody else sees: pictures are decoded once, and nothing stays."""
    if not hasattr(config, "workerinput"):
        os.environ["SUBPOP_CACHE"] = tempfile.mkdtemp(prefix="subpop-tests-")


LONG = ("test_walk.py", "test_ways.py", "test_readme.py")  # a minute a test: begun last, one worker would end long after the others


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker begins with its share of the long ones: `worksteal` gives each an equal piece of the list, and only ends are stolen."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long, others = ([item for item in items if (item.path.name in LONG) is wanted] for wanted in (True, False))
    ordered: list[pytest.Item] = []
    rest = iter(others)
    for worker in range(workers):
        ordered += long[worker::workers]
        ordered += islice(rest, max(0, len(items) * (worker + 1) // workers - len(ordered)))
    items[:] = [*ordered, *rest]


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["SUBPOP_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets: $SUBPOP_DATA, or `../shared/data` beside the checkout."""
    root = Path(os.environ.get("SUBPOP_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (root / "adult" / "adult.data").is_file():
        pytest.skip("no real data here: set SUBPOP_DATA to a folder that holds adult/adult.data")
    return root


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take ten times the work itself. Only where a test has PyTorch already."""
    if (torch := sys.modules.get("torch")) is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
