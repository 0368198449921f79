"""Tables: pure functions of stored things, whole or not yet; specs that cost nothing; published numbers beside measured ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from engine import paper
from engine.rows import Dataset, Rows, Table
from engine.scenario.sections import FeatureMatchSection
from engine.subpopulations import feature_match
from engine.tables import columns as tables_columns
from engine.tables.build import build
from engine.tables.columns import MATERIALISED, SPECS
from engine.tables.world import World
from tests.worlds.evaluation import FACTS, discovered, victims


@pytest.fixture(scope="module")
def found():
    return discovered()


@pytest.fixture(scope="module")
def results(found):
    return victims(found)


@pytest.fixture(scope="module")
def built(found, results):
    return build(World.start(FACTS, found, results))


def rows_of(table: Table) -> list[dict[str, object]]:
    return [{column.name: cell for column, cell in zip(table.spec.columns, row, strict=True)} for row in table.rows]


def test_specs_import_without_numpy_pandas_pydantic_or_torch() -> None:
    heavy = "{'numpy', 'pandas', 'pydantic', 'torch', 'scipy', 'pyarrow'}"
    code = f"import sys, engine.tables.world, engine.tables.columns, engine.paper, engine.export.export; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize("name", SPECS)
def test_specs_are_sound(name: str) -> None:
    spec = SPECS[name]
    columns = [column.name for column in spec.columns]
    assert spec.name == name
    assert len(set(columns)) == len(columns)
    assert set(spec.key) <= set(columns)
    assert spec.help


@pytest.mark.parametrize("name", MATERIALISED)
def test_cells_are_plain_and_keys_unique_and_in_stable_order(built, name: str) -> None:
    table = built[name]
    kinds = {"text": str, "int": int, "fraction": float, "float": (float, int), "bool": bool}
    keys = []
    for row in rows_of(table):
        keys.append(tuple(row[column] for column in table.spec.key))
        for column in table.spec.columns:
            cell = row[column.name]
            assert cell is None or (isinstance(cell, kinds[column.kind]) and type(cell).__module__ == "builtins"), (column.name, cell)
            if isinstance(cell, float):
                assert cell == cell, column.name
            if column.kind == "fraction" and cell is not None:
                assert -1 <= cell <= 1
    assert len(set(keys)) == len(keys) > 0
    if name in ("victims", "damage", "subpopulations", "worst"):
        assert keys == sorted(keys)


def test_tables_do_not_depend_on_the_order_in_which_stacks_were_committed(found, results, built) -> None:
    world = World.start(FACTS, found)
    for part in (results[50:], results[:30], results[30:50]):
        world.add(part)
    assert build(world) == built


def test_before_the_first_victim_every_row_is_there_and_says_nothing(found) -> None:
    empty = build(World.start(FACTS, found))
    assert [row["damage"] for row in rows_of(empty["damage"])] == [None] * 12
    assert {row["trials"] for row in rows_of(empty["damage"])} == {0}
    assert len(empty["worst"].rows) == 6
    assert {row["note"] for row in rows_of(empty["worst"])} == {"corrected needs two complete trials"}
    assert empty["victims"].rows == ()
    assert len(empty["subpopulations"].rows) == 7


@pytest.mark.parametrize("share", [1, 2, 13, 14, 26, 40, 51])
def test_a_run_in_progress_has_tables_at_every_moment(found, results, share: int) -> None:
    built = build(World.start(FACTS, found, results[:share]))
    told = [row for row in rows_of(built["damage"]) if row["damage"] is not None]
    assert len(told) == len({(r.spec.subpopulation, r.spec.alpha) for r in results[:share] if r.spec.arm == "poisoned"})
    assert len(built["victims"].rows) == share


def test_damage_rows_say_what_a_reader_needs(found, built) -> None:
    rows = rows_of(built["damage"])
    assert [(row["alpha"], row["subpopulation"]) for row in rows] == [(alpha, s) for alpha in FACTS.alphas for s in range(6)]
    broken = rows[6 + 3]
    assert broken["vulnerable"] is True
    assert broken["damage"] == pytest.approx(broken["clean_accuracy"] - broken["poisoned_accuracy"])
    assert broken["poison_points"] == 42.0
    assert broken["poison_share"] == 42 / len(found.membership.train)
    assert broken["already_target"] == 10.0
    assert broken["target_given"] is None  # group 3 gets its label point by point
    assert rows[1]["target_given"] is not None
    assert abs(broken["off_target"]) < 0.2 < broken["damage"]
    assert abs(broken["true_label"]) < 0.2


def test_a_control_that_is_not_asked_for_is_not_told(found, results) -> None:
    rows = rows_of(build(World.start(replace(FACTS, controls=()), found, results), ["damage"])["damage"])
    assert {row["off_target"] for row in rows} == {None}


def test_a_subpopulation_that_is_the_whole_test_set_has_no_collateral_and_no_nan(found, results) -> None:
    everyone = replace(found, membership=replace(found.membership, test=np.full_like(found.membership.test, 3)))
    built = build(World.start(FACTS, everyone, results))
    whole = {(row["alpha"], row["group"]): row for row in rows_of(built["collateral"])}[1.0, "worst 1"]
    assert (whole["collateral"], whole["low"], whole["high"], whole["trials"]) == (None, None, None, 0)
    assert all(cell == cell for table in built.values() for row in table.rows for cell in row)


def test_victims_add_up(found, built) -> None:
    for row in rows_of(built["victims"]):
        assert (row["target_total"] or 0) + row["rest_total"] == len(found.y_test)
        assert (row["target_right"] is None) == (row["arm"] == "clean")
        assert row["rest_right"] <= row["rest_total"]


def test_worst_shows_the_k_really_used_and_the_published_value(built) -> None:
    rows = {(row["alpha"], row["k"]): row for row in rows_of(built["worst"])}
    ten = rows[0.5, 10]
    assert (ten["as_published_k"], ten["k_used"], ten["eligible"]) == (4, 5, 5)
    assert ten["published"] == 0.121
    assert ten["published_as"] == "Table 4, reading, about 97 %; rerun 0.121 and 0.115"
    assert ten["published_size"] == 41.1
    assert rows[1.0, 1]["chosen"] == "3"
    assert ten["low"] < ten["corrected"] < ten["high"]
    assert rows[1.0, 1]["as_published"] >= rows[1.0, 5]["as_published"]


def test_a_subpopulation_without_a_row_in_every_fold_is_not_eligible(found, results) -> None:
    test = found.membership.test.copy()
    test[3:5] = -1  # group 5 is left with three rows
    few = replace(found, membership=replace(found.membership, test=test))
    few = replace(few, subpopulations=tuple(replace(s, test_rows=int((test == s.index).sum())) for s in found.subpopulations))
    rows = rows_of(build(World.start(replace(FACTS, min_test_rows=1), few, results), ["worst"])["worst"])
    assert {(row["eligible"], row["k_used"]) for row in rows if row["k"] == 10} == {(5, 5)}
    assert all("5" not in row["chosen_corrected"].split() for row in rows)


def test_where_no_subpopulation_has_enough_test_rows_the_reason_is_told(found, results) -> None:
    built = build(World.start(replace(FACTS, min_test_rows=1000), found, results), ["worst"])
    for row in rows_of(built["worst"]):
        assert row["corrected"] is None
        assert row["as_published"] is not None
        assert "min_test_rows" in row["note"]


def test_collateral_of_the_worst_and_of_all(built) -> None:
    rows = {(row["alpha"], row["group"]): row for row in rows_of(built["collateral"])}
    assert rows[1.0, "worst 5"]["published"] == 0.014
    assert rows[1.0, "worst 5"]["published_as"] == "Table 6, reading"
    assert rows[0.5, "worst 5"]["published"] is None
    assert rows[1.0, "all"]["subpopulations"] == 6
    one = rows[1.0, "worst 1"]
    assert one["collateral"] == one["largest"]
    assert one["low"] < one["collateral"] < one["high"]


def test_confidence_groups(built) -> None:
    rows = {(row["alpha"], row["group"]): row for row in rows_of(built["confidence"])}
    assert [rows[1.0, g]["subpopulations"] for g in ("low", "mid", "high", "all")] == [2, 2, 2, 6]
    assert rows[1.0, "low"]["confidence"] == pytest.approx(0.525)
    assert rows[1.0, "high"]["confidence"] == pytest.approx(0.725)
    assert -1 <= rows[1.0, "all"]["spearman"] <= 1


def test_one_published_subpopulation_stands_beside_its_own(found, results) -> None:
    named = replace(found.subpopulations[2], description="education-num 9, Black, Female")
    alone = replace(found, subpopulations=(*found.subpopulations[:2], named, *found.subpopulations[3:]))
    system = replace(paper.SYSTEMS["UCI Adult"], matcher="feature_match")
    facts = replace(FACTS, alphas=(1.0, 2.0), reproduces="Section 5.5, UCI Adult", system=system)
    rows = rows_of(build(World.start(facts, alone, results), ["damage"])["damage"])
    assert [(row["alpha"], row["subpopulation"], row["published"]) for row in rows if row["published"] is not None] == [(2.0, 2, 0.147)]
    assert rows[8]["published_as"] == "Section 5.5, sure, from .914 to .767"


# ---- the paper's numbers --------------------------------------------------------------------------------------------


def test_published_numbers_are_found_by_what_a_scenario_reproduces() -> None:
    adult = paper.named("Table 4, UCI Adult")
    assert adult is not None
    assert adult.worst[2.0, 1].value == 0.667
    assert adult.worst[2.0, 1].certainty == "reading"
    assert adult.clean_accuracy is not None
    assert adult.clean_accuracy.value == 0.837
    vgg = paper.named("table 5,  CIFAR-10 VGG-FT")
    assert vgg is not None
    assert vgg is paper.named("Table 5, CIFAR-10")
    assert vgg.worst[1.0, 1].value == 0.738
    bert = paper.named("Table 4, IMDB")
    assert bert is not None
    assert ".130" in bert.worst[2.0, 1].remark


def test_uci_adult_is_read_as_the_other_rows_are_and_reruns_are_no_readings() -> None:
    adult = paper.named("Table 4, UCI Adult")
    assert adult is not None
    assert [adult.worst[alpha, k].value for alpha in (0.5, 1.0, 2.0) for k in (10, 5, 1)] == [
        0.121, 0.191, 0.333, 0.240, 0.343, 0.375, 0.224, 0.367, 0.667,
    ]  # fmt: skip
    assert {at for at, reading in adult.worst.items() if "85 %" in reading.remark} == {(0.5, 1), (2.0, 10)}
    assert all("97 %" in reading.remark for at, reading in adult.worst.items() if at not in ((0.5, 1), (2.0, 10)))
    assert [adult.rerun(alpha, 1) for alpha in (0.5, 1.0, 2.0)] == [(0.250, 0.354), (0.244, 0.384), (0.667, 0.701)]
    assert all(at in each.worst for each in adult.reruns for at in adult.worst)
    assert adult.reruns_say.startswith("At alpha 1 the paper's values are about twice")


def test_doubts_of_printed_numbers_are_remarked() -> None:
    utkface, small, large = (paper.named(name) for name in ("Table 4, UTKFace VGG-LL", "Table 4, IMDB", "Table 5, IMDB"))
    assert utkface is not None
    assert small is not None
    assert large is not None
    one, five, ten = (utkface.worst[1.0, k].value for k in (1, 5, 10))
    gap = (10 * ten - 5 * five) / 5 - (5 * five - one) / 4
    assert f"{gap:.4f}"[1:] in utkface.worst[1.0, 5].remark
    assert ".00053, a tenth" in large.collateral[1.0, 5].remark
    assert all("no alpha" in reading.remark for entry in (small, large) for reading in entry.confidence.values())


@pytest.mark.parametrize("text", [None, "", "Table 8, UTKFace", "UCI Adult"])
def test_where_nothing_was_published_there_is_none(text: str | None) -> None:
    assert paper.named(text) is None


@pytest.mark.parametrize("entry", paper.PUBLISHED.values(), ids=paper.PUBLISHED)
def test_published_worst_k_fall_with_k_and_rise_with_alpha_as_far_as_the_paper_says(entry: paper.Published) -> None:
    if not entry.worst:
        return
    assert set(entry.worst) == {(alpha, k) for alpha in (0.5, 1.0, 2.0) for k in (1, 5, 10)}
    for alpha in (0.5, 1.0, 2.0):
        assert entry.worst[alpha, 1].value >= entry.worst[alpha, 5].value >= entry.worst[alpha, 10].value


def test_utkfaces_single_subpopulations_are_named_as_feature_match_names_them() -> None:
    frame = pd.DataFrame({"race": ["White", "Black", "Asian", "Indian", "Other"], "age": [30, 16, 45, 59, 60]})
    rows = Rows(np.zeros((5, 1), np.float32), np.zeros(5, int), np.arange(5), frame)
    section = FeatureMatchSection(features=("race", "age"), bins={"age": (30, 45, 60)})
    names = feature_match.assign(section, Dataset("utkface", ("male", "female"), (), rows, rows, rows), None, 0)[1]
    for name in ("Section 5.5, UTKFace", "section 5.5, utkface vgg-ll", "Section 5.5, UTKFace VGG-FT"):
        published = paper.named(name)
        assert published is not None
        assert {description for description, _ in published.single} <= set(names)
        assert [reading.value for reading in published.single.values()] == [0.40, 0.152]


@pytest.mark.parametrize("system", ["VGG-LL", "VGG-FT"])
def test_table_8_is_known_and_holds_no_numbers(system: str) -> None:
    entry = paper.named(f"Table 8, UTKFace {system}")
    assert entry is not None
    assert (entry.worst, entry.single, entry.clean_accuracy) == ({}, {}, None)


def test_the_estimand_stands_in_the_help() -> None:
    columns = {column.name: column.help for column in tables_columns.SPECS["worst"].columns}
    assert "expected damage of an adversary who picks targets from past trials, given this split and clustering" in columns["corrected"]
