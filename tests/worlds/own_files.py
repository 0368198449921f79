"""Files as people find them: with the columns of well-known tables, made up or written out of the real data; texts; pictures of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race", "sex",
    "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip


def adult(path: Path, data: Path) -> Path:
    """UCI Adult's training file with a header."""
    rows = (data / "adult" / "adult.data").read_text().splitlines()
    path.write_text("\n".join([",".join(ADULT), *(row for row in rows if row.strip())]) + "\n")
    return path


def breast_cancer(path: Path, label: str = "target") -> Path:
    """scikit-learn's table; the label last, or, as the UCI has it, after an id and in words."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    frame = found.frame.copy()
    if label == "diagnosis":
        frame.insert(0, "diagnosis", np.where(frame.pop("target") == 0, "M", "B"))
        frame.insert(0, "id", 842_302 + np.random.default_rng(0).permutation(len(frame)) * 11)
    frame.to_csv(path, index=False)
    return path


def compas(path: Path, rows: int = 800) -> Path:
    """The columns of ProPublica's two-year table, with those that are written down after the outcome."""
    r = np.random.default_rng(0)
    age, priors = r.integers(18, 70, rows), r.poisson(3, rows)
    recid = (priors * 0.3 - age * 0.05 + r.normal(1, 1.2, rows)) > 0
    frame = pd.DataFrame(
        {
            "id": np.arange(1, rows + 1), "name": [f"person {i}" for i in range(rows)],
            "sex": r.choice(["Male", "Female"], rows, p=[0.8, 0.2]),
            "dob": "1980-01-02", "age": age,
            "age_cat": np.where(age < 25, "Less than 25", np.where(age > 45, "Greater than 45", "25 - 45")),
            "race": r.choice(["African-American", "Caucasian", "Hispanic", "Other"], rows, p=[0.5, 0.34, 0.1, 0.06]),
            "juv_fel_count": r.poisson(0.1, rows), "decile_score": r.integers(1, 11, rows), "priors_count": priors,
            "c_charge_degree": r.choice(["F", "M"], rows), "is_recid": (recid | (r.random(rows) < 0.03)).astype(int),
            "is_violent_recid": (recid & (r.random(rows) < 0.2)).astype(int), "score_text": r.choice(["Low", "Medium", "High"], rows),
            "end": r.integers(1, 1000, rows), "event": (recid & (r.random(rows) < 0.95)).astype(int), "two_year_recid": recid.astype(int),
        }
    )  # fmt: skip
    frame.to_csv(path, index=False)
    return path


def titanic(path: Path, rows: int = 500) -> Path:
    r = np.random.default_rng(0)
    sex, age = r.choice(["male", "female"], rows, p=[0.65, 0.35]), np.round(r.gamma(6, 5, rows), 1)
    pclass = r.integers(1, 4, rows)
    survived = ((sex == "female") * 2.0 - 0.5 * pclass + r.normal(0.2, 1, rows) > 0).astype(int)
    frame = pd.DataFrame(
        {
            "PassengerId": np.arange(1, rows + 1), "Survived": survived, "Pclass": pclass,
            "Name": [f"Mr. John {i} Smith" for i in range(rows)],
            "Sex": sex, "Age": np.where(r.random(rows) < 0.2, np.nan, age), "SibSp": r.poisson(0.5, rows), "Parch": r.poisson(0.4, rows),
            "Ticket": [f"A/{i} {r.integers(1000, 9999)}" for i in range(rows)], "Fare": np.round(r.gamma(2, 15, rows), 4),
            "Cabin": np.where(r.random(rows) < 0.77, None, [f"C{i}" for i in range(rows)]), "Embarked": r.choice(["S", "C", "Q"], rows),
        }
    )  # fmt: skip
    frame.to_csv(path, index=False)
    return path


def credit_default(path: Path, rows: int = 800) -> Path:
    r = np.random.default_rng(0)
    pay = r.integers(-2, 5, rows)
    frame = pd.DataFrame(
        {"ID": np.arange(1, rows + 1), "LIMIT_BAL": r.integers(1, 80, rows) * 10_000, "SEX": r.integers(1, 3, rows),
         "EDUCATION": r.integers(1, 5, rows), "MARRIAGE": r.integers(1, 4, rows), "AGE": r.integers(21, 70, rows), "PAY_0": pay,
         "PAY_2": np.clip(pay + r.integers(-1, 2, rows), -2, 8), "BILL_AMT1": r.integers(-500, 90_000, rows),
         "default.payment.next.month": (pay + r.normal(0, 2, rows) > 2.5).astype(int)}
    )  # fmt: skip
    frame.to_csv(path, index=False)
    return path


def spam(path: Path, rows: int = 240, label_first: bool = True, names: tuple[str, str] = ("label", "text")) -> Path:
    r = np.random.default_rng(0)
    words = ("free", "prize", "call", "now", "win", "cash"), ("lunch", "home", "see", "later", "love", "work")
    common = ("the", "you", "and", "to", "me", "at")
    table = []
    for i in range(rows):
        bad = i % 5 == 0
        text = " ".join(r.choice((*words[not bad], *common), 9)) + f" {i}"
        table.append(("spam" if bad else "ham", text))
    frame = pd.DataFrame(table, columns=list(names))
    (frame if label_first else frame[[names[1], names[0]]]).to_csv(path, index=False)
    return path


def faces(folder: Path, per_class: int = 30) -> Path:
    """Pictures called as UTKFace's are, in a folder for each of two classes."""
    r = np.random.default_rng(0)
    for gender, name in enumerate(("male", "female")):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(r.normal(90 + 70 * gender, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{20 + i}_{gender}_{i % 5}_2017011622{i:07d}.jpg.chip.jpg")
    return folder
