"""What of the paper a run may be held against."""

from __future__ import annotations

import pytest

from engine.rows import Column, Table, TableSpec
from engine.runs import start as run
from engine.scenario.claim import claim_of, claimed, in_full, lead
from engine.scenario.identity import dump
from engine.scenario.parse import load, parse
from engine.scenario.presets import presets
from engine.store import Store

PUBLISHED = sorted(name for name in presets() if load(name).reproduces)
RANDOM = [name for name in PUBLISHED if load(name).model.kind in ("vgg", "bert")]


@pytest.mark.parametrize("name", presets())
def test_a_preset_claims_what_it_reproduces_and_its_sliver_nothing(name: str) -> None:
    assert claim_of(dump(load(name))) == (load(name).reproduces or "")
    assert claim_of(dump(load(name, smoke=True))) == ""


@pytest.mark.parametrize("name", RANDOM)
def test_from_random_weights_nothing_is_claimed(name: str) -> None:
    assert claim_of(dump(load(name, ["model.weights=random"]))) == ""


def test_of_ones_own_data_and_of_another_encoder_nothing_was_published() -> None:
    assert {"imdb-minilm-ll", "imdb-minilm-ft", "quickstart"}.isdisjoint(PUBLISHED)
    table = {"dataset": {"kind": "table", "path": "loans.csv"}, "model": {"kind": "mlp"}, "subpopulations": {"kind": "cluster_match"}}
    assert claimed({"reproduces": "Table 4, UCI Adult", **table}) == ""
    assert claim_of("not = [toml") == ""


def test_words_and_verdicts() -> None:
    adult = dump(load("adult-clustermatch"))
    assert (lead(claim_of(adult)), lead("")) == ("not the paper's", "to be known")
    assert in_full(adult, ())
    assert not in_full(adult, ("not as published: model.epochs",))
    assert not in_full(dump(load("quickstart")), ())


@pytest.mark.parametrize(
    ("preset", "overrides", "deviations", "verdict"),
    [
        ("adult-clustermatch", [], (), "above"),
        ("adult-clustermatch", ["model.epochs=2"], ("not as published: model.epochs",), None),
        ("quickstart", [], (), None),
    ],
)
def test_a_verdict_on_the_paper_is_read_of_runs_in_full_alone(
    preset: str, overrides: list[str], deviations: tuple[str, ...], verdict: str | None
) -> None:
    """The published value and the interval stand in any case."""
    columns = ("alpha", "published", "predicted_low", "predicted_high", "outside")
    spec = TableSpec("worst", tuple(Column(name, "text" if name == "outside" else "float") for name in columns), ("alpha",))
    with Store.open(":memory:") as store:
        row = run.start(store, parse(dump(load(preset, overrides))), spawn=False, check=False, deviations=deviations)
        store.write_tables(row.id, {"worst": Table(spec, ((1.0, 0.3, 0.1, 0.2, "above"),))})
        assert store.table(row.id, "worst").rows == ((1.0, 0.3, 0.1, 0.2, verdict),)
        _, changed, _ = store.table_changes(row.id, "worst", 0)
        assert list(changed.values()) == [(1.0, 0.3, 0.1, 0.2, verdict)]
