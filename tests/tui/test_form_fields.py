"""The form's fields for pictures and networks: shown where they mean something, written as the engine reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.scenario.parse import parse, schema
from engine.scenario.presets import describe
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.presenters import form as fields
from tui.screens.form import FormScreen
from tui.screens.plan import weights_fact
from tui.widgets.choice import Choice

FACES = """title = "faces"
[dataset]
kind = "utkface"
[model]
kind = "vgg"
weights = "imagenet"
[subpopulations]
kind = "cluster_match"
"""
KINDS = {one.key: fields.kind_of(schema(), one.key) for one in fields.all_fields()}
DEFAULTS = {key: kind[2] for key, kind in KINDS.items()}


def shown(**said: str) -> set[str]:
    tree: fields.Tree = {}
    for key, value in said.items():
        fields.put(tree, key.replace("__", "."), value)
    return {one.key for one in fields.all_fields() if fields.matters(one, tree, DEFAULTS)}


def test_fields_are_shown_where_they_mean_something() -> None:
    faces = shown(dataset__kind="utkface", model__kind="vgg", model__tune="last_layer", attack__kind="gradient")
    assert {"dataset.image_size", "model.depth", "model.weights", "attack.bound", "attack.layer"} <= faces
    assert not {"dataset.path", "dataset.scale", "dataset.split", "model.augment", "model.architecture", "attack.damping"} & faces
    mine = shown(dataset__kind="image_folder", model__kind="torchvision", attack__kind="influence")
    assert {"dataset.path", "dataset.annotations_file", "dataset.split", "model.architecture", "model.augment", "attack.damping"} <= mine
    table = shown(dataset__kind="table", model__kind="mlp")
    assert not {"dataset.image_size", "model.tune", "model.weights", "attack.steps"} & table


def test_every_key_of_the_scenario_that_the_form_names_is_there() -> None:
    for key, (kind, options, _) in KINDS.items():
        assert kind in ("choice", "text", "list", "raw", "number")
        assert options or kind != "choice", key
    assert KINDS["model.depth"][1] == ("11", "13", "16", "19")
    assert fields.to_value("13", "choice") == 13  # not the text "13", which is no depth
    assert fields.to_value("vgg", "choice") == "vgg"


async def test_a_network_on_pictures_is_made_in_the_form(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await opened_form(pilot)
        screen = app.screen
        assert isinstance(screen, FormScreen)
        assert not field_of(app, "model.depth").display
        for key, value in (("dataset.kind", "cifar10"), ("model.kind", "vgg"), ("model.depth", "11"), ("attack.kind", "gradient")):
            field_of(app, key).query_one(Choice).value = value
            await settled(pilot)
        assert field_of(app, "model.depth").display
        assert field_of(app, "dataset.image_size").display
        field_of(app, "subpopulations.layer").focus_field()
        await settled(pilot, *["delete"] * 10, *"pool3")
        await until(pilot, lambda: field_of(app, "dataset.scale").has_class("-wrong"))  # the digits' own, of no meaning to pictures
        assert field_of(app, "dataset.scale").display
        field_of(app, "dataset.scale").query_one(Choice).value = "none"
        await until(pilot, lambda: screen.scenario is not None)
        assert 'layer = "pool3"' in screen.text()
        assert "depth = 11" in screen.text()
        assert screen.values["attack"]["kind"] == "gradient"


def test_weights_that_are_not_here_are_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "faces.toml"
    path.write_text(FACES)
    fact = weights_fact(describe("faces", path))
    assert fact.tone == "warn"
    assert fact.value.startswith("✗ vgg16-397923af.pth is missing")
    assert "model.weights=random" in fact.value
    assert parse(path.read_text()).model.weights == "imagenet"
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth").touch()
    assert weights_fact(describe("faces", path)).value.startswith("✓ imagenet, at ")
