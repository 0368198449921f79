"""Reviews and one's own texts: every layout is read alike, what is odd is counted and named, what cannot be used is refused in words."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import datasets
from engine.datasets import imdb
from engine.datasets.files.fetching import md5_of
from engine.errors import BadData, MissingData, ScenarioError
from engine.rows import Dataset
from engine.scenario.parse import parse
from engine.scenario.sections import ImdbSection, TextTableSection
from tests.worlds import sections
from tests.worlds.tables import noted

Files = dict[str, bytes]
SPLITS = ("train", "aux", "test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tree(each: int = 6) -> Files:
    """Some reviews of each class and split, and what else the official archive holds."""
    files: Files = {"README": b"hello", "imdb.vocab": b"the", "train/labeledBow.feat": b"1", "train/unsup/0_0.txt": b"unlabelled"}
    for split in ("train", "test"):
        files[f"{split}/urls_pos.txt"] = b"http://"
        for kind, words in (("neg", "dull and long"), ("pos", "a joy to see")):
            for i in range(each):
                rating = i % 4 + (1 if kind == "neg" else 7)
                files[f"{split}/{kind}/{i}_{rating}.txt"] = f"{split} {kind} {i} was {words} {'é ' * i}".encode()
    return files


def pack(files: Files, path: Path, mode: str = "w:gz", root: str = "aclImdb/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(root + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def unpack(files: Files, folder: Path) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def load(data: Path, seed: int = 0, **keys: object) -> Dataset:
    return datasets.load(sections.dataset(**{"kind": "imdb", **keys}), seed, data)


def parts(dataset: Dataset) -> list:
    return [getattr(dataset, split) for split in SPLITS]


def same(one: Dataset, other: Dataset) -> bool:
    return all(
        (a.texts == b.texts).all() and (a.y == b.y).all() and (a.ids == b.ids).all() and a.frame.equals(b.frame)
        for a, b in zip(parts(one), parts(other), strict=True)
    )


# ---- imdb -----------------------------------------------------------------------------------------------------------


def test_reviews_become_rows(tmp_path: Path) -> None:
    pack(tree(), tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    dataset = load(tmp_path)
    assert dataset.classes == ("negative", "positive")
    assert [len(part) for part in parts(dataset)] == [6, 6, 12]
    assert [int(part.y.sum()) for part in parts(dataset)] == [3, 3, 6]
    assert len(np.unique(np.concatenate([part.ids for part in parts(dataset)]))) == 24
    for part in parts(dataset):
        assert part.x.shape == (len(part), 0)
        assert part.x.dtype == np.float32
        assert part.texts.dtype == object
        assert list(part.frame.columns) == ["rating", "words", "length"]
        for text, y, rating, words in zip(part.texts, part.y, part.frame["rating"], part.frame["words"], strict=True):
            assert text.split()[1] == ("neg", "pos")[y]
            assert (rating >= 7) == bool(y)
            assert words == len(text.split())
    assert all(text.startswith("test") for text in dataset.test.texts)
    assert not any(text.startswith("test") for part in parts(dataset)[:2] for text in part.texts)
    assert {"short", "medium", "long"} == {level for part in parts(dataset) for level in part.frame["length"]}
    assert dataset.test.take(np.array([3, 1])).texts.tolist() == [dataset.test.texts[3], dataset.test.texts[1]]
    assert "is not the official archive" in noted(dataset)
    assert dataset.deviations == ("12 train and 12 test reviews (officially 25,000 each)",)
    assert not any("left out" in note for note in dataset.notes)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("root", ["aclImdb/", "./aclImdb/", ""])
def test_every_layout_gives_the_same_rows(tmp_path: Path, mode: str, root: str) -> None:
    unpack(tree(), tmp_path / "one" / "imdb" / "aclImdb")
    pack(dict(reversed(tree().items())), tmp_path / "two" / "imdb" / "aclImdb_v1.tar.gz", mode, root)
    folder, archive = load(tmp_path / "one"), load(tmp_path / "two")
    assert same(folder, archive)
    assert folder.checksums["aclImdb"].startswith("md5:")
    assert archive.checksums == {"aclImdb_v1.tar.gz": f"md5:{md5_of(tmp_path / 'two' / 'imdb' / 'aclImdb_v1.tar.gz')}"}
    assert datasets.state("imdb", tmp_path / "one").present
    assert datasets.state("imdb", tmp_path / "two").present
    assert not same(folder, load(tmp_path / "one", seed=1))


def test_read_once_and_then_taken_from_the_cache(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(tree(), tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    told: list[tuple[str, float]] = []
    section = ImdbSection()
    first = datasets.load(section, 0, tmp_path, lambda what, done: told.append((what, done)))
    assert told[0] == ("reading aclImdb_v1.tar.gz", 0.0)
    assert told[-1] == ("reading aclImdb_v1.tar.gz", 1.0)
    told.clear()
    assert same(first, datasets.load(section, 0, tmp_path, lambda what, done: told.append((what, done))))
    assert told == []
    [kept] = (own_cache / "texts").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o644
    kept.write_bytes(kept.read_bytes()[:-100])  # cut off
    assert same(first, load(tmp_path))
    files = tree()
    files["train/pos/0_7.txt"] = b"changed"
    pack(files, archive)
    assert not same(first, load(tmp_path))
    monkeypatch.setenv("SUBPOP_CACHE", str(archive))  # no folder: nothing can be kept
    assert not same(first, load(tmp_path))


def test_ctrl_c_leaves_nothing(tmp_path: Path, own_cache: Path) -> None:
    pack(tree(), tmp_path / "imdb" / "aclImdb_v1.tar.gz")

    def interrupt(what: str, done: float) -> None:
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.load(ImdbSection(), 0, tmp_path, interrupt)
    assert not own_cache.exists() or not list(own_cache.rglob("*.arrow*"))


def test_odd_reviews_are_counted_and_named(tmp_path: Path) -> None:
    files = tree()
    files |= {
        "train/pos/90_7.txt": b"",
        "train/pos/91_7.txt": b" \n",
        "train/pos/92_8.txt": b"caf\xe9 noir",
        "train/pos/93_77.txt": b"overrated",
        "train/neg/readme.txt": b"nothing",
        "train/neutral/0_5.txt": b"so so",
        "test/neg/90_1.txt": b"dreadful " * 1_200_000,
    }
    pack(files, tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    dataset = load(tmp_path)
    said = noted(dataset)
    assert "left out, empty: 2 files (train/pos/90_7.txt, train/pos/91_7.txt)" in said
    assert "not UTF-8, read with the bytes in question replaced: 1 review (train/pos/92_8.txt)" in said
    assert "left out, a rating that is not 1 to 10: 1 file (aclImdb/train/pos/93_77.txt)" in said
    assert "left out, no name of the form number_rating.txt: 1 file (aclImdb/train/neg/readme.txt)" in said
    assert "left out, in a folder that is neither pos nor neg: 1 file (aclImdb/train/neutral/0_5.txt)" in said
    assert "longer than 100,000 characters, of which a model reads the beginning: 1 text (test/neg/90_1.txt)" in said
    assert len(dataset.train) + len(dataset.aux) == 13
    assert "caf\ufffd noir" in [*dataset.train.texts, *dataset.aux.texts]
    assert max(dataset.test.frame["words"]) == 1_200_000
    assert noted(load(tmp_path)) == said  # from the cache


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "imdb" / "aclImdb_v1.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in [*tree().items(), ("train/pos/0_7.txt", b"again")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    dataset = load(tmp_path)
    assert "left out, named twice: 1 file (train/pos/0_7.txt)" in noted(dataset)
    assert "again" not in [*dataset.train.texts, *dataset.aux.texts]


def test_fewer_rows(tmp_path: Path) -> None:
    pack(tree(30), tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    dataset = load(tmp_path, rows=20)
    assert [len(part) for part in parts(dataset)] == [20, 20, 20]
    assert [int(part.y.sum()) for part in parts(dataset)] == [10, 10, 10]
    assert "a subset of the data: 20 of 30 train rows, 20 of 30 aux rows, 20 of 60 test rows" in dataset.deviations
    whole = load(tmp_path)
    levels = dict(zip([*whole.train.ids, *whole.aux.ids], [*whole.train.frame["length"], *whole.aux.frame["length"]], strict=True))
    assert [levels[row] for row in dataset.train.ids] == dataset.train.frame["length"].tolist()  # a level does not depend on the cap


def test_archives_that_cannot_be_used(tmp_path: Path) -> None:
    path = pack(tree(), tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    whole = path.read_bytes()
    for content, said in (
        (whole[: len(whole) // 2], "cannot be read as a tar archive"),
        (b"<html>log in</html>" * 100, "cannot be read as a tar archive"),
        (gzip.compress(b""), "cannot be read as a tar archive|holds no review"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadData, match=said) as caught:
            load(tmp_path)
        assert str(path) in str(caught.value)
        assert caught.value.next
    pack({"notes/a.txt": b"x"}, path)
    with pytest.raises(BadData, match="holds no review"):
        load(tmp_path)
    pack({name: data for name, data in tree().items() if name.startswith("test")}, path)
    with pytest.raises(BadData, match="has 0 train and 12 test reviews"):
        load(tmp_path)


class Handler(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def base_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_archive_is_fetched_and_what_cannot_be_had_is_said(
    tmp_path: Path, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = pack(tree(), tmp_path / "made.tar.gz")
    monkeypatch.setattr(Handler, "body", body.read_bytes())
    data = tmp_path / "data"
    assert datasets.state("imdb", data).detail.startswith("aclImdb_v1.tar.gz is missing")
    with pytest.raises(BadData, match=r"7c2ac02c03563afcf9b574c7e56c153a.*it was not kept"):
        datasets.fetch("imdb", data, base_url=base_url)
    with pytest.raises(MissingData) as caught:
        datasets.load(ImdbSection(), 0, data, base_url="http://127.0.0.1:9/")
    for part in ("imdb/aclImdb_v1.tar.gz is not here", "https://ai.stanford.edu/~amaas/data/sentiment", f"put it at {data / 'imdb'}"):
        assert part in str(caught.value)
    monkeypatch.setattr(imdb, "ARCHIVE", replace(imdb.ARCHIVE, md5=md5_of(body), size=body.stat().st_size))
    assert datasets.fetch("imdb", data, base_url=base_url) == (data / "imdb" / "aclImdb_v1.tar.gz",)
    assert len(load(data).test) == 12
    assert datasets.fetch("imdb", data, base_url="http://127.0.0.1:9/") == (data / "imdb" / "aclImdb_v1.tar.gz",)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Dataset:
    if not (shared_data / "imdb" / "aclImdb_v1.tar.gz").is_file():
        pytest.skip("no IMDB reviews here")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SUBPOP_CACHE", raising=False)
        return datasets.load(ImdbSection(), 0, shared_data)


def test_the_real_reviews(real: Dataset) -> None:
    assert [len(part) for part in parts(real)] == [12_500, 12_500, 25_000]
    assert [int(part.y.sum()) for part in parts(real)] == [6_250, 6_250, 12_500]
    assert real.deviations == ()
    assert not any("left out" in note or "UTF-8" in note for note in real.notes)
    for part in parts(real):
        assert set(part.frame["rating"]) == {1, 2, 3, 4, 7, 8, 9, 10}
        assert ((part.frame["rating"] >= 7) == (part.y == 1)).all()
        assert all(0.28 < share < 0.39 for share in part.frame["length"].value_counts(normalize=True))


# ---- text_table -----------------------------------------------------------------------------------------------------

Load = Callable[..., Dataset]


def opinions(n: int = 60) -> pd.DataFrame:
    i = np.arange(n)
    text = [f'Review {k}, with "quotes", a line\nbreak and  two blanks{" and more" * (k % 9)}' for k in i]
    return pd.DataFrame({"text": text, "y": np.array(["bad", "good"])[i % 2], "genre": np.array(["war", "noir", "musical"])[i % 3], "n": i})


@pytest.fixture
def table(tmp_path: Path) -> Load:
    def load_(content: str | bytes | pd.DataFrame, name: str = "mine.csv", **keys: object) -> Dataset:
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content = {
                ".csv": lambda: content.to_csv(index=False),
                ".jsonl": lambda: content.to_json(orient="records", lines=True),
                ".parquet": lambda: content.to_parquet(index=False),
            }[path.suffix]()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        section = sections.dataset(**{"kind": "text_table", "path": path, "text": "text", "label": "y", **keys})
        return datasets.load(section, 0, tmp_path)

    return load_


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl", "mine.parquet"])
def test_texts_of_a_table_in_every_format(table: Load, name: str) -> None:
    dataset = table(opinions(), name, annotations=("genre",), positive="bad")
    assert dataset.classes == ("good", "bad")
    assert [len(part) for part in parts(dataset)] == [24, 24, 12]
    assert dataset.feature_names == ()
    whole = opinions()
    for part in parts(dataset):
        assert part.texts.tolist() == whole["text"][part.ids].tolist()  # to the character
        assert part.frame["genre"].tolist() == whole["genre"][part.ids].tolist()
        assert [dataset.classes[y] for y in part.y] == whole["y"][part.ids].tolist()
        assert list(part.frame.columns) == ["words", "length", "genre"]
        assert part.x.shape == (len(part), 0)
    assert "left out: 'n' (dataset.annotations takes columns" in noted(dataset)
    assert dataset.checksums[name].startswith("sha256:")


def test_rows_without_text_or_label_are_counted(table: Load) -> None:
    frame = opinions()
    frame.loc[3, "text"] = None
    frame.loc[4, "text"] = " \n "
    frame.loc[5, "y"] = None
    dataset = table(frame)
    assert sum(map(len, parts(dataset))) == 57
    assert "no text: 2 of 60 rows, left out" in noted(dataset)
    assert "no label: 1 of 60 rows, left out" in noted(dataset)


def test_a_split_column_and_a_class_that_only_test_has(table: Load) -> None:
    frame = opinions().assign(s=np.array(["train", "aux", "test", "train", "aux"])[np.arange(60) % 5])
    frame.loc[frame["s"] == "test", "y"] = "odd"
    dataset = table(frame, split_column="s", annotations=("s",))
    assert [len(part) for part in parts(dataset)] == [24, 24, 12]
    assert "no train rows of class 'odd'" in noted(dataset)
    assert set(dataset.test.frame["s"]) == {"test"}


def test_ten_megabytes_and_bytes_that_are_not_utf8(table: Load, tmp_path: Path) -> None:
    frame = opinions()
    frame.loc[7, "text"] = "much ado " * 1_200_000
    for name in ("mine.csv", "mine.jsonl", "mine.parquet"):
        dataset = table(frame, name)
        assert "longer than 100,000 characters, of which a model reads the beginning: 1 text (row 8)" in noted(dataset)
        assert max(len(text) for part in parts(dataset) for text in part.texts) == 10_800_000
    small = opinions()
    assert "not UTF-8 (line 122): read as Windows-1252" in noted(table(small.to_csv(index=False).encode() + b"caf\xe9,bad,war,1\n"))
    lines = small.to_json(orient="records", lines=True).encode() + b'\n{"text": "caf\xe9", "y": "bad"}\n'
    dataset = table(lines, "mine.jsonl")
    assert "not UTF-8, read with the bytes in question replaced: 1 line" in noted(dataset)
    raw = pa.table({"text": pa.array([*(t.encode() for t in small["text"][:-1]), b"caf\xe9"], pa.binary()), "y": small["y"]})
    pq.write_table(raw, tmp_path / "raw.parquet")
    assert "1 text (row 60)" in noted(table((tmp_path / "raw.parquet").read_bytes(), "raw.parquet"))


def test_json_lines_as_people_have_them(table: Load) -> None:
    rows = [{"text": f"t{k}", "y": k % 2 == 0, "score": k / 2} for k in range(40)]
    lines = [json.dumps(row) for row in rows]
    lines[3] = '{"y": true, "text": "half \\ud83d", "extra": {"deep": [1]}}'
    dataset = table("\ufeff" + "\n\n".join(lines), "mine.json", annotations=("score",))
    assert dataset.classes == ("false", "true")
    assert sum(map(len, parts(dataset))) == 40
    assert "half ?" in [text for part in parts(dataset) for text in part.texts]
    scores = pd.concat([part.frame["score"] for part in parts(dataset)])
    assert int(scores.isna().sum()) == 1
    zipped = table(gzip.compress("\n".join(lines).encode()), "mine.jsonl.gz")
    assert sum(map(len, parts(zipped))) == 40


CSV = opinions().to_csv()
REFUSED: dict[str, tuple[str, str | bytes, dict[str, object], str]] = {
    "no such text column": (
        "mine.csv",
        CSV,
        {"text": "Text"},
        "dataset.text: there is no column 'Text', did you mean 'text'?",
    ),
    "text is the label": ("mine.csv", CSV, {"label": "text"}, "'text' is in dataset.text and in dataset.label"),
    "text is an annotation": (
        "mine.csv",
        CSV,
        {"annotations": ("text",)},
        "'text' is in dataset.text and in dataset.annotations",
    ),
    "numbers as texts": ("mine.parquet", opinions().to_parquet(), {"text": "n"}, "column 'n' holds int64, not text"),
    "not a label": ("mine.csv", opinions(600).to_csv(), {"label": "n"}, "has 600 different numbers"),
    "unknown class": ("mine.csv", CSV, {"positive": "goof"}, "did you mean 'good'?"),
    "no text at all": ("mine.csv", "text,y\n,a\n ,b\n", {}, "no row has both a text and a label"),
    "one class": ("mine.csv", opinions().assign(y="x").to_csv(), {}, "has one class only ('x')"),
    "broken JSON": ("mine.jsonl", '{"text": "a", "y": 1}\n{"text": ', {}, "line 2 is not JSON"),
    "no object": ("mine.jsonl", '{"text": "a", "y": 1}\n[1, 2]', {}, "line 2 holds '[1, 2]', which is no object"),
    "deep": ("mine.jsonl", "[" * 100_000, {}, "a JSON array, not JSON Lines"),
    "empty lines": ("mine.jsonl", "\n\n", {}, "there is no row in it"),
    "cut gzip": ("mine.jsonl.gz", gzip.compress(b'{"text": "a", "y": 1}\n' * 1000)[:40], {}, "cannot be read"),
    "a workbook": ("mine.csv", b"PK\x03\x04....", {}, "an Excel workbook"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_words(table: Load, case: str) -> None:
    name, content, keys, said = REFUSED[case]
    with pytest.raises(BadData) as caught:
        table(content, name, **keys)
    assert said in str(caught.value)
    assert name in str(caught.value)
    assert caught.value.next


def test_missing_file_and_missing_keys(tmp_path: Path) -> None:
    section = TextTableSection(path=tmp_path / "none.jsonl", text="t", label="y")
    with pytest.raises((MissingData, BadData), match=r"none\.jsonl"):
        datasets.load(section, 0, tmp_path)
    assert not datasets.state(section, tmp_path).present
    assert "dataset.text" in datasets.state("text_table", tmp_path).detail


SCENARIO = """
title = "t"
model.kind = "bert"
subpopulations.kind = "cluster_match"
[dataset]
"""


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('kind = "text_table"\npath = "a.csv"\nlabel = "y"', 'needs the name of the column that holds the texts: text = "..."'),
        ('kind = "text_table"\npath = "a.csv"\nlabel = "y"\ntext = "y"\n', "and label both name 'y'"),
        ('kind = "imdb"\ntext = "t"', 'has no meaning for kind "imdb"'),
        ('kind = "imdb"\nscale = "standard"', "it is a key of adult, digits, breast_cancer and table; take it out"),
        ('kind = "text_table"\npath = "a.csv"\nlabel = "y"\ntext = "t"\nannotations = ["t"]', "the column of texts 't'"),
    ],
)
def test_a_scenario_says_what_is_wrong_before_anything_is_read(keys: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said.replace("[", r"\[").replace("...", r"\.\.\.")):
        parse(SCENARIO + keys)


def test_asking_for_state_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from engine import datasets\n"
        "for kind in ('imdb', 'text_table'): datasets.state(kind, Path('.'))\n"
        "print([m for m in ('numpy', 'pandas', 'torch', 'tokenizers', 'pyarrow', 'PIL', 'requests') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_texts_that_train_and_test_share_are_counted(table: Load) -> None:
    frame = opinions().assign(s=np.array(["train", "aux", "test"])[np.arange(60) % 3])
    frame.loc[[2, 5], "text"] = frame["text"][0]  # rows of test
    assert "the same text word for word in train: 2 test texts of 20" in noted(table(frame, split_column="s"))
