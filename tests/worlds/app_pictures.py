"""Pictures drawn here, of faces and things that never were, and a dataset of them small enough for a test."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from engine.preview.showing import thumbnails
from engine.rows import Dataset, Rows

CLASSES = ("cat", "dog", "ship")
RACES = ("White", "Black", "Asian", "Indian")
SKINS = ((236, 200, 176), (116, 80, 60), (228, 190, 150), (176, 128, 92))


def face(number: int, side: int = 48) -> np.ndarray:
    """uint8 [side, side, 3]: a head before a wall, the same for the same number."""
    draw = np.random.default_rng(number)
    y, x = np.mgrid[0:side, 0:side] / side
    wall = np.array([draw.integers(20, 200), draw.integers(20, 200), draw.integers(60, 230)])
    picture = wall * (0.6 + 0.4 * y[..., None]) * np.ones((side, side, 3))
    skin, hair = np.array(SKINS[number % 4]), draw.integers(10, 90, 3)
    head = ((x - 0.5) / 0.3) ** 2 + ((y - 0.55) / 0.38) ** 2 < 1
    picture[((x - 0.5) / 0.36) ** 2 + ((y - 0.45) / 0.4) ** 2 < 1] = hair
    picture[head] = (skin * (1.05 - 0.35 * np.abs(x - 0.45))[..., None])[head]
    for eye in (0.39, 0.61):
        picture[((x - eye) / 0.05) ** 2 + ((y - 0.5) / 0.03) ** 2 < 1] = 25
    picture[(np.abs(x - 0.5) < 0.1) & (np.abs(y - 0.72) < 0.02)] = (150, 50, 60)
    return np.clip(picture, 0, 255).astype(np.uint8)


def rows(count: int, first: int, side: int = 16) -> Rows:
    """Faces of three classes; each row's age and race are in its frame, and its file, which no caption needs."""
    numbers = np.arange(first, first + count)
    x = np.stack([face(int(number), side) for number in numbers])
    frame = pd.DataFrame({"age": 15 + numbers * 7 % 60, "race": [RACES[n % 4] for n in numbers], "file": [f"{n:05d}.jpg" for n in numbers]})
    return Rows(x, numbers % 3, numbers.astype(np.int64), frame, x)


def dataset(count: int = 24, side: int = 16) -> Dataset:
    return Dataset("faces", CLASSES, (), rows(count, 0, side), rows(count, 1000, side), rows(count, 2000, side))


def told(index: int, pixels: int, split: str = "aux", first: int = 0, total: int = 111, limit: int = 60) -> dict[str, Any]:
    """The engine's answer about pictures of one subpopulation."""
    numbers = list(range(first, min(first + limit, total)))
    pictures = thumbnails(np.stack([face(1000 * index + n) for n in numbers]), pixels)
    shared = {"index": index, "split": split, "total": total, "first": first, "pixels": pixels, "alphas": [0.5, 1.0, 2.0], "trials": 3}
    shared["pictures"] = [base64.b64encode(small.tobytes()).decode() for small in pictures]
    notes = [[15 + (1000 * index + n) * 7 % 60, RACES[n % 4]] for n in numbers]
    if split == "poison":
        heads: list[list[object]] = [
            [n, 1000 * index + n, CLASSES[(n + 1) % 3], CLASSES[n % 3], round(0.3 + n % 7 / 20, 2)] for n in numbers
        ]
        columns = ["point", "row", "given", "true", "moved", "age", "race"]
        shared |= {"alpha": 1.0, "trial": 0, "note": "pixels moved by ≤ 0.01"}
    else:
        heads = [[1000 * index + n, CLASSES[n % 3]] for n in numbers]
        columns = ["row", "class", "age", "race"]
        shared |= {"order": "nearest the centre first"} if split == "aux" else {}
    return {"members": {**shared, "columns": columns, "rows": [head + note for head, note in zip(heads, notes, strict=True)]}}
