"""`subpop bench` on small worlds: each family held against its own limit, measured in the same run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.pipeline import bench
from engine.scenario.parse import parse
from engine.system import limits
from tests.pipeline.test_pipeline import QUICK
from tests.worlds.pictures import cifar_tree, unpacked
from tests.worlds.rows import CPU

CONV = """
title = "pictures"
[dataset]
kind = "image_folder"
path = "{folder}"
image_size = 8
split = [0.4, 0.3, 0.3]
[model]
kind = "conv"
epochs = 1
batch = 8
[subpopulations]
kind = "cluster_match"
clusters = 3
pca = 4
layer = "pool1"
[compute]
threads = 1
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIDE", {"cpu": 64})
    monkeypatch.setattr(limits, "PICTURES", {"cpu": 1})
    monkeypatch.setattr(limits, "COPIED", {"cpu": 2**16})
    monkeypatch.setattr(bench, "ROUND_S", 0.01)


@pytest.mark.parametrize(
    ("text", "changes", "name"),
    [(QUICK, ["model.kind=logistic", "model.epochs=2"], "matrix"), (CONV, [], "kernels")],
    ids=["dense", "conv"],
)
def test_a_family_is_held_against_its_limit(text: str, changes: list[str], name: str, tmp_path: Path) -> None:
    unpacked(cifar_tree(train=10, test=0), tmp_path)
    text = text.replace("hidden = [8]\n", "").replace("{folder}", str(tmp_path / "train"))
    said: list[str] = []
    measured = bench.run(parse(text, overrides=changes), Path("."), report=said.append)
    assert measured.limit.name == name
    assert measured.limit.reached > 0
    assert measured.limit.share == measured.limit.reached / measured.limit.most
    assert said[-1] == f"in float32 it reaches {measured.limit.line()}"
    assert bench.LIMITS[measured.limit.name][1] in said[-1]


def test_limits_are_rates_of_the_work_that_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything takes a second."""
    monkeypatch.setattr(limits, "_best_s", lambda work, device: work() is None or 1.0)
    assert limits.matrix_rate(CPU) == 2 * 64**3
    assert limits.convolution_rate(CPU) == 2 * 9 * 256 * 256 * 28 * 28
    assert limits.copy_rate(CPU) == 2 * 2**16
    assert bench.most_of("copy", CPU, torch.float32) == 2 * 2**16
    assert bench.most_of("matrix", CPU, torch.float32) == bench.most_of("mfu", CPU, torch.float32) == 2 * 64**3
    assert bench.most_of("kernels", CPU, torch.bfloat16) == 2 * 9 * 256 * 256 * 28 * 28
