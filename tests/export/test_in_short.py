"""The first page of a report and the report as one HTML file: what they say of made-up tables, and that nothing is loaded from outside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.account.data import ColumnAccount, DataAccount, SplitAccount
from engine.export.everything import export_all
from engine.export.in_short import _at, _curve, in_short
from engine.export.page import page
from engine.rows import RunRow
from engine.store import Store
from tests.export.test_export import run, store  # noqa: F401 - fixtures

ROW = {
    "alpha": 2.0, "vulnerable": True, "low": 0.26, "high": 0.92, "clean_accuracy": 1.0, "poisoned_accuracy": 0.4, "trials": 10,
    "poison_share": 0.17, "poison_points": 277.4, "test_rows": 85,
}  # fmt: skip
DAMAGE = [
    {**ROW, "subpopulation": 3, "description": "White men over 60", "damage": 0.6},
    {**ROW, "subpopulation": 8, "description": "a|b <c>", "damage": 0.7, "vulnerable": False},
    {**ROW, "subpopulation": 9, "description": "at another alpha", "alpha": 1.0, "damage": 0.9},
]
WORST = {"alpha": 2.0, "k": 5, "chosen_corrected": "3 8", "corrected": 0.21, "low": 0.07, "high": 0.4, "eligible": 2, "attacked": 2}
GROUP = {"subpopulation": 3, "description": "White men over 60", "rows": 30, "looked_at": 12, "clean_accuracy": 0.94}
GROUPS = [
    {**GROUP, "attribute": "race", "group": "Asian men", "inside": 0.0, "damage": 0.43, "hit": True,
     "rows_of_others": 30, "clean_of_others": 0.94, "poisoned_of_others": 0.51, "damage_of_others": 0.43, "hit_of_others": True},
    {**GROUP, "attribute": "sex", "group": "men", "inside": 0.25, "damage": 0.15, "hit": True,
     "rows_of_others": 77, "clean_of_others": 0.945, "poisoned_of_others": 0.932, "damage_of_others": 0.013, "hit_of_others": False},
    {**GROUP, "attribute": "age", "group": "over 60", "inside": 1.0, "damage": 0.54, "hit": True,
     "rows_of_others": 0, "clean_of_others": None, "poisoned_of_others": None, "damage_of_others": None, "hit_of_others": None},
]  # fmt: skip
DOSE = [
    {"subpopulation": 3, "description": "White men over 60", "curve": "0:0 1:0.1 2:0.6", "points_needed": "166", "points": 166,
     "alpha": 1.2, "largest": 2.0, "test_rows": 85},
    {"subpopulation": 8, "description": "small", "curve": "0:0 1:0.5 2:0.7", "points_needed": "4", "points": 4, "alpha": 0.4,
     "largest": 2.0, "test_rows": 9},
]  # fmt: skip


FORMED = [{"subpopulation": s, "attacked": s != 4, "target_label": "good" if s == 4 else "bad"} for s in (3, 4, 8)]
VICTIMS = [
    {"arm": "clean", "subpopulation": None, "alpha": None, "target_right": None, "target_total": None, "rest_right": 90, "rest_total": 100},
    {"arm": "poisoned", "subpopulation": 3, "alpha": 2.0, "target_right": 10, "target_total": 20, "rest_right": 70, "rest_total": 80},
    {"arm": "poisoned", "subpopulation": 3, "alpha": 1.0, "target_right": 1, "target_total": 20, "rest_right": 1, "rest_total": 80},
]


def said(tables: dict[str, list[dict[str, Any]]], groups: list[dict[str, Any]], toml: str = "", account: DataAccount | None = None) -> str:
    row = RunRow.__new__(RunRow)
    object.__setattr__(row, "id", "a1b2c3")
    object.__setattr__(row, "scenario_toml", toml)
    return "\n".join(in_short(row, tables, groups, account))


def test_the_first_page_answers_who_how_sure_at_what_cost_who_else_and_what_next() -> None:
    toml = '[dataset]\npath = "/home/somebody/loans.csv"\n[model]\nkind = "mlp"\n[attack]\nkind = "label_flip"\n[adversary]\nrows = 0.25'
    text = said({"damage": DAMAGE, "worst": [WORST], "dose": DOSE, "subpopulations": FORMED, "victims": VICTIMS}, GROUPS, toml)
    assert "a small neural network (mlp) is trained on, loans.csv" in text
    assert "They hold 25 % of the auxiliary rows of their own" in text
    assert "give the copies the label bad" in text
    assert "- **White men over 60** (#3): accuracy falls by 0.600 [0.260, 0.920], from 1.000 to 0.400, for 277 rows, 17 % of train" in text
    assert "(85 test rows; vulnerable)." in text
    assert "**a\\|b \\<c>** (#8)" in text
    assert "not told from chance" in text
    assert "at another alpha" not in text
    assert "damage of 0.210 [0.070, 0.400] on the average of the five" in text
    assert "2 subpopulations were attacked; 2 of them have enough test rows" in text
    assert "1 of 2 are vulnerable" in text
    # .2 lies a fifth of the way from alpha 1 to 2: 1.2 x 138 points; the small one is cheaper and not named
    assert "A damage of 0.2 is reached on 2 of 2; the cheapest, White men over 60 (#3), takes about 166 rows (alpha 1.2" in text
    assert "Under the worst attack (#3, White men over 60) the model is right on 0.800 of all test rows, without poison on 0.900" in text
    assert "race Asian men: from 0.940 to 0.510 (of 30 test rows outside the target)" in text
    assert "age over 60" not in text, "a group that is the target itself is nobody else"
    assert "sex men" not in text, "a quarter of them is the target, and the others lost nothing"
    assert "fewer than 30 test rows" not in text
    assert "That the 1 not called vulnerable are safe" in text
    assert "`subpop again a1b2c3 --only 3,8 --fresh`" in text
    assert "{label}" not in text


def test_others_who_are_spared_or_not_judged_are_told_apart() -> None:
    spared = [{**row, "hit_of_others": False} if row["hit_of_others"] else row for row in GROUPS]
    assert "Of 2 groups of rows equal in one column, each without the rows of its target (#3, White men over 60), none is damaged" in said(
        {"damage": DAMAGE}, spared
    )
    unjudged = [{**row, "hit_of_others": None} for row in GROUPS]
    assert "Whether other annotated groups are damaged cannot be said" in said({"damage": DAMAGE}, unjudged)


def test_the_first_page_tells_the_data() -> None:
    columns = (
        ColumnAccount("income", "number", features=1, leak=0.97), ColumnAccount("state", "one_hot", levels=9, features=9),
        ColumnAccount("id_*", "left_out", why="an identifier"), ColumnAccount("sex", "annotation"), ColumnAccount("paid", "label"),
    )  # fmt: skip
    splits = tuple(SplitAccount(name, n, (n - n // 4, n // 4)) for name, n in (("train", 1000), ("aux", 1000), ("test", 500)))
    account = DataAccount("table", ("yes", "no"), splits, (), 10, columns, 2, notes=("a note",))
    text = said(
        {"damage": DAMAGE, "victims": VICTIMS, "dose": DOSE, "subpopulations": [{**each, "target_label": "no"} for each in FORMED]},
        [],
        "",
        account,
    )
    assert "Trained on 1,000 rows (yes 75 %, no 25 %), judged on 500 others; who always says yes is right on 0.750 of these" in text
    assert "without poison the model is right on 0.900" in text
    assert "hardly or no better" not in text
    assert "The attack on a\\|b \\<c> adds 277 rows of no to the 250 of train" in text
    assert "Beside the label there are 4 columns, of which the model reads 2; it does not read id_\\*, sex" in text
    assert "They hold 1,000 rows of their own" in text
    assert "**It reads what may tell the label by itself: income**" in text
    assert "1 note on the data stands under About the data" in text


def test_the_first_page_of_a_run_without_victims_intervals_or_annotations() -> None:
    assert "No victim is trained yet" in said({"damage": []}, [])
    one = {**ROW, "subpopulation": 3, "description": "x", "damage": 0.2, "low": None, "high": None, "vulnerable": None, "trials": 1}
    text = said({"damage": [one], "worst": [{**WORST, "corrected": None, "low": None, "high": None}], "dose": []}, [], "not = [toml")
    assert "which are vulnerable cannot be said" in text
    assert "**x** (#3): accuracy falls by 0.200, from 1.000 to 0.400" in text
    assert "Nothing is annotated" in text
    assert "None" not in text


@pytest.mark.parametrize(("level", "alpha"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.35, 1.5), (0.6, 2.0), (0.61, None)])
def test_where_a_curve_reaches_a_damage(level: float, alpha: float | None) -> None:
    assert _at(_curve("0:0 1:0.1 2:0.6"), level) == (alpha if alpha is None else pytest.approx(alpha))


def test_the_page_holds_its_plots_and_loads_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.svg").write_text('<?xml version="1.0"?><svg><clipPath id="p"/><path clip-path="url(#p)"/></svg>')
    html = page("# T <b>\n\n![a plot](one.png)\n\n![another](two.png)\n\n![gone](three.png)\n\n| a |\n| --- |\n| 1 |\n", "T <b>", tmp_path)
    assert html.count("<svg") == 2
    assert set(re.findall(r'id="([^"]+)"', html)) == {"one-p", "two-p"}
    assert "url(#one-p)" in html
    assert "<p>gone</p>" in html
    assert "<td>1</td>" in html
    assert "<b>" not in html, "HTML of a title stays text"
    for word in ("<script", "http:", "https:", "src=", "<link", "@import"):
        assert word not in html, word


def test_a_runs_folder_has_the_page(store: Store, run: str, tmp_path: Path) -> None:  # noqa: F811
    export_all(store, [run], tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "What was asked." in html
    assert "<script" not in html
    assert not re.search(r"<img|<link|src=", html)
