"""The child process of a screen: questions in, answers out, no torch in it, gone when its input is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.drafting.completing import complete
from engine.drafting.looks import catalog_of, draft_of, leaks_of
from engine.drafting.process import Drafting, Questions
from engine.scenario.parse import parse
from tests.worlds import loans, own_files


class Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.drafting.process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, **question: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.process.kill()
    made.process.wait()
    for stream in (made.process.stdin, made.process.stdout):
        assert stream is not None
        stream.close()


def test_from_a_path_to_a_scenario_and_on(child: Child, tmp_path: Path) -> None:
    """A draft, its leaks, the catalogue after a change, a completion, a mistake: each with its id; the process ends with its input."""
    loans.write(tmp_path / "loans.csv", 800)
    child.ask(draft="loans.csv", label=None, folder=str(tmp_path), id=1)
    first = child.answer()
    made = draft_of(first["draft"])
    assert (first["id"], made.label) == (1, loans.LABEL)
    parse(made.toml, folder=tmp_path)
    second = child.answer()
    assert second["id"] == 1
    leaks = leaks_of(second["leaks"])
    assert leaks[loans.LEAK].called
    assert [name for name, leak in leaks.items() if leak.called] == [loans.LEAK]
    assert made.catalog is not None
    assert set(leaks) == {each.name for each in made.catalog.columns if each.use == "feature"}
    looked = made.catalog.with_leaks(leaks).column(loans.LEAK)
    assert looked is not None
    assert looked.leak == leaks[loans.LEAK]

    changed = made.toml.replace(f'# drop = ["{loans.LEAK}"]', "").replace(
        'scale = "standard"', f'scale = "standard"\ndrop = ["{loans.LEAK}"]'
    )
    child.ask(catalog="loans.csv", toml=changed, folder=str(tmp_path), id=2)
    seen = child.answer()
    column = catalog_of(seen["catalog"]).column(loans.LEAK)
    assert column is not None
    assert (seen["id"], column.use, column.why) == (2, "left out", "in dataset.drop")
    assert loans.LEAK not in child.answer()["leaks"]

    child.ask(complete=f"{tmp_path}/lo", id=3)
    assert child.answer() == {"id": 3, "complete": [f"{tmp_path}/loans.csv"]}
    child.ask(draft="nothing.csv", folder=str(tmp_path), id="four")
    wrong = child.answer()
    assert wrong["id"] == "four"
    assert "there is no such file" in wrong["error"]
    child.ask(what="?")
    assert "no such question" in child.answer()["error"]
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(20) == 0


def test_pictures_and_no_torch(child: Child, tmp_path: Path) -> None:
    own_files.faces(tmp_path / "faces", 6)
    child.ask(draft=str(tmp_path / "faces"))
    made = draft_of(child.answer()["draft"])
    assert made.pictures is not None
    assert dict(made.pictures.classes) == {"male": 6, "female": 6}
    script = (
        "import io, sys\nfrom engine.drafting.process import Drafting\nsaid = []\ndrafting = Drafting(said.append, lambda: True)\n"
        f"for path in {[str(tmp_path / 'faces'), str(loans.write(tmp_path / 'loans.csv', 200))]}: drafting.answer({{'draft': path}})\n"
        "assert len(said) == 3 and not any('error' in each for each in said), said\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_of_waiting_catalogues_and_completions_the_last_is_answered() -> None:
    waiting = [
        {"complete": "a", "id": 1},
        {"catalog": "x", "id": 2},
        {"draft": "y", "id": 3},
        {"complete": "ab", "id": 4},
        {"catalog": "x", "id": 5},
    ]
    questions = Questions.__new__(Questions)
    import queue

    questions.waiting, questions.pending = queue.Queue(), list(waiting)
    found = []
    for question in questions:
        found.append(question["id"])
        if questions.idle:
            break
    assert found == [3, 4, 5]


def test_leaks_give_way_to_a_question_that_waits(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    drafting = Drafting(said.append, lambda: False)
    drafting.answer({"draft": str(loans.write(tmp_path / "loans.csv", 200))})
    assert [set(each) for each in said] == [{"draft"}]


def test_paths_complete(tmp_path: Path) -> None:
    for name in ("loans.csv", "Loans_old.parquet", "long.toml", "lock.so", ".hidden.csv", "log.jsonl.gz"):
        (tmp_path / name).touch()
    (tmp_path / "lots").mkdir()
    (tmp_path / "lots" / "x.csv").touch()
    assert complete("lo", tmp_path) == ["lots/", "loans.csv", "Loans_old.parquet", "log.jsonl.gz", "long.toml"]
    assert complete("lots/", tmp_path) == ["lots/x.csv"]
    assert complete(f"{tmp_path}/LOT", Path("/")) == [f"{tmp_path}/lots/"]
    assert complete(".h", tmp_path) == [".hidden.csv"]
    assert complete("", tmp_path)[0] == "lots/"
    assert complete("~", tmp_path) == ["~/"]
    for odd in ("nowhere/x", "\0", "~nobody-of-that-name/x", "a" * 5000, "loans.csv/"):
        assert complete(odd, tmp_path) == []
