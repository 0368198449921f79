"""A CSV of loans as messy as a real one: money, per cent, dates, "36 months", ids, names, gaps in several spellings, a column that leaks.

One loan in twenty is charged off, likelier at high rates, low incomes and in two of the districts. `recoveries` is written down after that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

LABEL, POSITIVE, LEAK = "loan_status", "Charged Off", "recoveries"
LEFT_OUT = {"Unnamed: 0", "LOAN ID", "first_name", "last_name", "issue_d", "desc", "policy_code"}
DISTRICTS = ("North", "East", "South", "West", "Harbour", "Old Town")
PURPOSES = ("debt_consolidation", "credit_card", "home_improvement", "car", "medical", "small_business", "other")
SHARES = (0.5, 0.2, 0.12, 0.06, 0.05, 0.04, 0.03)
FIRST = (
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hal", "Ida", "Jo", "Kai", "Lea", "Max", "Nia", "Pia",
    "Ria", "Sam", "Tom", "Uma", "Vic", "Zoe", "Abe", "Bea",
)  # fmt: skip
WORDS = ("want", "to", "pay", "off", "my", "cards", "and", "fix", "the", "roof", "before", "winter", "new", "car", "for", "work", "please")


def loans(rows: int = 600, seed: int = 0, positives: float = 0.05) -> pd.DataFrame:
    """The table as text, as it would be exported. positives: share that is charged off."""
    r = np.random.default_rng(seed)
    income = np.exp(r.normal(11, 0.5, rows))
    amount = r.integers(40, 1400, rows) * 25
    rate = np.clip(r.normal(13, 4, rows), 5.3, 30)
    age = r.integers(19, 78, rows)
    district = r.integers(0, len(DISTRICTS), rows)
    util = np.clip(r.normal(52, 24, rows), 0, 130)
    danger = 0.25 * (rate - 13) - 0.9 * (np.log(income) - 11) + 0.9 * (district >= 4) + 0.01 * util + r.gumbel(0, 1, rows)
    bad = danger > np.quantile(danger, 1 - positives)
    number = np.arange(rows)
    table: dict[str, object] = {
        "Unnamed: 0": number,
        "LOAN ID": 68_000_000 + r.permutation(rows) * 7,
        "first_name": r.choice(FIRST, rows),
        "last_name": [f"{a}{b}son" for a, b in zip(r.choice(FIRST, rows), r.choice(FIRST, rows), strict=True)],
        "loan_amnt": [f"${value:,}" for value in amount.tolist()],
        "term": np.where(r.random(rows) < 0.7, " 36 months", " 60 months"),
        "int_rate": [f"{value:.2f}%" for value in rate.tolist()],
        "home_ownership": r.choice(["RENT", "MORTGAGE", "OWN"], rows, p=[0.42, 0.48, 0.1]),
        "annual_inc": [f"${value:,.0f}" for value in income.tolist()],
        "issue_d": pd.to_datetime("2015-01-01").strftime("%m/%d/%Y"),
        "purpose": r.choice(PURPOSES, rows, p=SHARES),
        "desc": "",
        "zip_code": [f"{value:05d}" for value in r.integers(1, 99_999, rows).tolist()],
        "district": np.array(DISTRICTS)[district],
        "age": age,
        "dti": np.round(np.abs(r.normal(18, 8, rows)), 2),
        "revol_util": [f"{value:.1f}%" for value in util.tolist()],
        "open_acc": r.integers(1, 30, rows),
        "policy_code": 1,
        LEAK: np.where(bad & (r.random(rows) < 0.97), np.round(r.gamma(2, 400, rows), 2), 0.0),
        LABEL: np.where(bad, POSITIVE, "Fully Paid"),
    }
    days = pd.to_datetime("2015-01-01") + pd.to_timedelta(r.integers(0, 1400, rows), unit="D")
    table["issue_d"] = days.strftime("%m/%d/%Y")
    texts = np.array([" ".join(r.choice(WORDS, 9)) for _ in range(200)])
    table["desc"] = np.where(r.random(rows) < 0.3, texts[r.integers(0, 200, rows)] + number.astype(str), "")
    frame = pd.DataFrame(table)
    for name, words in {"annual_inc": ["n/a"], "revol_util": [""], "dti": ["NULL", "-"], "home_ownership": ["", "NONE"]}.items():
        frame[name] = frame[name].astype(object)
        gone = np.flatnonzero(r.random(rows) < 0.02)
        frame.loc[gone, name] = r.choice(words, len(gone))
    return frame


def write(path: Path, rows: int = 600, seed: int = 0) -> Path:
    """The table as a CSV file."""
    loans(rows, seed).to_csv(path, index=False)
    return path
