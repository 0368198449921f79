"""Handwritten digits, 8×8 (Alpaydin and Kaynak; UCI, 1998), as they ship inside scikit-learn: needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import in_memory, levels
from engine.rows import Dataset

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from engine.scenario.sections import DigitsSection

TRAITS = ("ink", "stroke", "upper share", "weight", "left share", "lean")  # columns of the frame beside the digit
ROWS = 1797
CLASSES = tuple(str(digit) for digit in range(10))
MATCHED = ("digit", *TRAITS)  # columns of the frame, by which subpopulations can be matched
SUMMARY = "handwritten digits, 1,797 images of 8×8 pixels, 10 classes; ships with scikit-learn"


def load(section: DigitsSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """1,797 rows of 64 pixels in 0..1 (row by row from the top left), classes "0".."9", split by `section.split`."""
    import numpy as np
    from sklearn.datasets import load_digits

    source = load_digits()
    x = (source.data / 16).astype(np.float32)
    return in_memory(
        kind="digits",
        classes=CLASSES,
        feature_names=[f"pixel {row},{column}" for row in range(8) for column in range(8)],
        x=x,
        y=source.target.astype(np.int64),
        frame=_frame(x, source.target),
        fractions=section.split,
        rows=section.rows,
        standard=section.scale == "standard",
        fitted_on=section.fitted_on,
        seed=seed,
        notes=("pixels scaled to 0..1",),
        columns=(
            ColumnAccount("8×8 pixels", "number", features=64),
            ColumnAccount("digit", "label", levels=10),
            *(ColumnAccount(name, "annotation", why="worked out from the pixels") for name in TRAITS),
        ),
    )


def train_rows(section: DigitsSection) -> int:
    """How many rows train has before `rows` caps them, without reading any."""
    return round(ROWS * section.split[0])


def state(section: DigitsSection | None, data_dir: Path) -> DataState:
    return DataState(True, "ships with scikit-learn")


def _frame(x: np.ndarray, digit: np.ndarray) -> pd.DataFrame:
    """What a person would say of a digit's picture. Shares are of the ink; `ink` is the mean pixel, 0..1."""
    import pandas as pd

    image = x.reshape(-1, 8, 8)  # [rows, height, width]
    ink = x.mean(axis=1)
    total = image.sum(axis=(1, 2))
    upper, left = image[:, :4].sum(axis=(1, 2)) / total, image[:, :, :4].sum(axis=(1, 2)) / total
    return pd.DataFrame(
        {
            "digit": [str(d) for d in digit],
            "ink": ink.round(4),
            "stroke": levels(ink, ["thinnest", "thin", "thick", "thickest"]),
            "upper share": upper.round(4),
            "weight": levels(upper, ["low", "middle", "high"]),
            "left share": left.round(4),
            "lean": levels(left, ["right", "centre", "left"]),
        }
    )
