"""One's own pictures: class folders, split folders, annotations; what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import datasets
from engine.errors import BadData, MissingData, RequestError
from engine.rows import Dataset
from engine.scenario.parse import parse
from engine.scenario.sections import ImageFolderSection
from tests.worlds import sections
from tests.worlds.pictures import assert_pictures, coded, pixels, splits, unpacked

PETS = {
    f"{name}/{number}.png": coded(pixels(100 * place + number, 20)) for place, name in enumerate(("cat", "dog")) for number in range(50)
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))


def load(path: Path, **keys: object) -> Dataset:
    return datasets.load(sections.dataset(**{"kind": "image_folder", "path": path, **keys}), 0, path)


def test_class_folders(tmp_path: Path) -> None:
    path = unpacked({**PETS, "stray.png": b"x", "cat/deep/er.png": coded(pixels(9)), "dog/.DS_Store": b""}, tmp_path / "pets")
    dataset = load(path)
    assert_pictures(dataset, 64)
    assert dataset.kind == "image_folder"
    assert dataset.classes == ("cat", "dog")
    assert [len(rows) for rows in splits(dataset)] == [40, 41, 20]
    assert dataset.deviations == ()
    assert dataset.notes == (
        "101 pictures of 2 classes in pets",
        "left out, a hidden file: 1 file (dog/.DS_Store)",
        "left out, in no class folder: 1 file (stray.png)",
        "resized to 64×64: 101 of 101 pictures",
    )
    for rows in splits(dataset):
        assert [name.split("/")[0] for name in rows.frame["file"]] == [dataset.classes[label] for label in rows.y]
    assert load(path, positive="cat").classes == ("dog", "cat")
    small = load(path, image_size=20, split=(0.2, 0.2, 0.6), rows=20)
    assert_pictures(small, 20)
    assert [len(rows) for rows in splits(small)] == [20, 20, 20]
    name = small.aux.frame["file"][3]
    if name in PETS:
        assert (small.aux.x[3] == pixels(100 * (name[:3] == "dog") + int(name[4:-4]), 20)).all()


def test_split_folders(tmp_path: Path) -> None:
    path = unpacked({f"{split}/{name}": data for split in ("Train", "aux", "test") for name, data in PETS.items()}, tmp_path / "three")
    dataset = load(path)
    assert_pictures(dataset, 64)
    assert [{name.split("/")[0] for name in rows.frame["file"]} for rows in splits(dataset)] == [{"Train"}, {"aux"}, {"test"}]
    assert "split by the folders train, aux and test" in dataset.notes
    path = unpacked({f"{split}/{name}": data for split in ("train", "test") for name, data in PETS.items()}, tmp_path / "two")
    dataset = load(path, split=(0.6, 0.2, 0.2))
    assert [len(rows) for rows in splits(dataset)] == [75, 25, 100]
    assert "no aux folder: aux is 25% of the train folder's pictures, stratified" in dataset.notes
    unpacked({"misc/cat/1.png": b""}, path)
    with pytest.raises(BadData, match="has, beside train and test, the folders misc"):
        load(path)


def test_annotations(tmp_path: Path) -> None:
    path = unpacked(PETS, tmp_path / "pets")
    lines = ["file;weight;colour;born", "./cat/0.png;3,5;red;x", "dog\\1.png;4,5;;x", "dog/1.png;9,0;twice;x", "gone.png;1,0;red;x"]
    lines += [f"{name};2,0;blue;x" for name in list(PETS)[2:]]
    file = tmp_path / "notes.csv"
    file.write_text("\n".join(lines))
    dataset = load(path, annotations_file=file)
    assert_pictures(dataset, 64)
    shown = {name: (weight, colour) for rows in splits(dataset)
             for name, weight, colour in zip(rows.frame["file"], rows.frame["weight"], rows.frame["colour"], strict=True)}  # fmt: skip
    assert shown["cat/0.png"] == (3.5, "red")
    assert shown["dog/1.png"] == (4.5, "missing")
    assert np.isnan(shown["cat/1.png"][0])
    assert shown["cat/1.png"][1] == "missing"
    assert shown["dog/7.png"] == (2.0, "blue")
    assert "notes.csv: no annotations for 1 of 100 pictures" in dataset.notes
    assert "notes.csv: 1 row for pictures that are not here" in dataset.notes
    assert any("already named; the first is used" in note for note in dataset.notes)
    assert dataset.checksums["notes.csv"].startswith("sha256:")


def test_annotations_that_cannot_be_used(tmp_path: Path) -> None:
    path = unpacked(PETS, tmp_path / "pets")
    file = tmp_path / "notes.csv"
    with pytest.raises(MissingData, match=r"correct dataset\.annotations_file"):
        load(path, annotations_file=file)
    assert "notes.csv: there is no such file" in datasets.state(
        ImageFolderSection(path=path, annotations_file=file), tmp_path
    ).detail  # fmt: skip
    for text, said in (
        ("File,age\ncat/0.png,3\n", "has no column 'file'.*is it 'File'"),
        ("file,age\n0.png,3\n", "names none of the 100 pictures .it names '0.png', they are called 'cat/0.png'"),
        ("file\ncat/0.png\n", "has no column beside 'file'"),
    ):
        file.write_text(text)
        with pytest.raises(BadData, match=said):
            load(path, annotations_file=file)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    assert "set dataset.path" in datasets.state("image_folder", tmp_path).detail
    section = ImageFolderSection(path=tmp_path / "no")
    assert not datasets.state(section, tmp_path).present
    with pytest.raises(MissingData, match="there is no such folder"):
        load(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="has no pictures in class folders; it needs 2 to 256 folders"):
        load(tmp_path / "empty")
    unpacked({"one/1.png": coded(pixels(1)), "two/1.png": b"no picture"}, tmp_path / "half")
    with pytest.raises(BadData, match=r"has pictures of 1 class only .'one'.*left out, not readable as a picture: 1 file .two/1.png"):
        load(tmp_path / "half")
    with pytest.raises(BadData, match="has no class 'dgo'; did you mean 'dog'"):
        load(unpacked(PETS, tmp_path / "pets"), positive="dgo")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadData, match="cannot be read: Not a directory"):
        load(tmp_path / "file")


def test_files_of_a_scenario_are_relative_to_it(tmp_path: Path) -> None:
    text = """
        title = "t"
        [dataset]
        kind = "image_folder"
        path = "pets"
        annotations_file = "notes/a.csv"
        [model]
        kind = "logistic"
        [subpopulations]
        kind = "cluster_match"
    """
    given = parse(text, folder=tmp_path).dataset
    assert (given.path, given.annotations_file) == (tmp_path / "pets", tmp_path / "notes" / "a.csv")
    over = parse(text, folder=tmp_path, overrides=["dataset.annotations_file=b.csv"]).dataset
    assert over.annotations_file == Path.cwd() / "b.csv"
    for wrong, said in ((text.replace("image_folder", "digits"), "annotations_file"), (text + "[dataset.scale]", "scale")):
        with pytest.raises(RequestError, match=said):
            parse(wrong, folder=tmp_path)
