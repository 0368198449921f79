"""A file of one's own on the command line: init, columns, and a file where a command or a scenario is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import main as cli
from engine.scenario.parse import load
from tests.worlds import loans, own_files

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def subpop(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str, **given: object) -> tuple[int, str, str]:
        status = cli.main(words, **given)  # type: ignore[arg-type]
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_init_prints_a_scenario_on_stdout_and_what_to_know_on_stderr(subpop: Called, tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 600)
    status, out, err = subpop("init", "loans.csv")
    assert status == 0
    (tmp_path / "mine.toml").write_text(out)
    assert load(tmp_path / "mine.toml").dataset.path == tmp_path / "loans.csv"  # type: ignore[union-attr]
    assert err.startswith("label: loan_status, ")
    assert f"LABEL LEAKAGE? '{loans.LEAK}'" in err
    status, out, err = subpop("init", "loans.csv", "--label", "loan_stat")
    assert (status, out) == (2, "")
    assert "did you mean 'loan_status'" in err
    status, out, err = subpop("init", "loans.csv", "--label", "annual_inc")
    assert status == 2
    assert "classes" in err


def test_columns_as_a_table_of_eighty_cells_and_as_json(subpop: Called, tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 600)
    status, out, err = subpop("columns", "loans.csv")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "loans.csv: 600 rows, 21 columns, read as csv"
    assert all(len(line) <= 80 for line in lines if not line.startswith("label:"))
    assert sum(line.startswith(("Unnamed: 0 ", "recoveries ")) for line in lines) == 2
    assert "    numbers the rows" in lines
    assert any(line.startswith("    alone tells the label") for line in lines)
    assert "LABEL LEAKAGE?" in err
    tree = json.loads(subpop("columns", "loans.csv", "--json")[1])
    assert tree["label"] == "loan_status"
    assert [each["name"] for each in tree["columns"]] == list(loans.loans(30).columns)
    assert next(each["leak"]["called"] for each in tree["columns"] if each["name"] == loans.LEAK) is True
    own_files.faces(tmp_path / "faces", 3)
    status, _, err = subpop("columns", "faces")
    assert status == 2
    assert "subpop init faces > mine.toml" in err


@pytest.mark.parametrize("command", ["run", "discover", "show", "bench"])
def test_a_file_where_a_scenario_is_wanted(command: str, subpop: Called, tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 30)
    loans.loans(30).to_csv(tmp_path / "my loans.txt.gz")
    own_files.faces(tmp_path / "faces", 3)
    for name, shown in (("loans.csv", "loans.csv"), ("my loans.txt.gz", "'my loans.txt.gz'"), ("./faces", "./faces")):
        status, out, err = subpop(command, name)
        assert (status, out) == (2, "")
        assert f"`subpop init {shown} > mine.toml` makes one, and `subpop {shown}` opens the app with it" in err
        assert len(err.splitlines()) == 1


def test_a_file_in_a_commands_place_opens_the_app(subpop: Called, tmp_path: Path) -> None:
    opened: list[Path | None] = []

    def app(path: Path | None) -> int:
        opened.append(path)
        return 7

    loans.write(tmp_path / "loans.csv", 30)
    loans.write(tmp_path / "runs", 30)
    own_files.faces(tmp_path / "faces", 3)
    (tmp_path / "mine.toml").write_text("title = 'x'")
    for words in (["loans.csv"], ["./runs"], ["faces"], ["mine.toml"], ["--store", "a.db", "loans.csv"], ["--", "loans.csv"]):
        assert subpop(*words, open_app=app)[0] == 7, words
    assert opened == [Path("loans.csv"), Path("runs"), Path("faces"), Path("mine.toml"), Path("loans.csv"), Path("loans.csv")]
    assert subpop(open_app=app)[0] == 7
    assert opened[-1] is None
    assert subpop("runs", open_app=app)[0] == 0  # a command before a file of its name
    assert len(opened) == 7


def test_what_is_neither_a_command_nor_a_file(subpop: Called, tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 30)
    (tmp_path / "empty.csv").touch()
    for words, told in (
        (["lonas.csv"], "no such command 'lonas.csv', and no file of that name; did you mean 'loans.csv'? see subpop --help"),
        (["colums"], "no such command 'colums', and no file of that name; did you mean 'columns'?"),
        (["x" * 5000], "and no file of that name"),
        (["a\0b"], "and no file of that name"),
        (["loans.csv", "more"], "unexpected extra argument"),
        (["empty.csv"], "empty.csv: the file is empty"),
    ):
        status, out, err = subpop(*words)
        assert (status, out) == (2, ""), words
        assert told in err
        assert "Traceback" not in err
