"""What was too many victims for a device's memory is remembered for the run's later stacks, and over a resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from engine.errors import Interrupted
from engine.rows import VictimResult
from engine.runs import start as run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from engine.training import parts
from engine.training.halving import in_halves
from engine.training.recipe import Trained
from engine.training.room import Room
from engine.training.sharing import train_shared_out
from engine.training.trial import How, Trial
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline


class Device:
    """Holds `most` victims at a time. tried: how many it was asked to; groups: who trained together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tried: list[int] = []
        self.groups: list[list[int]] = []

    def train(self, group: Sequence[int], report: Callable[[float], None]) -> list[Trained]:
        self.tried.append(len(group))
        if len(group) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.groups.append(list(group))
        return [Trained([], 1, 0.0) for _ in group]


def halves(device: Device, victims: int, room: Room) -> None:
    assert len(in_halves(device.train, range(victims), lambda done: None, lambda size: None, room)) == victims


def test_the_next_stack_begins_with_what_fitted() -> None:
    device, room = Device(5), Room()
    halves(device, 16, room)
    assert device.tried == [16, 8, 4, 4, 4, 4]
    device.tried.clear()
    halves(device, 16, room)
    assert device.tried == [4, 4, 4, 4], "nothing is tried that did not fit before"


def test_parts_in_turn_keep_the_company_of_parts_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one part learns of the memory, another of the same stack did not know when it began."""
    monkeypatch.setattr(parts, "in_turn", True)
    device, room, said = Device(3), Room(), list[float]()
    trial = Trial(0, 0, How(torch.device("cpu"), torch.float32), lambda done, total: said.append(done), room=room)
    trained = train_shared_out(device.train, 8, trial, 2)
    assert len(trained) == 8
    assert device.tried == [4, 2, 2, 4, 2, 2]
    assert device.groups == [[0, 2], [4, 6], [1, 3], [5, 7]]
    assert room.too_many == 4, "the next stack knows"


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("victims", [7, 12, 19])
def test_who_trains_together_does_not_depend_on_having_been_here_before(most: int, victims: int) -> None:
    fresh, room = Device(most), Room()
    halves(fresh, victims, room)
    again = Device(most)
    halves(again, victims, room)
    assert again.groups == fresh.groups
    assert again.tried == [len(group) for group in again.groups]


class Small(FakePipeline):
    """Its device holds fewer victims than a stack has; dies at a stack."""

    def __init__(self, most: int, dies_at: int | None = None) -> None:
        super().__init__()
        self.machine, self.dies_at = Device(most), dies_at

    def train_stack(self, job, on_step, log) -> list[VictimResult]:  # type: ignore[no-untyped-def]
        if job.stack.index == self.dies_at:
            raise Interrupted("stopped")
        halves(self.machine, len(job.stack.victims), self.room(job.device))
        return super().train_stack(job, on_step, log)


def test_a_resumed_run_trains_the_rest_in_the_same_halves(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        whole, cut = (run.start(store, parse(SCENARIO), spawn=False).id for _ in range(2))
        undisturbed = Small(3)
        assert work(store, whole, pipeline=undisturbed) == "done"
        first, second = Small(3, dies_at=2), Small(3)
        assert work(store, cut, pipeline=first) == "stopped"
        assert store.too_many(cut) == 4
        assert work(store, cut, pipeline=second) == "done"
        assert first.machine.tried + second.machine.tried == undisturbed.machine.tried
        assert second.machine.tried == [len(group) for group in second.machine.groups], "nothing was tried in vain"
