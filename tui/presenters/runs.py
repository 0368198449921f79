"""A run in words: its row in the list of runs, and the lines above its damage table. Pure; the clock comes from outside."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath

from rich.text import Text

from engine.rows import Column, RunRow, TableSpec
from engine.scenario.claim import claim_of
from tui.presenters import format as fmt

SPEC = TableSpec(
    "runs",
    (
        Column("id", "text", "RUN in `subpop watch RUN`; any unique beginning will do"),
        Column("name", "text", "its name; R renames it"),
        Column("dataset", "text", "what its data are: a dataset by name, a file or folder of your own"),
        Column("caution", "text", "smoke: a sliver, not for its numbers; deviates, to know: what stands above its tables"),
        Column("state", "text", "running, paused, queued, done, stopped, failed, damaged, or lost: its engine is gone, r starts it again"),
        Column("progress", "fraction", "share of its victims that are trained and stored; before there are any, of the step it is at"),
        Column("victims", "text", "trained of planned"),
        Column("eta", "text", "time left at the rate so far; before victims are trained, of the step it is at"),
        Column("rate", "text", "victims per minute"),
        Column("device", "text", "where it trains"),
        Column("started", "text", "when it was started"),
    ),
    ("id",),
)
Styles = Mapping[str, str]


def phase_share(phase: str) -> float | None:
    """How far a phase says it is ("confidence, fold 2 of 5, 34%"), or None."""
    percent = re.search(r"(\d{1,3}) ?%$", phase)
    return min(1.0, int(percent[1]) / 100) if percent else None


def state_word(run: RunRow) -> str:
    return "damaged" if run.damaged else "lost" if run.lost else run.state


@lru_cache(maxsize=512)
def dataset_words(scenario_toml: str) -> str | None:
    """Which data a scenario names: its dataset, or the file or folder where that is one's own. None where it cannot be read."""
    try:
        dataset = tomllib.loads(scenario_toml).get("dataset", {})
    except ValueError:
        return None
    if not isinstance(dataset, dict):
        return None
    name = PurePath(str(dataset.get("path", ""))).name or dataset.get("kind")
    return fmt.clean(name, 60) if name else None


def caution(run: RunRow) -> str:
    """In one word, why its numbers are not what its name promises; "" where they are."""
    if any(line.startswith("smoke") for line in run.deviations):
        return "smoke"
    if not run.deviations:
        return ""
    return "deviates" if claim_of(run.scenario_toml) else "to know"


def run_cells(run: RunRow, clock: str = "%b %d %H:%M") -> tuple[object, ...]:
    busy = run.alive and run.state == "running"
    total = f"{run.victims_done:,}/{run.victims_total:,}" if run.victims_total else fmt.NOTHING
    return (
        run.id,
        run.name,
        dataset_words(run.scenario_toml),
        caution(run),
        state_word(run),
        run.victims_done / run.victims_total if run.victims_total else phase_share(run.phase) if busy else None,
        total,
        fmt.duration(run.eta_s) if busy and run.eta_s is not None else None,
        fmt.rate(run.victims_per_minute) if busy and run.victims_per_minute else None,
        run.device or None,
        time.strftime(clock, time.localtime(run.created_at)),
    )


def heading(run: RunRow, now: float) -> tuple[str, str, str]:
    """(sign, what stands first, style) for a run."""
    if run.damaged:
        return "!", f"DAMAGED in the store: {run.damaged}. D deletes it", "bad"
    if run.lost:
        silent = f"; silent for {fmt.duration(now - run.heartbeat_at)}" if run.heartbeat_at else ""
        return "!", f"ENGINE LOST: r resumes it, {fmt.plural(run.victims_done, 'victim')} kept{silent}", "bad"
    if run.state == "failed":
        reason = " ".join(run.error.split()) or "no reason was recorded"
        return "✗", f"FAILED: {reason}", "bad"
    if run.state == "stopped":
        return "■", f"stopped: r resumes it, {fmt.plural(run.victims_done, 'victim')} kept", "warn"
    if run.state == "paused":
        return "‖", "paused: memory is held, no work is done. r goes on", "warn"
    if run.state == "done":
        took = f" in {fmt.duration(run.finished_at - run.started_at)}" if run.finished_at and run.started_at else ""
        return "✓", f"done{took}. enter shows and exports its tables", "good"
    if run.state == "queued":
        return "○", f"queued: {run.phase}", "warn"
    return "●", f"running: {run.phase}", "good"


def stop_question(run: RunRow) -> str:
    """Whether to stop it, and what that loses."""
    kept = f"its {fmt.plural(run.victims_done, 'trained victim')} are kept" if run.victims_done else ""
    if not run.alive:
        loses = ""
    elif run.victims_total:
        in_flight = run.progress * run.victims_total - run.victims_done
        rate = run.victims_per_minute
        about = f" (about {fmt.duration(60 * in_flight / rate)})" if rate and in_flight > 0 else ""
        loses = f"It loses the stack in flight{about}"
    elif run.state == "queued":
        loses = ""
    else:
        loses, kept = "It loses what of this step was not committed", "the steps before it are kept"
    first, *more = [part for part in (loses, kept, "it can be resumed") if part]
    return f"Stop {run.name}? {'; '.join([first[0].upper() + first[1:], *more])}."


def warning(deviations: Sequence[str], scenario_toml: str) -> str:
    """What keeps a run from being the published experiment, or what it must be read with where nothing was published of it."""
    text = fmt.clean("; ".join(deviations))
    if not claim_of(scenario_toml):
        return f"! to be known: {text}"
    return f"! {text}" if text.startswith("not as published") else f"! not the published setting: {text}"


def summary(run: RunRow, now: float, use: str, width: int, styles: Styles) -> list[Text]:
    """The lines above a run's tables. styles: names good, warn, bad, quiet, title -> Rich styles."""
    sign, words, tone = heading(run, now)
    most = None if tone == "bad" else 2
    state = [Text(line, style=styles[tone]) for line in fmt.wrapped(f"{sign} {fmt.clean(words, 2000)}", width, most)]
    title = Text.assemble((f" {fmt.clean(run.name)}", styles["title"]), "  ", (fmt.clean(run.title), ""), ("   " + run.id, styles["quiet"]))
    share = run.victims_done / run.victims_total if run.victims_total else phase_share(run.phase)
    none = "finding the subpopulations" if run.alive else "no victims"
    parts = [f"{run.victims_done:,} of {run.victims_total:,} victims" if run.victims_total else none]
    if run.alive and run.state == "running":
        what = "ETA" if run.victims_total else "ETA of this step"
        parts.append(f"{what} {fmt.duration(run.eta_s)}" if run.eta_s is not None else f"{what} –")
        if run.victims_per_minute:
            parts.append(f"{fmt.rate(run.victims_per_minute)}")
    if run.started_at:
        parts.append(f"{fmt.duration((run.finished_at or now) - run.started_at)} so far" if not run.finished_at else "")
    tail = "  ".join(part for part in parts if part)
    room = max(8, min(48, width - len(tail) - 10))
    percent = f"{int(share * 100):3d} %" if share is not None else "  – %"
    bar = fmt.bar(share, room)
    done = bar.count("━")
    progress = Text.assemble(" ", (bar[:done], styles["good"]), (bar[done:], styles["quiet"]), f" {percent}  ", (tail, ""))
    lines = [title, *state, progress]
    where = " · ".join(part for part in (run.device, use) if part)
    if where:
        lines.append(Text(f" {where}", style=styles["quiet"]))
    if run.deviations:
        lines += [Text(line, style=styles["warn"]) for line in fmt.wrapped(warning(run.deviations, run.scenario_toml), width, 2)]
    if run.note:
        lines.append(Text(f" note: {fmt.clean(run.note)}"))
    return lines
