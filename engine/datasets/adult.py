"""UCI Adult (Becker and Kohavi, 1996), by the paper's protocol (section 5.1): which rows, which columns, 57 features.

Differs from the released code where that was at fault: there 12 % of aux rows are train rows, here the splits are disjoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount, DataFacts
from engine.datasets.files.fetching import Source, checked_path, state_of
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import SPLITS, cap_all, checked, split_by_fraction, standardise
from engine.errors import BadData
from engine.rows import Dataset, Rows
from engine.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from engine.scenario.sections import AdultSection

SUMMARY = "UCI Adult: does a person earn more than $50K; 2 classes, 57 features, the paper's split"

_BASE = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
_PAGE = "https://archive.ics.uci.edu/dataset/2/adult"
TRAIN_FILE = Source("adult", "adult.data", "5d7c39d7b8804f071cdd1f2a7c460872", 3_974_305, _BASE, _PAGE)
TEST_FILE = Source("adult", "adult.test", "35238206dfdf7f1fe215bbb874adecdc", 2_003_153, _BASE, _PAGE)
SOURCES = (TRAIN_FILE, TEST_FILE)

COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
    "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip
NUMBERS = ("age", "capital-gain", "capital-loss", "hours-per-week")
CATEGORIES = ("workclass", "education-num", "marital-status", "occupation", "relationship", "race", "sex")
ANNOTATIONS = (
    "age", "workclass", "education", "education-num", "marital-status", "occupation", "relationship", "race", "sex",
    "capital-gain", "capital-loss", "hours-per-week", "native-country",
)  # fmt: skip
CLASSES = ("<=50K", ">50K")
ROWS, POSITIVE = 32_561, 7_841  # of adult.data
MATCHED = ANNOTATIONS  # columns of the frame, by which subpopulations can be matched


def load(section: AdultSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Train and aux: 7,841 rows each, halves of adult.data balanced; test: 7,692 rows of adult.test balanced. x is float32 [rows, 57].

    ids: the row's number in adult.data; rows of adult.test follow on. Balancing and halving are drawn from `seed`.
    """
    import numpy as np

    files = [checked_path(source, data_dir, progress, base_url) for source in SOURCES]
    progress("reading adult", 0.0)
    fit, held_out = (_read(path) for path in files)
    y_fit, y_test = (frame["income"].str.startswith(">").to_numpy(np.int64) for frame in (fit, held_out))
    pool, test_pool = (_balanced(y, seed, name) if section.balance else np.arange(len(y)) for y, name in ((y_fit, "fit"), (y_test, "test")))
    halves = [pool[p] for p in split_by_fraction(y_fit[pool], (0.5, 0.5), seed)]
    splits, deviations = cap_all([*halves, test_pool], [y_fit, y_fit, y_test], section.rows, seed)

    categories = {name: sorted(fit[name].unique()) for name in CATEGORIES}  # the official adult.data, whatever rows are drawn
    feature_names, numeric = _features(categories)
    parts = [(fit, y_fit, splits[0], 0), (fit, y_fit, splits[1], 0), (held_out, y_test, splits[2], len(fit))]
    xs = [_encode(frame.iloc[p], categories) for frame, _, p, _ in parts]
    if section.scale == "standard":
        xs = standardise(xs[0], xs[1:], numeric, xs[SPLITS.index(section.fitted_on)])
        deviations += (f"number columns standardised on {section.fitted_on} (the paper's are unscaled)",)
    if not section.balance:
        deviations += ("not balanced: every row is used (the paper subsamples the negatives)",)
    train, aux, test = (
        Rows(x, y[p], p + offset, frame.iloc[p][list(ANNOTATIONS)].reset_index(drop=True))
        for x, (frame, y, p, offset) in zip(xs, parts, strict=True)
    )
    rows = (train, aux, test)
    unknown = sum(int((row.frame[list(CATEGORIES)] == "?").any(axis=1).sum()) for row in rows)
    progress("reading adult", 1.0)
    return checked(
        Dataset(
            "adult",
            CLASSES,
            feature_names,
            train,
            aux,
            test,
            checksums={source.name: f"md5:{source.md5}" for source in SOURCES},
            notes=(
                f"missing values: {unknown:,} of {sum(map(len, rows)):,} rows have a '?', kept as a category of its own",
                f"{len(feature_names)} features: education-num as a category, one-hot over adult.data's categories, the first of each "
                "dropped ('?' where there is one); education, native-country and fnlwgt are not fed to the model",
                "train and aux are stratified halves of adult.data, test is from adult.test; no row is in two splits",
            ),
            deviations=deviations,
            facts=DataFacts(_columns(categories), len(fit) + len(held_out)),
        )
    )


def train_rows(section: AdultSection) -> int:
    """How many rows train has before `rows` caps them, without reading any."""
    return POSITIVE if section.balance else ROWS // 2


def state(section: AdultSection | None, data_dir: Path) -> DataState:
    return state_of(SOURCES, data_dir)


def _read(path: Path) -> pd.DataFrame:
    """One official file as 15 columns; education-num and the numbers as int64, the rest as text, '?' as it is."""
    import pandas as pd

    try:
        # adult.test opens with a line of its own ("|1x3 Cross validator") and ends its labels with a full stop
        return pd.read_csv(path, names=list(COLUMNS), skipinitialspace=True, comment="|", keep_default_na=False)
    except (ValueError, OSError) as error:  # the checksum was right, so only a reader's fault or a disk's can lead here
        raise BadData(f"cannot be read: {error}", where=str(path), next="get the file again: subpop data fetch adult") from error


def _balanced(y: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Sorted positions of every positive row and as many negative rows, drawn without replacement. y: int [rows]."""
    import numpy as np

    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    drawn = generator(seed, "adult balance", name).permutation(negative)[: len(positive)]
    return np.sort(np.concatenate([positive, drawn]))


def _features(categories: dict[str, list[object]]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the features, numbers first, and which of them are numbers: bool [features]."""
    import numpy as np

    one_hot = [f"{name}={level}" for name, known in categories.items() for level in known[1:]]
    return (*NUMBERS, *one_hot), np.array([True] * len(NUMBERS) + [False] * len(one_hot))


def _columns(categories: dict[str, list[object]]) -> tuple[ColumnAccount, ...]:
    """What becomes of each of the files' columns."""
    accounts = []
    for name in COLUMNS:
        shown = name in ANNOTATIONS
        if name in NUMBERS:
            accounts.append(ColumnAccount(name, "number", features=1))
        elif name in CATEGORIES:
            levels = len(categories[name])
            accounts.append(ColumnAccount(name, "one_hot", features=levels - 1, levels=levels))
        elif shown:
            accounts.append(ColumnAccount(name, "annotation", why="not fed, as published"))
        elif name == "income":
            accounts.append(ColumnAccount(name, "label", levels=len(CLASSES)))
        else:
            accounts.append(ColumnAccount(name, "left_out", why="a weight of rows; not fed, as published"))
    return tuple(accounts)


def _encode(frame: pd.DataFrame, categories: dict[str, list[object]]) -> np.ndarray:
    """float32 [rows, features]: the numbers as they are, then each category's levels but its first as 0 or 1."""
    import numpy as np

    blocks = [frame[list(NUMBERS)].to_numpy(np.float32)]
    for name, known in categories.items():
        values = frame[name].to_numpy()
        blocks.append(np.stack([values == level for level in known[1:]], axis=1).astype(np.float32))
    return np.concatenate(blocks, axis=1)
