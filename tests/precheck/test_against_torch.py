"""What is known here without torch is what the networks, datasets and readers themselves have."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision

from engine import datasets
from engine.errors import BadData
from engine.models.bert.files import ARCHITECTURES
from engine.models.networks import conv, vgg
from engine.models.networks import torchvision as victims
from engine.precheck import networks, tensors
from engine.scenario import weights as weights_place
from tests.worlds import sections


@pytest.mark.parametrize("depth", networks.VGG_BLOCKS)
def test_the_tensors_of_a_vgg(depth: int) -> None:
    with torch.device("meta"):
        own = {f"features.{name}": tuple(t.shape) for name, t in vgg.body(depth).state_dict().items()}
    assert networks.vgg(depth) == own
    assert networks.looks_like(own) == (f"VGG{depth}", f'model.kind = "vgg", model.depth = {depth}')


def test_the_tensors_of_conv() -> None:
    own = {f"features.{name}": tuple(t.shape) for name, t in conv.body(10).state_dict().items()}
    last = {name: own.pop(name) for name in list(own)[-2:]}
    assert networks.conv() == own
    assert {name: shape[0] for name, shape in last.items()} == {"features.conv8.weight": 10, "features.conv8.bias": 10}


def test_the_names_of_torchvisions_models() -> None:
    classifiers, others = networks.torchvision_models()
    assert sorted(classifiers) == victims.classifiers()
    assert classifiers | others == set(torchvision.models.list_models())


@pytest.mark.parametrize("name", networks.RESNETS.values())
def test_what_a_resnet_looks_like(name: str) -> None:
    with torch.device("meta"):
        own = torchvision.models.get_model(name, weights=None).state_dict()
        wide = torchvision.models.get_model("wide_resnet50_2", weights=None).state_dict()
    seen = networks.looks_like({key: tuple(t.shape) for key, t in own.items()})
    assert seen is not None
    assert seen[0] == name
    assert networks.looks_like({key: tuple(t.shape) for key, t in wide.items()}) is None


def test_the_sizes_of_berts() -> None:
    assert set(weights_place.BERTS) == set(ARCHITECTURES)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"epoch": 3, "model": d}, lambda d: {f"module.{k}": v for k, v in d.items()}])
def test_shapes_in_a_file_of_torchs(tmp_path: Path, old: bool, wrap) -> None:  # type: ignore[no-untyped-def]
    shared = torch.zeros(4, 3)
    named = OrderedDict({"a.weight": shared, "a.tied": shared, "a.bias": torch.nn.Parameter(torch.zeros(4)), "n": torch.tensor(3)})
    torch.save(wrap(named), tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    assert tensors.shapes_of(tmp_path / "w.pt") == {"a.weight": (4, 3), "a.tied": (4, 3), "a.bias": (4,), "n": ()}


def test_a_whole_model_is_not_opened(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(BadData, match="could run code, and is not opened"):
        tensors.shapes_of(tmp_path / "w.pt")


@pytest.mark.parametrize("kind", ["digits", "breast_cancer"])
def test_columns_to_match_on(kind: str, tmp_path: Path) -> None:
    data = datasets.load(sections.dataset(kind=kind), 0, tmp_path)
    module = __import__(f"engine.datasets.{kind}", fromlist=[kind])
    assert set(module.MATCHED) == set(data.train.frame.columns)
    assert data.classes == module.CLASSES


def test_columns_to_match_on_of_adult(shared_data: Path) -> None:
    from engine.datasets import adult

    data = datasets.load(sections.dataset(kind="adult"), 0, shared_data)
    assert set(adult.MATCHED) == set(data.train.frame.columns)
