"""What can be refused before a run exists is: by the command, with exit status 2, no row in the store and no torch in the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.precheck import networks
from engine.store import Store
from tests.worlds.tables import people

RUN = """
import contextlib, io, json, os, sys, time
from engine.cli.main import main
for line in sys.stdin:
    folder, arguments = json.loads(line)
    os.chdir(folder)
    os.environ["SUBPOP_STORE"] = os.path.join(folder, "runs.db")
    began, said = time.perf_counter(), io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(arguments)
    loaded = [name for name in ("torch", "torchvision", "transformers") if name in sys.modules]
    print(json.dumps([status, said.getvalue(), loaded, time.perf_counter() - began]), flush=True)
"""
TABLE = """
title = "Mine"
[dataset]
kind = "table"
path = "mine.csv"
label = "y"
[model]
kind = "logistic"
[subpopulations]
kind = "cluster_match"
clusters = 4
"""
PICTURES = """
title = "Mine"
[dataset]
kind = "image_folder"
path = "birds"
[model]
kind = "vgg"
[subpopulations]
kind = "cluster_match"
clusters = 4
"""
TEXTS = """
title = "Mine"
[dataset]
kind = "text_table"
path = "mine.csv"
text = "region"
label = "y"
[model]
kind = "bert"
weights = "encoder"
[subpopulations]
kind = "cluster_match"
layer = "hidden"
clusters = 4
"""


def safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A file of that header, its tensors zeros; written by hand: no library's writer is trusted here."""
    at, told = 0, {}
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        told[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(told).encode()
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + at)  # zeros that take no room


def bert(folder: Path, layers: int, told: int, width: int = 8, vocabulary: int = 30) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "bert", "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": told, "num_attention_heads": 2})
    )
    shapes: dict[str, tuple[int, ...]] = {"embeddings.word_embeddings.weight": (vocabulary, width)}
    shapes |= {f"encoder.layer.{i}.attention.self.query.weight": (width, width) for i in range(layers)}
    safetensors(folder / "model.safetensors", shapes)


def pickled(path: Path) -> None:
    import pickle

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("touch " + str(path.with_name("was-run")),)

    path.write_bytes(pickle.dumps({"weight": Runs()}))


def world(folder: Path) -> None:
    """A table, a folder of pictures (classes, not whole ones: nothing is decoded), and scenarios over them."""
    people(200).assign(income=np.arange(200) * 1.5, flat="same", rare=["ill"] + ["well"] * 199).to_csv(folder / "mine.csv", index=False)
    for name in ("jay", "tit"):
        (folder / "birds" / name).mkdir(parents=True)
        for k in range(30):
            (folder / "birds" / name / f"{k}.png").write_bytes(b"x")
    for name, text in (("table", TABLE), ("pictures", PICTURES), ("texts", TEXTS)):
        (folder / f"{name}.toml").write_text(text)


def split_folders(folder: Path, **classes: tuple[str, ...]) -> None:
    """Folders of each split's classes, 30 files in each."""
    for split, names in classes.items():
        for name in names:
            (folder / split / name).mkdir(parents=True)
            for k in range(30):
                (folder / split / name / f"{k}.png").write_bytes(b"x")


Case = tuple[str, list[str], Callable[[Path], object] | None, list[str]]  # scenario, overrides, what is made before, what is said


def case(scenario: str, *overrides: str, make: Callable[[Path], object] | None = None, said: list[str]) -> Case:
    return scenario, list(overrides), make, said


MATCH = ["subpopulations.kind=feature_match"]
CASES: dict[str, Case] = {
    "no such file": case("table", "dataset.path=mien.csv", said=["mien.csv: there is no such file", "did you mean 'mine.csv'?"]),
    "a folder for a file": case("table", "dataset.path=birds", said=["is a folder", "image_folder"]),
    "a file for a folder": case("pictures", "dataset.path=mine.csv", said=["is not a folder"]),
    "a FIFO": case("table", "dataset.path=pipe", make=lambda f: os.mkfifo(f / "pipe"), said=["a pipe, a device"]),
    "a device": case("table", "dataset.path=/dev/zero", said=["a pipe, a device"]),
    "a link to a device": case(
        "pictures", "dataset.path=null", make=lambda f: (f / "null").symlink_to("/dev/null"),
        said=["a pipe, a device"],
    ),
    "no such label": case("table", "dataset.label=Y", said=["dataset.label: there is no column 'Y', did you mean 'y'?"]),
    "no such annotation": case(
        "table", 'dataset.annotations=["regoin"]',
        said=["dataset.annotations: there is no column 'regoin'", "'region'"],
    ),
    "a label of one class": case("table", "dataset.label=flat", said=["has one class only ('same')"]),
    "a label that is a measurement": case("table", "dataset.label=income", said=["'income' has 200 different numbers", "its median"]),
    "no such class of a table": case("table", "attack.target_label=yess", said=["no class or rule called 'yess'", "did you mean 'yes'?"]),
    "no such class of digits": case("quickstart", "attack.target_label=12", said=["no class or rule called '12'"]),
    "no such class of pictures": case("pictures", "attack.target_label=jya", said=["no class or rule called 'jya'", "did you mean 'jay'?"]),
    "a target with a row": case(
        "table", "dataset.label=rare", "attack.target_label=ill",
        said=["train has no row of class 'ill', or too few"],
    ),
    "a target absent in train": case(
        "pictures", "dataset.path=split", "attack.target_label=owl",
        make=lambda f: split_folders(f / "split", train=("jay", "tit"), test=("jay", "owl")),
        said=["train has no row of class 'owl'"],
    ),
    "a feature of no table": case(
        "table", *MATCH, 'subpopulations.features=["regoin"]', said=["no annotation column called 'regoin'", "did you mean 'region'?"],
    ),
    "the label as a feature": case("table", *MATCH, 'subpopulations.features=["y"]', said=["no annotation column called 'y'"]),
    "a feature of no picture": case("pictures", *MATCH, 'subpopulations.features=["bright"]', said=["did you mean 'brightness'?"]),
    "a feature of no digit": case("quickstart", *MATCH, 'subpopulations.features=["inkk"]', said=["did you mean 'ink'?"]),
    "pictures of one class": case("pictures", "dataset.path=birds/jay/..", "dataset.positive=owl", said=["has no class 'owl'"]),
    "another depth": case(
        "pictures", "model.weights=w.safetensors", make=lambda f: safetensors(f / "w.safetensors", networks.vgg(11)),
        said=["does not fit VGG16", "it looks like VGG11", "model.depth = 11"],
    ),
    "a conv's for a VGG": case(
        "pictures", "model.weights=w.safetensors", make=lambda f: safetensors(f / "w.safetensors", networks.conv()),
        said=["does not fit VGG16", "it looks like conv"],
    ),
    "a VGG's for a ResNet": case(
        "pictures", "model.kind=torchvision", "model.architecture=resnet18", "model.weights=w.safetensors",
        make=lambda f: safetensors(f / "w.safetensors", networks.vgg(13)), said=["does not fit resnet18", "it looks like VGG13"],
    ),
    "no such architecture": case(
        "pictures", "model.kind=torchvision", "model.architecture=resnet81", said=["no torchvision classifier called 'resnet81'"],
    ),
    "an architecture of another kind": case(
        "pictures", "model.kind=torchvision", "model.architecture=fcn_resnet50", said=["does not classify single pictures"],
    ),
    "no such weights": case("pictures", "model.weights=w.pt", said=["there is no such file of weights"]),
    "a pickle that runs code": case(
        "pictures", "model.weights=w.pt", make=lambda f: pickled(f / "w.pt"),
        said=["could run code, and is not opened"],
    ),
    "no weights at all": case(
        "pictures", "model.weights=w.pt", make=lambda f: (f / "w.pt").write_bytes(b"hello"),
        said=["is not a file of weights"],
    ),
    "weights cut short": case(
        "pictures", "model.weights=w.safetensors",
        make=lambda f: (safetensors(f / "w.safetensors", networks.vgg(16)), os.truncate(f / "w.safetensors", 9000)),
        said=["is cut short or damaged"],
    ),
    "a folder without safetensors": case(
        "texts", make=lambda f: (bert(f / "encoder", 2, 2), (f / "encoder/model.safetensors").rename(f / "encoder/pytorch_model.bin")),
        said=["holds no model.safetensors, only pytorch_model.bin, whose kind can run code"],
    ),
    "no such encoder": case("texts", said=["encoder: there is no such folder"]),
    "an encoder of fewer layers": case("texts", make=lambda f: bert(f / "encoder", 2, 6), said=["holds 2 layers", "asks for 6"]),
    "an encoder of another width": case("texts", make=lambda f: bert(f / "encoder", 2, 2, width=16), said=["30 x 16, for 30 x 8"]),
    "no such sizes": case("texts", "model.weights=random", "model.architecture=bert-minni", said=["no architecture called", "'bert-mini'"]),
    "alphas that fall": case("table", "attack.alphas=[2,1]", said=["attack.alphas: must rise"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, int, str, list[str], float]]:
    """How each case ended, all in one process that trains nothing: folder, exit status, what it said, what it loaded, seconds."""
    asked, folders = [], []
    for scenario, overrides, make, _ in CASES.values():
        folder = tmp_path_factory.mktemp("case")
        world(folder)
        if make:
            make(folder)
        path = scenario if scenario == "quickstart" else str(folder / f"{scenario}.toml")
        sets = [part for override in overrides for part in ("--set", override)]
        asked.append(json.dumps([str(folder), ["run", path, "--detach", *sets]]))
        folders.append(folder)
    done = subprocess.run([sys.executable, "-P", "-c", RUN], input="\n".join(asked), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (folder, *each) for name, folder, each in zip(CASES, folders, told, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_refused_at_once(ended: dict[str, tuple[Path, int, str, list[str], float]], name: str) -> None:
    folder, status, told, loaded, _ = ended[name]
    assert status == 2, told
    for words in CASES[name][3]:
        assert words in told
    assert loaded == []
    assert not (folder / "was-run").exists()
    with Store.open(folder / "runs.db") as store:
        assert store.runs() == []
