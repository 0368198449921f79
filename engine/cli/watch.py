"""Follows a run to its end: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from engine.cli import text as cli_text
from engine.cli.text import clock, counts
from engine.errors import Interrupted, RunFailed
from engine.rows import LogRow, RunRow
from engine.runs.start import is_alive
from engine.scenario.claim import claim_of, lead
from engine.store import Store
from engine.system.pace import in_words

POLL_S = 0.2
LOST_AFTER_S = 3.0  # an engine that is not there for so long is said to be lost: it takes a moment to start
LINE_EVERY_S = 10.0  # in a pipe
QUEUE_LINE_EVERY_S = 60.0  # there, of a run that waits for others
HEADLINE_K = 5  # the worst-k that the last lines of a run tell
ENDED = ("done", "failed", "stopped")


class View(Protocol):
    """Where a followed run is shown."""

    def log(self, row: LogRow) -> None: ...

    def state(self, row: RunRow) -> None: ...


def follow(store: Store, run_id: str, *, stop_on_interrupt: bool) -> None:
    """Show the run until it ends. Returns when it is done.

    stop_on_interrupt: Ctrl-C asks the run to stop and waits for it; else it only ends the watching.
    Raises RunFailed where it failed or its engine is lost, Interrupted where it was stopped or Ctrl-C was pressed.
    """
    from engine.runs import start as runs_

    reported = Told()
    with _view() as view:
        try:
            row = _until_end(store, run_id, view, reported)
        except KeyboardInterrupt:
            if not stop_on_interrupt:
                raise Interrupted(f"no longer watching; run {run_id} goes on", next=f"subpop watch {run_id}") from None
            runs_.stop(store, run_id)
            cli_text.note("")  # the terminal has put ^C there
            cli_text.note(f"stopping run {run_id} (Ctrl-C again leaves at once); go on later with: subpop resume {run_id}")
            try:
                row = _until_end(store, run_id, view, reported)
            except KeyboardInterrupt:
                raise Interrupted(f"left; run {run_id} will stop by itself", next=f"subpop resume {run_id} goes on") from None
    if row.state == "failed":
        raise RunFailed(row.error or "no reason was recorded", where=f"run {run_id} failed", next=f"subpop resume {run_id} tries again")
    if row.state == "stopped":
        kept = f"{row.victims_done} of {row.victims_total} victims are kept" if row.victims_total else "nothing was trained yet"
        raise Interrupted(f"run {run_id} is stopped; {kept}", next=f"subpop resume {run_id} goes on")
    _summary(store, row)


@dataclass
class Told:
    """What of the log was shown, so that nothing is shown twice.

    failure: the last line, where it is an error: told at the end with what to do next, or in its place when a resume got over it.
    """

    last_log: int = 0
    failure: LogRow | None = None


def _until_end(store: Store, run_id: str, view: View, reported: Told) -> RunRow:
    missed_at: float | None = None
    while True:
        row = store.run(run_id)
        for entry in store.log_rows(run_id, reported.last_log):
            reported.last_log = entry.id
            if reported.failure is not None:
                view.log(replace(reported.failure, message=reported.failure.message.partition("\nTraceback")[0]))
            reported.failure = entry if entry.level == "error" else None
            if reported.failure is None:
                view.log(entry)
        view.state(row)  # after what led to it, so that lines stand in the order of their times
        if row.state in ENDED:
            return row
        if is_alive(row):
            missed_at = None
        else:
            missed_at = missed_at or time.monotonic()
            if time.monotonic() - missed_at > LOST_AFTER_S:
                full = store.disk_is_full()
                raise RunFailed(
                    f"its engine (process {row.pid} on {row.host or 'this machine'}) is gone"
                    + (f", and the disk of {store.path} is full" if full else ""),
                    where=f"run {run_id}",
                    next=f"{'free some space, then ' if full else ''}subpop resume {run_id} "
                    + (f"goes on from {row.victims_done} of {row.victims_total} victims" if row.victims_total else "starts it again"),
                )
        time.sleep(POLL_S)


def _summary(store: Store, row: RunRow) -> None:
    took = in_words(row.finished_at - row.started_at) if row.finished_at and row.started_at else "no time"
    cli_text.line(f"run {row.id} is done: {row.victims_done} victims in {took} on {row.device}")
    for deviation in row.deviations:
        cli_text.line(f"{lead(claim_of(row.scenario_toml))}: {deviation}")
    if worst := _worst(store, row.id):
        cli_text.line(worst)
    cli_text.line(f"its tables: subpop export {row.id} --table worst --format md")


def _worst(store: Store, run_id: str) -> str:
    """The run in a line: what the most poison does to its worst subpopulations. Empty where there is no such table."""
    if "worst" not in store.tables(run_id):
        return ""
    rows = [row for row in store.table(run_id, "worst").records() if row.get("as_published") is not None]
    if not rows:
        return ""
    most = rows[-1]["alpha"]  # rows are in the order of alpha, then k
    row = min((row for row in rows if row["alpha"] == most), key=lambda row: abs(row["k"] - HEADLINE_K))
    many = row.get("as_published_k") or row["k"]  # there may be fewer than k, and fewer with enough test rows
    fewest = f" (on {row['fewest_test_rows']} test rows each, or more)" if row.get("fewest_test_rows") is not None else ""
    sentence = f"worst {many} at alpha {most:g}: damage {row['as_published']:z.3f} as published{fewest}, "
    if row["corrected"] is None:
        return sentence + (f"not corrected ({row['note']})" if row["note"] else "not corrected")
    between = f" ({row['low']:z.3f} to {row['high']:z.3f})" if row["low"] is not None and row["high"] is not None else ""
    used = row.get("k_used") or many
    if row.get("on_eligible") is not None:  # a table of an older version has none
        sentence += f"{row['on_eligible']:z.3f} among the {row['eligible']} of {row['attacked']} with enough test rows, "
    return f"{sentence}{row['corrected']:z.3f} corrected{between}{f', of the worst {used} with enough test rows' if used != many else ''}"


# ---- views ----------------------------------------------------------------------------------------------------------


@contextmanager
def _view() -> Iterator[View]:
    if not cli_text.on_terminal(sys.stdout):
        yield PlainView()
        return
    from engine.cli.bar import BarView

    with BarView() as view:
        yield view


class PlainView:
    """One line for each thing that happened, and one every ten seconds: the log names each step, so that a phase is no line of its own."""

    def __init__(self) -> None:
        self.before, self.said_at = "", 0.0

    def log(self, row: LogRow) -> None:
        level = "" if row.level == "info" else f"{row.level}: "
        cli_text.lines(f"{clock(row.at)} {level}{row.message}")

    def state(self, row: RunRow) -> None:
        now = time.monotonic()
        every_s = {"running": LINE_EVERY_S, "queued": QUEUE_LINE_EVERY_S}.get(row.state, float("inf"))
        if row.state != self.before or now - self.said_at >= every_s:
            phase = f"{row.state}, {row.phase}" if row.phase and row.phase != row.state else row.state
            cli_text.line(f"{clock(time.time())} run {row.id}: {phase}{counts(row)}")
            self.before, self.said_at = row.state, now
