"""A followed run, in a pipe and on a terminal: each step once, in the order of times, what it is at and how long it takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from engine.cli import watch
from engine.cli.bar import BarView
from engine.cli.runs import state_and_step
from engine.rows import LogRow, RunRow
from engine.runs import start as run
from engine.runs.at_work import DEFAULT_TERMS, SAID_AGAIN_S, Status, Work
from engine.runs.control import Control
from engine.runs.milestones import StoredMilestones
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline

SCENARIO_PARSED = parse(SCENARIO)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def row_of(store: Store, **fields: object) -> RunRow:
    row = run.start(store, SCENARIO_PARSED, spawn=False)
    return replace(store.run(row.id), **fields)  # type: ignore[arg-type]


def test_the_log_names_each_step_of_a_run_once(store: Store) -> None:
    run_id = run.start(store, SCENARIO_PARSED, spawn=False).id
    assert work(store, run_id, pipeline=FakePipeline()) == "done"
    said = [entry.message for entry in store.log_rows(run_id)]
    assert said[:4] == ["loading torch", "loading data", "four groups", "timing stacks"]
    assert len(said) == len(set(said))


def test_a_step_says_its_share_its_rest_and_what_it_is_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the run's row as soon as it begins, from the heartbeat's fields as it goes, in the log at its quarters where it takes long."""
    run_id, clock = run.start(store, SCENARIO_PARSED, spawn=False).id, Clock(100.0)
    monkeypatch.setattr("engine.runs.at_work.time.monotonic", clock)
    status = Status()
    status.pace._clock = clock
    w = Work(
        store,
        run_id,
        SCENARIO_PARSED,
        Path(),
        ("cpu",),
        None,
        Control(),
        status,
        StoredMilestones(store, run_id, lambda checksums: {}),
        DEFAULT_TERMS,
    )
    w.enter("discovering subpopulations", "running", logged=False)
    w.at("optimising poison points", 0.0)
    assert store.run(run_id).phase == "optimising poison points"
    store.update_run(run_id, progress=1.0, eta_s=3.0)  # of a step before, by the heartbeat
    w.enter("discovering subpopulations", logged=False)
    assert (store.run(run_id).progress, store.run(run_id).eta_s) == (0.0, None)
    w.at("optimising poison points", 0.0)
    for step in range(1, 31):
        clock.now += SAID_AGAIN_S / 5
        w.at(f"optimising poison points, subpopulation {1 + step // 16} of 2, step {step % 15} of 15, alignment 0.{step}", step / 31)
    fields = status.fields()
    assert fields["phase"] == "optimising poison points, subpopulation 2 of 2, step 0 of 15, alignment 0.30, 97%"
    assert fields["progress"] == pytest.approx(30 / 31)
    assert fields["eta_s"] == pytest.approx(SAID_AGAIN_S / 5, rel=0.05)
    said = [entry.message for entry in store.log_rows(run_id)]
    assert said == [
        "optimising poison points",
        "optimising poison points, subpopulation 1 of 2, step 8 of 15, alignment 0.8, 26%, 1 min 32 s left of this step",
        "optimising poison points, subpopulation 2 of 2, step 1 of 15, alignment 0.16, 52%, 1 min 00 s left of this step",
        "optimising poison points, subpopulation 2 of 2, step 9 of 15, alignment 0.24, 77%, 28 s left of this step",
    ]
    row = replace(store.run(run_id), alive=True, **fields)  # type: ignore[arg-type]
    assert state_and_step(row) == f"running: {fields['phase']}"  # in the list


def test_in_a_pipe_lines_stand_in_the_order_of_their_times(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run.start(store, SCENARIO_PARSED, spawn=False).id
    work(store, run_id, pipeline=FakePipeline())
    watch.follow(store, run_id, stop_on_interrupt=False)
    said = capsys.readouterr().out.splitlines()
    times = [line[:8] for line in said if line[2:3] == ":" and line[5:6] == ":"]
    assert times == sorted(times)
    assert said[len(times) - 2][9:] == "done"  # of the log; then the state that it led to
    assert said[len(times) - 1][9:].startswith(f"run {run_id}: done, 27 of 27 victims")


def test_a_pipe_is_told_a_state_once_and_then_every_ten_seconds(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(50.0)
    monkeypatch.setattr("engine.cli.watch.time.monotonic", clock)
    view, row = watch.PlainView(), row_of(store, state="running", phase="loading torch")
    for second in range(25):
        clock.now += 1
        view.state(replace(row, phase=f"decoding, {second}%", progress=second / 100, eta_s=100.0 - second))
    lines = capsys.readouterr().out.splitlines()
    left = {0: "1 min 40 s", 10: "1 min 30 s", 20: "1 min 20 s"}
    assert [line[9:] for line in lines] == [f"run {row.id}: running, decoding, {s}%, {rest} left of this step" for s, rest in left.items()]


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_the_bar_has_the_steps_share_and_rest(store: Store, width: int) -> None:
    at = "optimising poison points, subpopulation 2 of 3, step 12 of 30, alignment 0.43, 41%"
    view = BarView()
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    view.state(row_of(store, state="running", phase=at, progress=0.41, eta_s=125.0))
    view.log(LogRow(1, 0.0, "info", "x"))
    with console.capture() as captured:
        console.print(view.bars.get_renderable())
    head, bar, *_ = captured.get().splitlines()
    assert head.split(" ", 1)[1].startswith("optimising poison points, subpopulation 2 of 3, step 12 of 30")
    assert "41%" in bar
    assert bar.rstrip().endswith("2 min 05 s left of this step")
    assert max(len(head), len(bar)) <= width
