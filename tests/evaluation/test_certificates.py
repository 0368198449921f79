"""What votes certify: a toy case by hand, every case by trying, and whole subpopulations against a plain loop."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from engine.errors import BadData
from engine.evaluation.certificates import Ensemble, certified, counted, most_points, withstood
from engine.rows import PartResult

# five models, three classes: what each says of a row, the vote, and how many points it withstands
BY_HAND = (
    ((0, 0, 0, 0, 0), 0, 2),  # 5 votes to 0: after 2 points 3 to 2, after 3 points 2 to 3
    ((2, 2, 2, 2, 2), 2, 2),  # class 0 would win a tie, which five votes cannot come to
    ((0, 0, 1, 1, 2), 0, 0),  # a tie, to the lower class; one point makes it 1 to 3
    ((1, 1, 2, 2, 0), 1, 0),
    ((0, 1, 1, 1, 2), 1, 0),  # 3 to 1 to 1: one point makes it 2 to 2 with class 0, which wins the tie
    ((2, 1, 1, 1, 2), 1, 0),  # 3 to 2
    ((0, 0, 0, 0, 2), 0, 1),  # 4 to 1: one point makes it 3 to 2
    ((1, 1, 1, 1, 0), 1, 1),
    ((0, 0, 0, 1, 2), 0, 1),  # 3 to 1 to 1: one point makes it 2 to 2, and the tie is won
)


def test_five_models_by_hand() -> None:
    says_KN = np.array([says for says, _, _ in BY_HAND], np.uint8).T
    of = certified(counted(says_KN, 3))
    assert of.vote_N.tolist() == [vote for _, vote, _ in BY_HAND]
    assert of.points_N.tolist() == [points for _, _, points in BY_HAND]
    # of so many points half of the nine rows withstand, and half of them and right where class 0 is true
    assert withstood(of.points_N) == 1
    assert withstood(of.points_N, of.vote_N == 0) is None
    assert withstood(of.points_N, of.vote_N <= 1) == 0
    assert withstood(of.points_N[:0]) is None
    # four models: a tie of two and two is possible, and the lower class wins it
    assert certified(np.array([[4, 0], [0, 4]])).points_N.tolist() == [2, 1]
    assert [most_points(k) for k in (2, 5, 50, 250)] == [1, 2, 25, 125]


@pytest.mark.parametrize(("k", "classes"), [(2, 2), (3, 3), (4, 3), (5, 3), (6, 2), (4, 4), (3, 1)])
def test_no_fewer_changed_votes_move_it_and_one_more_does(k: int, classes: int) -> None:
    """By trying: every way for k models to vote, and every other way as far from it as the certificate and one further."""
    ways = np.array(list(product(range(classes), repeat=k)), np.uint8)
    of = certified(counted(ways.T, classes))
    votes = np.array([max(range(classes), key=lambda c, way=way: (list(way).count(c), -c)) for way in ways.tolist()])
    assert (of.vote_N == votes).all()
    apart = (ways[:, None] != ways[None]).sum(2)
    for row in range(len(ways)):
        moved = apart[row][votes != votes[row]]
        if len(moved):
            assert of.points_N[row] == moved.min() - 1
            assert of.points_N[row] <= most_points(k)


def test_models_that_do_not_fit_the_run_are_refused() -> None:
    y = np.array([0, 1, 1])

    def part(number: int, *says: int) -> PartResult:
        return PartResult(number, 10, np.array(says, np.uint8), 1, 0.5)

    ensemble = Ensemble(2, 2, y)
    assert not ensemble.complete
    ensemble.add([part(0, 0, 1, 0)])
    ensemble.add([part(1, 0, 1, 1), part(0, 1, 0, 1)])  # the second of a number is passed over
    assert ensemble.complete
    assert ensemble.certified.vote_N.tolist() == [0, 1, 0]
    assert ensemble.right_N.tolist() == [True, True, False]
    for wrong in (part(2, 0, 0, 0), part(-1, 0, 0, 0), part(1, 0, 0), part(1, 0, 0, 2)):
        with pytest.raises(BadData):
            Ensemble(2, 2, y).add([wrong])
    assert not Ensemble(0, 2, y).complete
