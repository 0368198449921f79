"""What clean models foretell in a discovery: by hand from their weights, for every family, and how it chooses whom to attack."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax

from engine.arrays import DiscoveryArrays
from engine.errors import RequestError, ScenarioError
from engine.milestones import NOTHING_KEPT
from engine.pipeline import order as pipeline
from engine.pipeline import triage
from engine.pipeline.discovery import Discovery
from engine.rates import count
from engine.scenario.identity import digest
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.seeds import seed_for
from engine.training.recipe import Job
from engine.training.trial import How, Trial
from engine.victims.choose import victims_of
from engine.victims.family import training_of
from tests.models.test_encoders import pieces, reviews, saved, scenario_of
from tests.pipeline.test_opened_once import PICTURES, pictures
from tests.pipeline.test_pipeline import QUICK

FEW = ("triage.predict=true", "triage.models=2")


def scenario(*overrides: str) -> Scenario:
    return parse(QUICK, overrides=overrides)


def discover(given: Scenario, said: list[str] | None = None) -> Discovery:
    log = said.append if said is not None else lambda line: None
    return pipeline.discover(given, Path("."), log=log, progress=lambda what, share: None, with_poison=False)


@pytest.fixture(scope="module")
def found() -> Discovery:
    return discover(scenario(*FEW))


def test_by_hand_from_the_weights_of_clean_models(found: Discovery) -> None:
    """Each clean model trained again, its last layer's step by a minimiser of scipy, its damage by the words of the help."""
    given, dataset, told = scenario(*FEW), found.dataset, found.arrays.foretold
    assert told is not None
    assert told.alphas.tolist() == [1.0, 2.0]
    victims = victims_of(given.model, dataset, given.seed)
    s = max(found.subpopulations, key=lambda s: (s.attacked, s.aux_rows if s.aux_rows <= 40 else 0))
    own, aux, test = (np.flatnonzero(getattr(found.membership, split) == s.index) for split in ("train", "aux", "test"))
    assert len(own) + len(aux) <= 100
    before, after = np.zeros(len(aux) + len(test)), np.zeros((2, len(aux) + len(test)))
    for number in range(2):
        clean = Job(np.empty(0, np.int64), np.empty(0, np.int64))
        (fitted,) = victims.fit(training_of(dataset), [clean], Trial(seed_for(given.seed, "triage"), number, How()))
        *_, W1, b1, W2, b2 = (p.double().numpy() for p in fitted.params)

        def phi(x: np.ndarray, W1: np.ndarray = W1, b1: np.ndarray = b1) -> np.ndarray:
            return np.hstack([np.maximum(x.astype(float) @ W1 + b1, 0), np.ones((len(x), 1))])

        w = np.concatenate([W2[:, 0], b2])
        rest = np.setdiff1d(np.arange(len(dataset.train)), own)
        rms = np.sqrt((phi(dataset.train.x) ** 2).mean(axis=0))
        x_rest, x_own, x_aux = phi(dataset.train.x[rest]), phi(dataset.train.x[own]), phi(dataset.aux.x[aux])
        H = (x_rest.T * (expit(x_rest @ w) * expit(-x_rest @ w))) @ x_rest + 30 * np.diag(np.maximum(rms, 1e-3 * rms.max()))
        flipped = 1 - dataset.aux.y[aux]
        for a, alpha in enumerate((1, 2)):
            weight = count(alpha, s.aux_rows) / len(aux)

            def loss(d: np.ndarray, x_own=x_own, x_aux=x_aux, H=H, w=w, weight=weight, flipped=flipped) -> float:
                exact = np.logaddexp(0, x_own @ (w + d)).sum() - (expit(x_own @ w) * (x_own @ d)).sum()
                z = x_aux @ (w + d)
                return 0.5 * d @ H @ d + exact + weight * (np.logaddexp(0, z) - flipped * z).sum()

            d = minimize(loss, np.zeros(len(w)), method="BFGS", options={"gtol": 1e-8}).x
            rows = np.concatenate([dataset.aux.x[aux], dataset.test.x[test]])
            sign = 2.0 * np.concatenate([dataset.aux.y[aux], dataset.test.y[test]]) - 1
            after[a] += expit(sign * (phi(rows) @ (w + d)) / 0.4) / 2
        before += expit(sign * (phi(rows) @ w) / 0.4) / 2
    damage = before - after
    np.testing.assert_allclose(told.aux_AS[:, s.index], damage[:, : len(aux)].mean(axis=1), atol=2e-4)
    np.testing.assert_allclose(told.test_AS[:, s.index], damage[:, len(aux) :].mean(axis=1), atol=2e-4)
    assert told.aux_AS[1, s.index] > 0.05


def test_it_is_the_same_each_time_and_is_said_of_each_subpopulation(found: Discovery) -> None:
    said: list[str] = []
    again = discover(scenario(*FEW), said).arrays.foretold
    told = found.arrays.foretold
    assert told is not None
    assert again is not None
    np.testing.assert_array_equal(told.aux_AS, again.aux_AS)
    np.testing.assert_array_equal(told.test_AS, again.test_AS)
    for s in found.subpopulations:
        assert s.predicted == (told.aux_AS[-1, s.index] if s.aux_rows else None)
        assert np.isnan(told.test_AS[-1, s.index]) == (s.test_rows == 0)
    attacked = sum(s.attacked for s in found.subpopulations)
    victims = 2 * (1 + 2 * attacked)
    assert any(f"takes 2 clean models, trained now one after the other; attacking {attacked} subpop" in line for line in said)
    assert any(f"takes {victims} victims ({2 / victims:.1%} of them)" in line for line in said)
    assert all(s.predicted is None for s in discover(scenario()).subpopulations)


def test_the_predicted_worst_are_attacked_and_the_run_says_so(found: Discovery) -> None:
    given = scenario("triage.models=2", 'subpopulations.select="predicted"', "subpopulations.select_count=2")
    chosen = discover(given)
    able = [s for s in found.subpopulations if s.attacked]
    worst = sorted(able, key=lambda s: -(s.predicted or 0))[:2]
    assert {s.index for s in chosen.subpopulations if s.attacked} == {s.index for s in worst}
    left = next(s for s in chosen.subpopulations if not s.attacked and s.index in {each.index for each in able})
    assert left.reason == f"predicted damage {left.predicted:.3f}, not among the 2 predicted worst"
    assert left.predicted == found.subpopulations[left.index].predicted
    (line,) = [each for each in pipeline.deviations(given, chosen.dataset) if each.startswith("chosen by prediction")]
    assert line.startswith("chosen by prediction: the 2 subpopulations that 2 clean models foretell to be worst on aux rows")


def test_the_owner_may_rank_by_test_rows_and_it_is_said(found: Discovery) -> None:
    given = scenario(*FEW, 'triage.rows="test"', 'subpopulations.select="predicted"', "subpopulations.select_count=2")
    chosen, told = discover(given), found.arrays.foretold
    assert told is not None
    able = [s.index for s in found.subpopulations if s.attacked]
    assert {s.index for s in chosen.subpopulations if s.attacked} == set(sorted(able, key=lambda s: -told.test_AS[-1, s])[:2])
    assert any("worst on test rows" in each and "(but the test rows" in each for each in pipeline.deviations(given, chosen.dataset))


def test_its_clean_models_are_none_of_the_runs_own() -> None:
    """So that no trial which judges the choice had a part in it."""
    given = scenario()
    victims = victims_of(given.model, discover(given).dataset, given.seed)
    own = [victims.initial(given.seed, trial, How().dtype)[0] for trial in range(3)]
    foretelling = [victims.initial(seed_for(given.seed, "triage"), number, How().dtype)[0] for number in range(3)]
    assert not any((one == other).all() for one in own for other in foretelling)


def test_a_scenario_that_does_not_ask_has_the_digest_it_had() -> None:
    given = scenario()
    assert digest(given) == digest(scenario("triage.predict=false"))
    assert len({digest(given), digest(scenario("triage.predict=true")), digest(scenario("triage.models=5"))}) == 3


@pytest.mark.parametrize("asked", ["triage.predict=true", 'subpopulations.select="predicted"'])
def test_what_has_no_last_layer_is_refused_in_words(asked: str) -> None:
    text = re.sub(r"\[model\].*?\n\[sub", '[model]\nkind = "random_forest"\n[sub', QUICK, flags=re.S)
    with pytest.raises(ScenarioError, match='"random_forest" has none'):
        parse(text, overrides=[asked])


def test_a_last_layer_that_reads_too_much_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage, "WIDEST", 7)
    monkeypatch.setattr(triage, "_model", lambda *args: pytest.fail("a model was trained for it"))
    with pytest.raises(RequestError, match="the last layer of mlp reads 8 numbers, more than 7"):
        discover(scenario(*FEW))


def test_a_logistic_regression_reads_its_columns_and_has_its_own_defaults() -> None:
    text = re.sub(r"\[model\].*?\n\[sub", '[model]\nkind = "logistic"\nepochs = 5\n[sub', QUICK, flags=re.S)
    given = parse(text, overrides=FEW)
    assert triage.Settings.of(given) == triage.Settings(2, 300.0, "normal", 0.4)
    assert triage.Settings.of(scenario(*FEW)) == triage.Settings(2, 30.0, "sigmoid", 0.4)
    told = discover(given).arrays.foretold
    assert told is not None
    assert np.isfinite(told.aux_AS).all()


def test_of_several_classes_the_target_is_set_against_each_rows_own() -> None:
    """Digits, each subpopulation its own target: rows of the target class gain, the others lose, and more poison does more."""
    text = QUICK.replace('"breast_cancer"', '"digits"').replace('"flip"', '"least_likely"')
    given = parse(text, overrides=["triage.predict=true", "triage.models=2", "subpopulations.clusters=12", "model.epochs=8"])
    found = discover(given)
    assert len({s.target_label for s in found.subpopulations}) > 2
    told = found.arrays.foretold
    assert told is not None
    known = np.isfinite(told.aux_AS[0])
    assert (told.aux_AS[1, known] >= told.aux_AS[0, known] - 1e-9).all()
    assert told.aux_AS[1, known].max() > 0.2


def test_what_is_stored_comes_back(found: Discovery) -> None:
    arrays = found.arrays
    named = arrays.by_name()
    assert {"foretold.alphas", "foretold.aux_AS", "foretold.test_AS"} <= set(named)
    again = DiscoveryArrays.from_names(named).foretold
    assert again is not None
    np.testing.assert_array_equal(again.test_AS, arrays.foretold.test_AS)  # type: ignore[union-attr]
    assert DiscoveryArrays.from_names(replace(arrays, foretold=None).by_name()).foretold is None


def test_a_model_that_was_put_away_is_not_trained_again(found: Discovery) -> None:
    class Kept(type(NOTHING_KEPT)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.arrays: dict[str, object] = {}
            self.made: list[str] = []

        def step(self, name, make):  # type: ignore[no-untyped-def]
            if name not in self.arrays:
                self.made.append(name)
                self.arrays[name] = make()
            return self.arrays[name]

    kept, given = Kept(), scenario(*FEW)
    names = []
    for _ in range(2):
        kept.made.clear()
        told = triage.foretell(
            given, found.dataset, found.membership, found.subpopulations, found.arrays.proba_aux_AC,
            device="cpu", log=lambda line: None, progress=lambda what, share: None, on_step=None, opened=None, milestones=kept,
        )  # fmt: skip
        names.append(list(kept.made))
        np.testing.assert_array_equal(told.aux_AS, found.arrays.foretold.aux_AS)  # type: ignore[union-attr]
    assert names == [["clean model 1 of 2, to foretell damage", "clean model 2 of 2, to foretell damage"], []]


FAMILIES = [
    ("conv", "all"),
    ("conv", "last_layer"),
    ("vgg", "last_layer"),
    ("bert", "all"),
    ("bert", "last_layer"),
    ("distilbert", "last_layer"),
]


@pytest.mark.parametrize(("kind", "tune"), FAMILIES)
def test_every_family_with_a_last_layer(kind: str, tune: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is foretold of each subpopulation, and what is asked of its clean models is what they answer: hidden states times the last
    layer are their logits.
    """
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    few = [*FEW, "evaluation.confidence_folds=1", f'model.tune="{tune}"']
    if "bert" in kind:
        saved(kind, tmp_path / "model")
        pieces(tmp_path / "model")
        given = scenario_of(reviews(tmp_path / "reviews.csv", 60), tmp_path / "model", *few)
    else:
        text = PICTURES.format(attack="label_flip", folder=pictures(tmp_path / "pictures"))
        text = (
            text
            if kind == "conv"
            else text.replace('kind = "conv"', 'kind = "vgg"\ndepth = 11').replace("image_size = 8", "image_size = 32")
        )
        given = parse(text, overrides=few)
    found = pipeline.discover(given, tmp_path, log=lambda line: None, progress=lambda what, share: None, with_poison=False)
    told = found.arrays.foretold
    assert told is not None
    rows = [(s.aux_rows > 0, s.test_rows > 0) for s in found.subpopulations]
    assert [tuple(each) for each in np.isfinite([told.aux_AS[0], told.test_AS[0]]).T.tolist()] == rows
    assert np.abs(told.aux_AS[np.isfinite(told.aux_AS)]).max() > 1e-6
    victims = victims_of(given.model, found.dataset, given.seed)
    (fitted,) = victims.fit(training_of(found.dataset), [Job(np.empty(0, np.int64), np.empty(0, np.int64))], Trial(3, 0, How()))
    kernel, bias = victims.head(fitted)
    x = found.dataset.test.x[:9]
    logits = victims.hidden(fitted, x, How(), lambda what, share: None) @ kernel.detach().numpy() + bias.detach().numpy()
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    np.testing.assert_allclose(softmax(logits, axis=1), victims.probabilities(fitted, x, How()), atol=1e-5)
