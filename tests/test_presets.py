"""The presets: valid as they ship, at both sizes, and the paper's where they say so."""

from __future__ import annotations

import pytest

from engine.catalog import catalog, presets
from engine.scenario import DatasetSection, dump, load, parse

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
        return s.model.epochs * s.evaluation.trials * len(s.attack.alphas)  # type: ignore[attr-defined]

    assert work(small) < work(whole) / 2


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("adult")])
def test_adult_presets_follow_the_paper(name: str) -> None:
    scenario = load(name)
    assert scenario.dataset == DatasetSection(kind="adult")  # balanced, unscaled, all rows
    model = scenario.model
    assert (model.hidden, model.batch, model.lr) == ((10,), 200, 1e-3)
    assert (model.weight_decay, model.weight_decay_per) == (1e-4, "rows")
    assert (model.stop, model.tol, model.patience, model.epochs) == ("plateau", 1e-4, 10, 3000)
    found = scenario.subpopulations
    assert (found.min_size, found.max_size, found.layer, found.pca) == (11, 99, "input", None)
    assert (scenario.attack.per, scenario.attack.target_label, scenario.attack.alphas) == ("train", "flip", (0.5, 1.0, 2.0))
    assert (scenario.evaluation.trials, scenario.evaluation.min_test_rows) == (5, 30)


def test_what_each_adult_preset_is_for() -> None:
    clusters, features, linear = (load(f"adult-{name}") for name in ("clustermatch", "featurematch", "logistic"))
    assert (clusters.subpopulations.kind, clusters.subpopulations.clusters, clusters.model.kind) == ("cluster_match", 100, "mlp")
    assert clusters.reproduces == "Table 4, UCI Adult"
    assert (features.subpopulations.kind, features.subpopulations.features) == ("feature_match", ("education-num", "race", "sex"))
    assert features.reproduces == "Section 5.5, UCI Adult"
    assert linear.model.kind == "logistic"


def test_the_catalog_says_what_each_preset_costs() -> None:
    for preset in catalog():
        assert preset.cost.endswith("on two cores"), preset.name
        assert preset.title == load(preset.name).title
        assert preset.weights == "random"
