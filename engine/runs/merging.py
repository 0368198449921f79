"""The shards of one plan put together as one run: every stack exactly once, all over the same data and discovery.

Tables are a pure function of what is stored, so those of the merged run are those of a run that trained the whole plan.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError
from engine.rows import PartResult, RunRow, Shard
from engine.runs import plans
from engine.runs.plans import Plan
from engine.store import Store
from engine.store.reading import private_copy
from engine.system.filesystem import network_kind

SHARD_NOTE = "of its plan: some of its victims alone"
TOLD = 8  # stacks that a message names


@dataclass(frozen=True)
class Part:
    """One shard, in a store of its own."""

    path: Path
    store: Store
    row: RunRow
    plan: Plan
    shard: Shard
    done: frozenset[int]


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[Part]]:
    """The shards in these files. RequestError where one holds none."""
    with contextlib.ExitStack() as stack:
        parts = []
        for path in paths:
            local = path
            if path.is_file() and network_kind(path) is not None:
                local = Path(stack.enter_context(private_copy(path))) / path.name
            parts.append(_part(path, stack.enter_context(Store.open(local, create=False, to_read=True))))
        yield parts


def _part(path: Path, store: Store) -> Part:
    rows, where = store.runs(), str(path)
    planned = store.planned(rows[0].id) if len(rows) == 1 else None
    if planned is None or planned.shard is None:
        raise RequestError("holds no shard of a plan", where=where, next="give the files that `subpop work --store FILE` made")
    run_id = rows[0].id
    if store.provenance(run_id) == {}:
        raise RequestError(f"shard {planned.shard} has discovered nothing yet", where=where, next="run its command again: subpop work")
    return Part(path, store, rows[0], plans.of_run(store, run_id), planned.shard, frozenset(store.stacks_done(run_id)))


def check(parts: Sequence[Part]) -> None:
    """RequestError where these are not the shards of one plan, or not all of its stacks, or one of them twice."""
    first, *others = parts
    for part in others:
        where, beside = str(part.path), f"than {first.path}"
        next = "merge the shards of one plan alone"
        if part.plan.scenario != first.plan.scenario:
            raise RequestError(f"is of another scenario {beside}", where=where, next=next)
        if part.plan.data != first.plan.data:
            raise RequestError(f"is over other data {beside}: their checksums differ", where=where, next=next)
        if plans.discovery_digest(part.store, part.row.id) != plans.discovery_digest(first.store, first.row.id):
            raise RequestError(f"is over another discovery {beside}: other subpopulations, or other confidences", where=where, next=next)
        if part.plan.digest != first.plan.digest:
            raise RequestError(f"is of another plan {beside}: other stacks, or used otherwise", where=where, next=next)
    owner: dict[int, Part] = {}
    for part in parts:
        if twice := sorted(part.done & owner.keys()):
            other = owner[twice[0]]
            what = f"has {_stacks(twice)}, which {other.path} has too"
            raise RequestError(what, where=str(part.path), next="give each shard once")
        owner |= dict.fromkeys(part.done, part)
    if missing := [stack.index for stack in first.plan.stacks if stack.index not in owner]:
        raise _gap(parts, missing)


def _gap(parts: Sequence[Part], missing: Sequence[int]) -> RequestError:
    for part in parts:
        if left := [index for index in missing if part.shard.has(part.plan.stacks[index])]:
            what = f"shard {part.shard} is not done: {_stacks(left)} of {len(part.plan.stacks)} are still to be trained"
            return RequestError(what, where=str(part.path), next="run its command again: subpop work")
    many, plan = parts[0].shard.of, parts[0].plan
    absent = sorted({index % many + 1 for index in missing})
    which = f"shard{'s' if len(absent) > 1 else ''} {', '.join(map(str, absent))} of {many}"
    return RequestError(f"{_stacks(missing)} of {len(plan.stacks)} are in none of these files", next=f"give {which} too")


def _stacks(indices: Sequence[int]) -> str:
    numbers = ", ".join(str(index + 1) for index in indices[:TOLD])
    more = f" and {len(indices) - TOLD} more" if len(indices) > TOLD else ""
    return f"stack{'s' if len(indices) > 1 else ''} {numbers}{more}"


def first_parts(parts: Sequence[Part]) -> list[PartResult]:
    """The ensemble of the shard that trained it, the first; empty where the scenario asks for none. RequestError where it is not whole."""
    from engine.scenario.parse import scenario_of

    wanted = scenario_of(parts[0].row).evaluation.certificates
    if wanted is None:
        return []
    first = next(part for part in parts if part.shard.number == 1)
    found = first.store.parts(first.row.id)
    if len(found) < wanted:
        what = f"{len(found)} of the {wanted} models of its ensemble are trained"
        raise RequestError(what, where=str(first.path), next="run its command again: subpop work")
    return found


def merge(out: Store, parts: Sequence[Part]) -> RunRow:
    """A new run of `out` that has every victim of the shards, all of it or nothing. See `check` for what is refused."""
    from engine.scenario.parse import scenario_of
    from engine.tables import world as tables
    from engine.tables.build import build

    check(parts)
    first, store = parts[0], parts[0].store
    found = store.discovery(first.row.id, bulk=True)
    assert found is not None
    # of several devices and machines: what each shard says of itself stands once
    deviations = dict.fromkeys(line for part in parts for line in part.row.deviations if SHARD_NOTE not in line)
    for what in ("code", "libraries", "device"):
        if len({str(part.store.provenance(part.row.id).get(what)) for part in parts}) > 1:
            deviations[f"its shards were trained with more than one {what}; bits may differ"] = None
    row = out.create_run(
        name=first.row.name,
        title=first.row.title,
        scenario_toml=first.row.scenario_toml,
        scenario_hash=first.row.scenario_hash,
        deviations=tuple(deviations),
    )
    try:
        out.save_discovery(
            row.id,
            subpopulations=found.subpopulations,
            membership=found.membership,
            y_test=found.y_test,
            classes=found.classes,
            provenance=found.provenance,
            arrays=found.arrays,
            account=store.account(first.row.id),
        )
        out.save_plan(row.id, first.plan.stacks, first.plan.planned())
        for part in parts:
            victims = {victim.spec.index: victim for victim in part.store.victims(part.row.id)}
            seconds, too_many = part.store.stack_durations(part.row.id), part.store.too_many(part.row.id)
            for stack in first.plan.stacks:
                if stack.index in part.done:
                    results = [victims[spec.index] for spec in stack.victims]
                    out.commit_stack(row.id, stack.index, results, seconds[stack.index], {}, too_many)
        if ensemble := first_parts(parts):
            out.commit_parts(row.id, ensemble, 0.0, {})
        out.write_tables(row.id, build(tables.World.start(scenario_of(row), found, out.victims(row.id), out.parts(row.id))))
        begun = [part.row.started_at for part in parts if part.row.started_at is not None]
        ended = [part.row.finished_at for part in parts if part.row.finished_at is not None]
        device = ", ".join(dict.fromkeys(part.row.device for part in parts if part.row.device))
        times = {"started_at": min(begun, default=None), "finished_at": max(ended, default=None)}
        out.update_run(row.id, state="done", phase="", progress=1.0, device=device, **times)
        out.log(row.id, "info", f"merged of {len(parts)} files: {', '.join(part.path.name for part in parts)}")
    except BaseException:
        out.delete_run(row.id)
        raise
    return out.run(row.id)
