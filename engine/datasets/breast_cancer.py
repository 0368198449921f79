"""Breast Cancer Wisconsin, diagnostic (Wolberg, Street, Mangasarian; UCI, 1995), as it ships inside scikit-learn: needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import in_memory, levels
from engine.rows import Dataset

if TYPE_CHECKING:
    from engine.scenario.sections import BreastCancerSection

SUMMARY = "cell nuclei of breast tumours, 569 rows of 30 measurements, 2 classes; ships with scikit-learn"

# Frame columns for FeatureMatch: quarters of a measurement over all 569 rows.
QUARTERS = {"size": "mean radius", "texture": "mean texture", "smoothness": "mean smoothness", "concavity": "mean concavity"}
ROWS = 569
CLASSES = ("benign", "malignant")
MEASURED = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
            "fractal dimension")  # fmt: skip
MATCHED = (  # columns of the frame, by which subpopulations can be matched
    *(f"mean {name}" for name in MEASURED),
    *(f"{name} error" for name in MEASURED),
    *(f"worst {name}" for name in MEASURED),
    *QUARTERS,
)


def load(section: BreastCancerSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """569 rows of 30 raw measurements (pixels and their powers; `scale = "standard"` is advised), classes benign and malignant."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    names = [str(name) for name in source.feature_names]
    frame = pd.DataFrame(source.data, columns=names)
    for name, of in QUARTERS.items():
        frame[name] = levels(frame[of].to_numpy(), ["lowest", "low", "high", "highest"])
    return in_memory(
        kind="breast_cancer",
        classes=CLASSES,
        feature_names=names,
        x=source.data.astype(np.float32),
        y=(source.target == list(source.target_names).index("malignant")).astype(np.int64),
        frame=frame,
        fractions=section.split,
        rows=section.rows,
        standard=section.scale == "standard",
        fitted_on=section.fitted_on,
        seed=seed,
        columns=(
            *(ColumnAccount(name, "number", features=1) for name in names),
            ColumnAccount("diagnosis", "label", levels=2),
            *(ColumnAccount(name, "annotation", levels=4, why=f"quarters of {of}") for name, of in QUARTERS.items()),
        ),
        notes=("size, texture, smoothness and concavity are quarters of the mean measurement, for annotation only",),
    )


def train_rows(section: BreastCancerSection) -> int:
    """How many rows train has before `rows` caps them, without reading any."""
    return round(ROWS * section.split[0])


def state(section: BreastCancerSection | None, data_dir: Path) -> DataState:
    return DataState(True, "ships with scikit-learn")
