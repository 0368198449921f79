"""Poison rates: how many points an alpha gives, and the other way round."""

from __future__ import annotations

from fractions import Fraction
from math import ceil


def count(alpha: float, size: int) -> int:
    """floor(alpha × size) of the alpha that was written: 0.29 of 100 is 29, though the float product is 28.999999999999996."""
    return int(Fraction(repr(float(alpha))) * size)


def points_of(alpha: float, size: int) -> int:
    """The fewest poison points that are at least alpha times the size."""
    return max(1, ceil(alpha * size - 1e-9))


def exact(points: int, size: int) -> float:
    """The shortest alpha that gives so many poison points of the size: floor(alpha × size) = points. ValueError where there is none."""
    for digits in range(2, 17):
        for alpha in (round(points / size, digits), round(points / size + 10.0**-digits, digits)):
            if count(alpha, size) == points:
                return alpha
    raise ValueError(f"no alpha gives {points} of {size}")
