"""The process that answers for the data, without its process: questions in, JSON lines out."""

from __future__ import annotations

import base64
import io
import json
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.arrays import DiscoveryArrays, MovedPoints
from engine.pipeline.discovery import Discovery
from engine.preview.process import Answers, Preview, questions
from engine.rows import Dataset, Membership, Rows
from engine.scenario.parse import parse
from engine.scenario.sections import GradientSection
from tests.worlds import app as worlds
from tests.worlds import app_pictures as picture_world
from tests.worlds.app import subpopulations
from tui.presenters import format as fmt
from tui.presenters import members
from tui.presenters.members import columns_of, discovered_cells
from tui.services.processes import PreviewProcess


def rows(count: int, first: int) -> Rows:
    frame = pd.DataFrame({"age": np.arange(count) + 20.5, "job": ["a", None, "c"] * (count // 3)})
    return Rows(np.zeros((count, 1), np.float32), np.arange(count) % 2, np.arange(first, first + count), frame)


@pytest.fixture
def preview() -> tuple[Preview, io.StringIO]:
    out = io.StringIO()
    made = Preview(Answers(out))
    half = np.array([0, 0, 0, 1, 1, 1], np.int32)
    dataset = Dataset("toy", ("no", "yes"), ("x",), rows(6, 0), rows(6, 100), rows(6, 200))
    made.discovery = Discovery(dataset, Membership(half, half, half), (), DiscoveryArrays())
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


def test_texts_come_whole_beside_their_rows_and_very_long_ones_say_that_they_are_cut(preview: tuple[Preview, io.StringIO]) -> None:
    asked, out = preview
    dataset = asked.discovery.dataset
    texts = np.array(["a", "b", "c", "One.<br /><br />Two\x1b[31m.", "x" * 30_000, "é"], object)
    asked.discovery = replace(asked.discovery, dataset=replace(dataset, aux=replace(dataset.aux, texts=texts)))
    asked.answer({"members": 1, "split": "aux"})
    answer = told(out)[0]["members"]
    assert answer["texts"][0] == texts[3]
    assert answer["texts"][1] == "x" * 20_000 + "\n\n… the first 20,000 of 30,000 characters"
    names, cells = members.with_texts(answer)
    assert names[-1] == "text"
    assert cells[0][-1] == "One. Two [31m."
    assert len(str(cells[1][-1])) == 400
    assert members.reading(answer, 0) == ("yes · row 103", "One.\n\nTwo [31m.")
    poison = {"split": "poison", "columns": ["point", "row", "given", "true"], "rows": [[0, 7, "yes", "no"]], "texts": ["a<BR>b"]}
    assert members.reading(poison, 0) == ("given yes, is no · point 0 · row 7", "a\nb")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a<br/>b<br>c<BR />d", "a\nb\nc\nd"),
        ("tab\there\r\nnext \u202e", "tab here\nnext"),
        ("long " * 1000 + "end", "long " * 1000 + "end"),
        ("", ""),
    ],
)
def test_a_text_to_read_keeps_its_lines_and_its_length_but_no_control_characters(text: str, lines: str) -> None:
    assert fmt.whole(text) == lines


@pytest.fixture
def pictured() -> tuple[Preview, io.StringIO]:
    """Twelve faces a split in two subpopulations; the distances to the centre fall with the row."""
    out = io.StringIO()
    made = Preview(Answers(out))
    half = (np.arange(24) % 2).astype(np.int32)
    arrays = DiscoveryArrays(np.full((24, 3), 1 / 3, np.float32), np.arange(24, 0, -1, dtype=np.float32))
    found = subpopulations(2)
    made.discovery = Discovery(
        picture_world.dataset(), Membership(half, half, half), tuple(replace(s, target_label="cat", aux_rows=12) for s in found), arrays
    )
    made.scenario = parse(worlds.SCENARIO)
    return made, out


def test_pictures_come_as_thumbnails_the_most_typical_first(pictured: tuple[Preview, io.StringIO]) -> None:
    asked, out = pictured
    asked.answer({"members": 1, "split": "aux", "limit": 2, "pixels": 8})
    asked.answer({"members": 1, "split": "aux", "first": 2, "limit": 500, "pixels": 8})
    asked.answer({"members": 1, "split": "train", "limit": 1, "pixels": 16})
    asked.answer({"members": 1, "split": "test", "limit": 1})
    near, rest, train, plain = (answer["members"] for answer in told(out))
    assert [row[0] for row in near["rows"]] == [1023, 1021]
    assert near["order"] == "nearest the centre first"
    assert (near["total"], near["first"], near["pixels"]) == (12, 0, 8)
    assert [row[0] for row in rest["rows"]] == list(range(1019, 1000, -2))
    assert train["rows"][0][0] == 1
    assert "order" not in train
    image = np.frombuffer(base64.b64decode(train["pictures"][0]), np.uint8).reshape(16, 16, 3)
    assert np.array_equal(image, picture_world.face(1, 16))
    assert "pictures" not in plain
    cards = members.cards(near)
    assert cards[0].captions == ("cat", "36, Indian", "row 1023")
    assert (cards[0].side, len(cards[0].pixels)) == (8, 8 * 8 * 3)


def test_poison_is_shown_as_a_victim_is_fed_it(pictured: tuple[Preview, io.StringIO]) -> None:
    asked, out = pictured
    asked.answer({"poison": 1, "alpha": 2.0, "trial": 1, "limit": 500, "pixels": 8})
    asked.answer({"poison": 1, "alpha": 0.25, "trial": 1})
    first, wrong = told(out)
    poison = first["members"]
    assert (poison["split"], poison["alpha"], poison["trial"], poison["total"]) == ("poison", 2.0, 1, 24)
    assert poison["columns"][:4] == ["point", "row", "given", "true"]
    assert {row[2] for row in poison["rows"]} == {"cat"}
    assert {row[1] % 2 for row in poison["rows"]} == {1}
    assert poison["alphas"] == [0.5, 1.0, 2.0]
    assert members.cards(poison)[0].captions[0] == "given cat"
    assert "there is no alpha 0.25; there are: 0.5, 1.0, 2.0" in wrong["error"]
    assert wrong["asked"] == "members"


def test_moved_points_are_shown_as_they_were_moved(pictured: tuple[Preview, io.StringIO]) -> None:
    asked, out = pictured
    assert asked.scenario is not None
    attack = GradientSection(bound=0.5, alphas=(1.0,), target_label=asked.scenario.attack.target_label)
    asked.scenario = asked.scenario.model_copy(update={"attack": attack})
    asked.answer({"poison": 1, "alpha": 1.0, "limit": 1, "pixels": 16})
    rows = np.flatnonzero(asked.discovery.membership.aux == 1)
    moved = MovedPoints(
        rows=rows.astype(np.int64),
        subpopulation=np.ones(len(rows), np.int32),
        before=np.zeros(len(rows)),
        after=np.ones(len(rows)),
        share=np.full(len(rows), 0.75, np.float32),
        delta=np.full((len(rows), 16, 16, 3), 127, np.int8),
    )
    asked.discovery = replace(asked.discovery, arrays=replace(asked.discovery.arrays, prepared=moved))
    asked.answer({"poison": 1, "alpha": 1.0, "limit": 1, "pixels": 16})
    before, after = (answer["members"] for answer in told(out))
    assert before["note"] == "as they are drawn: a run moves their pixels"
    assert after["note"] == "pixels moved by ≤ 0.5"
    assert after["rows"][0][:5] == [*before["rows"][0][:4], 0.75]
    pixels = [np.frombuffer(base64.b64decode(one["pictures"][0]), np.uint8).astype(int) for one in (before, after)]
    np.testing.assert_allclose(pixels[1], np.minimum(pixels[0] + 127.5, 255), atol=1)


def test_what_goes_wrong_is_an_answer_in_words(preview: tuple[Preview, io.StringIO], tmp_path: Path) -> None:
    asked, out = preview
    asked.answer({"members": 1, "split": "everything"})
    asked.answer({"juggle": 3})
    asked.answer({"discover": "title = 3", "data": str(tmp_path)})
    asked.answer({"run": "nobody", "store": str(tmp_path / "none.db"), "data": str(tmp_path)})
    asked.discovery = None
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
    monkeypatch.setattr("engine.preview.process.queue.Queue.get", lambda self, get=queue.Queue.get: read_all.wait(5) and get(self))
    assert next(asking) == {"members": 3}


def test_a_discovered_subpopulation_becomes_a_row_of_the_table() -> None:
    from engine.tables.columns import SPECS

    one = subpopulations(1)[0]
    names = [column.name for column in SPECS["subpopulations"].columns]
    cells = dict(zip(names, discovered_cells({**vars(one), "class_mix": dict(one.class_mix)}), strict=True))
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
