"""What the lists of presets and runs say of each, short enough for a narrow terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.scenario.presets import describe
from engine.scenario.presets import presets as shipped
from engine.store import Store
from tests.worlds import app as worlds
from tui.presenters import presets, runs


@pytest.mark.parametrize(
    ("cost", "cells"),
    [
        ("15 s on two cores", ("15 s", None)),
        ("three months on two cores; made for a GPU", ("3 months", "GPU")),
        ("half a year on two cores; made for a GPU", ("6 months", "GPU")),
        ("a month on two cores; made for a GPU", ("1 month", "GPU")),
        ("8 days on two cores", ("8 days", None)),
        ("seconds on two cores, once its libraries are loaded", ("seconds", None)),
        ("20 min on one GPU", ("20 min on one GPU", "GPU")),
        ("who knows", ("who knows", None)),
        ("", (None, None)),
    ],
)
def test_a_cost_is_short_and_loses_nothing(cost: str, cells: tuple[str | None, str | None]) -> None:
    assert presets.cost_cells(cost) == cells


def test_every_shipped_preset_says_what_it_takes_in_eight_cells() -> None:
    costs = {name: describe(name, path).cost for name, path in shipped().items()}
    assert len(costs) > 10
    assert {name for name, cost in costs.items() if len(presets.cost_cells(cost)[0] or "?" * 9) > 8} == set()


def test_a_run_says_its_data_and_whether_its_numbers_are_what_its_name_promises(store: Store) -> None:
    run = store.run(worlds.make_run(store))
    assert (runs.dataset_words(run.scenario_toml), runs.caution(run)) == ("adult", "")
    few = ("1,500 of 7,841 train rows",)
    assert runs.caution(replace(run, deviations=few)) == "to know"
    claims = (
        'reproduces = "Table 4, UCI Adult"\n[dataset]\nkind = "adult"\n[model]\nkind = "mlp"\n[subpopulations]\nkind = "cluster_match"\n'
    )
    assert runs.caution(replace(run, scenario_toml=claims, deviations=few)) == "deviates"
    assert runs.caution(replace(run, deviations=("smoke: a sliver of the scenario", "1,500 of 7,841 train rows"))) == "smoke"
    assert runs.dataset_words('[dataset]\nkind = "table"\npath = "/home/ann/loans.csv"\n') == "loans.csv"
    assert runs.dataset_words("[dataset]\nkind = 3 =") is None
    assert runs.dataset_words("dataset = 4") is None
    names = [column.name for column in runs.SPEC.columns]
    cells = dict(zip(names, runs.run_cells(run), strict=True))
    assert (cells["dataset"], cells["caution"], cells["state"]) == ("adult", "", "done")
