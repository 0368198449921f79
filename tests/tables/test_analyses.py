"""The tables of sections 5.4 and 5.5 and of how much poison it takes, held to worlds whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import normalized_mutual_info_score

from engine import paper
from engine.arrays import Annotations, DiscoveryArrays
from engine.errors import RequestError, UnknownName
from engine.evaluation import dose
from engine.evaluation.association import association
from engine.evaluation.confidence import spearman_interval
from engine.evaluation.deconvolve import deconvolve
from engine.evaluation.groups import groups
from engine.evaluation.prediction import Interval, of_half, of_mean
from engine.rows import Dataset, Rows
from engine.scenario.sections import FeatureMatchSection
from engine.subpopulations import annotated
from engine.tables.build import build
from engine.tables.groups import Choice
from engine.tables.groups import groups as made_groups
from engine.tables.matchers import Side, matchers
from engine.tables.world import World
from tests.worlds.evaluation import FACTS, discovered, victims


def rows_of(table):
    return [{column.name: cell for column, cell in zip(table.spec.columns, row, strict=True)} for row in table.rows]


@pytest.fixture(scope="module")
def built():
    found = discovered()
    facts = replace(FACTS, alphas=(0.5, 1.0), trials=3)
    return build(World.start(facts, found, victims(found)))


# ---- the distribution -----------------------------------------------------------------------------------------------


def test_noise_is_taken_out_of_a_share() -> None:
    random = np.random.default_rng(0)
    true = np.where(random.random(300) < 0.7, 0.0, 0.3)
    se = np.full(300, 0.06)
    seen = true + se * random.standard_normal(300)
    mixture, share = deconvolve(seen, se), float((true > 0).mean())
    assert abs(mixture.share(0.05) - share) < 0.02 < 0.1 < (seen >= 0.05).mean() - share
    low, high = mixture.copies().share(0.15)
    assert low <= share <= high
    assert mixture.quantile(0.5) < 0.03
    assert abs(mixture.mean() - true.mean()) < 0.01


def test_no_damage_has_no_share_above_nothing() -> None:
    shares = []
    for seed in range(20):
        seen = 0.05 * np.random.default_rng(seed).standard_normal(80)
        shares.append(deconvolve(seen, np.full(80, 0.05)).share(0.0))
    assert np.mean(shares) < 0.1  # as they are, half of them lie above


def test_without_noise_nothing_is_corrected() -> None:
    damage = np.array([0.0, 0.0, 0.1, 0.4])
    mixture = deconvolve(damage, np.full(4, 1e-6))
    assert mixture.share(0.09) == pytest.approx(0.5, abs=0.01)
    assert mixture.share(0.3) == pytest.approx(0.25, abs=0.01)


def test_distribution_rows(built) -> None:
    rows = {(row["alpha"], row["group"], row["at"]): row for row in rows_of(built["distribution"])}
    shares = [rows[1.0, "share", at]["as_published"] for at in (0.0, 0.05, 0.1, 0.2, 0.25)]
    assert shares == sorted(shares, reverse=True)
    assert rows[1.0, "share", 0.25]["as_published"] == 0.25  # one of the four that the size filter leaves
    assert rows[1.0, "mean", None]["low"] <= rows[1.0, "mean", None]["corrected"] <= rows[1.0, "mean", None]["high"]
    assert rows[1.0, "share", 0.1]["predicted_low"] <= rows[1.0, "share", 0.1]["predicted_high"]


def test_published_shares_stand_at_alpha_two() -> None:
    found = discovered()
    moved = [replace(v, spec=replace(v.spec, alpha=None if v.spec.alpha is None else 2 * v.spec.alpha)) for v in victims(found)]
    facts = replace(FACTS, alphas=(1.0, 2.0), reproduces="Table 5, UTKFace VGG-FT", system=paper.SYSTEMS["UTKFace VGG-FT"])
    rows = rows_of(build(World.start(facts, found, moved), ["distribution"])["distribution"])
    published = {(row["alpha"], row["at"]): (row["published"], row["published_as"]) for row in rows if row["published"] is not None}
    assert published == {(2.0, 0.25): (0.5, "Section 5.4, sure"), (2.0, 0.147): (0.9, "Section 5.4, sure")}
    assert all(row["outside"] in ("", "above", "below") for row in rows if row["published"] is not None)


# ---- predictions ----------------------------------------------------------------------------------------------------


def test_a_published_value_is_marked_where_it_lies_outside() -> None:
    assert Interval(0.1, 0.3).outside(0.2) == ""
    assert Interval(0.1, 0.3).outside(0.31) == "above"
    assert Interval(0.1, 0.3).outside(0.09) == "below"
    assert Interval().outside(0.2) is Interval(0.1, 0.3).outside(None) is None


def test_means_of_others_are_predicted() -> None:
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        interval, other = of_mean(random.standard_normal(10).tolist(), 5), random.standard_normal(5).mean()
        assert interval.low is not None
        assert interval.high is not None
        inside += max(interval.low, -1) < other < min(interval.high, 1) or abs(other) > 1
    assert inside / 400 > 0.9
    assert of_half(0.2, 0.1, 3, 3) == Interval(pytest.approx(0.2 - 0.1 * 2**0.5), pytest.approx(0.2 + 0.1 * 2**0.5))


def test_worst_says_what_another_would_have_published(built) -> None:
    for row in rows_of(built["worst"]):
        assert row["predicted_low"] < row["as_published"] + 0.05
        assert row["predicted_high"] > row["as_published"] - 0.05
        assert row["outside"] in ("", "above", "below")


def test_spearman_has_an_interval(built) -> None:
    (row,) = [row for row in rows_of(built["confidence"]) if (row["alpha"], row["group"]) == (1.0, "all")]
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]
    wide, narrow = spearman_interval(0.5, 10), spearman_interval(0.5, 1000)
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high
    assert spearman_interval(0.5, 30, 30).low < spearman_interval(0.5, 30).low
    assert spearman_interval(0.5, 4) == Interval()


# ---- dose -----------------------------------------------------------------------------------------------------------


def test_the_curve_is_isotonic_and_starts_at_zero() -> None:
    fitted = dose.isotonic(np.array([[0.2, 0.1, 0.5], [-0.1, 0.3, 0.2], [0.1, 0.2, 0.3]]), np.array([1, 1, 1]))
    assert fitted == pytest.approx(np.array([[0.15, 0.15, 0.5], [0, 0.25, 0.25], [0.1, 0.2, 0.3]]))
    assert dose.isotonic(np.array([[0.2, 0.1]]), np.array([3, 1]))[0] == pytest.approx([0.175, 0.175])


def test_where_the_curve_reaches_a_level() -> None:
    alphas = np.array([0.5, 1.0, 2.0])
    at = dose.crossing(alphas, np.array([[0.1, 0.3, 0.3], [0.4, 0.4, 0.4], [0.0, 0.1, 0.19], [0.0, 0.0, 0.2]]), 0.2)
    assert at == pytest.approx([0.75, 0.25, inf, 2.0])


def test_the_interval_of_the_alpha_narrows_with_the_error() -> None:
    alphas, damage, trials = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.2, 0.4]), np.array([5, 5, 5])
    wide, narrow = (dose.needed(alphas, damage, trials, np.full(3, se), np.full(3, 10.0), 0.2) for se in (0.08, 0.01))
    assert wide is not None
    assert narrow is not None
    assert wide.alpha == narrow.alpha == 1.0
    assert wide.low < narrow.low <= 1.0 <= narrow.high < wide.high
    alone = dose.needed(alphas, damage, trials, np.full(3, np.nan), np.full(3, np.nan), 0.2)
    assert (alone.low, alone.high) == (None, None)


def test_dose_rows_say_beyond_in_words(built) -> None:
    rows = {row["subpopulation"]: row for row in rows_of(built["dose"])}
    assert rows[3]["alpha"] < 1
    assert rows[3]["points"] == int(np.ceil(rows[3]["alpha"] * 42))
    assert rows[4]["needed"] == "> 1"
    assert (rows[4]["alpha"], rows[4]["points"]) == (None, None)
    assert rows[4]["points_needed"] == "> 53"
    assert rows[3]["curve"].startswith("0:0 0.5:0.333")


# ---- groups and attributes ------------------------------------------------------------------------------------------


def test_association_agrees_with_scikit_learn_and_knows_chance() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(0, 8, 500), random.integers(0, 5, 500)
    right[:200] = left[:200] % 5
    table = np.zeros((9, 5), int)
    np.add.at(table, (left, right), 1)
    found = association(table)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(left, right))
    assert 0 < found.cramers_v < 1
    assert found.p < 1e-6
    alone = association(np.outer([10, 20], [3, 7]))
    assert (alone.nmi, alone.cramers_v) == (pytest.approx(0), 0)
    same = association(np.diag([50, 60, 70]))
    assert same.nmi == pytest.approx(1)
    assert same.cramers_v == pytest.approx(1, abs=0.02)
    assert association(np.array([[5, 6]])).nmi is None


def test_groups_are_corrected_for_how_many_were_looked_at() -> None:
    random = np.random.default_rng(0)
    clean = random.random((4, 2000)) < 0.9
    poisoned = clean & (random.random((4, 2000)) < 0.98)
    poisoned[:, :100] &= random.random((4, 100)) < 0.5
    members = [np.arange(100), np.arange(100, 110), *(np.arange(lo, lo + 100) for lo in range(200, 2000, 100))]
    found = groups(clean, poisoned, members, 30)
    assert found.looked_at == 19
    assert found.q[0] < 0.01
    assert np.isnan(found.p[1])
    assert found.damage[0] == pytest.approx(clean[:, :100].mean() - poisoned[:, :100].mean())
    assert found.low_all[0] < found.low[0] < found.damage[0] < found.high[0] < found.high_all[0]
    assert (found.q[2:] >= found.p[2:]).all()


def test_annotations_are_coded_cut_and_come_back_from_the_store() -> None:
    def rows(n: int, first: int) -> Rows:
        place = np.arange(first, first + n)
        frame = pd.DataFrame(
            {"sex": np.where(place % 3 == 0, "Female", "Male"), "hours": place, "one": "same", "name": [f"n{i}" for i in place],
             "age": place % 60, "flag": np.where(place % 2, "red", "blue")}
        )  # fmt: skip
        return Rows(np.zeros((n, 1), np.float32), np.zeros(n, int), place, frame)

    dataset = Dataset("table", ("a", "b"), (), rows(80, 0), rows(80, 100), rows(60, 200))
    section = FeatureMatchSection(features=("age",), bins={"age": (30, 45)})
    annotations = annotated(section, dataset)
    levels, codes = annotations.levels, annotations.codes
    assert list(levels) == ["sex", "hours", "age", "flag"]  # one level, and as many as rows, tell nothing
    assert levels["sex"] == ("Female", "Male")
    assert levels["age"] == ("under 30", "30–44", "45+")
    back = Annotations.from_names(Annotations(levels, codes).by_name())
    assert back.levels == levels
    assert all((back.codes[c] == codes[c]).all() and back.codes[c].dtype == np.int32 for c in codes)
    assert [levels["sex"][c] for c in codes["sex"][:2]] == ["Male", "Female"]
    assert Annotations.from_names({}).by_name() == {}


def test_attributes_tell_how_clusters_and_annotations_agree() -> None:
    found = discovered()
    member = found.membership.test
    annotations = Annotations({"odd": ("no", "yes"), "dice": ("a", "b")}, {"odd": member % 2, "dice": np.arange(len(member)) % 2})
    tables = build(World.start(FACTS, replace(found, arrays=DiscoveryArrays(annotations=annotations))))
    rows = rows_of(tables["attributes"])
    assert [row["attribute"] for row in rows] == ["odd", "dice"]
    assert rows[0]["cramers_v"] > 0.9 > 0.4 > rows[1]["cramers_v"]
    assert rows[0]["nmi"] > rows[0]["nmi_by_chance"]
    assert rows[0]["strongest"].endswith(")")
    assert "attributes" not in build(World.start(FACTS, found))


# ---- made at export -------------------------------------------------------------------------------------------------


def test_groups_of_a_chosen_attack_hardest_hit_first() -> None:
    found, results = discovered(), victims(discovered())
    member = found.membership.test
    codes = {"half": np.where(member == 3, 0, 1), "dice": np.arange(len(member)) % 3}

    annotations = Annotations({"half": ("the third", "the rest"), "dice": ("a", "b", "c")}, codes)
    annotated = replace(found, arrays=DiscoveryArrays(annotations=annotations))
    rows = rows_of(made_groups(FACTS, annotated, results))
    assert {(row["subpopulation"], row["alpha"]) for row in rows} == {(3, 1.0)}  # the worst at the largest alpha
    assert (rows[0]["attribute"], rows[0]["group"], rows[0]["inside"]) == ("half", "the third", 1.0)
    damage = {row["subpopulation"]: row for row in rows_of(build(World.start(FACTS, found, results))["damage"]) if row["alpha"] == 1.0}
    assert rows[0]["damage"] == pytest.approx(damage[3]["damage"], abs=1e-12)
    assert rows[0]["hit"] is True
    assert rows[0]["looked_at"] == 5
    assert rows[0]["rows_of_others"] == 0, "the group is the target: nobody else is in it"
    assert rows[0]["damage_of_others"] is rows[0]["hit_of_others"] is None
    for row in rows[1:]:  # what it owes to the target's own rows is taken out, by a loop that shares nothing
        outside = np.flatnonzero((codes[row["attribute"]] == annotations.levels[row["attribute"]].index(row["group"])) & (member != 3))
        right: dict[str, list[np.ndarray]] = {"clean": [], "poisoned": []}
        for victim in results:
            if victim.spec.arm == "clean" or (victim.spec.arm, victim.spec.subpopulation, victim.spec.alpha) == ("poisoned", 3, 1.0):
                right[victim.spec.arm].append((victim.predictions == np.asarray(found.y_test))[outside])
        assert row["rows_of_others"] == len(outside)
        assert row["damage_of_others"] == pytest.approx(np.mean(right["clean"]) - np.mean(right["poisoned"]), abs=1e-12)
        assert row["low_of_others"] <= row["damage_of_others"] <= row["high_of_others"]
        assert row["damage"] > row["damage_of_others"] or row["inside"] == 0.0
    crossed = rows_of(made_groups(FACTS, annotated, results, Choice(1, 0.5, (("half", "dice"),))))
    assert {row["attribute"] for row in crossed} == {"half", "dice", "half × dice"}
    assert {(row["subpopulation"], row["alpha"]) for row in crossed} == {(1, 0.5)}
    with pytest.raises(RequestError, match="no attack on subpopulation 6"):
        made_groups(FACTS, annotated, results, Choice(6))
    with pytest.raises(UnknownName, match="did you mean 'dice'"):
        made_groups(FACTS, annotated, results, Choice(by=(("half", "dic"),)))
    with pytest.raises(RequestError, match="no annotations"):
        made_groups(FACTS, found, results)


def test_matchers_stand_side_by_side(built) -> None:
    def side(run_id: str, kind: str, **more: object) -> Side:
        scenario = {"subpopulations": {"kind": kind}, "dataset": {"kind": "a"}, "model": {}, "adversary": {}, "seed": 0}
        return Side(run_id, {**scenario, "attack": {"kind": "label_flip", "per": "aux"}, **more}, built["worst"], built["damage"])

    rows = rows_of(matchers([side("c", "cluster_match"), side("f", "feature_match"), side("x", "cluster_match", dataset={"kind": "b"})]))
    assert {(row["feature_run"], row["cluster_run"]) for row in rows} == {("f", "c"), (None, "x")}
    pair = next(row for row in rows if row["cluster_run"] == "c" and row["k"] == 1)
    assert (pair["difference"], pair["published"], pair["note"]) == (0, None, None)
    assert pair["low"] < 0 < pair["high"]
    assert pair["cluster_attacked"] == 6
    alone = next(row for row in rows if row["cluster_run"] == "x")
    assert alone["note"] == "alone: run f differs in dataset.kind (b here, a there)"
    assert alone["difference"] is None


def test_matchers_say_which_key_differs(built) -> None:
    def side(run_id: str, kind: str, rows: int | None, epochs: int, model: str = "mlp") -> Side:
        scenario = {"subpopulations": {"kind": kind}, "dataset": {"kind": "a", "rows": rows}, "adversary": {"rows": 1.0}, "seed": 0}
        keys = {"model": {"kind": model, "epochs": epochs, "hidden": [10]}, "attack": {"kind": "label_flip", "per": "aux"}}
        return Side(run_id, {**scenario, **keys}, built["worst"], built["damage"])

    def note(one: Side, *others: Side) -> str:
        return next(row["note"] for row in rows_of(matchers([one, *others])) if one.run_id in (row["feature_run"], row["cluster_run"]))

    full, few = side("f", "feature_match", None, 30), side("c", "cluster_match", 400, 10)
    assert note(full, few) == "alone: run c differs in dataset.rows (none here, 400 there), model.epochs (30 here, 10 there)"
    assert note(few, full) == "alone: run f differs in dataset.rows (400 here, none there), model.epochs (10 here, 30 there)"
    assert note(full, side("l", "cluster_match", None, 10, "logistic")) == "alone: run l differs in model.kind (mlp here, logistic there)"
    assert note(full) == "alone: no run of the other matcher is among these"
