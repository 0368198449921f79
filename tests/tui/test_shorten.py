"""Descriptions cut to a width: what sets them apart can still be read."""

from __future__ import annotations

import random

from rich.cells import cell_len

from tests.worlds.app import PLACES
from tui.presenters.shorten import shortened

MEN = [
    "White men over 60, married, hours-per-week 40–50",
    "White men over 60, married, hours-per-week 50+",
    "White men over 60, divorced, Craft-repair",
    "White men over 60, divorced, Sales",
]


def test_what_all_share_gives_way_and_what_differs_stays() -> None:
    assert list(shortened(MEN, 30).values()) == [
        "White me… hours-per-week 40–50",
        "… married, hours-per-week 50+",
        "White… divorced, Craft-repair",
        "White men ove… divorced, Sales",
    ]


def test_what_fits_is_left_alone_and_what_nobody_shares_is_cut_at_its_end() -> None:
    assert shortened(MEN, 60) == {}
    one = "education-num 13+, Married-civ-spouse, hours-per-week 40–50"
    assert shortened([one, "digit 4"], 30) == {one: "education-num 13+, Married-ci…"}


def test_texts_that_have_no_conditions_are_shown_from_where_they_part() -> None:
    pair = ["reviews that speak of the acting of its stars", "reviews that speak of the acting of its extras"]
    assert list(shortened(pair, 24).values()) == ["reviews that speak…stars", "reviews that spea…extras"]


def test_every_crossing_of_three_features_can_be_told_from_the_others() -> None:
    texts = [
        f"race {race}, sex {sex}, age {age}"
        for race in ("White", "Black", "Asian")
        for sex in ("Male", "Female")
        for age in range(20, 60, 10)
    ]
    for width in (24, 20):
        cut = shortened(texts, width)
        said = [cut.get(text, text) for text in texts]
        assert len(set(said)) == len(texts), [text for text in said if said.count(text) > 1]
        assert max(map(cell_len, said)) <= width


def test_many_that_differ_in_several_places_stay_apart() -> None:
    whom = ("White men over 60", "White women under 30", "Asian men over 60", "Black women 30–45")
    school = ("13+", "9–12")
    texts = [
        f"{whom[i // 20]}, married, education-num {school[i % 2]}, hours-per-week {30 + i % 10}–{45 + i % 10}, {PLACES[i % 8]}"
        for i in range(80)
    ]
    for width in (25, 36):
        cut = shortened(texts, width)
        assert len(cut) == len(texts)
        assert len(set(cut.values())) == len(texts)


def test_whatever_stands_there_the_width_is_kept_and_none_is_empty() -> None:
    dice = random.Random(4)
    words = ["男性", "über 60", "a" * 50, "x", ", ", "married", "…", ""]
    for _ in range(300):
        texts = {", ".join(dice.choice(words) for _ in range(dice.randint(1, 5))) for _ in range(dice.randint(1, 8))}
        width = dice.randint(4, 40)
        for text, short in shortened(texts, width).items():
            assert 0 < cell_len(short) <= width < cell_len(text)
