"""What a run in the queue says of the runs before it."""

from __future__ import annotations

from dataclasses import replace

from engine.rows import RunRow
from engine.runs.queue import in_words


def row(**fields: object) -> RunRow:
    plain = RunRow(
        "5b1e0c", "quickstart", "Digits", "running", "training stack 2 of 3", "", "", 0.0, 0.0, None, 0.0, "here", 1, "cpu",
        120, 300, 0.4, 127.0, 85.0, "", (),
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def test_behind_which_run_how_many_victims_and_how_long() -> None:
    assert in_words([row()]) == "waiting for run 5b1e0c (quickstart): 120 of 300 victims, about 2 min 07 s left"


def test_one_that_is_at_its_discovery_says_what_it_is_at() -> None:
    at = row(victims_done=0, victims_total=0, phase="computing frozen features of 900 images, 41%", eta_s=30.0)
    left = "computing frozen features of 900 images, 41%, about 30 s left of this step"
    assert in_words([at]) == f"waiting for run 5b1e0c (quickstart): {left}"


def test_what_nobody_knows_is_not_told() -> None:
    assert in_words([row(eta_s=None)]).endswith("120 of 300 victims, how long is not known yet")
    assert in_words([row(state="paused", eta_s=None)]).endswith("120 of 300 victims, paused, so nobody knows how long")


def test_others_in_between_are_counted() -> None:
    assert in_words([row(), row(id="a"), row(id="b")]).endswith(" left; 2 more runs go before this one")
