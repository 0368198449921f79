"""The presets: valid as they ship, at both sizes, and the paper's where they say so."""

from __future__ import annotations

import pytest

from engine.scenario.identity import dump
from engine.scenario.parse import load, parse
from engine.scenario.presets import catalog, presets
from engine.scenario.sections import (
    AdultSection,
    Cifar10Section,
    ClusterMatchSection,
    MlpSection,
    PretrainedKeys,
    Scenario,
    TrainedKeys,
    UtkfaceSection,
)

NAMES = tuple(presets())


def test_the_default_comes_first() -> None:
    assert NAMES[0] == "quickstart"
    assert {"adult-clustermatch", "adult-featurematch", "adult-logistic"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("smoke", [False, True])
def test_every_preset_loads_and_survives_a_round_trip(name: str, smoke: bool) -> None:
    scenario = load(name, smoke=smoke)
    assert scenario.smoked is smoke
    assert parse(dump(scenario)) == scenario
    assert dump(parse(dump(scenario))) == dump(scenario)


@pytest.mark.parametrize("name", NAMES)
def test_smoke_is_smaller(name: str) -> None:
    whole, small = load(name), load(name, smoke=True)

    def work(scenario: object) -> float:
        s = scenario
        return getattr(s.model, "epochs", 1) * s.evaluation.trials * len(s.attack.alphas)  # type: ignore[attr-defined]

    assert work(small) < work(whole) / 2


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("adult")])
def test_adult_presets_follow_the_paper(name: str) -> None:
    scenario = load(name)
    assert scenario.dataset == AdultSection()  # balanced, unscaled, all rows
    model = scenario.model
    _as_published(scenario)
    if not isinstance(model, TrainedKeys):  # a model of today's tables
        return
    assert (model.batch, model.lr) == (200, 1e-3)
    assert not isinstance(model, MlpSection) or model.hidden == (10,)
    assert (model.weight_decay, model.weight_decay_per) == (1e-4, "rows")
    assert (model.stop, model.tol, model.patience, model.epochs) == ("plateau", 1e-4, 10, 3000)


def _as_published(scenario: Scenario) -> None:
    """All but the model."""
    found = scenario.subpopulations
    assert (found.min_size, found.max_size) == (11, 99)
    assert not isinstance(found, ClusterMatchSection) or (found.layer, found.pca) == ("input", None)
    assert (scenario.attack.per, scenario.attack.target_label, scenario.attack.alphas) == ("train", "flip", (0.5, 1.0, 2.0))
    assert (scenario.evaluation.trials, scenario.evaluation.min_test_rows) == (5, 8)


def test_what_each_adult_preset_is_for() -> None:
    clusters, features, linear = (load(f"adult-{name}") for name in ("clustermatch", "featurematch", "logistic"))
    assert (clusters.subpopulations.kind, clusters.subpopulations.clusters, clusters.model.kind) == ("cluster_match", 100, "mlp")
    assert clusters.reproduces == "Table 4, UCI Adult"
    assert (features.subpopulations.kind, features.subpopulations.features) == ("feature_match", ("education-num", "race", "sex"))
    assert features.reproduces == "Section 5.5, UCI Adult"
    assert linear.model.kind == "logistic"


def test_the_catalog_says_what_each_preset_costs() -> None:
    for preset in catalog():
        assert "on two cores" in preset.cost, preset.name
        assert preset.title == load(preset.name).title
        model = load(preset.name).model
        assert preset.weights == (model.weights if isinstance(model, PretrainedKeys) else "random")


IMAGES = tuple(name for name in NAMES if name.startswith(("cifar10", "utkface")))


def test_every_published_image_system_has_a_preset() -> None:
    assert set(IMAGES) == {
        "cifar10-conv", "cifar10-vgg-ft", "utkface-vgg-ll", "utkface-vgg-ft", "utkface-vgg-ll-featurematch",
        "utkface-vgg-ft-featurematch", "utkface-vgg-ll-optimized", "utkface-vgg-ft-optimized",
    }  # fmt: skip
    assert len({load(name).reproduces for name in IMAGES}) == len(IMAGES)


@pytest.mark.parametrize("name", IMAGES)
def test_image_presets_follow_the_paper(name: str) -> None:
    scenario = load(name)
    model, found, attack = scenario.model, scenario.subpopulations, scenario.attack
    assert scenario.dataset == (Cifar10Section() if name.startswith("cifar10") else UtkfaceSection())
    assert (model.epochs, model.batch, model.stop) == (12, 32, "epochs")
    assert model.augment is name.startswith("cifar10")
    if "conv" in name:
        assert (model.kind, model.weights, model.tune, model.lr, model.weight_decay) == ("conv", "random", "all", 1e-3, 0.0)
    else:
        tune, lr = ("last_layer", 1e-3) if "vgg-ll" in name else ("all", 1e-4)
        # Keras' l2(0.01) adds 0.01 w^2 to the loss; ours adds weight_decay / 2 w^2
        assert (model.kind, model.depth, model.weights, model.tune, model.lr, model.weight_decay) == ("vgg", 16, "imagenet", tune, lr, 0.02)
    if "featurematch" in name:
        assert (found.kind, found.features, found.bins) == ("feature_match", ("race", "age"), {"age": (30.0, 45.0, 60.0)})
    else:
        assert (found.kind, found.clusters, found.pca, found.layer) == ("cluster_match", 100, 40, "hidden")
    assert (attack.alphas, attack.target_label, attack.per) == ((0.5, 1.0, 2.0), "rarest", "aux")
    if "optimized" in name:
        assert (attack.kind, attack.steps, attack.step_size, attack.bound, attack.layer) == ("gradient", 50, 0.2, 0.01, "last")
        assert "label_flip" in scenario.evaluation.controls
    assert scenario.evaluation.trials == 3
    assert load(name, smoke=True).model.weights == "random"  # the weights are not on every machine
