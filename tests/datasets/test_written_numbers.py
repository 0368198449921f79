"""Numbers and dates as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.datasets.tables.columns import Numbers, Words
from engine.datasets.tables.reading import Spelling, read_column
from engine.errors import ScenarioError
from engine.scenario.parse import load
from engine.scenario.sections import FeatureMatchSection
from engine.subpopulations import feature_match
from tests.worlds.tables import column, loaded, noted, people


def read(*values: object, forced: str | None = None, name: str = "c", spelling: Spelling | None = None) -> Numbers | Words:
    found = read_column(name, pa.chunked_array([pa.array(values)]), "here", forced, spelling or Spelling())
    assert isinstance(found, Numbers | Words)
    return found


@pytest.mark.parametrize(
    ("written", "numbers", "said"),
    [
        (("$56,918", "$1,200.50", "$7"), [56918, 1200.5, 7], "read as money ($)"),
        (("1.234,50 €", "7,25 €", "12.000,00 €"), [1234.5, 7.25, 12000], "read as money (€)"),
        (("€ 1.234,50", "€ -7,25", "-€ 3,10"), [1234.5, -7.25, -3.1], "read as money (€)"),
        (("USD 1,200", "USD 3", "USD 12"), [1200, 3, 12], "read as money (USD)"),
        (("CHF 1'200.-", "CHF 15.50", "CHF 8.-"), [1200, 15.5, 8], "read as money (CHF)"),
        (("12 kr", "1 250 kr", "7 kr"), [12, 1250, 7], "read as money (kr)"),
        (("R$ 1.500,00", "R$ 10,50", "R$ 3,00"), [1500, 10.5, 3], "read as money (R$)"),
        (("($1,234.50)", "$10.00", "($3.00)"), [-1234.5, 10, -3], "brackets around 2 values read as a minus"),
        (("(1,234)", "10", "(3)"), [-1234, 10, -3], "brackets around 2 values read as a minus"),
        (("1,234.50-", "10.00", "3.00-"), [-1234.5, 10, -3], ""),
        (("−5", "−12.5", "3"), [-5, -12.5, 3], ""),
        (("15.8%", "7 %", "-0.5%"), [15.8, 7, -0.5], "read as per cent"),
        (("15,8 %", "7,0 %", "0,25 %"), [15.8, 7, 0.25], "read as per cent"),
        ((" 36 months", " 60 months", "1 month"), [36, 60, 1], "read as months"),
        (("80 kg", "72.5kg", "90 KG."), [80, 72.5, 90], "read as kg"),
        (("5 km/h", "7.5 km/h", "12 km/h"), [5, 7.5, 12], "read as km/h"),
        (("10k", "1.5M", "900", "2B"), [1e4, 1.5e6, 900, 2e9], "multiplied by what stands behind it"),
    ],
)
def test_money_per_cent_units_and_signs(written: tuple[str, ...], numbers: list[float], said: str) -> None:
    found = read(*written)
    assert isinstance(found, Numbers)
    assert np.allclose(found.values, numbers)
    assert said in "\n".join(found.notes)


@pytest.mark.parametrize(
    "written",
    [
        ("1st", "2nd", "3rd", "4th"),
        ("12A", "14B", "3C", "7D"),
        ("$5", "€6", "£7", "$8"),
        ("5 kg", "300 g", "2 kg", "90 g"),
        ("10+ years", "< 1 year", "2 years", "3 years"),
        ("18-25", "26-35", "36-45"),
        ("1/2", "3/4", "1/2"),
        ("10.0.0.1", "10.0.0.2", "127.0.0.1"),
        ("T1", "T2", "T3"),
        ("1,5,7", "2,3,4", "1,2"),
        ("12:30", "13:45", "00:10"),
    ],
)
def test_what_is_no_single_quantity_stays_words(written: tuple[str, ...]) -> None:
    assert isinstance(read(*written), Words)


def test_one_decimal_mark_for_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    income, rate = rng.integers(400, 2500, 200), rng.random(200).round(2)
    german = people().assign(income=[f"{v:,}".replace(",", ".") for v in income], rate=[f"{v:.2f}".replace(".", ",") for v in rate])
    for separator in (";", "\t", "|"):
        dataset = loaded(tmp_path, german.to_csv(index=False, sep=separator))
        assert (column(dataset, "income") == income).all()
        assert np.allclose(column(dataset, "rate"), rate)
        assert f"'income': dots in {(income >= 1000).sum()} values read as thousands separators" in noted(dataset)
    alone = loaded(tmp_path, german.drop(columns="rate").to_csv(index=False, sep=";"))
    assert column(alone, "income").max() < 1000, "nothing else in the file settles it"
    english = people().assign(income=[f"{v:,}" for v in income], rate=rate)
    dataset = loaded(tmp_path, english)
    assert (column(dataset, "income") == income).all()
    assert np.allclose(column(dataset, "rate"), rate)
    mixed = loaded(tmp_path, german.assign(share=rate / 2, thousandth=[f"0.{k:03}" for k in range(200)]).to_csv(index=False, sep=";"))
    assert np.allclose(column(mixed, "share"), rate / 2)
    assert np.allclose(column(mixed, "thousandth"), np.arange(200) / 1000)
    assert "'share': read with decimal points, though other columns of the file have decimal commas" in noted(mixed)
    money = german.assign(rate=[f"{v:.2f} €".replace(".", ",") for v in rate])
    assert (column(loaded(tmp_path, money.to_csv(index=False, sep=";")), "income") == income).all()


@pytest.mark.parametrize(
    ("written", "days", "said"),
    [
        (("01.02.2021", "31.12.2021", "05.06.2021"), ["2021-02-01", "2021-12-31", "2021-06-05"], "the day first (as 1 of them"),
        (("01.02.2021", "03.04.2021"), ["2021-02-01", "2021-04-03"], "the day first (as dates with dots are)"),
        (("01/02/2021", "12/31/2021"), ["2021-01-02", "2021-12-31"], "the month first (as 1 of them"),
        (("01/02/2021", "31/12/2021", "1/2/21"), ["2021-02-01", "2021-12-31", "2021-02-01"], "the day first (as 1 of them"),
        (("01/02/2021", "03/04/2021"), ["2021-01-02", "2021-03-04"], "the month first (which no value settles)"),
        (("2021/02/01", "2021-3-9 10:00"), ["2021-02-01", "2021-03-09 10:00"], "dates read as days"),
        (("1.2.69", "1.2.68"), ["1969-02-01", "2068-02-01"], "the day first"),
        (("3/4/2021 10:00 PM", "3/14/2021 9:00 AM"), ["2021-03-04 22:00", "2021-03-14 09:00"], "the month first"),
    ],
)
def test_one_order_of_day_and_month_for_a_column(written: tuple[str, ...], days: list[str], said: str) -> None:
    found = read(*written, forced="number")
    assert isinstance(found, Numbers)
    wanted = [(pd.Timestamp(day) - pd.Timestamp(0)).total_seconds() / 86_400 for day in days]
    assert np.allclose(found.values, wanted)
    assert said in found.notes[0]


def test_a_date_of_the_other_order_is_missing_and_said_never_turned_round() -> None:
    found = read("25.01.2021", "13.02.2021", "01.13.2021", "02.03.2021", "2021-13-01", forced="number")
    assert isinstance(found, Numbers)
    assert np.isnan(found.values).tolist() == [False, False, True, False, True]
    assert "not a date, and taken as missing: 2 values ('01.13.2021', '2021-13-01')" in found.notes[1]


@pytest.mark.parametrize("word", ["NuLL", "unknown", "-", "n.a.", "N/A", "#DIV/0!", "Not available", "\\N", "<NA>", "--"])
def test_words_for_missing_beside_numbers(tmp_path: Path, word: str) -> None:
    rng = np.random.default_rng(0)
    table = people().assign(income=rng.normal(3000, 500, 200).round().astype(int).astype(str))
    gone = rng.permutation(200)[:40]
    table.loc[gone, "income"] = word
    dataset = loaded(tmp_path, table)
    income = column(dataset, "income")
    assert set(np.flatnonzero(income.isna())) == set(gone)
    assert (income.drop(gone) == table.income.drop(gone).astype(int)).all()
    assert word in noted(dataset)
    assert "40" in noted(dataset)
    of_words = loaded(tmp_path, people().assign(job=lambda t: np.where(t.age > 40, "unknown", "clerk")))
    assert "job=unknown" in of_words.feature_names, "among words it is a word"


def test_a_key_for_words_that_mean_missing(tmp_path: Path) -> None:
    table = people().assign(job=["clerk", "left blank", "smith", "cook"] * 50, n=["1", "zip", "3", "zip"] * 50)
    assert "job=left blank" in loaded(tmp_path, table).feature_names
    dataset = loaded(tmp_path, table, missing_words=("left blank", "zip"))
    assert {"job=missing", "n is missing"} <= set(dataset.feature_names)
    assert "words read as missing: 'left blank' (job 50), 'zip' (n 100)" in noted(dataset)
    with pytest.raises(ScenarioError, match=r'missing_words: has no meaning for kind "adult": it is a key of table'):
        load("adult-clustermatch", ['dataset.missing_words=["x"]'])


@pytest.mark.parametrize(
    ("name", "written", "code"),
    [
        ("income", [*(f"{v}" for v in range(2500, 3099)), "0950"], False),  # one padded value among 600
        ("income", ["05", *(f"{v * 7}" for v in range(3, 400))], False),
        ("zip", [*(f"{v}" for v in range(2500, 3099)), "0950"], True),
        ("area", [f"{v:05d}" for v in range(500, 40000, 97)], True),
        ("month", [f"{1 + v % 12:02d}" for v in range(200)], True),
        ("part", ["007", "12", "0003", "004"] * 20, True),
    ],
)
def test_a_code_is_a_column_padded_to_one_width(name: str, written: list[str], code: bool) -> None:
    found = read(*written, name=name)
    assert isinstance(found, Words if code else Numbers)
    if isinstance(found, Numbers):
        assert found.values.tolist() == [float(v) for v in written]
        assert "dataset.categorical keeps codes" in found.notes[0]


def test_missing_in_a_column_that_is_cut_is_a_group(tmp_path: Path) -> None:
    """Of numbers, and of words that are read as numbers where they are cut."""
    table = people(400)
    for keys in ({}, {"categorical": ("age",)}):
        holes = table.assign(age=[None if i % 8 == 0 else v for i, v in enumerate(table.age)]).astype({"age": "Int64"})
        dataset = loaded(tmp_path, holes, **keys)
        section = FeatureMatchSection(features=("age",), bins={"age": (30.0, 50.0)})
        membership, names, _ = feature_match.assign(section, dataset, None, 0)
        assert [name.removeprefix("age ") for name in names] == ["under 30", "30–49", "50+", "missing"]
        counted = sum(int((of == 3).sum()) for of in (membership.train, membership.aux, membership.test))
        assert counted == 50
