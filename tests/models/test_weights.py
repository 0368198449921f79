"""Weights: from files and from ImageNet, every way in which a file is not one, and what a scenario may ask of networks."""

from __future__ import annotations

import hashlib
import http.server
import os
import pickle
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import BadData, MissingData, RequestError, ScenarioError, SubpopError
from engine.models import build as models
from engine.models import weights
from engine.models.networks import torchvision as torchvision_models
from engine.models.networks.network import Network
from engine.scenario import presets as catalog
from engine.scenario import weights as weights_place
from engine.scenario.parse import load, parse
from engine.scenario.sections import ConvSection, ModelSection, TorchvisionSection, VggSection

CONV = ConvSection()
Tensors = dict[str, torch.Tensor]


def network(section: ModelSection, size: int = 8, classes: int = 3) -> Network:
    built = models.network_of(section, classes, (size, size))
    assert isinstance(built, Network)
    return built


def tensors(section: ModelSection = CONV, size: int = 8, seed: int = 1) -> Tensors:
    model = network(section, size)
    return dict(zip(model.names, model.init(torch.Generator().manual_seed(seed)), strict=True))


def from_file(path: Path, section: ModelSection = CONV, size: int = 8) -> Tensors:
    return tensors(section.model_copy(update={"weights": str(path)}), size, seed=2)


# ---- files ------------------------------------------------------------------------------------------------------------


def save_old(kept: Tensors, path: Path) -> None:
    torch.save(kept, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("w.pt", torch.save),
        ("w.pth", save_old),
        ("w.safetensors", save_file),
        ("wrapped.pt", lambda kept, path: torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in kept.items()}}, path)),
        ("headless.pt", lambda kept, path: torch.save({k: v for k, v in kept.items() if "head" not in k}, path)),
        ("half.pt", lambda kept, path: torch.save({k: v.double() for k, v in kept.items()}, path)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_body_is_the_files_and_the_last_layer_is_drawn_anew(tmp_path: Path, name: str, save):
    kept = tensors()
    save(kept, tmp_path / name)
    got = from_file(tmp_path / name)
    for key, tensor in got.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, kept[key]) == (key != "head.weight")  # biases are zero in both
    assert torch.equal(from_file(tmp_path / name)["head.weight"], got["head.weight"])


def test_a_checkpoint_of_torchvisions_own_module_fits(tmp_path: Path):
    section = TorchvisionSection(architecture="resnet18")
    theirs = torch_module("resnet18")
    torch.save(theirs.state_dict(), tmp_path / "resnet.pt")
    got = from_file(tmp_path / "resnet.pt", section, 32)
    assert torch.equal(got["features.layer1.0.conv1.weight"], theirs.state_dict()["layer1.0.conv1.weight"])
    assert torch.equal(got["features.bn1.running_var"], theirs.state_dict()["bn1.running_var"])


def torch_module(name: str) -> torch.nn.Module:
    import torchvision

    return torchvision.models.get_model(name, weights=None)


def test_names_of_torchvisions_older_checkpoints_are_known():
    assert weights._today("features.denseblock1.denselayer2.norm.1.running_mean") == "features.denseblock1.denselayer2.norm1.running_mean"
    assert weights._today("encoder.layers.encoder_layer_0.mlp.linear_2.bias") == "encoder.layers.encoder_layer_0.mlp.3.bias"
    with torch.device("meta"):
        body = torchvision_models.body("densenet121", (32, 32), pretrained=True)
    names = [name for name, _ in (*body.named_parameters(), *body.named_buffers())]
    assert [weights._today(name) for name in names] == names


class Evil:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name("ran")

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def change(**other: torch.Tensor):
    return lambda kept, path: torch.save(kept | {key.replace("__", "."): t for key, t in other.items()}, path)


def cut(kept: Tensors, path: Path) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(kept, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "save", "says"),
    [
        ("a.pt", cut, "is not a file of weights, or is cut short or damaged"),
        ("b.safetensors", cut, "is not a file of weights, or is cut short or damaged"),
        ("c.pt", lambda kept, path: path.write_bytes(b""), "is not a file of weights"),
        ("d.pt", lambda kept, path: path.write_text("hello, this is text"), "is not a file of weights"),
        ("e.safetensors", lambda kept, path: path.write_text("hello"), "is not a file of weights"),
        ("f.pt", lambda kept, path: torch.save({**kept, "x": Evil(path)}, path), "pickled objects besides tensors"),
        ("g.pth", lambda kept, path: path.write_bytes(pickle.dumps(Evil(path))), "pickled objects besides tensors"),
        ("h.pt", lambda kept, path: torch.save(torch.nn.Linear(2, 2), path), "pickled objects besides tensors"),
        ("i.pt", lambda kept, path: torch.save([1, 2], path), "holds no named tensors"),
        ("j.pt", lambda kept, path: torch.save({"lr": 0.1}, path), "holds no named tensors"),
        ("k.pt", lambda kept, path: torch.save({"x": torch.zeros(2)}, path), r"does not fit conv: 16 of its 16 .*features.conv1.weight"),
        ("l.pt", change(features__conv1__weight=torch.zeros(32, 1, 3, 3)), r"conv1.weight is 32 x 1 x 3 x 3 for 32 x 3 x 3 x 3"),
        ("m.pt", change(features__conv99__weight=torch.zeros(2)), r"no place for 1 of the file's tensors \(features.conv99.weight\)"),
        ("n.pt", change(features__conv1__bias=torch.full((32,), torch.nan)), r"not finite numbers \(features.conv1.bias\)"),
        ("o.pt", change(features__conv1__bias=torch.zeros(32, dtype=torch.int64)), r"not finite numbers \(features.conv1.bias\)"),
        ("p.pt", lambda kept, path: path.mkdir(), "is not a file of weights"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:2] else "",
)
def test_what_is_no_file_of_weights_is_one_clear_error(tmp_path: Path, name: str, save, says: str):
    path = tmp_path / name
    save(tensors(), path)
    with pytest.raises(BadData, match=says) as caught:
        from_file(path)
    assert caught.value.where == str(path)
    assert caught.value.next
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_there(tmp_path: Path):
    gone = CONV.model_copy(update={"weights": str(tmp_path / "gone.pt")})
    for ask in (lambda: from_file(tmp_path / "gone.pt"), lambda: models.weights_checksum(gone)):
        with pytest.raises(MissingData, match=r"gone.pt: there is no such file.*model.weights"):
            ask()


def test_the_checksum_is_the_files(tmp_path: Path):
    path = tmp_path / "w.pt"
    torch.save(tensors(), path)
    section = CONV.model_copy(update={"weights": str(path)})
    assert models.weights_checksum(section) == {"w.pt": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"}
    assert models.weights_checksum(CONV) == {}
    first = models.encoder_of(section, models.network_of(section, 3, (8, 8)), 0).digest
    torch.save(tensors(seed=9), path)
    os.utime(path, ns=(1, 1))
    assert models.encoder_of(section, models.network_of(section, 3, (8, 8)), 0).digest != first


# ---- ImageNet ---------------------------------------------------------------------------------------------------------

VGG = VggSection(depth=11, weights="imagenet")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights_place, "URL", "http://127.0.0.1:9/")  # nothing listens there
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path: Path):
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


def named_by_checksum(data: bytes) -> str:
    return f"net-{hashlib.sha256(data).hexdigest()[:8]}.pth"


def test_the_folder_is_torch_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert str(weights_place.checkpoint_dir()) == os.path.join(torch.hub.get_dir(), "checkpoints")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert str(weights_place.checkpoint_dir()) == os.path.join(torch.hub.get_dir(), "checkpoints")


def test_the_names_are_torchvisions():
    for depth, name in weights_place.VGG.items():
        assert torchvision_models.url(f"vgg{depth}") == weights_place.URL + name


def test_without_a_network_it_is_said_what_where_and_how_to_go_on(hub: Path):
    with pytest.raises(MissingData) as caught:
        models.encoder_of(VGG, models.network_of(VGG, 3, (32, 32)), 0)
    said = str(caught.value)
    for part in ("vgg11-8a719046.pth", "http://127.0.0.1:9/", "no connection", str(hub), "--set model.weights=random"):
        assert part in said
    assert list(hub.iterdir()) == []


def test_a_file_that_is_another_than_its_name_says(hub: Path):
    hub.mkdir(parents=True)
    torch.save(tensors(), hub / weights_place.VGG[11])
    with pytest.raises(BadData, match="not the official file"):
        network(VGG, 32).init(torch.Generator())


def test_weights_are_fetched_once_and_kept(hub: Path, server):
    folder, base = server
    torch.save(tensors(), folder / "any")
    data = (folder / "any").read_bytes()
    name = named_by_checksum(data)
    (folder / name).write_bytes(data)
    seen = []
    path = weights.imagenet(base + name, lambda what, done: seen.append((what, done)))
    assert path == hub / name
    assert path.read_bytes() == data
    assert seen[-1] == (f"downloading {name}", 1.0)
    (folder / name).unlink()
    assert weights.imagenet(base + name) == path
    with pytest.raises(MissingData, match="the server answers 404"):
        weights.imagenet(base + "other-00000000.pth")
    (folder / "wrong-00000000.pth").write_bytes(data)
    with pytest.raises(MissingData, match="another checksum"):
        weights.imagenet(base + "wrong-00000000.pth")
    assert [file.name for file in hub.iterdir()] == [name]


def test_whether_weights_are_here_is_told_without_reading_them(hub: Path, tmp_path: Path):
    def state(kind: str, weights: str, **more: object) -> weights_place.WeightsState:
        return weights_place.state({"kind": kind, "weights": weights, **more}, folder=tmp_path)

    assert state("vgg", "random").present
    assert not state("vgg", "imagenet").present
    assert "vgg16-397923af.pth is missing" in state("vgg", "imagenet").detail
    assert not state("torchvision", "imagenet", architecture="resnet50").present
    hub.mkdir(parents=True)
    for name in ("vgg16-397923af.pth", "resnet50-11ad3fa6.pth", "vgg11_bn-6002323d.pth"):
        (hub / name).touch()
    assert state("vgg", "imagenet").present
    assert not state("vgg", "imagenet", depth=11).present
    assert weights_place.state(VggSection(weights="imagenet").model_dump()).present
    assert state("torchvision", "imagenet", architecture="resnet50").present
    assert not state("torchvision", "imagenet", architecture="resnet18").present
    (tmp_path / "own.pt").touch()
    assert state("conv", "own.pt").present
    assert not state("conv", "gone.pt").present
    assert {preset.weights_state.present for preset in catalog.catalog() if preset.weights == "random"} == {True}


def test_there_are_no_imagenet_weights_of_conv():
    with pytest.raises(RequestError, match="no ImageNet weights of conv"):
        network(CONV.model_copy(update={"weights": "imagenet"})).init(torch.Generator())


# ---- in a scenario ----------------------------------------------------------------------------------------------------

SMALL = """\
title = "small"
[dataset]
kind = "cifar10"
[model]
kind = "vgg"
[subpopulations]
kind = "cluster_match"
layer = "hidden"
"""


def told(*overrides: str) -> list[str]:
    try:
        parse(SMALL, overrides=overrides)
    except ScenarioError as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.weights=imagenet",),
        ("model.weights=own.pt", "model.kind=conv", "subpopulations.layer=pool3"),
        ("subpopulations.layer=input", "model.augment=true"),
        ("subpopulations.layer=pool5", "model.tune=last_layer", "attack.kind=gradient"),
        ("model.kind=torchvision", "model.architecture=resnet18"),
        ("model.kind=mlp", "attack.kind=influence"),
    ],
    ids=" ".join,
)
def test_what_goes_together(overrides: tuple[str, ...]):
    assert told(*overrides) == []


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("model.kind=mlp", "model.tune=last_layer"), 'model.tune: has no meaning for kind "mlp": it is a key of conv, vgg'),
        (("model.kind=mlp", "model.augment=true"), 'model.augment: has no meaning for kind "mlp": it is a key of conv, vgg'),
        (("model.augment=true", "model.tune=last_layer"), "features are computed once"),
        (("model.kind=torchvision",), "model.architecture: is missing"),
        (("model.architecture=resnet18",), 'model.architecture: has no meaning for kind "vgg"'),
        (("model.kind=conv", "model.weights=imagenet"), 'model.weights: is "imagenet"; there are no such weights of "conv"'),
        (("model.weights=imagenett",), "did you mean 'imagenet'?"),
        (("model.weights=vgg.bin",), 'expected "random", "imagenet" or a .pt, .pth or .safetensors file'),
        (("subpopulations.layer=pool6",), 'subpopulations.layer: is "pool6", which kind "vgg" does not have'),
        (
            ("subpopulations.layer=pool4", "model.kind=conv"),
            'which kind "conv" does not have; use "input", "hidden", "pool1", "pool2", "pool3"',
        ),
        (("subpopulations.layer=pool1", "model.kind=mlp"), 'which kind "mlp" does not have; use "input", "hidden"'),
        (("subpopulations.layer=pool5", "adversary.model.kind=conv"), 'which kind "conv" does not have'),
        (("attack.kind=gradient", "model.kind=mlp"), "which needs an adversary's model that reads images"),
        (("attack.kind=gradient", "dataset.kind=adult", "model.kind=mlp"), 'attack.kind: is "gradient", which moves pixels'),
        (("model.kind=torchvision", "model.architecture=resnet18", "dataset.kind=adult"), "which reads pictures"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not(overrides: tuple[str, ...], says: str):
    assert any(says in mistake for mistake in told(*overrides)), told(*overrides)


def test_a_relative_file_of_weights_is_relative_to_its_scenario_and_to_the_shell_in_an_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file, elsewhere = tmp_path / "own.toml", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file.write_text(
        SMALL.replace('kind = "vgg"', 'kind = "vgg"\nweights = "vgg.pt"') + '[adversary.model]\nkind = "conv"\nweights = "a.pth"\n'
    )
    assert load(file).model.weights == str(tmp_path / "vgg.pt")
    assert load(file).adversary.model.weights == str(tmp_path / "a.pth")
    assert load(file, ["model.weights=vgg.pt"]).model.weights == str(elsewhere / "vgg.pt")
    assert load(file, ["model.weights=imagenet"]).model.weights == "imagenet"
    assert load(file, ["adversary.model.weights=b.pt"]).adversary.model.weights == str(elsewhere / "b.pt")
    with pytest.raises(SubpopError, match=r"vgg.pt: there is no such file"):
        network(load(file).model, 32).init(torch.Generator())
