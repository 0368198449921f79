"""Nothing that came from elsewhere commands a terminal: refused where a name or a note is given, cleaned wherever text is printed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine import printable
from engine.cli import main as cli
from engine.cli import text as cli_text
from engine.cli import watch as cli_watch
from engine.errors import RequestError
from engine.export.everything import export_all
from engine.export.export import export
from engine.pipeline.order import Discovery as Found
from engine.printable import UNSAFE, clean, clean_lines, fault
from engine.rows import LogRow
from engine.runs import start as run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
from tests.worlds.older import without_digests

ROOT = Path(__file__).resolve().parents[1]
EVIL = "a\x1b[31mred\x1b]0;owned\x07\x9b2J\u202etxt\u2066\x7f\r\nsubpop: forged\u2028\ttail"
SEVERAL = ("a\x1b[2Jb", "a\x9b2Jb", "a\u202eb", "a\u2067b", "a\nb", "a\rb", "a\tb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b")


class HostilePipeline(FakePipeline):
    """Data whose words are commands: descriptions, classes, reasons, the log."""

    def discover(self, *given: object, **named: object) -> Found:
        found = super().discover(*given, **named)  # type: ignore[arg-type]
        several = tuple(replace(each, description=f"{each.description} {EVIL}") for each in found.subpopulations)
        return replace(found, subpopulations=several)  # type: ignore[return-value, type-var]

    def deviations(self, *given: object, **named: object) -> tuple[str, ...]:
        return (EVIL,)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two finished runs of which nearly every text is hostile, as a bundle of somebody's may be."""
    path = tmp_path_factory.mktemp("hostile") / "runs.db"
    with Store.open(path) as store:
        for _ in range(2):
            row = run.start(store, parse(SCENARIO), spawn=False)
            assert work(store, row.id, pipeline=HostilePipeline()) == "done"
            store.log(row.id, "warning", EVIL)
    with sqlite3.connect(path) as db:
        without_digests(db)
        db.execute("UPDATE runs SET name = ?, title = ?, note = ?, device = ?, host = ?, phase = ?", (EVIL,) * 6)
    return path


@pytest.fixture
def subpop(place: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SUBPOP_STORE", str(place))

    def call(*words: str) -> tuple[int, str, str]:
        status = cli.main(words)
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return call


def harmless(*texts: str) -> None:
    for text in texts:
        for line in text.split("\n"):
            assert not UNSAFE.search(line), repr(line)
            assert not line.startswith("subpop: forged"), repr(line)


# ---- printed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["runs", "--json"],
        ["watch", "latest"],
        ["compare", "ID0", "ID1"],
        ["check", "latest", "--max-damage", "0.5"],
        ["bundle", "latest", "-o", "OUT/some.subpop"],
        ["bundle", "latest", "-o", "OUT/a\x1b[31m\u202e.subpop"],
        ["export", "latest", "--table", "damage", "--format", "md"],
        ["export", "latest", "--table", "subpopulations", "--format", "tex"],
        ["export", "latest", "--table", "all", "-o", "OUT/all\x9b"],
        ["note", "latest", EVIL],
        ["rename", "latest", EVIL],
        ["rename", EVIL, "fine"],
        ["again", "latest", "--only", "0", "--name", EVIL, "--detach"],
        ["again", "latest", "--only", EVIL],
        ["plot", "latest", EVIL],
        ["show", EVIL],
        ["show", "./" + EVIL],
        ["show", "quickstart", "--set", EVIL],
        ["show", "quickstart", "--set", f"{EVIL}=3"],
        ["show", "quickstart", "--set", f"title={EVIL}"],
        ["show", "quickstart", "--set", "title=\u202eabc"],
        ["open", "./" + EVIL],
        [EVIL],
        ["runs", f"--{EVIL}"],
        ["data", "fetch", EVIL],
        ["watch", EVIL],
    ],
)  # fmt: skip
def test_no_command_lets_a_terminal_be_commanded(subpop, place: Path, tmp_path: Path, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    with Store.open(place) as store:
        ids = [row.id for row in store.runs()]
    given = [word.replace("ID0", ids[0]).replace("ID1", ids[1]).replace("OUT", str(tmp_path)) for word in words]
    status, out, err = subpop(*given)
    assert status in (0, 2, 3), (status, out, err)
    assert out or err
    harmless(out, err)


def test_on_a_terminal_too(place: Path) -> None:
    """Tables, bars and questions are drawn by other code there: everything but Rich's own sequences must be gone."""
    import pty

    for words in (["runs"], ["watch", "latest"], ["compare", "latest", "latest"], ["delete", "latest"]):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env={**os.environ, "SUBPOP_STORE": str(place), "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        os.write(ours, b"n\n")
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:
            pass  # its end was closed
        os.close(ours)
        assert process.wait(60) in (0, 2), said
        text = said.decode(errors="replace")
        assert "[31mred" in text or words[0] == "compare", text  # the words are there, and are words
        assert "\x1b[31mred" not in text
        assert not re.search("\x1b\\]|\x07|\x9b|\u202e|\u2066|\u2028|\x7f", text), text
        assert not re.search(r"(^|\n)subpop: forged", text), text


def test_a_run_is_deleted_and_opened_in_words(subpop, place: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with Store.open(place) as store:
        run_id = store.runs()[0].id
    assert subpop("bundle", run_id, "-o", str(tmp_path / "run.subpop"))[0] == 0
    said = subpop("open", str(tmp_path / "run.subpop"), "--store", str(tmp_path / "other.db"))
    harmless(*said[1:])
    said = subpop("delete", run_id, "--yes", "--store", str(tmp_path / "other.db"))
    harmless(*said[1:])


def test_a_message_of_several_lines_keeps_them_and_forges_none(capsys: pytest.CaptureFixture[str]) -> None:
    cli_watch.PlainView().log(LogRow(1, 0.0, "error", "no\nTraceback\n  File\n\x1b[2J"))
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4
    assert all(line.startswith("  ") for line in out.splitlines()[1:])
    harmless(out)
    assert clean_lines("one\ntwo\n  three") == ["one", "  two", "  three"]


def test_only_one_module_speaks() -> None:
    """What prints for the command line goes through `cli.text`, which cleans; so nothing can be forgotten."""
    for file in (ROOT / "engine" / "cli").glob("*.py"):
        speaks = re.findall(r"typer\.(?:echo|secho|confirm|prompt|style)\b|(?<![\w.])print\(|std(?:out|err)\.write\(", file.read_text())
        assert not speaks or file.name == "text.py", (file.name, speaks)
    drawn = (ROOT / "engine" / "cli" / "bar.py").read_text()
    assert drawn.count("console.print(") == drawn.count("clean_lines(f") == 1


def test_letters_of_every_script_stay() -> None:
    for text in ("größer", "日本語", "عربى", "עִבְרִית\u200f", "नमस्ते", "می\u200cخواهم", "👩\u200d🔬", "a–b", "\\x1b[31m"):
        assert clean(text) == text
        assert not fault(text)


# ---- exports keep their data ----------------------------------------------------------------------------------------


def test_files_for_programs_keep_the_data_and_documents_are_clean(place: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with Store.open(place) as store:
        row = store.runs()[0]
        kept = [each.description for each in store.subpopulations(row.id)]
        export_all(store, [row.id], tmp_path)
        export(store, [row.id], "subpopulations", "json", tmp_path / "subpopulations.json")
        for format in ("md", "tex"):
            for table in ("subpopulations", "damage"):
                export(store, [row.id], table, format, tmp_path / f"{table}.{format}")
                export(store, [row.id], table, format, tmp_path / f"{table}-full.{format}", full=True)
    assert all(EVIL in each for each in kept)
    lines = (tmp_path / "subpopulations.csv").read_bytes().decode().split("\n")
    table = "\n".join(line for line in lines if not line.startswith("# "))
    assert [cells["description"] for cells in csv.DictReader(io.StringIO(table, newline=""))] == kept
    assert [cells["description"] for cells in json.loads((tmp_path / "subpopulations.json").read_text())["rows"]] == kept
    assert pq.read_table(tmp_path / "subpopulations.parquet")["description"].to_pylist() == kept
    documents = [path for path in tmp_path.iterdir() if path.suffix in (".md", ".tex")]
    assert len(documents) == 8 + 1
    for path in documents:
        harmless(path.read_text())
    page = (tmp_path / "report.html").read_text()
    harmless(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))


def test_json_for_programs_is_the_same_data_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    cli_text.data({EVIL: [EVIL, "größer"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {EVIL: [EVIL, "größer"]}
    assert "größer" in out
    harmless(out)


# ---- refused where it is given --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", SEVERAL)
@pytest.mark.parametrize("words", [["rename", "latest"], ["note", "latest"], ["run", "quickstart", "--smoke", "--detach", "--name"]])
def test_it_is_refused_as_a_name_or_note(subpop, place: Path, words: list[str], text: str) -> None:  # type: ignore[no-untyped-def]
    with Store.open(place) as store:
        before = store.runs()
    status, out, err = subpop(*words, text)
    assert (status, out) == (2, "")
    assert "has the character U+" in err
    assert "take it out" in err
    with Store.open(place) as store:
        assert [(each.name, each.note) for each in store.runs()] == [(each.name, each.note) for each in before]


@pytest.mark.parametrize(
    "words",
    [[b"rename", b"latest"], [b"note", b"latest"], [b"run", b"quickstart", b"--smoke", b"--name"],
     [b"again", b"latest", b"--only", b"0", b"--name"], [b"run", b"quickstart", b"--smoke", b"--data"]],
)  # fmt: skip
def test_bytes_that_are_no_text_are_refused_in_words(place: Path, words: list[bytes]) -> None:
    environment = {**os.environ, "SUBPOP_STORE": str(place)}
    said = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words, b"caf\xe9 \xff"], capture_output=True, cwd=ROOT, timeout=60, env=environment
    )
    assert said.returncode == 2, said.stderr
    assert b"no UTF-8" in said.stderr
    assert b"bug" not in said.stderr
    assert said.stderr.decode().count("\n") == 1


def test_the_store_takes_none_whoever_gives_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        with pytest.raises(RequestError, match=r"the name: has the character U\+001B"):
            run.start(store, parse(SCENARIO), name="a\x1bb", spawn=False)
        assert not store.runs()
        row = run.start(store, parse(SCENARIO), name="größer 日本", spawn=False)
        assert row.name == "größer 日本"
        for change in (store.rename, store.annotate):
            with pytest.raises(RequestError, match="no UTF-8 text"):
                change(row.id, "caf\udce9")


def test_a_name_made_of_something_else_is_cleaned() -> None:
    assert printable.name_of("a\x1b[1m\udcff") == "a [1m?"
