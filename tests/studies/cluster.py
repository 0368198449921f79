"""A Ray cluster of a head and two workers on this machine, in a network namespace of its own: the same plan on it and without it.

    python -m tests.studies.cluster PART [adult|adult-smoke|conv|parts] [--kills N] [--folder DIR] [--data DIR]

equal     the run on the cluster comes to the same exports, byte for byte, as on `cpu`; seconds, and resident memory of every process
workers   N times all processes of one of the two workers are killed while it trains, and another joins; of each one stack is trained again
driver    N times the run's own process is killed, and the run resumed: what was committed is not trained again
head      N times the whole cluster is killed, started anew, and the run resumed
bench     victims an hour there and here, by `subpop bench`: both have the same cores, so nothing can be gained
pause     a pause and a stop: how long it takes until nothing is trained
wrong     what must be refused, each with its message, exit status 2 and no run made

The plan, and what `cpu` comes to, are kept in the folder for the next part. Nothing is started outside the namespaces (`unshare`), whose
processes end with this one. Exit status 0 where all is as it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from engine.errors import SubpopError
from engine.precheck import networks
from engine.rows import RunRow
from engine.runs import plans
from engine.runs import shards as shards_
from engine.runs import start as run
from engine.runs.plans import Given
from engine.runs.provenance import code_version
from engine.scenario.parse import load
from engine.store import Store
from engine.tables.columns import SPECS
from tests.studies import several
from tests.studies.kill_storm import ended, exported, trained_again, wait

INSIDE = "SUBPOP_CLUSTER_STUDY"  # set within the namespaces
PORT, CLIENTS = 6379, 10001
ADDRESS = f"ray://127.0.0.1:{CLIENTS}"
SLOW_S = 25.0  # a resume that takes longer is told step by step
STORE_BYTES = 200_000_000
WORLDS = {
    **{name: several.WORLDS[name] for name in ("adult", "adult-smoke", "conv")},
    # parts of a stack, which one machine forks and a cluster's node trains in turn
    "parts": ("adult-clustermatch", ("compute.threads=2", "compute.victims_per_stack=8"), True),
    "quickstart": ("quickstart", ("compute.threads=1", "compute.victims_per_stack=3"), True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["equal", "workers", "driver", "head", "pause", "bench", "wrong"])
    parser.add_argument("world", nargs="?", choices=[*WORLDS], default="adult-smoke")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="kept: the plan, and what it comes to")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--other-python", type=Path, help="`ray` of an environment of another Python, for `wrong`")
    args = parser.parse_args()
    if INSIDE not in os.environ:
        inside = [
            "unshare",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            *([] if os.geteuid() == 0 else ["--map-root-user"]),
        ]
        command = [*inside, sys.executable, "-m", "tests.studies.cluster", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, INSIDE: "1", "RAY_USAGE_STATS_ENABLED": "0"}, check=False).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # of the cluster's processes too
    with TemporaryDirectory() as folder, TemporaryDirectory(prefix="ray", dir="/tmp") as own:
        place = args.folder or Path(folder)
        place.mkdir(exist_ok=True)
        cluster = Cluster(Path(own))
        if args.part == "wrong":
            return wrong(cluster, Path(folder), args.other_python)
        # of this code alone: a run says where its discovery was made by another
        case = prepared(place / f"{args.world}-{code_version().rpartition('.')[2]}", args.world, args.data)
        cluster.start()
        with Store.open(Path(folder) / "runs.db") as store:
            return PARTS[args.part](Study(store, case, cluster, args.data, args.kills, random.Random(args.seed)))


# ---- the cluster ----------------------------------------------------------------------------------------------------


@dataclass
class Cluster:
    """A head without a device of its own, and workers of one core each. place: for Ray's folders, one each time that it is started."""

    place: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: int = 0

    @property
    def folder(self) -> Path:
        return self.place / str(self.started)

    def start(self, workers: int = 2) -> None:
        self.started += 1
        self.folder.mkdir()
        self.ray(
            "--head", f"--port={PORT}", f"--ray-client-server-port={CLIENTS}", "--num-cpus=0", "--include-dashboard=false", name="head"
        )
        for number in range(workers):
            self.worker(f"w{number + 1}")

    def worker(self, name: str, environment: dict[str, str] | None = None, hidden: Path | None = None) -> None:
        self.ray(f"--address=127.0.0.1:{PORT}", "--num-cpus=1", name=name, environment=environment, hidden=hidden)

    def ray(self, *words: str, name: str, environment: dict[str, str] | None = None, hidden: Path | None = None) -> None:
        """`ray start`, which may need several tries where the machine is busy. hidden: a folder that is empty for this node."""
        program = Path(sys.executable).with_name("ray")
        command = [str(program), "start", *words, f"--node-name={name}", "--node-ip-address=127.0.0.1"]
        command.append(f"--object-store-memory={STORE_BYTES}")
        env = {**os.environ, "RAY_TMPDIR": str(self.folder), **self.environment, **(environment or {})}
        if hidden is not None:
            command = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{hidden}" && exec "$@"', "sh", *command]
        for _ in range(3):
            done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            self.kill(name)
        sys.exit(f"`ray start` of {name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def kill(self, name: str) -> None:
        """Everything of a node at once, as where its machine is gone; of the head all that is not a worker's."""
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """All of it; returns when nobody has its ports any more."""
        for name in (*self.nodes(), "head"):
            self.kill(name)
        while any(is_raylet(words) or "gcs_server" in words for _, words in processes()):
            time.sleep(0.1)

    def nodes(self) -> list[str]:
        return sorted({words.rpartition("--node-name=")[2].split("\0")[0] for _, words in processes() if is_raylet(words)})

    def processes(self, name: str) -> list[int]:
        """A node's: its raylet and all under it; of the head also what `ray start` left beside it."""
        found = dict(processes())
        tops = [pid for pid, words in found.items() if is_raylet(words) and words.rstrip("\0").endswith(f"--node-name={name}")]
        if name == "head":
            tops += [pid for pid, words in found.items() if str(self.place) in words and ("gcs_server" in words or "monitor.py" in words)]
            tops += [pid for pid, words in found.items() if "ray.util.client.server" in words or "dashboard.py" in words]
        return sorted(under(tops))


def is_raylet(words: str) -> bool:
    return words.split("\0")[0].endswith("/raylet")


def processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_text(errors="replace")


def under(pids: Sequence[int]) -> set[int]:
    """These and all that descends from them."""
    found, new = set(pids), list(pids)
    while new:
        pid = new.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                more = [int(child) for child in task.read_text().split() if int(child) not in found]
                found |= set(more)
                new += more
    return found


# ---- a plan, and what it comes to -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A world's plan and what one machine makes of it: name of an export -> SHA-256. training_s: how long that took."""

    preset: str
    overrides: tuple[str, ...]
    smoke: bool
    given: Given
    expected: dict[str, str]
    size: int
    training_s: float

    def scenario(self, device: str):  # type: ignore[no-untyped-def]  # a Scenario
        return load(self.preset, [*self.overrides, f'compute.device="{device}"'], self.smoke)


def prepared(place: Path, world: str, data: Path | None) -> Case:
    preset, overrides, smoke = WORLDS[world]
    place.mkdir(exist_ok=True)
    file, known = place / "plan.json", place / "expected.json"
    words = [preset, *(word for each in overrides for word in ("--set", each)), *(["--smoke"] if smoke else [])]
    if not file.exists():
        several.call("plan", *words, *(["--data", str(data)] if data else []), "-o", str(file))
    plan = plans.read(file)
    given = Given(plan, shards_.found_beside(file, plan))
    case = Case(preset, overrides, smoke, given, {}, 0, 0.0)
    if not known.exists():
        with TemporaryDirectory() as folder, Store.open(Path(folder) / "runs.db") as store:
            row = run.start(store, case.scenario("cpu"), data_dir=data, given=given)
            row = wait(store, row.id, ended, most_s=3000)
            if row.state != "done":
                sys.exit(f"the run on cpu {row.state}: {row.error}")
            files = plain(store, row.id)
            digests = {name: sha256(data).hexdigest() for name, data in files.items()}
            known.write_text(json.dumps([digests, sum(map(len, files.values())), several.training_s(store, row.id)]))
    digests, size, training_s = json.loads(known.read_text())
    victims = sum(len(stack.victims) for stack in plan.stacks)
    print(f"{world}: plan {plan.digest[:12]}, {victims} victims in {len(plan.stacks)} stacks, {plan.cores.parts} part(s); "
          f"on cpu {training_s:.1f} s; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    return Case(preset, overrides, smoke, given, digests, size, training_s)


def plain(store: Store, run_id: str) -> dict[str, bytes]:
    """As `several.plain`, without the lines that name the cluster's nodes."""
    files = {"predictions": b"".join(victim.predictions.tobytes() for victim in store.victims(run_id))}
    row, device = store.run(run_id), str(store.provenance(run_id)["device"])
    for name, data in exported(store, run_id, [table for table in SPECS if table != "predictions"]).items():
        lines = [line for line in data.splitlines(keepends=True) if b"cluster." not in line]
        files[name] = b"".join(lines).replace(row.scenario_hash.encode(), b"HASH").replace(device.encode(), b"DEVICE")
    return files


# ---- parts ----------------------------------------------------------------------------------------------------------


@dataclass
class Study:
    store: Store
    case: Case
    cluster: Cluster
    data: Path | None
    kills: int
    rng: random.Random

    def begin(self, name: str) -> RunRow:
        return run.start(self.store, self.case.scenario(ADDRESS), name=name, data_dir=self.data, given=self.case.given)

    def compared(self, what: str, row: RunRow) -> int:
        """How many exports differ; all of them where the run is not done."""
        if row.state != "done":
            print(f"{what}: {row.state}: {row.error}")
            print(run.log_file(self.store, row.id).read_text()[-3000:])
            return len(self.case.expected)
        files = plain(self.store, row.id)
        unequal = [name for name, digest in self.case.expected.items() if sha256(files[name]).hexdigest() != digest]
        print(f"{what}: {len(files) - len(unequal)} of {len(files)} exports equal byte for byte, {self.case.size:,} bytes"
              + "".join(f"\n  differs: {name}" for name in unequal))  # fmt: skip
        return len(unequal)

    def moment(self, run_id: str) -> RunRow:
        """Wait until it is at stacks on two nodes that were not lost before, or has ended; then a while of a stack's length."""
        mean_s = self.case.training_s / len(self.case.given.plan.stacks)
        row = wait(self.store, run_id, lambda row: ended(row) or several.fresh(self.store, row.id), most_s=300)
        if not ended(row):
            time.sleep(self.rng.uniform(0, mean_s))
        return self.store.run(run_id)


def equal(study: Study) -> int:
    with peaks(study.cluster) as peak:
        row = wait(study.store, study.begin("cluster").id, ended, most_s=3000)
    missing = study.compared("cluster", row)
    took = several.training_s(study.store, row.id) if row.state == "done" else 0.0
    print(f"training: {took:.1f} s with two workers, {study.case.training_s:.1f} s on cpu; load {os.getloadavg()[0]:.1f}")
    print(f"provenance: {study.store.provenance(row.id).get('cluster')}")
    for name, size in sorted(peak.items(), key=lambda item: -item[1]):
        print(f"  {size / 2**20:6.0f} MB  {name}")
    return missing


def workers(study: Study) -> int:
    """Kills until there were enough, over as many runs as it takes."""
    kills, missing, number = 0, 0, 2
    while kills < study.kills:
        run_id, mine = study.begin("killed").id, 0
        while kills < study.kills and not ended(study.moment(run_id)):
            if not several.fresh(study.store, run_id):
                continue
            name = study.rng.choice([name for name in study.cluster.nodes() if name != "head"])
            study.cluster.kill(name)
            kills, mine, number = kills + 1, mine + 1, number + 1
            begun = time.monotonic()
            wait(study.store, run_id, lambda row, seen=mine: ended(row) or len(several.losses(study.store, row.id)) >= seen, most_s=60)  # type: ignore[misc]
            print(f"  kill {kills}: of {name}, noticed after {time.monotonic() - begun:.1f} s")
            study.cluster.worker(f"w{number}")
        row = wait(study.store, run_id, ended, most_s=3000)
        begun_of = Counter(at for at, _ in several.begins(study.store, run_id))
        again = several.losses(study.store, run_id)
        extra = sum(begun_of.values()) - len(study.case.given.plan.stacks)
        repeated, twice = trained_again(study.store, run_id), committed_twice(study.store, run_id)
        print(f"run {row.state}: {mine} workers killed, {len(again)} stacks lost, {extra} begun a second time, "
              f"{repeated} trained after their commit, {twice} committed twice")  # fmt: skip
        lost = [line.message for line in study.store.log_rows(run_id) if "is trained again" in line.message]
        print("  as told: " + "\n  as told: ".join(lost))
        print(f"  nodes: {study.store.provenance(run_id)['cluster']['nodes']}")
        missing += (
            int(extra != len(again)) + int(len(again) > mine) + trained_again(study.store, run_id) + committed_twice(study.store, run_id)
        )
        missing += study.compared("killed", row)
    return missing


def driver(study: Study) -> int:
    def strike(row: RunRow) -> None:
        if row.pid:
            os.kill(row.pid, signal.SIGKILL)

    return resumed(study, strike, "the run's process")


def head(study: Study) -> int:
    started = 0

    def strike(row: RunRow) -> None:
        nonlocal started
        study.cluster.end()
        after = wait(study.store, row.id, ended, most_s=120)
        print(f"  {after.state}: {after.error}")
        time.sleep(2.0)
        started += sum(is_raylet(words) or "gcs_server" in words for _, words in processes())  # by whom? a client must not
        study.cluster.start()

    missing = resumed(study, strike, "the cluster")
    print(f"{started} processes of Ray's were started by the run itself")
    return missing + started


def resumed(study: Study, strike: Callable[[RunRow], None], what: str) -> int:
    """Strike, resume, and see that nothing that was committed is trained again."""
    kills, missing = 0, 0
    while kills < study.kills:
        run_id, mine, flights = study.begin("killed").id, 0, 0
        while kills < study.kills:
            row = study.moment(run_id)
            if ended(row):
                break
            before = len(several.begins(study.store, run_id))
            strike(row)
            kills, mine = kills + 1, mine + 1
            with contextlib.suppress(SystemExit):
                for _ in range(500):
                    if (row := study.store.run(run_id)).lost or ended(row):
                        break
                    time.sleep(0.02)
            if row.state == "done":
                break
            flights += 2
            begun = time.monotonic()
            run.resume(study.store, run_id)
            wait(study.store, run_id, lambda row, seen=before: ended(row) or len(several.begins(study.store, row.id)) > seen, most_s=120)  # type: ignore[misc]
            took = time.monotonic() - begun
            print(f"  kill {kills}: trains again {took:.1f} s after it was resumed")
            if took > SLOW_S:
                lines = study.store.log_rows(run_id)
                for line in lines[-12:]:
                    print(f"    {line.at - (time.time() - took):6.1f} s  {line.message[:150]}")
        row = wait(study.store, run_id, ended, most_s=3000)
        extra = len(several.begins(study.store, run_id)) - len(study.case.given.plan.stacks)
        print(f"run {row.state}: {what} killed {mine} times, {extra} stacks begun a second time of {flights} in flight at most, "
              f"{trained_again(study.store, run_id)} trained after their commit")  # fmt: skip
        missing += int(extra > flights) + trained_again(study.store, run_id) + committed_twice(study.store, run_id)
        missing += study.compared("killed", row)
    return missing


def committed_twice(store: Store, run_id: str) -> int:
    lines = [line.message.split()[2] for line in store.log_rows(run_id) if line.message.startswith("committed stack ")]
    return len(lines) - len(set(lines))


def pause(study: Study) -> int:
    """Seconds from the request until no process of a worker uses the processor, and until all trainers are gone."""
    run_id = study.begin("paused").id
    wait(study.store, run_id, lambda row: ended(row) or several.fresh(study.store, row.id), most_s=300)
    time.sleep(1.0)
    trainers = [pid for pid, words in processes() if words.startswith("ray::Post")]
    begun = time.monotonic()
    run.pause(study.store, run_id)
    before = -1.0
    while (now := sum(used_s(pid) for pid in trainers)) - before > 0.02 and time.monotonic() < begun + 20:
        before = now
        time.sleep(0.1)
    held = time.monotonic() - begun
    time.sleep(2.0)
    still = sum(used_s(pid) for pid in trainers) - now
    state = study.store.run(run_id).state
    print(f"{len(trainers)} trainers stand {held:.1f} s after the request ({state}); in the 2 s after that they use {still:.2f} s of CPU")
    run.resume(study.store, run_id)
    wait(study.store, run_id, lambda row: row.state == "running", most_s=10)
    time.sleep(1.5)
    begun = time.monotonic()
    run.stop(study.store, run_id)
    row = wait(study.store, run_id, ended, most_s=30)
    stopped = time.monotonic() - begun
    while any(Path(f"/proc/{pid}").exists() for pid in trainers) and time.monotonic() < begun + 30:
        time.sleep(0.02)
    print(f"{row.state} {stopped:.1f} s after the request, all trainers gone after {time.monotonic() - begun:.1f} s")
    return int(state != "paused") + int(still > 0.3) + int(row.state != "stopped") + int(held > 3) + int(stopped > 3)


def bench(study: Study) -> int:
    case = study.case
    words = [case.preset, *(word for each in case.overrides for word in ("--set", each)), *(["--smoke"] if case.smoke else [])]
    command = [sys.executable, "-P", "-m", "engine.cli", "bench", *words, "--cluster", ADDRESS]
    return subprocess.run(command, check=False).returncode


def used_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def peaks(cluster: Cluster) -> Iterator[dict[str, int]]:
    """The largest resident memory, in bytes, of each sort of process; and of each node, shared pages shared out among its processes."""
    peak: dict[str, int] = {}
    over = threading.Event()

    def sample() -> None:
        while not over.wait(2.0):
            for pid, words in processes():
                sort = sort_of(words)
                if sort:
                    peak[sort] = max(peak.get(sort, 0), memory(pid, "Rss"))
            for name in cluster.nodes():
                total = sum(memory(pid, "Pss") for pid in cluster.processes(name))
                peak[f"node {name}, all together"] = max(peak.get(f"node {name}, all together", 0), total)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def sort_of(words: str) -> str:
    names = {"engine.runs.worker": "the run's process", "ray::Post": "a trainer", "gcs_server": "the head's gcs_server"}
    names |= {"--mode=specific-server": "the head's process for this client", "--mode=proxy": "the head's process for all clients"}
    if is_raylet(words):
        return "a raylet"
    return next((name for word, name in names.items() if word in words), "")


def memory(pid: int, what: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return 0


# ---- what must be refused -------------------------------------------------------------------------------------------


def wrong(cluster: Cluster, folder: Path, other_ray: Path | None) -> int:
    missing = 0
    store = folder / "wrong.db"

    def refused(what: str, *words: str, preset: str = "quickstart", address: str = ADDRESS, **environment: str) -> None:
        nonlocal missing
        program = [sys.executable, "-P", "-m", "engine.cli", "run", preset, "--smoke"]
        command = [*program, "--cluster", address, "--store", str(store), *words]
        begun = time.monotonic()
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if not line.startswith(("looking at", "it has"))]
        runs = []
        if store.exists():
            with Store.open(store) as opened:
                runs = opened.runs()
        right = done.returncode == 2 and not runs and bool(said) and said[0].startswith("subpop: ")
        print(f"{'ok   ' if right else 'WRONG'} {what} (exit {done.returncode}, {time.monotonic() - begun:.1f} s)")
        print("      " + "\n      ".join(said))
        missing += int(not right)

    refused("no address", address="127.0.0.1:10001")
    refused("no cluster there", address="ray://127.0.0.1:10002")
    cluster.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "the token of this cluster"}
    cluster.start(1)
    refused("no token")
    refused("another token", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="another one")
    cluster.end()
    cluster.environment = {}
    time.sleep(1)
    cluster.start(1)
    refused("the port of the nodes", address=f"ray://127.0.0.1:{PORT}")
    copy = folder / "other"
    shutil.copytree(Path(__file__).resolve().parents[2] / "engine", copy / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "engine" / "rows.py").open("a").write("\n# another version\n")
    cluster.worker("w2", {"PYTHONPATH": str(copy)})
    refused("another package on a node")
    cluster.kill("w2")
    away = folder / "away"
    (away / "engine").mkdir(parents=True)
    (away / "engine" / "__init__.py").write_text("raise ImportError('there is no such thing here')\n")
    cluster.worker("w3", {"PYTHONPATH": str(away)})
    refused("no package on a node")
    cluster.kill("w3")
    weights = folder / "weights" / "conv.pt"
    weights.parent.mkdir()
    torch.save({name: torch.zeros(size) for name, size in networks.conv().items()}, weights)
    cluster.worker("w4", hidden=weights.parent)
    refused("weights that a node has not", "--set", f"model.weights={weights}", preset="cifar10-conv")
    cluster.end()
    if other_ray is not None:
        time.sleep(1)
        program = [str(other_ray), "start", "--head", f"--port={PORT}", f"--ray-client-server-port={CLIENTS}", "--num-cpus=1"]
        env = {**os.environ, "RAY_TMPDIR": str(cluster.place)}
        subprocess.run([*program, "--include-dashboard=false", "--node-ip-address=127.0.0.1"], env=env, capture_output=True, check=True)
        refused("another Python on the cluster")
    print("all refused" if not missing else f"{missing} WRONG")
    return int(missing > 0)


PARTS: dict[str, Callable[[Study], int]] = {part.__name__: part for part in (equal, workers, driver, head, pause, bench)}

if __name__ == "__main__":
    try:
        sys.exit(int(main() > 0))
    except SubpopError as error:
        sys.exit(str(error))
