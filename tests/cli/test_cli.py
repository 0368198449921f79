"""The command line: exit statuses, one message for whatever goes wrong, nothing heavy imported, watching and Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.cli import export as cli_export
from engine.cli import main as cli
from engine.cli import text as cli_text
from engine.cli import watch as cli_watch
from engine.rows import RunRow
from engine.runs import start as run_module
from engine.scenario.parse import load
from engine.scenario.presets import presets
from engine.store import Store
from engine.system.pace import in_words
from engine.tables.columns import SPECS

JARGON = re.compile(r"Traceback|pydantic|Input should|validation error|type=|_type\b|extra_forbidden|literal_error|\bNone\b|<class")

Cli = Callable[..., "Said"]


class Said:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def subpop(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in this process, its store and data in a folder of the test's own."""
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))
    monkeypatch.setenv("SUBPOP_DATA", str(tmp_path / "data"))

    def call(*words: str) -> Said:
        status = cli.main(words)
        out, err = capsys.readouterr()
        return Said(status, out, err)

    return call


def in_a_process(*words: str, **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "engine.cli.main", *words], capture_output=True, text=True, timeout=120, **given)  # type: ignore[call-overload, no-any-return]


# ---- what is asked of the catalogue ---------------------------------------------------------------------------------


def test_presets_as_lines_and_as_json(subpop: Cli) -> None:
    said = subpop("presets")
    assert said.status == 0
    assert all(name in said.out for name in presets())
    rows = json.loads(subpop("presets", "--json").out)
    assert [row["name"] for row in rows] == list(presets())
    adult = next(row for row in rows if row["name"] == "adult-clustermatch")
    assert (adult["dataset"], adult["model"], adult["reproduces"], adult["data_here"]) == ("adult", "mlp", "Table 4, UCI Adult", False)


def test_show_prints_a_scenario_that_loads_again(subpop: Cli, tmp_path: Path) -> None:
    said = subpop("show", "quickstart", "--set", "model.epochs=7")
    file = tmp_path / "mine.toml"
    file.write_text(said.out)
    assert load(file) == load("quickstart", ["model.epochs=7"])
    assert subpop("show", str(file)).out == said.out
    assert "smoked = true" in subpop("show", "quickstart", "--smoke").out


def test_data_list_path_and_state(subpop: Cli, tmp_path: Path) -> None:
    assert subpop("data", "path").out.strip() == str(tmp_path / "data")
    assert subpop("data", "path", "--data", "/elsewhere").out.strip() == "/elsewhere"
    assert subpop("--data", "/elsewhere", "data", "path").out.strip() == "/elsewhere"
    assert subpop("data").out == subpop("data", "list").out
    rows = {row["name"]: row for row in json.loads(subpop("data", "list", "--json").out)}
    assert rows["digits"]["here"]
    assert not rows["adult"]["here"]


def test_options_before_the_command_leave_no_trace_in_the_environment(subpop: Cli, tmp_path: Path) -> None:
    before = dict(os.environ)
    assert subpop("--store", str(tmp_path / "other.db"), "runs", "--json").out.strip() == "[]"
    assert dict(os.environ) == before


ALONE = (
    "presets",
    "show",
    "discover",
    "run",
    "runs",
    "watch",
    "pause",
    "resume",
    "stop",
    "delete",
    "export",
    "bench",
    "data",
    "check",
    "bundle",
    "open",
    "rename",
    "note",
)


@pytest.mark.parametrize("words", [[], *([name] for name in ALONE), ["data", "list"], ["data", "fetch"], ["data", "path"]])
def test_every_command_has_help(subpop: Cli, words: list[str]) -> None:
    said = subpop(*words, "--help")
    assert said.status == 0
    assert "Usage: subpop" in said.out


def test_help_says_what_numbers_and_statuses_mean(subpop: Cli) -> None:
    told = " ".join(subpop("export", "--help").out.split())
    assert "expected damage of an adversary who picks targets from past trials, given this split and clustering" in told
    for table in SPECS:
        assert table in told
    assert "0 done; 1 the run failed; 2 the request was wrong" in " ".join(subpop("--help").out.split())
    assert subpop("--version").out.startswith("subpop ")


# ---- 500 broken scenarios -------------------------------------------------------------------------------------------


def typo(text: str, rng: random.Random) -> tuple[str, int]:
    """A letter of one key dropped, doubled or swapped. The text and the line."""
    lines = text.splitlines()
    at = rng.choice([i for i, line in enumerate(lines) if re.match(r"[a-z_.]+ = ", line)])
    key = re.match(r"[a-z_.]+", lines[at])[0]  # type: ignore[index]
    i = rng.randrange(len(key) - 1)
    while key[i] == "." or key[i + 1] == ".":
        i = rng.randrange(len(key) - 1)
    wrong = rng.choice([key[:i] + key[i + 1 :], key[:i] + "q" + key[i:], key[:i] + "zz" + key[i + 2 :]])
    lines[at] = lines[at].replace(key, wrong, 1)
    return "\n".join(lines), at + 1


def wrong_type(text: str, rng: random.Random) -> tuple[str, int]:
    """One value of another type than it had."""
    lines = text.splitlines()
    at = rng.choice([i for i, line in enumerate(lines) if re.match(r"[a-z_.]+ = ", line)])
    head, value = lines[at].split(" = ", 1)
    others = ["[[1], {}]", "1979-05-27", "{ a = 1 }"]
    others += ["17"] if value.startswith(('"', "true", "false", "[")) else ['"17"', "true"]
    lines[at] = f"{head} = {rng.choice(others)}"
    return "\n".join(lines), at + 1


def out_of_range(text: str, rng: random.Random) -> tuple[str, int]:
    """One number that no key takes."""
    lines = text.splitlines()
    at = rng.choice([i for i, line in enumerate(lines) if re.match(r"[a-z_.]+ = \[?[0-9]", line)])
    lines[at] = re.sub(r"[0-9][0-9e.-]*", rng.choice(["-1", "nan", "inf", "-inf", "1e999", "9" * 40]), lines[at].split("#")[0], count=1)
    return "\n".join(lines), at + 1


def section_typo(text: str, rng: random.Random) -> tuple[str, int]:
    lines = text.splitlines()
    at = rng.choice([i for i, line in enumerate(lines) if line.startswith("[")])
    lines[at] = lines[at].replace("]", rng.choice(["x]", ".more]", "q.q]"]))
    return "\n".join(lines), at + 1


def deletion(text: str, rng: random.Random) -> tuple[str, None]:
    lines = text.splitlines()
    for _ in range(rng.randint(1, 4)):
        del lines[rng.randrange(len(lines))]
    return "\n".join(lines), None


def truncation(text: str, rng: random.Random) -> tuple[str, None]:
    return text[: rng.randrange(len(text))], None


def garbage(text: str, rng: random.Random) -> tuple[bytes, None]:
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data), None


def shuffled(text: str, rng: random.Random) -> tuple[str, None]:
    lines = text.splitlines()
    rng.shuffle(lines)
    return "\n".join(lines), None


MUTATIONS = (typo, wrong_type, out_of_range, section_typo, deletion, truncation, garbage, shuffled)


def test_500_broken_scenarios_each_get_one_message_in_words(subpop: Cli, tmp_path: Path) -> None:
    texts = [path.read_text() for path in presets().values()]
    refused = 0
    for number in range(500):
        rng = random.Random(number)
        mutate = MUTATIONS[number % len(MUTATIONS)]
        broken, line = mutate(rng.choice(texts), rng)
        file = tmp_path / f"broken-{number}.toml"
        file.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
        said = subpop("show", str(file))
        about = f"{mutate.__name__} {number}:\n{said.err}"
        if line is None and said.status == 0:
            assert said.out.startswith("title = "), about
            assert not said.err or said.err.startswith("this is not what "), about  # a preset turned to another system
            continue
        refused += 1
        assert said.status == 2, about
        assert not said.out, about
        assert said.err.startswith(f"subpop: {file}: "), about
        assert not JARGON.search(said.err), about
        mistakes = said.err.rstrip("\n").split("\n  ")[1:]
        assert len(mistakes) >= 1, about
        assert f"{len(mistakes)} mistake" in said.err, about
        assert all(re.match(r"(line \d+|[a-z]+)", mistake) for mistake in mistakes), about
        if line is not None:
            assert any(mistake.startswith(f"line {line}, ") for mistake in mistakes), about
    assert refused > 350


# ---- requests that are wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shw"], "no such command 'shw', and no file of that name; did you mean 'show'?"),
        (["fetch", "adult"], "no such command 'fetch', and no file of that name; it is: subpop data fetch"),
        (["show"], "subpop show: missing argument"),
        (["show", "quikstart"], "no preset called 'quikstart'; did you mean 'quickstart'?"),
        (["show", "quickstart", "--smok"], "subpop show: no such option: --smok"),
        (["run", "nope.toml"], "nope.toml: there is no such file"),
        (["run", "quickstart", "--set", "model.epoch=5"], "did you mean 'epochs'? (given on the command line)"),
        (["run", "quickstart", "--device", "gpu"], 'compute.device: is "gpu"; expected "auto", "cpu"'),
        (["run", "quickstart", "--set"], "option '--set' requires an argument"),
        (
            [
                "discover",
                "quickstart",
                *(word for key in ("dataset.kind=imdb", "model.kind=bert", "subpopulations.layer=input") for word in ("--set", key)),
            ],
            'kind "bert" does not have; use "hidden", "tokens"',
        ),
        (["run", "quickstart", "--device", "cuda:97"], "compute.device: this machine has no cuda:97"),
        (["discover", "quickstart", "--device", "cuda:97"], "compute.device: this machine has no cuda:97"),
        (
            ["run", "quickstart", "--set", "attack.kind=gradient"],
            'attack.kind: is "gradient", which moves pixels; dataset "digits" has no images',
        ),
        (["run", "quickstart", "--set", "model.kind=conv"], 'model.kind: is "conv", which reads pictures; dataset "digits" has numbers'),
        (
            ["run", "quickstart", "--set", "compute.precision=bfloat16"],
            'compute.precision: is "bfloat16", which is for networks that are trained whole',
        ),
        (["watch", "latest"], "there is no results store here"),
        (["data", "fetch", "adlt"], "no dataset called 'adlt'; did you mean 'adult'?"),
    ],
)
def test_a_wrong_request_is_one_message_and_status_2(subpop: Cli, words: list[str], told: str) -> None:
    said = subpop(*words)
    assert said.status == 2, said.err
    assert told in said.err
    assert said.err.startswith("subpop")
    assert not JARGON.search(said.err)
    assert not said.out


@pytest.mark.parametrize("command", ["watch", "pause", "resume", "stop", "delete"])
def test_an_unknown_run(subpop: Cli, command: str) -> None:
    with Store.open() as store:
        row = queued(store)
    said = subpop(command, "zzzzzz")
    assert (said.status, "no run called 'zzzzzz'" in said.err, row.id in said.err) == (2, True, True)


def test_an_unknown_table_and_format(subpop: Cli) -> None:
    with Store.open() as store:
        queued(store)
    assert "no table called 'wrst'; did you mean 'worst'?" in subpop("export", "latest", "--table", "wrst").err
    assert subpop("export", "latest", "--table", "worst", "--format", "xml").status == 2
    assert subpop("export", "latest", "--table", "worst").status == 2  # nothing there yet, said in words
    assert "--table: which table?" in subpop("export", "latest").err


@pytest.mark.parametrize("words", [["run", "quickstart", "--detach"], ["runs"], ["watch", "latest"]])
def test_a_store_that_cannot_be_used(subpop: Cli, tmp_path: Path, words: list[str]) -> None:
    not_a_store = tmp_path / "text.db"
    not_a_store.write_text("hello " * 1000)
    under_a_file = not_a_store / "runs.db"
    for path in (not_a_store, tmp_path, under_a_file):
        said = subpop(*words, "--store", str(path))
        if words == ["runs"] and path == under_a_file:
            assert said.status == 0  # no store there, so no runs
            continue
        assert said.status == 2, said.err
        assert str(path) in said.err
        assert len(said.err.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store(subpop: Cli, tmp_path: Path) -> None:
    with Store.open() as store:
        queued(store)
    (tmp_path / "runs.db").chmod(0o444)
    said = subpop("run", "quickstart", "--detach")
    assert said.status == 2
    assert "read-only" in said.err


def test_a_bug_is_said_to_be_one_and_its_details_are_kept(subpop: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("boom")

    monkeypatch.setattr("engine.scenario.presets.catalog", broken)
    said = subpop("presets")
    assert said.status == 1
    assert len(said.err.strip().splitlines()) == 1
    assert "this is a bug in subpop (KeyError: 'boom')" in said.err
    (log,) = tmp_path.glob("subpop-bug-*.log")
    assert str(log) in said.err
    assert "Traceback" in log.read_text()


def test_details_of_a_bug_are_never_written_through_a_link(subpop: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a temporary folder that all may write to, another may have put one there."""

    def broken() -> None:
        raise KeyError("boom")

    mine, shared = tmp_path / "mine.txt", tmp_path / "shared"
    mine.write_text("mine")
    shared.mkdir()
    monkeypatch.setattr("engine.scenario.presets.catalog", broken)
    monkeypatch.setattr("engine.cli.main.secrets.token_hex", lambda count: "abc")
    monkeypatch.setattr("engine.cli.main.time.strftime", lambda words: f"subpop-bug-{words[-7:-4]}.log")
    (shared / "subpop-bug-abc.log").symlink_to(mine)
    monkeypatch.setenv("SUBPOP_STORE", str(shared / "runs.db"))
    said = subpop("presets")
    assert "this is a bug in subpop" in said.err
    assert mine.read_text() == "mine"


def test_a_message_of_thousands_of_mistakes_ends(subpop: Cli, tmp_path: Path) -> None:
    alphas = "[" + ", ".join(["'x'"] * 500) + "]"
    said = subpop("show", "quickstart", "--set", f"attack.alphas={alphas}")
    assert said.status == 2
    assert "500 mistakes in the scenario" in said.err
    assert said.err.rstrip().endswith("and 460 more")
    assert len(said.err) < 5000


@pytest.mark.parametrize("words", [["columns"], ["init"], ["show"], ["run"], ["discover"], ["open"], []])
def test_a_pipe_is_called_one(subpop: Cli, tmp_path: Path, words: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = subpop(*words, str(tmp_path / "pipe"))
    assert said.status == 2
    assert "pipe" in said.err.rpartition("/pipe: ")[2] or "not a regular file" in said.err
    assert "folder" not in said.err


def test_a_full_disk_is_no_bug(subpop: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("engine.scenario.presets.catalog", full)
    said = subpop("presets")
    assert (said.status, said.err) == (1, "subpop: /data/x: No space left on device; free some space\n")
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as out:
            said_ = subprocess.run(
                [sys.executable, "-m", "engine.cli.main", "presets"], stdout=out, stderr=subprocess.PIPE, text=True, timeout=60
            )
        assert (said_.returncode, said_.stderr) == (1, "subpop: the output: No space left on device; free some space\n")


def test_a_folder_deleted_under_the_shell_is_no_bug(subpop: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = subpop("--store", "runs.db", "runs")
    assert (said.status, said.err) == (2, "subpop: the folder that this shell stands in was deleted; cd to one that exists\n")


def test_ctrl_c_anywhere_is_130(subpop: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.scenario.presets.catalog", interrupted)
    assert subpop("presets").status == 130


# ---- processes ------------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli.main", "show", "quickstart"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_is_closed_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m engine.cli.main presets >&-'], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_only_ascii() -> None:
    done = in_a_process("presets", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "quickstart" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["presets"], ["runs"], ["show", "quickstart"], ["data", "list"], ["run", "--help"]])
def test_nothing_heavy_is_imported_to_look_around(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from engine.cli.main import main; status = main(sys.argv[1:]); "
        "print(status, sorted({'torch', 'pandas', 'numpy', 'textual', 'sklearn', 'scipy', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SUBPOP_STORE": str(tmp_path / "runs.db")},
    )
    assert done.stderr.splitlines()[-1] == "0 []", done.stderr


def test_presets_is_quick() -> None:
    def seconds() -> float:
        """Of processor time: the machine may be busy with other things."""
        before = os.times()
        assert in_a_process("presets").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.6


# ---- watching a run -------------------------------------------------------------------------------------------------


def queued(store: Store) -> RunRow:
    return store.create_run(name="n", title="t", scenario_toml="", scenario_hash="0" * 16)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, RunRow]]:
    """A store with one running run whose engine counts as alive, and a clock that does not wait."""
    monkeypatch.setattr(cli_watch, "is_alive", lambda row: True)
    monkeypatch.setattr(cli_watch, "POLL_S", 0.0)
    with Store.open(tmp_path / "watched.db") as store:
        row = queued(store)
        store.update_run(row.id, state="running", phase="training", victims_total=10, victims_done=3)
        yield store, store.run(row.id)


def script(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], None]) -> None:
    """What happens at each pause between two looks at the run."""
    left = list(steps)
    monkeypatch.setattr(cli_watch.time, "sleep", lambda seconds: left.pop(0)())


def interrupt() -> None:
    raise KeyboardInterrupt


def test_following_a_run_to_its_end(
    running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, row = running
    script(
        monkeypatch,
        lambda: store.log(row.id, "warning", "slow disk"),
        lambda: store.update_run(
            row.id, state="done", victims_done=10, started_at=10.0, finished_at=75.0, device="cpu", deviations=["smoke"]
        ),
    )
    cli_watch.follow(store, row.id, stop_on_interrupt=True)
    out = capsys.readouterr().out
    assert "running, training, 3 of 10 victims" in out
    assert "warning: slow disk" in out
    assert f"run {row.id} is done: 10 victims in 1 min 05 s on cpu" in out
    assert "to be known: smoke" in out
    assert f"subpop export {row.id} --table worst" in out


@pytest.mark.parametrize(
    ("corrected", "told"),
    [
        ({"corrected": 0.25, "low": 0.125, "high": 0.375, "note": ""}, "0.250 corrected (0.125 to 0.375)"),
        ({"corrected": 0.25, "low": None, "high": None, "note": "an interval needs three complete trials"}, "0.250 corrected"),
        ({"corrected": None, "low": None, "high": None, "note": "needs two"}, "not corrected (needs two)"),
    ],
)
def test_the_end_of_a_run_tells_its_worst(running: tuple[Store, RunRow], corrected: dict[str, object], told: str) -> None:
    from engine.rows import Table
    from engine.tables.columns import SPECS

    store, row = running
    assert cli_watch._worst(store, row.id) == ""
    names = [column.name for column in SPECS["worst"].columns]
    cells = [
        tuple(({"alpha": alpha, "k": k, "as_published": 0.5} | corrected).get(name) for name in names)
        for alpha in (0.5, 2.0)
        for k in (1, 5, 10)
    ]
    store.write_tables(row.id, {"worst": Table(SPECS["worst"], tuple(cells))})
    assert cli_watch._worst(store, row.id) == f"worst 5 at alpha 2: damage 0.500 as published, {told}"
    fewer = {"as_published_k": 3, "k_used": 2}
    cells = [tuple(fewer.get(name, cell) for name, cell in zip(names, each, strict=True)) for each in cells]
    store.write_tables(row.id, {"worst": Table(SPECS["worst"], tuple(cells))})
    of_two = ", of the worst 2 with enough test rows" if corrected["corrected"] is not None else ""
    assert cli_watch._worst(store, row.id) == f"worst 3 at alpha 2: damage 0.500 as published, {told}{of_two}"


def status_of(store: Store, run_id: str, *, stop_on_interrupt: bool) -> tuple[int, str]:
    from engine.errors import SubpopError

    with pytest.raises(SubpopError) as caught:
        cli_watch.follow(store, run_id, stop_on_interrupt=stop_on_interrupt)
    return caught.value.exit_status, str(caught.value)


def test_a_failed_run_is_status_1_with_its_reason(running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch) -> None:
    store, row = running
    script(monkeypatch, lambda: store.update_run(row.id, state="failed", error="adult.data is cut short"))
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    assert status == 1
    assert "adult.data is cut short" in told


def test_a_failure_is_told_once_and_never_as_a_traceback(
    running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, row = running
    store.log(row.id, "error", "the disk was full\nTraceback (most recent call last):\n  File x")  # a resume got over it
    store.log(row.id, "info", "training stack 2")
    store.log(row.id, "error", "the data is gone\nTraceback (most recent call last):\n  File x")
    script(monkeypatch, lambda: store.update_run(row.id, state="failed", error="the data is gone"))
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    said = capsys.readouterr().out
    assert (status, "the data is gone" in told) == (1, True)
    assert "error: the disk was full\n" in said
    assert "training stack 2" in said
    assert "the data is gone" not in said
    assert "Traceback" not in said


def test_a_lost_engine_is_said_within_seconds(running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch) -> None:
    store, row = running
    monkeypatch.setattr(cli_watch, "is_alive", lambda row: False)
    now = [100.0]
    monkeypatch.setattr(cli_watch.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cli_watch.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + 1.0))
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    assert status == 1
    assert f"subpop resume {row.id} goes on from 3 of 10 victims" in told
    assert now[0] <= 105.0
    monkeypatch.setattr(store, "disk_is_full", lambda: True)
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    assert (status, "is full; free some space, then subpop resume" in told) == (1, True), "an engine cannot write down a full disk"


def test_ctrl_c_asks_the_run_to_stop_and_says_how_to_go_on(
    running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, row = running
    asked: list[str] = []
    store.log(row.id, "info", "training stack 2")
    monkeypatch.setattr(run_module, "stop", lambda store, run_id: asked.append(run_id))
    script(monkeypatch, interrupt, lambda: store.update_run(row.id, state="stopped"))
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    assert (status, asked) == (130, [row.id])
    assert told == f"run {row.id} is stopped; 3 of 10 victims are kept; subpop resume {row.id} goes on"
    said = capsys.readouterr()
    assert f"subpop resume {row.id}" in said.err
    assert said.out.count("training stack 2") == 1


def test_a_second_ctrl_c_leaves_at_once(running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch) -> None:
    store, row = running
    monkeypatch.setattr(run_module, "stop", lambda store, run_id: None)
    script(monkeypatch, interrupt, interrupt)
    status, told = status_of(store, row.id, stop_on_interrupt=True)
    assert status == 130
    assert "will stop by itself" in told


def test_ctrl_c_while_watching_touches_nothing(running: tuple[Store, RunRow], monkeypatch: pytest.MonkeyPatch) -> None:
    store, row = running
    monkeypatch.setattr(run_module, "stop", lambda store, run_id: pytest.fail("asked to stop"))
    script(monkeypatch, interrupt)
    status, told = status_of(store, row.id, stop_on_interrupt=False)
    assert status == 130
    assert f"run {row.id} goes on" in told


# ---- words ----------------------------------------------------------------------------------------------------------


def test_a_table_in_a_pipe_is_one_full_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    cli_text.table(("name", "n"), [("a" * 200, 0.12345), ("b", None)], right=("n",))
    assert capsys.readouterr().out.splitlines() == [f"{'name':200}      n", f"{'a' * 200}  0.123", f"{'b':200}      –"]


@pytest.mark.parametrize(("seconds", "told"), [(3.4, "3 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (-1, "0 s")])
def test_durations(seconds: float, told: str) -> None:
    assert in_words(seconds) == told


def test_progress_in_a_pipe_is_a_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    with cli_text.progress() as report:
        for i in range(100):
            report("downloading x", i / 100)
        for fold in range(5):
            report(f"confidence, fold {fold + 1} of 5", fold / 20)
    assert capsys.readouterr().err.splitlines() == ["downloading x", "confidence, fold 1 of 5"]


def test_formats_follow_the_ending_of_the_file() -> None:
    assert cli_export._format_of(Path("x.parquet")) == "parquet"
    assert cli_export._format_of(Path("x.MD")) == "md"
    assert cli_export._format_of(Path("x.txt")) == "csv"
    assert cli_export._format_of(None) == "csv"


# ---- the whole way --------------------------------------------------------------------------------------------------


def test_the_whole_way_with_a_real_engine(subpop: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """run, runs, export, watch, delete: the engine is a process of its own, as it always is."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny = ["--smoke", "--set", "subpopulations.clusters=3", "--set", "model.epochs=2", "--set", "attack.alphas=[1]"]
    said = subpop("run", "quickstart", *tiny, "--name", "tiny")
    assert said.status == 0, said.out + said.err
    assert "to be known: smoke" in said.out
    (row,) = json.loads(subpop("runs", "--json").out)
    assert (row["name"], row["state"], row["lost"]) == ("tiny", "done", False)
    assert row["victims_done"] == row["victims_total"] > 0
    out = tmp_path / "worst.md"
    assert subpop("export", row["id"][:4], "--table", "worst", "-o", str(out)).status == 0
    piped = subpop("export", "latest", "--table", "worst", "--format", "md").out
    assert piped == out.read_text()
    assert row["id"] in piped
    assert subpop("watch", "latest").status == 0
    assert subpop("stop", "latest").status == 2  # it is done, said in words
    assert subpop("delete", "latest").status == 0
    assert subpop("runs", "--json").out.strip() == "[]"
