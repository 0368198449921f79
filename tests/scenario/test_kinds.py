"""Each kind has its own keys and no others: refused at once, whoever gives them, and dropped where an older version stored them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import versions
from engine.errors import ScenarioError
from engine.scenario import kinds, modules
from engine.scenario import toml as toml_text
from engine.scenario.identity import digest, dump
from engine.scenario.parse import load, parse, schema, stored
from engine.scenario.presets import presets
from engine.scenario.sections import LogisticSection, MlpSection, Section

STORED = sorted((Path(__file__).parent / "stored").glob("*.toml"))  # as version 0.1.0 wrote them, with the keys of every kind
IDLE = "quickstart-logistic"  # its idle `hidden` is not at its default
BASE = {
    "title": "t",
    "dataset": {"kind": "adult"},
    "model": {"kind": "mlp"},
    "subpopulations": {"kind": "cluster_match"},
    "attack": {"kind": "label_flip"},
    "adversary": {"model": {"kind": "mlp"}},
    "defense": {"kind": "none"},
}
NEEDED = {"path": "/x", "label": "y", "text": "t", "architecture": "resnet18", "features": ["a"]}
VALUES: dict[str, Any] = {"bins": {"a": [1.0]}, "split": [0.4, 0.4, 0.2], "depth": 11}
PLACES = [(at, kind) for at, some in kinds.unions().items() for kind in some]


def value_of(section: type[Section], key: str) -> Any:
    """A value that the key takes."""
    field = section.model_fields[key]
    default = None if field.is_required() else field.get_default()
    value = NEEDED.get(key, VALUES.get(key, default))
    if value is None:  # a number or a word that may be left out
        value = 0.5 if "float" in str(field.annotation) else 64 if "int" in str(field.annotation) else "word"
    return list(value) if isinstance(value, tuple) else value


def scenario(at: toml_text.Path, kind: str, **more: Any) -> str:
    """TOML of a scenario whose section `at` is of this kind, with all that the kind needs, and `more` keys in it."""
    tree: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    section = tree
    for part in at[:-1]:
        section = section[str(part)]
    needed = {key: NEEDED[key] for key, field in kinds.unions()[at][kind].model_fields.items() if field.is_required()}
    section[str(at[-1])] = {"kind": kind, **needed, **more}
    return toml_text.write(tree)


def refused(text: str, **given: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse(text, **given)
    return [str(mistake) for mistake in caught.value.mistakes]


def foreign(at: toml_text.Path, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Each key that the kind does not have, with the kinds that do."""
    some = kinds.unions()[at]
    for key in dict.fromkeys(key for each in some.values() for key in each.model_fields):
        if key not in some[kind].model_fields:
            yield key, [name for name, each in some.items() if key in each.model_fields]


def test_there_are_pairs_to_refuse() -> None:
    pairs = [(at, kind, key) for at, kind in PLACES for key, _ in foreign(at, kind)]
    assert len(pairs) > 200
    assert (("dataset",), "digits", "balance") in pairs
    assert (("adversary", "model"), "logistic", "hidden") in pairs


@pytest.mark.parametrize(("at", "kind"), PLACES, ids=[f"{'.'.join(map(str, at))}-{kind}" for at, kind in PLACES])
def test_every_key_that_a_kind_has_no_use_for_is_refused_with_its_line_and_the_kinds_that_have_it(at: toml_text.Path, kind: str) -> None:
    section = ".".join(map(str, at))
    for key, owners in foreign(at, kind):
        text = scenario(at, kind, **{key: value_of(kinds.unions()[at][owners[0]], key)})
        line = toml_text.locate(text)[*at, key]
        named = " and ".join([*([", ".join(owners[:-1])] if len(owners) > 1 else []), owners[-1]])
        start = time.perf_counter()
        told = [mistake for mistake in refused(text) if f"{section}.{key}" in mistake]
        assert time.perf_counter() - start < 0.5
        assert len(told) == 1, (key, told)
        assert told[0].startswith(f'line {line}, {section}.{key}: has no meaning for kind "{kind}": it is a key of {named}; ')
        given = toml_text.write({"v": value_of(kinds.unions()[at][owners[0]], key)}).partition("=")[2].strip()
        if not given.startswith("{") and "\n" not in given and given:
            on_the_line = refused(scenario(at, kind), overrides=[f"{section}.{key}={given}"])
            assert any(f"it is a key of {named}" in m and m.endswith("(given on the command line)") for m in on_the_line), on_the_line


@pytest.mark.parametrize(("at", "kind"), PLACES, ids=[f"{'.'.join(map(str, at))}-{kind}" for at, kind in PLACES])
def test_what_a_kind_has_is_taken(at: toml_text.Path, kind: str) -> None:
    """The other half: no key of a kind's own is ever called unknown or another kind's."""
    own = kinds.unions()[at][kind]
    keys = {key: value_of(own, key) for key in own.model_fields if key != "kind"}
    told = ""
    try:
        parse(scenario(at, kind, **keys))
    except ScenarioError as error:  # what does not go with the rest of the scenario
        told = str(error)
    assert not any(what in told for what in ("has no meaning for kind", "no such key", "; expected"))


def test_a_foreign_key_may_be_meant_for_one_of_a_like_name() -> None:
    (told,) = refused(scenario(("dataset",), "adult", balanse=True))
    assert told.endswith("dataset.balanse: there is no such key in [dataset]; did you mean 'balance'?")
    (told,) = [m for m in refused(scenario(("dataset",), "digits", balanse=True)) if "balanse" in m]
    assert told.endswith("there is no such key in [dataset]; did you mean 'balance', a key of adult?")
    (told,) = [m for m in refused(scenario(("dataset",), "image_folder", annotations=["a"])) if "annotations" in m]
    assert told.endswith("it is a key of table and text_table; did you mean 'annotations_file'?")


def test_a_mistyped_kind_hides_no_other_mistake_of_its_section() -> None:
    text = """title = "t"
dataset = { kind = "tabel", path = 3, numeric = "a", colour = 1, balance = "no", rows = 5, split = 1 }
model = { kind = "mpl", hidden = [0], epocs = 5, lr = nan, depth = 12 }
subpopulations = { cluster = 5, bins = 4, pca = 5 }
attack = { kind = 3, damping = 0, alphas = [2, 1] }
adversary = { model = { kind = "lgistic", tune = "some" } }
"""
    told = [mistake.partition(", ")[2] for mistake in refused(text)]
    names: dict[str, set[str]] = {}
    for mistake in told:
        section, _, key = mistake.partition(":")[0].rpartition(".")
        assert key not in names.setdefault(section, set())
        names[section].add(key)
    assert names == {
        "dataset": {"kind", "path", "numeric", "colour", "balance", "rows", "split"},
        "model": {"kind", "hidden", "epocs", "lr", "depth"},
        "subpopulations": {"kind", "cluster", "bins"},
        "attack": {"kind", "damping", "alphas"},
        "adversary.model": {"kind", "tune"},
    }
    assert any(m.startswith('dataset.kind: is "tabel"') and m.endswith('did you mean "table"?') for m in told)
    assert 'subpopulations.kind: is missing; give one of "cluster_match", "feature_match"' in told
    assert "model.epocs: there is no such key in [model]; did you mean 'epochs'?" in told


def test_a_kind_that_cannot_do_without_a_key_says_which() -> None:
    told = refused(scenario(("model",), "mlp").replace('kind = "adult"', 'kind = "text_table"'))
    for key, what in (
        ("path", "a file of yours, CSV, JSON Lines or Parquet"),
        ("label", "the name of the column to predict"),
        ("text", "the name of the column that holds the texts"),
    ):
        assert any(m.endswith(f'dataset.{key}: is missing; kind "text_table" needs {what}: {key} = "..."') for m in told), told


# ---- another kind ---------------------------------------------------------------------------------------------------


def test_another_kind_takes_the_old_ones_keys_of_the_file_with_it_and_says_so_once() -> None:
    said: list[str] = []
    found = load("adult-clustermatch", ["model.kind=logistic", "dataset.kind=breast_cancer"], say=said.append)
    assert isinstance(found.model, LogisticSection)
    assert (found.model.lr, found.model.stop) == (1e-3, "plateau")  # what both kinds have stays
    assert said[0] == (
        'dataset.kind is now "breast_cancer", which has no balance: taken out of [dataset]; '
        'model.kind is now "logistic", which has no hidden: taken out of [model]'
    )
    assert parse(dump(found)) == found
    said.clear()
    assert load("adult-clustermatch", ["model.kind=mlp"], say=said.append) == load("adult-clustermatch")
    assert not said


def test_what_is_given_beside_a_kind_stays_and_is_judged() -> None:
    text = presets()["adult-clustermatch"].read_text()
    (told,) = refused(text, overrides=["model.hidden=[4]", "model.kind=logistic"])
    assert told.endswith('model.hidden: has no meaning for kind "logistic": it is a key of mlp; take it out (given on the command line)')
    found = parse(text, overrides=["model.hidden=[4]", "model.kind=mlp"]).model
    assert isinstance(found, MlpSection)
    assert found.hidden == (4,)
    (told,) = refused(text.replace("hidden = [10]", "hidden = [10]\ndepth = 11"), overrides=["model.kind=logistic"])
    assert "model.depth" in told  # it was no key of the old kind either, so it is a mistake and did not go with it
    assert parse(text, overrides=["model.hidden=", "model.kind=logistic"]).model == parse(text, overrides=["model.kind=logistic"]).model


def test_a_sliver_follows_the_kind(tmp_path: Path) -> None:
    text = presets()["imdb-bert-ft"].read_text()
    overrides = ["dataset.kind=digits", "model.kind=mlp", "subpopulations.layer=input"]
    small = parse(text, smoke=True, overrides=overrides)
    assert small.model == MlpSection(epochs=4, batch=8, lr=5e-4)
    whole = parse(text, overrides=overrides)
    assert set(whole.smoke["model"]) == {"epochs", "lr"}  # the weights, sizes and length of a BERT went
    assert parse(dump(whole), smoke=True) == small
    own = scenario(("model",), "mlp", hidden=[7], epochs=9) + '[smoke.model]\nkind = "logistic"\nepochs = 2\n'
    assert parse(own, smoke=True).model == LogisticSection(epochs=2)
    assert parse(own).model == MlpSection(hidden=(7,), epochs=9)
    (told,) = refused(own + "hidden = [3]\n")
    assert "smoke.model.hidden: has no meaning for kind" in told
    (told,) = refused(own, smoke=True, overrides=["smoke.model.hidden=[3]"])
    assert "model.hidden" in told
    (told,) = refused(own, smoke=True, overrides=["smoke.model.hidden=[3]", "model.kind=logistic"])
    assert "model.hidden" in told


def test_the_adversarys_model_has_kinds_of_its_own() -> None:
    text = scenario(("adversary", "model"), "mlp", hidden=[3])
    assert parse(text, overrides=["adversary.model.kind=logistic"]).adversary.model == LogisticSection()
    assert parse(text, overrides=["model.kind=logistic"]).adversary.model == MlpSection(hidden=(3,))


# ---- stored by an older version -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_an_older_version_stored_opens_under_its_digest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SCHEDULE", 2)  # a digest is of the schedule too: theirs
    monkeypatch.setattr(versions, "READ_BY_RULES", ())  # and, today, of the rules of reading
    text = path.read_text()
    with pytest.raises(ScenarioError, match="has no meaning for kind"):
        parse(text)  # a file of a person's own with the same keys is refused
    found = stored(text)
    assert stored(dump(found)) == parse(dump(found)) == found
    assert (f"# digest: {digest(found)}" == text.splitlines()[0]) is (path.stem != IDLE)


def test_an_idle_key_that_was_stored_is_dropped_whatever_it_says() -> None:
    (path,) = [path for path in STORED if path.stem == IDLE]
    assert "hidden = [32]" in path.read_text()
    assert stored(path.read_text()) == load("quickstart", ["model.kind=logistic", "evaluation.min_test_rows=10"])
    with pytest.raises(ScenarioError, match="there is no such key"):  # of no kind at all
        stored(path.read_text().replace("hidden = [32]", "hiden = [32]"))


def test_stored_values_that_a_kind_reads_are_read() -> None:
    table = stored(next(path for path in STORED if path.stem == "table").read_text())
    assert table.adversary.model == LogisticSection(weight_decay=0.5)
    assert table.model == MlpSection(hidden=(32, 8))
    assert table.dataset.kind == "table"
    assert (table.dataset.drop, table.dataset.scale, table.dataset.label) == (("id",), "standard", "repaid")


# ---- the grammar, and what follows from it --------------------------------------------------------------------------


def test_every_key_has_a_line_of_help() -> None:
    for name, node in schema()["$defs"].items():
        lacks = [key for key, inner in node["properties"].items() if key != "kind" and not inner.get("description")]
        assert not lacks, (name, lacks)


def test_every_kind_is_a_module_of_its_name_and_nothing_else_can_be_opened() -> None:
    models = ["models.dense", "models.networks", "models.bert", "models.estimators"]
    packages = {"dataset": ["datasets"], "model": models, "subpopulations": ["subpopulations"]}
    for section, some in {**packages, "attack": ["attacks"]}.items():
        for kind in kinds.unions()[(section,)]:
            assert any(kind in modules.names(package) for package in some), kind
    for name in ("os", "engine.store", "../store/store", "__init__", "", "label_flip.__init__", "files", "poison\0"):
        with pytest.raises(KeyError):
            modules.module("attacks", name)


def test_reading_a_scenario_loads_nothing_heavy() -> None:
    code = (
        "import sys; from engine.scenario.parse import load; load('quickstart', ['model.kind=logistic'])\n"
        "print([m for m in ('numpy', 'pandas', 'torch', 'sklearn', 'torchvision') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
