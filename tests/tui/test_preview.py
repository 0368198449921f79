"""The process that answers for the data, without its process: questions in, JSON lines out."""

from __future__ import annotations

import io
import json
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.preview import Answers, Preview, questions
from engine.rows import Dataset, Membership, Rows
from tui.preview import PreviewProcess
from tui.screens.subpopulations import columns_of, found_cells


def rows(count: int, first: int) -> Rows:
    frame = pd.DataFrame({"age": np.arange(count) + 20.5, "job": ["a", None, "c"] * (count // 3)})
    return Rows(np.zeros((count, 1), np.float32), np.arange(count) % 2, np.arange(first, first + count), frame)


@pytest.fixture
def preview() -> tuple[Preview, io.StringIO]:
    out = io.StringIO()
    made = Preview(Answers(out))
    made.dataset = Dataset("toy", ("no", "yes"), ("x",), rows(6, 0), rows(6, 100), rows(6, 200))
    half = np.array([0, 0, 0, 1, 1, 1], np.int32)
    made.membership = Membership(half, half, half)
    return made, out


def told(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_members_are_the_rows_as_a_person_reads_them(preview: tuple[Preview, io.StringIO]) -> None:
    asked, out = preview
    asked.answer({"members": 1, "split": "aux", "limit": 2})
    members = told(out)[0]["members"]
    assert members["total"] == 3
    assert members["columns"] == ["row", "class", "age", "job"]
    assert members["rows"] == [[103, "yes", 23.5, "a"], [104, "no", 24.5, None]]
    kinds = [column.kind for column in columns_of(members["columns"], members["rows"])]
    assert kinds == ["text", "text", "float", "text"]


def test_what_goes_wrong_is_an_answer_in_words(preview: tuple[Preview, io.StringIO], tmp_path: Path) -> None:
    asked, out = preview
    asked.answer({"members": 1, "split": "everything"})
    asked.answer({"juggle": 3})
    asked.answer({"discover": "title = 3", "data": str(tmp_path)})
    asked.answer({"run": "nobody", "store": str(tmp_path / "none.db"), "data": str(tmp_path)})
    asked.dataset = None
    asked.answer({"members": 1})
    said = [answer["error"] for answer in told(out)]
    assert len(said) == 5
    assert "train, aux or test" in said[0]
    assert "mistake" in said[2]
    assert "no results store" in said[3]


def test_of_members_asked_for_in_a_hurry_only_the_last_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    read_all = threading.Event()

    class Input(io.StringIO):
        def __iter__(self) -> Iterator[str]:
            yield from ('{"members": 1}', '{"members": 2}', '{"members": 3}')
            read_all.set()
            threading.Event().wait()  # the input stays open: its end would end this process

    asking = questions(Input())
    monkeypatch.setattr("engine.preview.queue.Queue.get", lambda self, get=queue.Queue.get: read_all.wait(5) and get(self))
    assert next(asking) == {"members": 3}


def test_a_discovered_subpopulation_becomes_a_row_of_the_table() -> None:
    from engine.tables import SPECS
    from tests.tui.worlds import subpopulations

    one = subpopulations(1)[0]
    names = [column.name for column in SPECS["subpopulations"].columns]
    cells = dict(zip(names, found_cells({**vars(one), "class_mix": dict(one.class_mix)}), strict=True))
    assert cells["subpopulation"] == 0
    assert cells["adversary_accuracy"] == one.clean_accuracy
    assert cells["clean_accuracy"] is None
    assert cells["reason"] is None or cells["reason"] == one.reason


async def test_the_process_answers_and_ends_with_its_input(tmp_path: Path) -> None:
    import asyncio

    answers: list[dict[str, Any]] = []
    process = PreviewProcess(answers.append)
    await process.ask({"members": 1})
    listening = asyncio.create_task(process.listen())
    for _ in range(500):
        if answers:
            break
        await asyncio.sleep(0.02)
    assert "no data are loaded" in answers[0]["error"]
    assert process.process is not None
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert await asyncio.wait_for(process.process.wait(), 10) == 0
    await asyncio.wait_for(listening, 10)
    assert answers[-1]["ended"]
    assert sys.executable
