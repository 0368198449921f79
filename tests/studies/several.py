"""One plan on one device, on several and in shards: every table the same, byte for byte; and children killed with SIGKILL on the way.

    python -m tests.studies.several adult|adult-many|adult-smoke|conv|optimised|defended [--kills 20] [--shards 2,8] [--data DIR]

By the product's own commands: `plan`, then `run --plan` on `cpu` and on `cpu,cpu`, `work` of each shard, `merge`. With --kills a further
run on `cpu,cpu` whose children are killed one at a time, each while both are at a stack that was not lost before; of each kill one stack
may be trained again, and nothing else. Exit status 0 where all exports are equal and nothing else was trained again; 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.cli import main as cli
from engine.errors import SubpopError
from engine.rows import RunRow
from engine.runs import plans
from engine.runs import shards as shards_
from engine.runs import start as run
from engine.runs.plans import Given
from engine.scenario.parse import load
from engine.store import Store
from engine.tables.columns import SPECS
from tests.studies.kill_storm import children, ended, exported, wait

# a thread each, so that two devices have twice what one has; sizes small enough that there is a stack to lose
WORLDS = {
    "adult": ("adult-clustermatch", ("compute.threads=1", "compute.victims_per_stack=40"), False),
    "adult-many": ("adult-clustermatch", ("compute.threads=1", "compute.victims_per_stack=3", "evaluation.trials=1"), False),
    "adult-smoke": ("adult-clustermatch", ("compute.threads=1", "compute.victims_per_stack=3", "evaluation.trials=3"), True),
    "conv": ("cifar10-conv", ("compute.threads=1", "compute.victims_per_stack=2", "model.epochs=1", "evaluation.confidence_folds=1"), True),
    "optimised": ("utkface-vgg-ll-optimized", ("compute.threads=1", "compute.victims_per_stack=6", "attack.steps=4"), True),
    "defended": ("adult-trim", ("compute.threads=1", "compute.victims_per_stack=3"), True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=[*WORLDS])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--shards", default="2,8")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    preset, overrides, smoke = WORLDS[args.world]
    words = [preset, *(word for each in overrides for word in ("--set", each)), *(["--smoke"] if smoke else [])]
    data = ["--data", str(args.data)] if args.data else []
    with TemporaryDirectory() as folder, Store.open(Path(folder) / "runs.db") as store:
        file = Path(folder) / "plan.json"
        call("plan", *words, *data, "-o", str(file))
        plan = plans.read(file)
        given = Given(plan, shards_.found_beside(file, plan))
        print(f"{args.world}: plan {plan.digest[:12]}, {sum(len(s.victims) for s in plan.stacks)} victims in {len(plan.stacks)} stacks, "
              f"{plan.cores.parts} part; load {os.getloadavg()[0]:.1f}")  # fmt: skip
        wrong, ids = 0, []
        for device in ("cpu", "cpu,cpu"):
            scenario = load(preset, [*overrides, f'compute.device="{device}"'], smoke)
            row = wait(store, run.start(store, scenario, name=device, data_dir=args.data, given=given).id, ended, most_s=3000)
            if row.state != "done":
                sys.exit(f"the run on {device} {row.state}: {row.error}")
            ids.append(row.id)
        one, two = (training_s(store, run_id) for run_id in ids)
        print(f"training: {one:.1f} s on cpu, {two:.1f} s on cpu,cpu: {one / two:.2f} times as fast; load {os.getloadavg()[0]:.1f}")
        expected = plain(store, ids[0])
        wrong += compared("cpu,cpu", plain(store, ids[1]), expected)
        if args.kills:
            wrong += killed(store, preset, overrides, smoke, given, args, expected)
        for shards in [int(many) for many in args.shards.split(",") if many]:
            parts = [str(Path(folder) / f"part{i}of{shards}.db") for i in range(1, shards + 1)]
            for number, part in enumerate(parts, 1):
                call("work", *words, *data, "--plan", str(file), "--shard", f"{number}/{shards}", "--store", part)
            merged = Path(folder) / f"merged{shards}.db"
            call("merge", str(merged), *parts)
            with Store.open(merged) as out:
                wrong += compared(f"{shards} shards merged", plain(out, out.find("latest").id), expected)
        print("equal" if not wrong else "NOT EQUAL")
        return int(wrong > 0)


def call(*words: str) -> None:
    with Path(os.environ.get("SEVERAL_LOG", os.devnull)).open("a") as log, contextlib.redirect_stderr(log):
        status = cli.main(list(words))
    if status:
        sys.exit(f"subpop {' '.join(words)}: exit status {status}; $SEVERAL_LOG names a file for why")


def plain(store: Store, run_id: str) -> dict[str, bytes]:
    """Every table in two formats, without what tells where it was trained: the run's id, its scenario's hash (of the device) and device.

    Predictions as they are stored, for as a table they are a hundred megabytes.
    """
    files = {"predictions": b"".join(victim.predictions.tobytes() for victim in store.victims(run_id))}
    row = store.run(run_id)
    for name, data in exported(store, run_id, [table for table in SPECS if table != "predictions"]).items():
        device = str(store.provenance(run_id)["device"])
        files[name] = data.replace(row.scenario_hash.encode(), b"HASH").replace(device.encode(), b"DEVICE")
    return files


def compared(what: str, found: dict[str, bytes], expected: dict[str, bytes]) -> int:
    unequal = [name for name, data in expected.items() if found.get(name) != data]
    size = sum(map(len, expected.values()))
    print(
        f"{what}: {len(expected) - len(unequal)} of {len(expected)} exports equal byte for byte, {size:,} bytes"
        + "".join(f"\n  differs: {n}" for n in unequal)
    )
    return len(unequal)


def training_s(store: Store, run_id: str) -> float:
    """From the first stack's begin to the last one's commit."""
    lines = store.log_rows(run_id)
    begun = next(line.at for line in lines if line.message.startswith("training stack"))
    return max(line.at for line in lines if line.message.startswith("committed stack")) - begun


def killed(
    store: Store, preset: str, overrides: tuple[str, ...], smoke: bool, given: Given, args: argparse.Namespace, expected: dict[str, bytes]
) -> int:
    """Runs on cpu,cpu whose children are killed until there were enough; how much was wrong."""
    plan = given.plan
    rng, kills, wrong = random.Random(args.seed), 0, 0
    mean_s = sum(store.stack_durations(store.runs()[0].id).values()) / len(plan.stacks)
    while kills < args.kills:
        scenario = load(preset, [*overrides, 'compute.device="cpu,cpu"'], smoke)
        run_id = run.start(store, scenario, name="killed", data_dir=args.data, given=given).id
        mine = 0
        while kills < args.kills:
            row = wait(store, run_id, lambda row: ended(row) or fresh(store, row.id), most_s=600)
            if ended(row):
                break
            time.sleep(rng.uniform(0, mean_s))
            both = children(row.pid or 0)
            if not both or not fresh(store, run_id):
                continue
            try:
                os.kill(rng.choice(both), signal.SIGKILL)
            except ProcessLookupError:
                continue
            kills, mine = kills + 1, mine + 1
            time.sleep(0.5)  # so that the worker has seen it
        row = wait(store, run_id, ended, most_s=3000)
        begun, again = Counter(at for at, _ in begins(store, run_id)), losses(store, run_id)
        extra = sum(begun.values()) - len(plan.stacks)
        print(f"run {row.state}: {mine} children killed, {len(again)} stacks trained again, {extra} begun a second time {row.error}")
        wrong += int(row.state != "done") + int(extra != len(again)) + int(len(again) > mine) + int(max(begun.values()) > 2)
        wrong += int({at for at, n in begun.items() if n > 1} != set(again))
        wrong += compared("killed", plain(store, run_id), expected) if row.state == "done" else 1
        left = orphans(row)
        print(f"  {left} processes left")
        wrong += left
    return wrong


def begins(store: Store, run_id: str) -> list[tuple[int, str]]:
    """(stack, on which device) of every begin, by the log."""
    lines = [line.message for line in store.log_rows(run_id) if line.message.startswith("training stack ")]
    return [(int(line.split()[2]), line.rpartition("on ")[2]) for line in lines]


def losses(store: Store, run_id: str) -> list[int]:
    lines = [line.message for line in store.log_rows(run_id) if "is trained again, in the same company" in line.message]
    return [int(line.rpartition(": stack ")[2].split()[0]) for line in lines]


def fresh(store: Store, run_id: str) -> bool:
    """Whether both devices are at a stack, and none of the two was lost before."""
    committed = {int(line.message.split()[2]) for line in store.log_rows(run_id) if line.message.startswith("committed stack ")}
    at_work = {at for at, _ in begins(store, run_id)} - committed
    return len(at_work) == 2 and not at_work & set(losses(store, run_id))


def orphans(row: RunRow) -> int:
    """Processes of children that outlive their run's worker."""
    end = time.monotonic() + 5
    while True:
        found = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            found += b"engine.runs.executors.child" in words and parent in (1, row.pid)
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SubpopError as error:
        sys.exit(str(error))
