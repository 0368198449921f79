"""A plan as a file, its shards in stores of their own, and these merged as one run; everything that does not belong together refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main as cli
from engine.errors import RequestError
from engine.pipeline.discovery import Discovery
from engine.rows import Cores, Shard, StackPlan, Table, VictimSpec
from engine.runs import merging, plans, provenance, shards, slurm
from engine.runs import start as run
from engine.runs.at_work import Terms
from engine.runs.control import Control
from engine.runs.plans import Given, Plan
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.system import processes
from tests.runs.test_worker import tables
from tests.worlds.fake_pipeline import SCENARIO, STACKS, VICTIMS, WITH_PARTS, FakePipeline
from tests.worlds.store import as_of

GIVEN: Scenario = parse(SCENARIO)


def planned(folder: Path, scenario: Scenario = GIVEN, pipeline: FakePipeline | None = None, *, beside: bool = True) -> Path:
    """A plan's file, as `subpop plan` makes it."""
    file = folder / "plan.json"
    with Store.open(folder / "planning.db") as store:
        run_id = run.start(store, scenario, spawn=False).id
        assert work(store, run_id, pipeline=pipeline or FakePipeline(), terms=Terms(only_plan=True)) == "stopped"
        shards.write(store, run_id, file)
    if not beside:
        shards.discovered(file).unlink()
    return file


def trained(
    folder: Path,
    number: int,
    of: int,
    file: Path,
    *,
    scenario: Scenario = GIVEN,
    pipeline: FakePipeline | None = None,
    control: Control | None = None,
    name: str = "part",
) -> tuple[Path, str]:
    """One shard, as `subpop work` trains it: its store and how it ended."""
    path = folder / f"{name}{number}.db"
    with shards.opened(path) as (store, bring):
        row = shards.prepared(
            store, scenario, plans.read(file), file, Shard(number, of), name="a shard", data_dir=folder, path=Path(path.name)
        )
        state = work(store, row.id, pipeline=pipeline or FakePipeline(), control=control, terms=Terms(committed=bring), quiet=True)
    return path, state


def whole(folder: Path) -> dict[str, Table]:
    with Store.open(folder / "whole.db") as store:
        run_id = run.start(store, GIVEN, spawn=False).id
        assert work(store, run_id, pipeline=FakePipeline()) == "done"
        return tables(store, run_id)


def merged(folder: Path, paths: list[Path]) -> str:
    with merging.opened(paths) as parts, Store.open(folder / "merged.db") as out:
        return merging.merge(out, parts).id


def refused(paths: list[Path]) -> str:
    with pytest.raises(RequestError) as told, merging.opened(paths) as parts:
        merging.check(parts)
    assert told.value.next
    return str(told.value)


# ---- the plan -------------------------------------------------------------------------------------------------------


def test_a_plan_is_what_its_run_would_train_and_goes_through_a_file(tmp_path: Path) -> None:
    file = planned(tmp_path)
    plan = plans.read(file)
    with Store.open(tmp_path / "planning.db") as store:
        [row] = store.runs()
        assert plan == plans.of_run(store, row.id)
        assert plan.stacks == store.plan(row.id)
        assert store.stacks_done(row.id) == set()
        known = store.planned(row.id)
        assert known is not None
        assert (known.cores, known.discovery) == (plan.cores, plan.discovery)
    assert sum(len(stack.victims) for stack in plan.stacks) == VICTIMS
    assert len(file.read_text().splitlines()) < STACKS + 16, "a line a stack"


def test_a_run_that_is_given_a_plan_trains_it_as_it_stands(tmp_path: Path) -> None:
    file = planned(tmp_path)
    plan = plans.read(file)
    turned = replace(plan, cores=Cores(3, 5), stacks=tuple(replace(stack, index=at) for at, stack in enumerate(plan.stacks[::-1])))

    class Seen(FakePipeline):
        def plan(self, *args: Any, **options: Any) -> tuple[StackPlan, ...]:
            raise AssertionError("it has a plan")

        def train_stack(self, job: Any, on_step: Any, log: Any) -> Any:
            assert job.cores == Cores(3, 5)
            return super().train_stack(job, on_step, log)

    with Store.open(tmp_path / "runs.db") as store:
        run_id = run.start(store, GIVEN, spawn=False, given=Given(turned)).id
        assert work(store, run_id, pipeline=Seen()) == "done"
        assert store.plan(run_id) == turned.stacks
        assert store.provenance(run_id)["device"] == "cpu, 3 threads"
        assert tables(store, run_id) == whole(tmp_path)


def test_what_lies_beside_a_plan_is_taken_over_and_said_to_be_of_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fake = planned(tmp_path), Elsewhere()
    given = shards.given(file, GIVEN)
    with Store.open(tmp_path / "runs.db") as store:
        run_id = run.start(store, GIVEN, spawn=False, given=given).id
        assert work(store, run_id, pipeline=fake) == "done"
        assert fake.discovered == 0
        assert tables(store, run_id) == whole(tmp_path)
        assert store.run(run_id).deviations == ("a fake",)
        two = parse(SCENARIO, overrides=['compute.device="cpu,cpu"'])
        monkeypatch.setattr(provenance, "code_version", lambda: "another")
        other = run.start(store, two, spawn=False, given=given).id
        known = store.provenance(other)
        assert (known["code"], known["device"]) == ("another", f"2 x cpu, {given.plan.cores.parts} threads")
        assert store.run(other).deviations[1] == "its subpopulations were discovered with other code than it was trained with"


class Elsewhere(FakePipeline):
    """A machine on which the adversary's model comes to another last bit."""

    def discover(self, *args: Any, **options: Any) -> Discovery:
        found = super().discover(*args, **options)
        proba = found.arrays.proba_aux_AC
        assert proba is not None
        return replace(found, arrays=replace(found.arrays, proba_aux_AC=np.nextafter(proba, np.float32(1))))


def test_a_plan_over_another_discovery_ends_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    file = planned(tmp_path, beside=False)
    fake = Elsewhere()
    with Store.open(tmp_path / "runs.db") as store:
        run_id = run.start(store, GIVEN, spawn=False, given=Given(plans.read(file))).id
        assert work(store, run_id, pipeline=fake, quiet=True) == "failed"
        assert "what was discovered here is not what its plan was made over" in store.run(run_id).error
    assert fake.trained == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree | {"parts": tree["parts"] + 1}, "was damaged or changed by hand"),
        (lambda tree: tree | {"stacks": tree["stacks"][1:]}, "was damaged or changed by hand"),
        (lambda tree: tree | {"subpop_plan": 9}, "is a plan of form 9; this version reads 1"),
        (lambda tree: {name: value for name, value in tree.items() if name != "threads"}, "is a damaged plan: an object of the fields"),
        (lambda tree: tree | {"stacks": [[["x"]]]}, "is a damaged plan"),
        (lambda tree: [tree], "is no plan: it has no subpop_plan"),
        (lambda tree: {}, "is no plan: it has no subpop_plan"),
    ],
)
def test_what_is_no_plan_is_refused_in_words(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    file = planned(tmp_path)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(RequestError, match=message):
        plans.read(file)


def test_a_plan_of_another_scenario_or_schedule_is_refused(tmp_path: Path) -> None:
    plan = plans.read(planned(tmp_path))
    plans.check(plan, parse(SCENARIO, overrides=['compute.device="cpu,cpu"', "compute.victims_per_stack=9"]), "plan.json")
    with pytest.raises(RequestError, match="is the plan of another scenario"):
        plans.check(plan, parse(SCENARIO, overrides=["seed=1"]), "plan.json")
    with pytest.raises(RequestError, match="is of schedule 1; this version trains under"):
        plans.check(replace(plan, schedule=1), GIVEN, "plan.json")


def forged(plan: Plan, **spec: Any) -> Plan:
    """With another victim in the place of the fourth, and a digest to it."""
    first = plan.stacks[0]
    victims = tuple(replace(victim, **spec) if victim.index == 3 else victim for victim in first.victims)
    return replace(plan, stacks=(replace(first, victims=victims), *plan.stacks[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: forged(plan, alpha=7.0), "trial 0 has poisoned, subpopulation 1, alpha 7, once instead of never"),
        (lambda plan: forged(plan, arm="true_label"), "trial 0 has true_label, subpopulation 1, alpha 1, once instead of never"),
        (lambda plan: forged(plan, alpha=None), "trial 0 has poisoned, subpopulation 1, once instead of never"),
        (lambda plan: forged(plan, arm="clean"), "trial 0 has clean, subpopulation 1, alpha 1, once instead of never"),
        (lambda plan: forged(plan, subpopulation=9), "trial 0 has poisoned, subpopulation 9, alpha 1, once instead of never"),
        (lambda plan: forged(plan, subpopulation=0), "trial 0 has poisoned, subpopulation 0, alpha 1, 2 times instead of once"),
        (lambda plan: replace(plan, stacks=plan.stacks[:4]), "trial 2 has clean, never instead of once"),
        (lambda plan: replace(plan, stacks=(*plan.stacks, StackPlan(6, 7, (VictimSpec(27, 7, "clean"),)))), "trial 7 has clean, once inst"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_plan_of_other_victims_than_its_scenarios_is_refused(
    tmp_path: Path, change: Callable[[Plan], Plan], message: str, beside: bool
) -> None:
    """Written by hand, its digest too: what it asked for ended the run in a traceback, or in tables of some victims alone."""
    file = planned(tmp_path)
    found, plan, fake = shards.given(file, GIVEN).found, change(plans.read(file)), FakePipeline()
    plans.write(plan, file)
    given = Given(plans.read(file), found if beside else None)
    with Store.open(tmp_path / "runs.db") as store:
        if beside:
            with pytest.raises(RequestError, match=message):
                run.start(store, GIVEN, spawn=False, given=given)
            assert store.runs() == []
        else:
            run_id = run.start(store, GIVEN, spawn=False, given=given).id
            assert work(store, run_id, pipeline=fake, quiet=True) == "failed"
            assert message in store.run(run_id).error
            assert fake.trained == []


def test_a_run_that_an_older_version_planned_goes_on_as_it_began(tmp_path: Path) -> None:
    """It knew no cores of its plan: this machine's count, as they did then."""
    path = tmp_path / "runs.db"
    with Store.open(path) as store:
        run_id = run.start(store, GIVEN, spawn=False).id
        assert work(store, run_id, pipeline=FakePipeline(fail_at=2), quiet=True) == "failed"
        stacks = store.plan(run_id)
    as_of(path, 11)
    given: list[Cores | None] = []

    class Seen(FakePipeline):
        def train_stack(self, job: Any, on_step: Any, log: Any) -> Any:
            given.append(job.cores)
            return super().train_stack(job, on_step, log)

    with Store.open(path) as store:
        assert store.plan(run_id) == stacks
        assert store.planned(run_id) is None
        assert work(store, run_id, pipeline=Seen()) == "done"
        assert given == [None] * (STACKS - 2)
        assert tables(store, run_id) == whole(tmp_path)
        with pytest.raises(RequestError, match="its plan is of an older version"):
            plans.of_run(store, run_id)


# ---- shards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [1, 2, 8])
@pytest.mark.parametrize("beside", [True, False])
def test_shards_merged_are_one_run(tmp_path: Path, of: int, beside: bool) -> None:
    file = planned(tmp_path, beside=beside)
    paths = [trained(tmp_path, number, of, file)[0] for number in range(1, of + 1)]
    run_id = merged(tmp_path, paths[::-1])
    with Store.open(tmp_path / "merged.db") as out:
        row = out.run(run_id)
        assert (row.state, row.victims_done, row.victims_total, row.progress) == ("done", VICTIMS, VICTIMS, 1.0)
        assert row.deviations == ("a fake",)
        assert tables(out, run_id) == whole(tmp_path)
        assert out.plan(run_id) == plans.read(file).stacks
        assert out.planned(run_id) == plans.read(file).planned()


def test_the_first_shard_trains_the_ensemble_and_the_merged_run_has_it(tmp_path: Path) -> None:
    scenario = parse(WITH_PARTS)
    file = planned(tmp_path, scenario)
    paths = [trained(tmp_path, number, 2, file, scenario=scenario)[0] for number in (1, 2)]
    run_id = merged(tmp_path, paths)
    with Store.open(tmp_path / "one.db") as store, Store.open(tmp_path / "merged.db") as out:
        one = run.start(store, scenario, spawn=False).id
        assert work(store, one, pipeline=FakePipeline()) == "done"
        assert tables(out, run_id) == tables(store, one)
        assert tables(out, run_id)["certificates"].rows
        votes = [[(part.number, part.predictions.tolist()) for part in of.parts(each)] for of, each in ((store, one), (out, run_id))]
        assert votes[0] == votes[1]
    with Store.open(paths[1]) as second:
        assert second.parts(second.runs()[0].id) == []
    with closing(sqlite3.connect(paths[0], isolation_level=None)) as db:
        db.execute("DELETE FROM parts WHERE number = 1")
        db.execute("UPDATE runs SET state = 'stopped', digest = NULL")
    with pytest.raises(RequestError, match="2 of the 3 models of its ensemble"), merging.opened(paths) as parts:
        merging.first_parts(parts)


def test_a_shard_takes_over_what_was_discovered_and_says_that_it_is_one(tmp_path: Path) -> None:
    file, fake = planned(tmp_path), Elsewhere()
    path, state = trained(tmp_path, 2, 3, file, pipeline=fake)
    assert (state, fake.discovered, fake.trained) == ("done", 0, [1, 4])
    with Store.open(path) as store:
        [row] = store.runs()
        assert row.deviations[0].startswith("shard 2/3 of its plan: some of its victims alone")
        assert store.stacks_done(row.id) == {1, 4}


def test_a_shard_that_is_killed_or_stopped_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    file, control = planned(tmp_path), Control()
    stopping = FakePipeline(on_step=lambda stack, step: control.obey("stop") if (stack, step) == (4, 3) else None)
    assert trained(tmp_path, 1, 2, file, pipeline=stopping, control=control)[1] == "stopped"
    assert stopping.trained == [0, 2]
    again = FakePipeline()
    path, state = trained(tmp_path, 1, 2, file, pipeline=again)
    assert (state, again.trained) == ("done", [4])
    other, _ = trained(tmp_path, 2, 2, file)
    run_id = merged(tmp_path, [path, other])
    with Store.open(tmp_path / "merged.db") as out:
        assert tables(out, run_id) == whole(tmp_path)
    with Store.open(path) as store, pytest.raises(RequestError, match="it is done"):
        work(store, store.runs()[0].id, pipeline=FakePipeline())


def prepared(store: Store, file: Path, shard: Shard) -> str:
    return shards.prepared(store, GIVEN, plans.read(file), file, shard, name="a", data_dir=file.parent, path=Path("part1.db")).id


@pytest.mark.parametrize("at", ["update_run", "save_discovery", "save_plan"])
def test_a_shard_that_was_killed_while_its_run_was_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """SLURM queues it again, and it would be refused for ever as a store of other runs."""
    file = planned(tmp_path)

    def killed(*args: object, **fields: object) -> None:
        raise KeyboardInterrupt

    with Store.open(tmp_path / "part1.db") as store:
        with monkeypatch.context() as patch:
            patch.setattr(store, at, killed)
            with pytest.raises(KeyboardInterrupt):
                prepared(store, file, Shard(1, 2))
        assert len(store.runs()) == 1
        assert prepared(store, file, Shard(1, 2)) == store.runs()[0].id
        assert len(store.runs()) == 1
    assert trained(tmp_path, 1, 2, file)[1] == "done"


def test_two_that_prepare_one_shard_at_once_have_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, path, found, many = planned(tmp_path), tmp_path / "part1.db", shards.found_beside, threading.Barrier(2)
    Store.open(path).close()

    def slowly(plan_file: Path, plan: Plan) -> Any:
        many.wait(10)  # both have seen a store without runs
        return found(plan_file, plan)

    monkeypatch.setattr(shards, "found_beside", slowly)
    ids: list[str] = []

    def one() -> None:
        with Store.open(path) as store:
            ids.append(prepared(store, file, Shard(1, 2)))

    both = [threading.Thread(target=one) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    with Store.open(path) as store:
        assert ids == [store.runs()[0].id] * 2
        assert len(store.runs()) == 1


def test_a_search_is_refused_where_its_shards_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["slurm", "quickstart", "--set", "evaluation.find=0.2"]) == 2
    assert "evaluation.find: a search plans on from all victims so far, which no shard has" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.runs.test_shards import FakePipeline, trained
def kill(stack, step):
    if (stack, step) == (4, 7):
        os.kill(os.getpid(), signal.SIGKILL)
trained(Path(sys.argv[1]), 1, 2, Path(sys.argv[2]), pipeline=FakePipeline(on_step=kill))
"""


def test_a_shard_whose_process_is_killed_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    file = planned(tmp_path)
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(file), str(Path(__file__).parents[2])]
    assert subprocess.run(words, timeout=60).returncode == -signal.SIGKILL
    again = FakePipeline()
    path, state = trained(tmp_path, 1, 2, file, pipeline=again)
    assert (state, again.trained) == ("done", [4])
    run_id = merged(tmp_path, [path, trained(tmp_path, 2, 2, file)[0]])
    with Store.open(tmp_path / "merged.db") as out:
        assert tables(out, run_id) == whole(tmp_path)


def test_where_another_machine_had_the_shard_its_silence_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, control, now_s, said = planned(tmp_path), Control(), [1000.0], list[str]()

    def later(seconds: float) -> None:
        now_s[0] += seconds

    monkeypatch.setattr(control, "wait", later)
    with Store.open(tmp_path / "part1.db", clock=lambda: now_s[0]) as store:
        row = shards.prepared(store, GIVEN, plans.read(file), file, Shard(1, 2), name="a", data_dir=tmp_path, path=Path("part1.db"))
        assert store.claim(row.id, replace(processes.identity(), boot="another", host="node7")) is not None
        shards.wait_for_silence(store, row.id, control, said.append)
        assert 1000 + processes.HEARTBEAT_DEAD_S <= now_s[0] <= 1002 + processes.HEARTBEAT_DEAD_S
        [line] = said
        assert "its engine is silent and cannot be looked at from here" in line or "it is queued (process" in line
        assert work(store, row.id, pipeline=FakePipeline()) == "done"


def test_on_a_network_file_system_a_shard_is_worked_on_elsewhere_and_written_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shards, merging):
        monkeypatch.setattr(module, "network_kind", lambda path: "nfs4")
    file, path = planned(tmp_path), tmp_path / "part1.db"
    seen: list[set[int]] = []

    def look(stack: int, step: int) -> None:
        if step == 0:
            with Store.open(path) as store:
                seen.append({done for row in store.runs() for done in store.stacks_done(row.id)})

    def killed(stack: int, step: int) -> None:
        look(stack, step)
        if (stack, step) == (4, 3):
            raise KeyboardInterrupt

    assert trained(tmp_path, 1, 2, file, pipeline=FakePipeline(on_step=killed))[1] == "stopped"
    assert seen == [set(), {0}, {0, 2}], "each stack is there as soon as it is committed"
    again = FakePipeline()
    assert trained(tmp_path, 1, 2, file, pipeline=again)[1] == "done"
    assert again.trained == [4]
    assert not list(tmp_path.glob("*.part"))
    other, _ = trained(tmp_path, 2, 2, file)
    run_id = merged(tmp_path, [path, other])
    with Store.open(tmp_path / "merged.db") as out:
        assert tables(out, run_id) == whole(tmp_path)


def test_a_store_that_holds_anything_else_is_refused(tmp_path: Path) -> None:
    file = planned(tmp_path)
    trained(tmp_path, 1, 2, file)
    shutil.copyfile(tmp_path / "part1.db", tmp_path / "part2.db")
    with pytest.raises(RequestError, match=r"part2.db: holds shard 1/2; give that, or for 2/2 another file"):
        trained(tmp_path, 2, 2, file)
    shutil.copyfile(tmp_path / "planning.db", tmp_path / "part2.db")
    with pytest.raises(RequestError, match=r"part2.db: is a store of other runs"):
        trained(tmp_path, 2, 2, file)
    (tmp_path / "other").mkdir()
    seeded = parse(SCENARIO, overrides=["seed=1"])
    other = planned(tmp_path / "other", seeded)
    with pytest.raises(RequestError, match=r"part1.db: holds a shard of another plan"):
        trained(tmp_path, 1, 2, other, scenario=seeded)
    shutil.copyfile(shards.discovered(other), shards.discovered(file))
    with pytest.raises(RequestError, match=r"plan.subpop: is not what .*plan.json was made over"):
        trained(tmp_path, 2, 2, file, name="new")
    with Store.open(tmp_path / "new2.db") as store:
        assert store.runs() == []


def test_a_search_has_no_shards(tmp_path: Path) -> None:
    searching = parse(SCENARIO, overrides=["evaluation.find=0.2"])
    with pytest.raises(RequestError, match=r"evaluation.find: a search plans on from all victims so far"):
        trained(tmp_path, 1, 2, planned(tmp_path, searching), scenario=searching)


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/", "a/b", "-1/8", "1/99999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is no shard; give which of how many, as 3/8"):
        shards.shard_of(text)


# ---- merges that are refused ----------------------------------------------------------------------------------------


class OtherData(FakePipeline):
    def load(self, *args: Any, **options: Any) -> Any:
        return replace(super().load(*args, **options), checksums={"fake.csv": "md5:1"})


class OtherStacks(FakePipeline):
    def plan(self, *args: Any, **options: Any) -> tuple[StackPlan, ...]:
        first, second, *rest = super().plan(*args, **options)
        return (replace(first, victims=first.victims[:-1]), replace(second, victims=(first.victims[-1], *second.victims)), *rest)


@pytest.mark.parametrize(
    ("pipeline", "overrides", "message"),
    [
        (FakePipeline, ["seed=1"], "part2.db: is of another scenario than"),
        (OtherData, [], "part2.db: is over other data than"),
        (Elsewhere, [], "part2.db: is over another discovery than"),
        (OtherStacks, [], "part2.db: is of another plan than"),
    ],
)
def test_shards_of_different_plans_are_refused(tmp_path: Path, pipeline: type[FakePipeline], overrides: list[str], message: str) -> None:
    (tmp_path / "other").mkdir()
    scenario = parse(SCENARIO, overrides=overrides)
    one, _ = trained(tmp_path, 1, 2, planned(tmp_path))
    two, _ = trained(tmp_path / "other", 2, 2, planned(tmp_path / "other", scenario, pipeline()), scenario=scenario, pipeline=pipeline())
    assert message in refused([one, two])


def test_gaps_and_overlaps_are_refused(tmp_path: Path) -> None:
    file, control = planned(tmp_path), Control()
    one, two, three = (trained(tmp_path, number, 3, file)[0] for number in (1, 2, 3))
    assert refused([one, three]) == "stacks 2, 5 of 6 are in none of these files; give shard 2 of 3 too"
    assert f"has stacks 1, 4, which {one} has too; give each shard once" in refused([one, two, three, one])
    half, _ = trained(tmp_path, 1, 2, file, name="half")
    assert "part1.db: has stacks 1, which" not in refused([half, one])
    assert f"has stack 1, which {half} has too" in refused([half, one, two])
    stopping = FakePipeline(on_step=lambda stack, step: control.obey("stop") if stack == 5 else None)
    begun, state = trained(tmp_path, 3, 3, file, pipeline=stopping, control=control, name="begun")
    assert state == "stopped"
    assert "shard 3/3 is not done: stack 6 of 6 are still to be trained; run its command again" in refused([one, two, begun])


def test_what_is_no_shard_is_not_merged_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = planned(tmp_path)
    paths = [trained(tmp_path, number, 2, file)[0] for number in (1, 2)]
    assert "holds no shard of a plan" in refused([paths[0], tmp_path / "planning.db"])
    assert "there is no results store here" in refused([paths[0], tmp_path / "nothing.db"])

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with Store.open(tmp_path / "merged.db") as out, merging.opened(paths) as parts:
        monkeypatch.setattr(out, "write_tables", full)
        with pytest.raises(OSError, match="No space"):
            merging.merge(out, parts)
        assert out.runs() == []


# ---- the commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("plan quickstart", "-o: where to?"),
        ("plan quickstart -o {folder}", "is a folder, or lies in none"),
        ("plan nosuch -o plan.json", "no preset called 'nosuch'"),
        ("work quickstart --shard 1/2 --store a.db", "--plan: is missing"),
        ("work quickstart --plan nothing.json --shard 1/2 --store a.db", "nothing.json: cannot be read: No such file"),
        ("work quickstart --plan {plan} --shard 3/2 --store a.db", "'3/2' is no shard"),
        ("work quickstart --plan {plan} --shard 1/2 --store a.db", "is the plan of another scenario (A fake)"),
        ("run quickstart --plan {plan}", "is the plan of another scenario (A fake)"),
        ("slurm quickstart --shards 0", "0 is not in the range 1<=x<=10000"),
        ("slurm quickstart --plan {plan}", "is the plan of another scenario (A fake)"),
        ("merge {plan} {plan}", "is one of the shards"),
        ("merge out.db {plan}", "this file is not a results store"),
        ("run quickstart --device cpu,", "compute.device"),
        ("run quickstart --device cuda:97,cuda:98", "this machine has no cuda:97"),
    ],
)
def test_wrong_requests_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))
    file = planned(tmp_path) if "{plan}" in words else tmp_path / "plan.json"
    assert cli.main(words.format(folder=tmp_path, plan=file).split()) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out.db").exists()


def test_a_shard_is_not_merged_into_by_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be a store of two runs, and no shard any more."""
    path, _ = trained(tmp_path, 1, 1, planned(tmp_path))
    (tmp_path / "soft.db").symlink_to(path)
    (tmp_path / "hard.db").hardlink_to(path)
    for name in ("soft.db", "hard.db", f"../{tmp_path.name}/part1.db"):
        assert cli.main(["merge", str(tmp_path / name), str(path)]) == 2
        assert "is one of the shards" in capsys.readouterr().err
    with Store.open(path) as store:
        assert len(store.runs()) == 1


FAKE_SUBPOP = """#!{python}
import os, signal, sys, time
open("words", "a").write(" ".join(sys.argv[1:]) + "\\n")
def stop(*_):
    time.sleep(0.2)
    sys.exit(130)
if {heard}:
    signal.signal(signal.SIGTERM, stop)
if os.path.exists("second"):
    sys.exit({status})
open("second", "w").close()
time.sleep(30)
"""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize(("heard", "status"), [(True, 0), (False, 1)])
def test_the_job_stops_its_shard_queues_it_again_and_ends_as_it_ends(
    tmp_path: Path, number: signal.Signals, heard: bool, status: int
) -> None:
    """The script as bash runs it; `scontrol` and `subpop` stand-ins. heard: it was far enough to stop by itself."""
    job = tmp_path / "job.sh"
    words = ["adult-clustermatch", "--set", "dataset.rows=8 00"]
    text = slurm.script(words, title="A\ntitle", shards=8, plan=Path("plan.json"))
    [program] = {line.split()[0] for line in text.splitlines() if " work adult-clustermatch " in line}
    job.write_text(text.replace(program, "./subpop"))
    (tmp_path / "subpop").write_text(FAKE_SUBPOP.format(python=sys.executable, status=status, heard=heard))
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "$@" > requeued\n')
    for name in ("subpop", "scontrol"):
        (tmp_path / name).chmod(stat.S_IRWXU)
    around = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "77"}
    with subprocess.Popen(["bash", str(job)], cwd=tmp_path, env=around) as first:
        while not (tmp_path / "second").exists():
            time.sleep(0.02)
        first.send_signal(number)
        assert first.wait(20) == (130 if heard else 128 + signal.SIGTERM)
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"
    (tmp_path / "requeued").unlink()
    assert subprocess.run(["bash", str(job)], cwd=tmp_path, env=around, timeout=20).returncode == status
    assert not (tmp_path / "requeued").exists()
    asked = "work adult-clustermatch --set dataset.rows=8 00 --plan plan.json --shard 3/8 --store part3.db"
    assert (tmp_path / "words").read_text().splitlines() == [asked, asked]
    assert "#SBATCH --array=1-8" in text
    assert "# A title" in text


@pytest.mark.parametrize(
    "words",
    [
        ["slurm", "{preset}", "--plan", "a\ntouch broken\n.json"],
        ["slurm", "{preset}", "--plan", "a\x1b[2J.json"],
        ["slurm", "{preset}", "--set", 'title="a\nb"'],
        ["slurm", "{preset}", "--data", "a\u2028b"],
    ],
)
def test_a_script_takes_no_word_that_a_line_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """A line break in the path of a plan ended the comment that names it: what followed was a command."""
    assert cli.main([word.format(preset="quickstart") for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "which is a command to a terminal and not text" in said.err
    assert words[-2] in said.err


def test_any_path_that_a_line_can_hold_reaches_the_task(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "a" $HOME `touch broken` ;touch broken #{x}'
    folder.mkdir()
    preset, plan = folder / "my scenario.toml", folder / "plan file.json"
    text = slurm.script([str(preset), "--set", "dataset.label='a b'"], title="$(touch broken)", shards=2, plan=plan)
    program = slurm.children.program()
    job = tmp_path / "job.sh"
    job.write_text(text.replace(f"{program} work", "./subpop work"))
    (tmp_path / "subpop").write_text('#!/bin/sh\nfor each; do echo "$each" >> words; done\n')
    (tmp_path / "subpop").chmod(stat.S_IRWXU)
    around = {**os.environ, "SLURM_ARRAY_TASK_ID": "2", "SLURM_JOB_ID": "77"}
    assert subprocess.run(["bash", str(job)], cwd=tmp_path, env=around, timeout=20).returncode == 0
    shard = ["--plan", str(plan), "--shard", "2/2", "--store", "part2.db"]
    assert (tmp_path / "words").read_text().splitlines() == ["work", str(preset), "--set", "dataset.label='a b'", *shard]
    assert not (tmp_path / "broken").exists()


def test_plan_digests_differ_where_results_may(tmp_path: Path) -> None:
    plan: Plan = plans.read(planned(tmp_path))
    others = [
        replace(plan, cores=Cores(plan.cores.parts + 1, plan.cores.threads)),
        replace(plan, cores=Cores(plan.cores.parts, plan.cores.threads + 1)),
        replace(plan, stacks=plan.stacks[:-1]),
        replace(plan, discovery="0" * 32),
        replace(plan, data={"kind": "other"}),
        replace(plan, scenario="0" * 16),
        replace(plan, schedule=1),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 1 + len(others)
    assert replace(plan, device="another", title="another").digest == plan.digest
