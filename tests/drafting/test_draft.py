"""A scenario from a file: the label, what is matched on, refusals in words; every draft parses, and a run of it fills the damage table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.drafting.cuts import round_cuts
from engine.drafting.draft import draft
from engine.drafting.looks import Draft, draft_of
from engine.drafting.sizes import sizes
from engine.errors import BadData, MissingData, RequestError, SubpopError, UnknownName
from engine.runs.start import start
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import ClusterMatchSection, FeatureMatchSection, ImageFolderSection, Scenario, TableSection, TextTableSection
from engine.store import Store
from tests.worlds import loans, own_files


def scenario(made: Draft, folder: Path, smoke: bool = False) -> Scenario:
    return parse(made.toml, folder=folder, smoke=smoke)


# ---- the label ------------------------------------------------------------------------------------------------------

LABELS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "loans": (lambda folder, data: loans.write(folder / "loans_2024.csv", 700), "loan_status"),
    "adult": (lambda folder, data: own_files.adult(folder / "adult.csv", data), "income"),
    "breast_cancer": (lambda folder, data: own_files.breast_cancer(folder / "a.csv"), "target"),
    "wdbc": (lambda folder, data: own_files.breast_cancer(folder / "a.csv", "diagnosis"), "diagnosis"),
    "compas": (lambda folder, data: own_files.compas(folder / "a.csv"), "two_year_recid"),
    "titanic": (lambda folder, data: own_files.titanic(folder / "a.csv"), "Survived"),
    "credit": (lambda folder, data: own_files.credit_default(folder / "a.csv"), "default.payment.next.month"),
    "spam": (lambda folder, data: own_files.spam(folder / "a.csv"), "label"),
    "spam, text first": (lambda folder, data: own_files.spam(folder / "a.csv", label_first=False), "label"),
    "sms": (lambda folder, data: own_files.spam(folder / "a.csv", names=("v1", "v2")), "v1"),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_label_is_guessed(name: str, tmp_path: Path, shared_data: Path) -> None:
    make, label = LABELS[name]
    made = draft(make(tmp_path, shared_data))
    assert made.label == label
    assert made.label_why
    assert made.candidates[0].name == label
    section = scenario(made, tmp_path).dataset
    assert isinstance(section, TextTableSection if name.startswith("s") else TableSection)
    assert section.label == label


def frame(**columns: object) -> pd.DataFrame:
    """A table of numbers, and the columns given."""
    r = np.random.default_rng(0)
    return pd.DataFrame({"a": r.normal(size=300), "b": r.normal(size=300), **columns})


def guessed(path: Path, table: pd.DataFrame) -> Draft:
    table.to_csv(path, index=False)
    return draft(path)


def test_a_last_column_of_two_classes_is_taken_and_a_measurement_never(tmp_path: Path) -> None:
    r = np.random.default_rng(1)
    assert guessed(tmp_path / "a.csv", frame(z=r.choice(["p", "q"], 300))).label == "z"
    none = guessed(tmp_path / "b.csv", frame(price=r.normal(100, 20, 300).round(2)))
    assert none.label is None
    assert "label = " in none.toml
    assert "# label" in none.toml
    with pytest.raises(SubpopError, match="label"):
        scenario(none, tmp_path)
    with pytest.raises(BadData, match="a measurement, not classes; a label is one of at most 256 classes"):
        draft(tmp_path / "b.csv", "price")


def test_several_that_could_be_are_named_best_first(tmp_path: Path) -> None:
    r = np.random.default_rng(1)
    table = frame(p=r.choice(["x", "y"], 300), q=r.choice(["k", "l", "m"], 300), c=r.normal(size=300))
    made = guessed(tmp_path / "a.csv", table)
    assert made.label is None
    assert [each.name for each in made.candidates] == ["p", "q"]
    assert "p, q" in made.toml
    chosen = draft(tmp_path / "a.csv", "q")
    assert scenario(chosen, tmp_path).dataset.label == "q"  # type: ignore[union-attr]
    with pytest.raises(UnknownName, match="did you mean 'q'"):
        draft(tmp_path / "a.csv", "Q")


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("class", "survived", "sex"), "survived"),  # seaborn's Titanic, whose class is the cabin's
        (("default", "y", "loan"), "y"),  # the bank's telephone calls
        (("Attrition", "OverTime", "Gender"), "Attrition"),
        (("gender", "HeartDisease", "smoker"), "HeartDisease"),
        (("is_fraud", "weekday", "online"), "is_fraud"),
        (("target_group", "clicked", "mobile"), "clicked"),
        (("Ausfall", "Geschlecht", "Raucher"), "Ausfall"),
        (("Region", "Kündigung", "Online"), "Kündigung"),
        (("Region", "gekuendigt", "Online"), "gekuendigt"),
        (("Betrug", "Wochentag", "Online"), "Betrug"),
        (("Geschlecht", "Überlebt", "Klasse"), "Überlebt"),
        (("ist_verstorben", "Raucher"), "ist_verstorben"),
        (("Zielgröße", "Raucher", "Geschlecht"), "Zielgröße"),
        (("Résilié", "sexe", "en_ligne"), "Résilié"),
        (("décès", "fumeur", "sexe"), "décès"),
        (("variable cible", "fumeur", "sexe"), "variable cible"),
        (("Impago", "sexo", "fumador"), "Impago"),
        (("diagnóstico", "sexo", "fumador"), "diagnóstico"),
    ],
)
def test_names_of_outcomes(names: tuple[str, ...], label: str, tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    three = {"class": ["First", "Second", "Third"], "target_group": ["old", "young", "all"], "Klasse": ["1.", "2.", "3."]}
    columns = {name: r.choice(three.get(name, ["yes", "no"]), 300) for name in names}
    assert guessed(tmp_path / "a.csv", pd.DataFrame({**columns, "amount": r.normal(size=300)})).label == label


# ---- what else is chosen --------------------------------------------------------------------------------------------


def test_the_draft_of_the_loans(tmp_path: Path) -> None:
    path = loans.write(tmp_path / "loans_2024.csv", 3000)
    made = draft("loans_2024.csv", folder=tmp_path, leaks=True)
    assert (made.title, made.name, made.kind) == ("loans 2024", "loans-2024", "table")
    read = scenario(made, tmp_path)
    assert read.title == "loans 2024"
    assert isinstance(read.dataset, TableSection)
    assert read.dataset.path == path
    assert read.dataset.scale == "standard"
    assert not read.dataset.drop  # what leaks is never left out by itself
    assert f'# drop = ["{loans.LEAK}"]' in made.toml
    assert made.notes[0].startswith(f"LABEL LEAKAGE? '{loans.LEAK}' alone tells the label")
    assert "# LABEL LEAKAGE?" in made.toml
    assert isinstance(read.subpopulations, FeatureMatchSection)
    assert read.subpopulations.features == ("age", "district")
    assert all(cut % 5 == 0 for cut in read.subpopulations.bins["age"])
    assert read.evaluation.trials == 5
    assert made.catalog is not None
    assert {each.name for each in made.catalog.columns if each.matched} == {"age", "district"}
    assert parse(made.toml, folder=tmp_path, smoke=True).smoked
    left_out = next(note for note in made.notes if note.startswith("left out: "))
    assert all(repr(name) in left_out for name in loans.LEFT_OUT)


def test_no_column_that_gives_the_label_away_is_matched_on(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    y = r.choice(["yes", "no"], 600)
    table = pd.DataFrame({"age": r.integers(18, 80, 600), "region": np.where(y == "yes", "n", "s"), "x": r.normal(size=600), "label": y})
    made = guessed(tmp_path / "a.csv", table)
    assert made.catalog is not None
    assert "region" not in [each.name for each in made.catalog.columns if each.matched]
    assert "'region' says the same as the label 'label' in every row" in " ".join(made.notes)


def test_no_column_to_match_on_gives_clusters(tmp_path: Path) -> None:
    read = scenario(draft(own_files.breast_cancer(tmp_path / "a.csv")), tmp_path)
    assert isinstance(read.subpopulations, ClusterMatchSection)
    assert read.subpopulations.clusters == 6
    assert read.evaluation.trials == 5


def test_a_column_that_says_the_split(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    made = guessed(tmp_path / "a.csv", frame(fold=r.choice(["train", "val", "test"], 300), y=r.choice(["p", "q"], 300)))
    section = scenario(made, tmp_path).dataset
    assert isinstance(section, TableSection)
    assert section.split_column == "fold"
    assert made.catalog is not None
    assert made.catalog.column("fold").use == "split"  # type: ignore[union-attr]


def test_a_remark_in_a_table_makes_it_no_table_of_texts(tmp_path: Path) -> None:
    made = draft(loans.write(tmp_path / "loans.csv", 700))
    assert made.kind == "table"
    assert made.catalog is not None
    assert made.catalog.column("desc").read_as == "free text"  # type: ignore[union-attr]


def test_texts_with_columns_to_match_on(tmp_path: Path) -> None:
    own_files.spam(tmp_path / "a.csv", 900)
    table = pd.read_csv(tmp_path / "a.csv")
    table["country"] = np.random.default_rng(0).choice(["de", "fr", "it", "es", "pt"], 900)
    made = guessed(tmp_path / "a.csv", table)
    read = scenario(made, tmp_path)
    assert isinstance(read.dataset, TextTableSection)
    assert (read.dataset.text, read.dataset.label, read.dataset.annotations) == ("text", "label", ("country",))
    assert isinstance(read.subpopulations, FeatureMatchSection)
    assert made.catalog is not None
    assert [each.use for each in made.catalog.columns] == ["label", "text", "annotation"]


def test_pictures(tmp_path: Path) -> None:
    own_files.faces(tmp_path / "my_faces", 12)
    made = draft("my_faces", folder=tmp_path)
    assert (made.title, made.kind, made.label, made.catalog) == ("my faces", "image_folder", None, None)
    assert made.pictures is not None
    assert made.pictures.classes == (("female", 12), ("male", 12))
    assert made.pictures.sizes == "40×40"
    assert isinstance(scenario(made, tmp_path).dataset, ImageFolderSection)
    split = tmp_path / "split"
    for home in ("train", "val"):
        own_files.faces(split / home, 6)
    made = draft(split)
    assert made.pictures is not None
    assert (made.pictures.classes, made.pictures.splits) == ((("female", 12), ("male", 12)), ("train", "val"))
    assert any("read as the test set" in note for note in made.notes)
    with pytest.raises(RequestError, match="pictures have no label column"):
        draft(split, "male")


@pytest.mark.parametrize("rows", [20, 60, 500, 4_000, 30_000, 1_000_000])
def test_sizes_make_sense(rows: int) -> None:
    size = sizes(rows)
    steps = size.epochs * -(-size.train // size.batch)
    assert 10 <= size.epochs <= 100
    assert steps <= 3_000
    assert size.trials == (5 if rows <= 5_000 else 3)
    assert (size.rows is not None) == (rows * 0.4 > 20_000)


@pytest.mark.parametrize("name", ["ü ber-größe.csv", 'quote"d.csv', "many.dots.in.it.csv", "-dash.csv", "data"])
def test_odd_names(name: str, tmp_path: Path) -> None:
    made = guessed(tmp_path / name, frame(y=np.random.default_rng(0).choice(["p", "q"], 300)))
    assert scenario(made, tmp_path).dataset.path == tmp_path / name  # type: ignore[union-attr]
    assert made.name
    assert made.title


def test_no_name_or_value_of_a_file_becomes_a_key_of_its_scenario(tmp_path: Path) -> None:
    evil = 'a\x1b[31m\u202e\n[compute]\nthreads = 7\nx = "'
    draw = np.random.default_rng(0)
    columns = {"age": draw.integers(18, 80, 80), "region": draw.choice([f"n{evil}", "s"], 80), "y": draw.choice([f"yes{evil}", "no"], 80)}
    table = pd.DataFrame(columns)
    table[evil] = draw.choice([evil, "b"], 80)
    table.to_csv(tmp_path / "data.csv", index=False)
    made = draft(tmp_path / "data.csv", "y", leaks=True)
    assert scenario(made, tmp_path).compute.threads != 7
    assert not set("\x1b\u202e") & set(made.toml)
    assert not any(line.startswith("threads") for line in made.toml.splitlines())


def test_columns_with_names_that_toml_must_quote(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    table = pd.DataFrame({'age "in years"': r.integers(18, 80, 900), "a.region\\": r.choice(list("nswe"), 900), "x y": r.normal(size=900),
                          "the = label # really": r.choice(["p", "q"], 900)})  # fmt: skip
    made = guessed(tmp_path / "a.csv", table)
    read = scenario(made, tmp_path)
    assert read.dataset.label == "the = label # really"  # type: ignore[union-attr]
    assert isinstance(read.subpopulations, FeatureMatchSection)
    assert 'age "in years"' in read.subpopulations.bins


@pytest.mark.parametrize("seed", range(6))
def test_cuts_are_round_and_even(seed: int) -> None:
    r = np.random.default_rng(seed)
    for values in (r.normal(50_000, 9_000, 3000), r.integers(18, 90, 3000).astype(float), r.gamma(2, 0.01, 3000), -r.gamma(2, 1e6, 3000)):
        cuts = round_cuts(values)
        assert len(cuts) == 3
        sizes_ = np.bincount(np.searchsorted(cuts, values, side="right"), minlength=4) / len(values)
        assert sizes_.min() > 0.15
        assert sizes_.max() < 0.35
        assert all(len(f"{cut:.12g}".lstrip("-").replace(".", "").strip("0")) <= 2 for cut in cuts), cuts
    assert round_cuts(np.zeros(100)) == ()
    assert round_cuts(np.full(100, np.nan)) == ()


def test_a_draft_goes_through_json(tmp_path: Path) -> None:
    import json

    from engine.drafting.looks import as_json

    for path in (loans.write(tmp_path / "loans.csv", 300), own_files.faces(tmp_path / "faces", 6)):
        made = draft(path)
        assert draft_of(json.loads(json.dumps(as_json(made)))) == made


# ---- refusals -------------------------------------------------------------------------------------------------------


def refused() -> dict[str, tuple[Callable[[Path], object], str]]:
    return {
        "no such file": (lambda path: None, "there is no such file"),
        "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
        "header alone": (lambda path: path.write_text("a,b,c\n"), "there is a header row and no row of data"),
        "excel": (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 99), "a ZIP archive or an Excel workbook"),
        "a pipe": (os.mkfifo, "a pipe, a device or the like"),
        "an empty folder": (lambda path: path.mkdir(), "a folder without folders of pictures"),
        "folder of tables": (lambda path: (path.mkdir(), loans.write(path / "b.csv", 30)), "no folders of pictures; give one file of it"),
        "pictures in no class": (
            lambda path: own_files.faces(path / "x", 2).joinpath("male").rename(path / "male") and _flat(path),
            "its pictures are in no folder of their class",
        ),
        "one class": (lambda path: _one_class(path), "pictures of one class only"),
        "lines no objects": (lambda path: path.write_text('{"a": 1}\n3\n'), "line 2 holds '3', which is no object"),
        "nearly the name": (lambda path: (path.parent / "mine2").touch(), "mine2'?"),
        "a link to nothing": (lambda path: path.symlink_to("gone"), "is a link to a file that is not there"),
        "links in a circle": (lambda path: path.symlink_to(path.name), "its links lead in a circle"),
        "an archive's folder": (lambda path: own_files.faces(path / "a" / "b", 2), "a/b may be the classes: give that folder"),
        "a JSON array": (lambda path: path.write_text('[{"a": 1}]\n'), "this is a JSON array"),
        "zero bytes": (lambda path: path.write_bytes(b"a,b\n\0\0,1\n1,2\n"), "this is not text"),
        "a picture": (lambda path: path.with_suffix(".png").write_bytes(b"\x89PNG\r\n"), "there is no such file"),
    }  # fmt: skip


def _flat(folder: Path) -> None:
    for each in list((folder / "male").iterdir()):
        each.rename(folder / each.name)
    for each in [folder / "male", folder / "x" / "female", folder / "x"]:
        for file in each.iterdir() if each.is_dir() else ():
            file.unlink()
        each.rmdir()


def _one_class(folder: Path) -> None:
    own_files.faces(folder, 3)
    for each in (folder / "male").iterdir():
        each.unlink()


@pytest.mark.parametrize("what", refused())
def test_what_no_scenario_can_be_made_of_is_refused_in_words(what: str, tmp_path: Path) -> None:
    make, told = refused()[what]
    path = tmp_path / "mine"
    make(path)
    with pytest.raises((BadData, MissingData)) as error:
        draft(path)
    assert told in str(error.value)
    assert error.value.next


def test_an_array_printed_over_lines_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('[\n  {"a": 1},\n  {"a": 2}\n]\n')
    with pytest.raises(BadData, match="this is a JSON array, not JSON Lines"):
        draft(tmp_path / "a.jsonl")


def test_a_class_that_cannot_be_looked_into_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of one class of three refuses; root may look into all, so the refusal is the system's call's."""
    for kind in ("cat", "dog", "fox"):
        own_files.faces(tmp_path / "x" / kind, 2)
    look = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "fox":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BadData, match="fox: cannot be read: Permission denied"):
        draft(tmp_path / "x")


def test_a_toml_is_a_scenario_already(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("title = 'x'")
    with pytest.raises(RequestError, match="is a scenario already; subpop run"):
        draft(tmp_path / "a.toml")


@pytest.mark.parametrize("what", ["header alone", "excel", "a pipe", "folder of tables", "empty"])
def test_a_refusal_loads_nothing_heavy(what: str, tmp_path: Path) -> None:
    make, told = refused()[what]
    make(tmp_path / "mine")
    script = (
        "import sys\nfrom engine.cli.main import main\n"
        f"status = main(['init', {str(tmp_path / 'mine')!r}])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pyarrow', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(status)"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - begun < 20


# ---- to the damage table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["loans", "cancer", "faces", "spam"])
def test_a_run_of_a_draft_fills_the_damage_table(what: str, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runs.start._spawn", lambda *given: None)
    made = {
        "loans": lambda: draft(loans.write(tmp_path / "loans.csv", 1200)),
        "cancer": lambda: draft(own_files.breast_cancer(tmp_path / "cancer.csv")),
        "faces": lambda: draft(own_files.faces(tmp_path / "faces", 20)),
        "spam": lambda: draft(own_files.spam(tmp_path / "spam.csv", 160)),
    }[what]()
    with Store.open(tmp_path / "runs.db") as store:
        row = start(store, scenario(made, tmp_path, smoke=True), name=made.name, data_dir=shared_data)
        assert work(store, row.id) == "done", store.run(row.id).error
        assert store.table(row.id, "damage").rows
        assert store.run(row.id).title == made.title
