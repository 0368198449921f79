"""The form's fields for pictures and networks: shown where they mean something, written as the engine reads them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.widgets import Input

from engine.scenario import kinds
from engine.scenario.parse import parse, schema
from engine.scenario.presets import describe, presets
from engine.scenario.sections import BertSection, ComputeSection, EvaluationSection, Scenario, TriageSection
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.presenters import fields, form, tree
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
ASKED = {one.key: one for members in form.sections(schema()).values() for one in members}


def shown(**said: str) -> set[str]:
    values: tree.Tree = {}
    for key, value in said.items():
        tree.put(values, key.replace("__", "."), value)
    return {key for key, one in ASKED.items() if one.matters_in(values)}


def test_fields_are_shown_where_they_mean_something() -> None:
    faces = shown(dataset__kind="utkface", model__kind="vgg", model__tune="last_layer", attack__kind="gradient")
    assert {"dataset.image_size", "model.depth", "model.weights", "attack.bound", "attack.layer"} <= faces
    assert not {"dataset.path", "dataset.scale", "dataset.split", "model.augment", "model.architecture", "attack.damping"} & faces
    mine = shown(dataset__kind="image_folder", model__kind="torchvision", attack__kind="influence")
    assert {"dataset.path", "dataset.annotations_file", "dataset.split", "model.architecture", "model.augment", "attack.damping"} <= mine
    table = shown(dataset__kind="table", model__kind="mlp")
    assert not {"dataset.image_size", "model.tune", "model.weights", "attack.steps", "model.tol", "adversary.model.epochs"} & table
    texts = shown(dataset__kind="imdb", model__kind="bert", adversary__model__kind="bert", adversary__model__stop="plateau")
    assert {f"{at}.{key}" for at in ("model", "adversary.model") for key in ("weights", "name", "length", "optimizer", "dropout")} <= texts
    assert "adversary.model.tol" in texts
    assert "model.tol" not in texts


def test_every_key_of_every_kind_has_a_field() -> None:
    """Read off the classes themselves, which the form does not know."""
    plain = {name for name, field in Scenario.model_fields.items() if (name,) not in kinds.unions() and field.annotation in (str, int)}
    wanted: dict[str, set[str]] = {key: {""} for key in (*plain, "reproduces")}
    for at, some in kinds.unions().items():
        section = ".".join(map(str, at))
        for kind, own in some.items():
            for key in own.model_fields:
                wanted.setdefault(f"{section}.{key}", set()).add("" if key == "kind" else kind)
    for name, section_of in (("evaluation", EvaluationSection), ("triage", TriageSection), ("compute", ComputeSection)):
        wanted |= {f"{name}.{key}": {""} for key in section_of.model_fields}
    wanted["adversary.rows"] = {""}
    assert {key: set(one.fields) for key, one in ASKED.items()} == wanted
    assert len(ASKED) > 90
    for one in ASKED.values():
        takes = {field.takes for field in one.fields.values()}
        assert len(takes) == 1, one.key  # one row serves all kinds that have the key
        for field in one.fields.values():
            assert 0 < len(field.label) <= 12, field  # what the form has room for
            assert field.help or field.key.endswith(".kind"), field
            assert field.options or field.takes != "choice", field


def test_what_a_field_says_is_what_the_engine_reads() -> None:
    field = {key: one.first for key, one in ASKED.items()}
    assert field["model.depth"].options == ("11", "13", "16", "19")
    assert fields.to_value("13", field["model.depth"]) == 13  # not the text "13", which is no depth
    assert fields.to_value("vgg", field["model.kind"]) == "vgg"
    assert fields.to_value("yes", field["dataset.balance"]) is True
    assert fields.to_value("2019, name", field["dataset.drop"]) == ["2019", "name"]  # columns, whatever they are called
    assert fields.to_value("0.5 2", field["attack.alphas"]) == [0.5, 2]
    assert fields.to_value("same", field["adversary.model.kind"]) is None
    assert fields.to_value("{age = [30]}", field["subpopulations.bins"]) == {"age": [30]}


@pytest.mark.parametrize("name", presets())
def test_every_value_of_every_preset_survives_its_field(name: str) -> None:
    values = tomllib.loads(presets()[name].read_text())
    seen = 0
    for key, one in ASKED.items():
        value = tree.get(values, key)
        if value is not None:
            field = one.field_in(values)
            assert field is not None, key
            assert fields.to_value(fields.to_text(value, field.takes), field) == value, key
            seen += 1
    assert seen > 10


def turn(app: SubpopApp, key: str, value: str) -> None:
    field_of(app, key).query_one(Choice).value = value


async def test_a_kind_takes_its_keys_with_it_and_brings_them_back(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await opened_form(pilot)
        screen = app.screen
        assert isinstance(screen, FormScreen)
        before = screen.edited.text()
        assert "hidden = [32]" in before
        turn(app, "model.kind", "logistic")
        await until(pilot, lambda: screen.scenario is not None and screen.scenario.model.kind == "logistic")
        assert "hidden" not in screen.edited.text()
        assert not field_of(app, "model.hidden").display
        assert [note for note in screen.edited.turned.values() if note] == [
            'model.kind is now "logistic", which has no hidden: taken out of [model]'
        ]
        turn(app, "model.kind", "mlp")
        await until(pilot, lambda: screen.scenario is not None and screen.scenario.model.kind == "mlp")
        assert tomllib.loads(screen.edited.text()) == tomllib.loads(before)
        assert not screen.edited.changed
        assert field_of(app, "model.hidden").query_one(Input).value == "32"
        assert not any(screen.edited.turned.values())
        turn(app, "adversary.model.kind", "mlp")
        await until(pilot, lambda: field_of(app, "adversary.model.hidden").display)
        assert not field_of(app, "adversary.model.depth").display
        turn(app, "adversary.model.kind", "same")
        await until(pilot, lambda: not field_of(app, "adversary.model.hidden").display and screen.scenario is not None)
        assert not screen.edited.changed


async def test_a_key_of_another_kind_in_a_file_can_be_taken_out(app: SubpopApp, tmp_path: Path) -> None:
    text = FACES.replace('"utkface"', '"utkface"\nbalance = false\nlabel = "y"')
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        screen = FormScreen(text, "faces", path=tmp_path / "faces.toml")
        app.push_screen(screen)
        await until(pilot, lambda: app.screen is screen and bool(screen.focused))
        await until(pilot, lambda: field_of(app, "dataset.balance").has_class("-wrong"))
        assert field_of(app, "dataset.label").display
        turn(app, "dataset.balance", "take out")
        await until(pilot, lambda: not field_of(app, "dataset.balance").display)
        field_of(app, "dataset.label").query_one(Input).value = ""
        await until(pilot, lambda: screen.scenario is not None)
        assert screen.edited.text() == FACES.replace('"faces"\n', '"faces"\n\n').replace('"\n[', '"\n\n[')


async def test_a_text_encoder_is_made_in_the_form(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await opened_form(pilot)
        screen = app.screen
        assert isinstance(screen, FormScreen)
        for key, value in (("dataset.kind", "imdb"), ("model.kind", "bert"), ("model.optimizer", "adamw")):
            turn(app, key, value)
            await settled(pilot)
        for key, value in (
            ("model.weights", "hub"),
            ("model.name", "prajjwal1/bert-tiny"),
            ("model.length", "64"),
            ("model.dropout", "0.2"),
        ):
            assert field_of(app, key).display, key
            field_of(app, key).query_one(Input).value = value
        assert "hub" in str(field_of(app, "model.weights").query_one(".note").render())  # as this kind has it
        made = BertSection(weights="hub", name="prajjwal1/bert-tiny", length=64, dropout=0.2, optimizer="adamw", epochs=30)
        await until(pilot, lambda: screen.scenario is not None and screen.scenario.model == made)
        assert screen.scenario is not None
        assert parse(screen.edited.text()).subpopulations == screen.scenario.subpopulations


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
        assert not field_of(app, "dataset.scale").display  # the digits' own, of no meaning to pictures: it went with them
        await until(pilot, lambda: screen.scenario is not None)
        assert 'layer = "pool3"' in screen.edited.text()
        assert "depth = 11" in screen.edited.text()
        assert screen.edited.values["attack"]["kind"] == "gradient"


async def test_certificates_are_asked_for_in_the_form_and_what_they_need_is_told(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await opened_form(pilot)
        screen = app.screen
        assert isinstance(screen, FormScreen)
        field_of(app, "evaluation.certificates").query_one(Input).value = "10"
        await until(pilot, lambda: "moved by one inserted row" in str(field_of(app, "dataset.fitted_on").query_one(".note").render()))
        assert screen.scenario is None
        turn(app, "dataset.fitted_on", "aux")
        await until(pilot, lambda: screen.scenario is not None and screen.scenario.evaluation.certificates == 10)
        turn(app, "dataset.scale", "none")
        await settled(pilot)
        assert not field_of(app, "dataset.fitted_on").display  # nothing is learnt: it means nothing


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
