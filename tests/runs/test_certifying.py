"""A run with an ensemble: what is stored of it, resumed, handed on, and the table that is made of it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main as cli
from engine.errors import Interrupted, RequestError, StoreError
from engine.pipeline import order as pipeline
from engine.pipeline.order import RunPipeline
from engine.rows import PartResult
from engine.runs import again
from engine.runs import start as run
from engine.runs.rebuild import rebuild
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from engine.store.bundle import bundle, open_bundle
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
from tests.worlds.store import as_of

pytestmark = pytest.mark.usefixtures("one_thread")
K = 6
TEXT = """
title = "certified"
[dataset]
kind = "digits"
rows = 240
[model]
kind = "mlp"
hidden = [12]
epochs = 12
batch = 64
lr = 0.02
[subpopulations]
kind = "cluster_match"
clusters = 5
[attack]
alphas = [0.02, 0.05]
target_label = "least_likely"
[evaluation]
trials = 2
min_test_rows = 30
confidence_folds = 1
certificates = 6
[compute]
threads = 1
victims_per_stack = 20
"""


class InTwos(RunPipeline):
    """Parts two at a time; stopped after so many lots."""

    def __init__(self, lots: int = 99) -> None:
        super().__init__()
        self.lots, self.trained = lots, list[int]()

    def train_parts(self, scenario: Any, dataset: Any, parts: Sequence[Any], device: str, on_step: Any) -> Iterator[list[PartResult]]:
        for lo in range(0, len(parts), 2):
            if not self.lots:
                raise Interrupted("stopped")
            self.lots -= 1
            for some in super().train_parts(scenario, dataset, parts[lo : lo + 2], device, on_step):
                self.trained += [part.number for part in some]
                yield some


@cache
def done(folder: Path) -> str:
    with Store.open(folder / "runs.db") as store:
        run_id = run.start(store, parse(TEXT), spawn=False).id
        assert work(store, run_id) == "done"
    return run_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certified")


def test_the_table_is_that_of_a_plain_loop_over_what_sqlite_holds(folder: Path) -> None:
    """Nothing of engine/evaluation or engine/store reads here: bytes, votes and certificates are worked out anew."""
    run_id = done(folder)
    with Store.open(folder / "runs.db") as store:
        table = store.table(run_id, "certificates").records()
        clean = {row["subpopulation"]: row["clean_accuracy"] for row in store.table(run_id, "subpopulations").records()}
    with closing(sqlite3.connect(folder / "runs.db")) as db:
        says = [np.frombuffer(zlib.decompress(data), np.uint8) for (data,) in db.execute("SELECT predictions FROM parts ORDER BY number")]
        arrays = {
            name: np.frombuffer(zlib.decompress(data), dtype) for name, dtype, data in db.execute("SELECT name, dtype, data FROM arrays")
        }
        fields = [json.loads(text) for (text,) in db.execute("SELECT fields FROM subpopulations ORDER BY number")]
    y, member = arrays["y_test"], arrays["membership.test"]
    withstands, right = [], []
    for row in range(len(y)):
        votes = [sum(int(model[row]) == c for model in says) for c in range(10)]
        vote = votes.index(max(votes))
        points = 0  # the worst that so many points do: votes are taken from the winner and given to one other
        while all((votes[vote] - points - 1, -vote) > (votes[d] + points + 1, -d) for d in range(10) if d != vote):
            points += 1
        withstands.append(points)
        right.append(vote == y[row])
    ones = [row for row in table if row["group"] == "one"]
    assert len(ones) == 2 * 5
    for row in ones:
        index = row["subpopulation"]
        mine = [at for at in range(len(y)) if member[at] == index]
        points = int(row["alpha"] * 1000 * fields[index]["aux_rows"]) // 1000
        assert row["points"] == points
        assert row["certified"] == pytest.approx(np.mean([withstands[at] >= points for at in mine]))
        assert row["certified_right"] == pytest.approx(np.mean([withstands[at] >= points and right[at] for at in mine]))
        assert row["ensemble_accuracy"] == pytest.approx(np.mean([right[at] for at in mine]))
        assert row["clean_accuracy"] == clean[index]
        half = max(p for p in range(K) if 2 * sum(withstands[at] >= p for at in mine) >= len(mine))
        assert row["withstood"] == half
        assert (row["parts"], row["most_points"], row["test_rows"]) == (K, 3, len(mine))
        assert (row["out_of_reach"] == 1.0) == (points > 3) == (row["note"] is not None)
        assert row["certified"] == 0 or points <= 3
    for alpha in (0.02, 0.05):
        at = {row["group"]: row for row in table if row["alpha"] == alpha and row["group"] != "one"}
        of = [row for row in ones if row["alpha"] == alpha and row["attacked"]]
        assert at["all"]["certified_right"] == pytest.approx(np.mean([row["certified_right"] for row in of]))
        pooled = [p for row in of for at, p in enumerate(withstands) if member[at] == row["subpopulation"]]
        assert at["all"]["withstood"] == max(p for p in range(K) if 2 * sum(mine >= p for mine in pooled) >= len(pooled))
        enough = [row for row in of if row["test_rows"] >= 30]
        assert 0 < at["enough test rows"]["subpopulations"] == len(enough) < len(of)
        assert at["enough test rows"]["certified"] == pytest.approx(np.mean([row["certified"] for row in enough]))
        assert at["test set"]["ensemble_accuracy"] == pytest.approx(np.mean(right))
        assert at["test set"]["points"] is None
    assert {row["certified"] for row in ones} - {0.0, 1.0}  # there was something to tell apart


def test_a_resumed_run_trains_the_parts_that_are_missing_and_comes_to_the_same(folder: Path, tmp_path: Path) -> None:
    run_id = done(folder)
    with Store.open(tmp_path / "runs.db") as store, Store.open(folder / "runs.db") as whole:
        stopped = run.start(store, parse(TEXT), spawn=False).id
        first = InTwos(lots=2)
        assert work(store, stopped, pipeline=first) == "stopped"
        assert first.trained == [0, 1, 2, 3]
        assert store.table(stopped, "certificates").rows == ()  # nothing is certified by some of the votes
        with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as db:  # and one of them is damaged
            (data,) = db.execute("SELECT predictions FROM parts WHERE number = 2").fetchone()
            db.execute("UPDATE parts SET predictions = ? WHERE number = 2", (data[:-9] + b"012345678",))
        with pytest.raises(StoreError, match="part 2"):
            store.parts(stopped)
        second = InTwos()
        assert work(store, stopped, pipeline=second) == "done"
        assert second.trained == [2, 4, 5]
        assert any("part" in entry.message and "trained again" in entry.message for entry in store.log_rows(stopped, 0))
        for mine, its in zip(store.parts(stopped), whole.parts(run_id), strict=True):
            assert replace(mine, predictions=its.predictions) == its
            assert (mine.predictions == its.predictions).all()
        assert store.table(stopped, "certificates") == whole.table(run_id, "certificates")


def test_a_run_that_attacks_again_takes_the_ensemble_over_where_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    run_id = done(folder)
    with closing(sqlite3.connect(folder / "runs.db")) as db, closing(sqlite3.connect(tmp_path / "runs.db")) as into:
        db.backup(into)
    with Store.open(tmp_path / "runs.db") as store:
        for overrides, trains in (([], []), (["model.lr=0.03"], [0, 1, 2, 3, 4, 5]), (["evaluation.certificates=4"], [0, 1, 2, 3])):
            child = again.start(store, run_id, [1, 2], overrides, spawn=False).id
            pipeline = InTwos()
            assert work(store, child, pipeline=pipeline) == "done"
            assert pipeline.trained == trains
            assert len(store.parts(child)) == (trains[-1] + 1 if trains else K)


def test_it_travels_in_a_bundle_where_what_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    run_id = done(folder)
    path = tmp_path / "run.subpop"
    with Store.open(folder / "runs.db") as store, Store.open(tmp_path / "other.db") as other:
        bundle(store, run_id, path)
        assert open_bundle(other, path) == run_id
        assert len(other.parts(run_id)) == K
        rebuild(other, [run_id])
        assert other.table(run_id, "certificates") == store.table(run_id, "certificates")
    changes = {
        "beyond the parts": "UPDATE parts SET number = 17 WHERE number = 5",
        "one too few": "DELETE FROM parts WHERE number = 5",
        "rows that train lacks": "UPDATE parts SET rows = rows + 1 WHERE number = 0",
        "short": "UPDATE parts SET test_rows = test_rows - 1 WHERE number = 0",
        "no such class": "UPDATE parts SET predictions = x'789c4b4b1b050009' WHERE number = 0",
        "no ensemble asked for": "UPDATE runs SET scenario_toml = replace(scenario_toml, 'certificates = 6', '')",
    }
    for name, change in changes.items():
        forged = tmp_path / f"{name}.subpop"
        forged.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(forged, isolation_level=None)) as db:
            db.execute(change)
            for table in ("parts", "runs"):
                db.execute(f"UPDATE {table} SET digest = NULL")
        with Store.open(tmp_path / "third.db") as third, pytest.raises(RequestError, match="damaged or forged"):
            open_bundle(third, forged)


def test_a_model_that_went_missing_is_noticed(folder: Path, tmp_path: Path) -> None:
    run_id = done(folder)
    with closing(sqlite3.connect(folder / "runs.db")) as db, closing(sqlite3.connect(tmp_path / "runs.db")) as into:
        db.backup(into)
        into.execute("DELETE FROM parts WHERE number = 3")
        into.commit()
    with Store.open(tmp_path / "runs.db") as store, pytest.raises(StoreError, match="5 models are there where 6 were committed"):
        store.parts(run_id)


def test_a_store_from_before_is_opened_and_has_none(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        assert work(store, run_id, pipeline=FakePipeline()) == "done"
    as_of(tmp_path / "runs.db", 12)
    with Store.open(tmp_path / "runs.db") as store:
        assert store.parts(run_id) == []
        assert len(store.victims(run_id)) > 0
        bundle(store, run_id, tmp_path / "run.subpop")
    as_of(tmp_path / "run.subpop", 12)
    with Store.open(tmp_path / "other.db") as other:
        assert open_bundle(other, tmp_path / "run.subpop") == run_id
        assert other.parts(run_id) == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["evaluation.certificates=0"], "evaluation.certificates: is 0; expected a whole number from 2"),
        (["evaluation.certificates=-3"], "evaluation.certificates: is -3"),
        (["evaluation.certificates=241"], "more parts than the 240 rows"),
        (["evaluation.certificates=720", "dataset.rows="], "more parts than train has rows (719)"),
        (["dataset.scale=standard"], "scales learnt from train are moved by one inserted row"),
        (["evaluation.certificates=many"], "evaluation.certificates"),
    ],
)
def test_what_cannot_be_certified_is_refused_in_one_message(
    overrides: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    sets = [word for each in overrides for word in ("--set", each)]
    assert cli.main(["run", str(tmp_path / "mine.toml"), *sets, "--store", str(tmp_path / "none.db"), "--detach"]) == 2
    told = capsys.readouterr().err
    assert words in told
    with Store.open(tmp_path / "none.db") as store:
        assert list(store.runs()) == []


def test_ones_own_table_needs_its_preparation_fixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "".join(f"{n},{n % 7},{'yn'[n % 2]}\n" for n in range(100)), encoding="utf-8")
    own = TEXT.replace('kind = "digits"\nrows = 240', f'kind = "table"\npath = "{tmp_path}/rows.csv"\nlabel = "y"')
    (tmp_path / "mine.toml").write_text(own, encoding="utf-8")
    assert cli.main(["show", str(tmp_path / "mine.toml")]) == 2
    assert "levels and medians learnt from train are moved by one inserted row" in capsys.readouterr().err
    (tmp_path / "mine.toml").write_text(own.replace('label = "y"', 'label = "y"\nfitted_on = "aux"'), encoding="utf-8")
    assert cli.main(["show", str(tmp_path / "mine.toml")]) == 0


@pytest.mark.parametrize(
    ("folders", "train"),
    [
        (("", ""), 4),  # 0.4 of 10 and of 10, of which one is no picture
        (("train/", "test/"), 5),
        (("train/", "aux/", "test/"), 10),
    ],
)
def test_more_parts_than_a_folder_has_pictures_is_refused_before_any_is_read(
    folders: tuple[str, ...], train: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for home in folders:
        for name in ("cats", "dogs"):
            place = tmp_path / "pictures" / home / name
            place.mkdir(parents=True, exist_ok=True)
            for n in range(5):
                (place / f"{n}.png").write_bytes(b"not opened")
    own = TEXT.replace('kind = "digits"\nrows = 240', f'kind = "image_folder"\npath = "{tmp_path}/pictures"')
    own = own.replace('kind = "mlp"\nhidden = [12]', 'kind = "conv"').replace("certificates = 6", f"certificates = {train + 1}")
    (tmp_path / "mine.toml").write_text(own, encoding="utf-8")
    for command in (["run", "--store", str(tmp_path / "none.db")], ["plan", "-o", str(tmp_path / "plan.json")]):
        assert cli.main([*command, str(tmp_path / "mine.toml")]) == 2
        assert f"is {train + 1}, more parts than train has rows ({train})" in capsys.readouterr().err


@pytest.mark.parametrize(("preset", "train"), [("utkface-vgg-ll", 7_000), ("cifar10-conv", 25_000), ("imdb-minilm-ll", 12_500)])
def test_more_parts_than_a_published_split_has_rows_is_refused(
    preset: str, train: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = ["--store", str(tmp_path / "none.db")]
    assert cli.main(["run", preset, "--set", f"evaluation.certificates={train + 1}", *store]) == 2
    assert f"more parts than train has rows ({train:,})" in capsys.readouterr().err
    knn = [
        "--set",
        "defense.kind=knn",
        "--set",
        "defense.layer=hidden",
        "--set",
        f"defense.neighbors={min(train, 10_000)}",
        "--set",
        f"dataset.rows={min(train, 10_000)}",
    ]
    assert cli.main(["run", preset, *knn, *store]) == 2
    assert f"asks {min(train, 10_000):,} neighbours of a row; train has" in capsys.readouterr().err


def test_fewer_rows_than_parts_are_refused_before_features_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only reading them tells how many there are: pictures that cannot be decoded, an archive of fewer than were published."""
    dataset = pipeline.rows(parse(TEXT), tmp_path, log=lambda _: None, progress=lambda *_: None)
    monkeypatch.setattr("engine.datasets.load", lambda *_: replace(dataset, train=dataset.train.take(np.arange(5))))
    monkeypatch.setattr("engine.pipeline.discover.see", lambda *_, **__: pytest.fail("features were computed"))
    with pytest.raises(RequestError, match="is 6, more parts than train has rows \\(5\\)"):
        pipeline.load(parse(TEXT), tmp_path, log=lambda _: None, progress=lambda *_: None)


def test_every_format_and_the_report_have_it_and_others_say_how(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = done(folder)
    of_run = ["export", run_id, "--store", str(folder / "runs.db")]
    for format in ("csv", "json", "parquet", "md", "tex"):
        out = tmp_path / f"c.{format}"
        assert (
            cli.main(["export", run_id, "--store", str(folder / "runs.db"), "--table", "certificates", "--format", format, "-o", str(out)])
            == 0
        )
        assert out.stat().st_size > 500
    assert cli.main([*of_run, "--table", "all", "-o", str(tmp_path / "all")]) == 0
    text = (tmp_path / "all" / "report.md").read_text(encoding="utf-8")
    assert "**What is proven.**" in text
    assert "with 6 parts no prediction can be proven against more than 3 points" in text
    assert (tmp_path / "all" / "certificates.csv").is_file()
    with Store.open(tmp_path / "plain.db") as store:
        other = run.start(store, parse(TEXT, overrides=["evaluation.certificates=", "evaluation.trials=1"]), spawn=False).id
        assert work(store, other) == "done"
        assert "certificates" not in store.tables(other)
    capsys.readouterr()
    assert cli.main(["export", other, "--store", str(tmp_path / "plain.db"), "--table", "certificates"]) == 2
    assert "--set evaluation.certificates=50" in capsys.readouterr().err
