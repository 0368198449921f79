"""What a report says of a run's defence: never that it helped where no interval shows it, and whom it hurt."""

from __future__ import annotations

from typing import Any

import pytest

from engine.export.defended import defended


def row(group: str, **cells: Any) -> dict[str, Any]:
    """Of the table `defenses`, at alpha 2."""
    return {
        "alpha": 2.0, "group": group, "subpopulation": None, "subpopulations": 27, "damage_without": 0.2, "damage_defended": 0.1,
        "damage_random": 0.19, "difference": -0.1, "difference_low": -0.15, "difference_high": -0.05, "beyond_random": -0.09,
        "beyond_low": -0.16, "beyond_high": -0.02, "poison_recall": 0.5, "precision": 0.25, "removed_own": 0.3, "removed_others": 0.02,
        "cost": 0.01, "cost_elsewhere": -0.002, **cells,
    }  # fmt: skip


def said(section: dict[str, Any], *rows: dict[str, Any]) -> str:
    return "\n".join(defended(section, rows, 2.0))


def test_it_says_what_was_done_what_came_of_it_and_beside_what() -> None:
    text = said({"kind": "trim", "rounds": 5, "budget": "oracle"}, row("all"), row("all", alpha=1.0, damage_defended=0.9))
    assert "chosen anew 5 times (TRIM), as many as there was poison (which no defender knows)." in text
    assert "lost 0.200 on average without it, 0.100 with it, and 0.190 where as many rows were removed at random" in text
    assert "With minus without: -0.100 [-0.150, -0.050]; with minus random: -0.090 [-0.160, -0.020]." in text
    assert "On average it helped, and more than removing as many at random." in text
    assert "caught 50 % of the poison, and took 30 % of the targets' own clean rows and 2.0 % of the others'; 25 % of what it took" in text
    assert said({"kind": "loss_filter", "budget": 0.05}, row("all")).count(", 5.0 % of train.") == 1


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        ({"difference_high": 0.01}, "On average neither help nor harm is shown."),
        ({"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15}, "On average it made the damage larger."),
        ({"beyond_high": 0.01}, "On average it helped, but removing as many at random is not shown to help less."),
        ({"difference_low": None, "difference_high": None}, "Two trials or more are needed to say whether that is more than chance."),
    ],
)
def test_it_claims_no_more_than_the_intervals_show(cells: dict[str, Any], verdict: str) -> None:
    assert said({"kind": "knn", "action": "remove"}, row("all", **cells)).count(verdict) == 1


def test_it_names_whom_it_helped_and_whom_it_hurt_the_most_first() -> None:
    hurt = [row("one", subpopulation=n, difference=n / 10, difference_low=0.05, difference_high=0.9) for n in (1, 4, 2, 3)]
    unsure = row("one", subpopulation=9, difference=-0.5, difference_low=-1.0, difference_high=0.1)
    text = said({"kind": "spectral", "budget": 0.05}, row("all"), *hurt, unsure)
    assert "It helped none of 5 beyond chance" in text
    assert "It hurt 4 of 5 beyond chance" in text
    assert "#4 by 0.400; #3 by 0.300; #2 by 0.200 and 1 more." in text


def test_before_the_first_victim_it_says_so() -> None:
    assert "No defended victim is trained yet." in said({"kind": "trim"})
