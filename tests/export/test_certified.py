"""What a report says is proven: what so many parts can give at most first, then for whom, and at what price."""

from __future__ import annotations

from typing import Any

from engine.export.certified import certified


def row(group: str, **cells: Any) -> dict[str, Any]:
    """Of the table `certificates`, at alpha 1."""
    return {
        "alpha": 1.0, "group": group, "subpopulation": None, "points": 20.5, "certified": 0.6, "certified_right": 0.5,
        "ensemble_accuracy": 0.78, "clean_accuracy": 0.81, "withstood": 9, "withstood_right": 8, "smallest_part": 126,
        "out_of_reach": 0.25, "attacked": True, **cells,
    }  # fmt: skip


def said(*rows: dict[str, Any], rounded: str = "") -> str:
    return "\n".join(certified(50, rows, rounded))


def test_what_can_be_given_at_most_is_said_first_and_then_the_price() -> None:
    text = said(row("test set"), row("all"), row("one", subpopulation=3, points=22))
    assert text.index("against more than 25 points") < text.index("right on 0.780 of all test rows") < text.index("At alpha 1")
    assert "without poison, on 0.810: that is the price" in text
    assert "whatever 9 inserted points are (8 if it is to be right too); the smallest part has 126 rows" in text
    assert "fewer than half are right at all" in said(row("test set", withstood_right=None))
    assert "rounding" not in text
    assert "up to rounding: so and so." in said(row("test set"), rounded="so and so")


def test_of_each_alpha_the_worst_and_the_best_of_those_attacked_stand_beside_the_mean() -> None:
    one = [
        row("one", subpopulation=at, points=10 * at, certified=c, certified_right=r, out_of_reach=float(at > 2))
        for at, (c, r) in enumerate([(0.4, 0.4), (0.9, 0.7), (0.2, 0.1), (0.0, 0.0)])
    ]
    text = said(row("test set"), row("all"), *one, row("one", subpopulation=9, certified_right=1.0, attacked=False))
    assert "(20.5 points on average) 60 % of a subpopulation's test rows are certified on average, 50 % certified and right" in text
    assert "from 0.0 % (#3, 30 points) to 70 % (#1, 10 points); 1 of 4 get more points than any row can withstand." in text
    assert "certified and right: none of any; 1 of 1 get more" in said(row("test set"), row("all"), one[3])


def test_before_the_last_model_nothing_is_proven() -> None:
    assert "The models are not all trained yet." in said()
