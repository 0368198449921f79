"""How long, how often and of how many rows a draft trains, by the rows there are: minutes on two cores, not days."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 5_000  # rows, up to which a draft has five trials
MOST_OF_SPLIT = 20_000  # rows of train that a draft uses; the others are a key away
SPLIT = (0.4, 0.4, 0.2)


@dataclass(frozen=True)
class Sizes:
    """train, aux: rows that are used of each; rows: dataset.rows, None for all."""

    train: int
    aux: int
    rows: int | None
    epochs: int
    batch: int
    lr: float
    trials: int


def sizes(usable: int) -> Sizes:
    """Of a table of so many rows that have a label."""
    train = int(usable * SPLIT[0])
    rows = MOST_OF_SPLIT if train > MOST_OF_SPLIT else None
    used = min(train, MOST_OF_SPLIT)
    batch = 16 if used < 300 else 32 if used < 1_500 else 100 if used < 5_000 else 200
    steps = 600 if used < 300 else 1_000 if used < 1_500 else 1_500
    epochs = max(10, min(100, round(steps * batch / max(1, used) / 5) * 5))
    return Sizes(used, used, rows, epochs, batch, 1e-3 if used >= 5_000 else 3e-3, 5 if usable <= SMALL else 3)
