"""Hidden states on disk: the encoder's own, whatever the split, whoever was killed, and nothing computed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from engine.errors import RunFailed
from engine.features import text_models, texts
from engine.features.opened import Opened
from engine.models.bert import files as bert_files
from engine.models.bert.bert import Bert, BertEncoder
from engine.models.bert.files import BertShape, BertSource
from engine.rows import Dataset, Rows, States
from engine.scenario.sections import BertSection, MlpSection
from engine.training.encoders.states import StateRows

SHAPE = BertShape(width=16, layers=3, heads=2, inner=24, vocabulary=60, positions=40, std=0.3)
LENGTH = 12
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{i}" for i in range(40))]


def encoder() -> BertEncoder:
    return BertEncoder(BertSource(SHAPE, None, "random"), LENGTH, 3)


def tokens(rows: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    found = draw.integers(5, 60, (rows, LENGTH)).astype(np.int32)
    return np.where(np.arange(LENGTH) < draw.integers(2, LENGTH + 1, rows)[:, None], found, -1).astype(np.int32)


class Watch:
    """Counts what the encoder is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, own = 0, BertEncoder.states

        def states(this: BertEncoder, tokens_BL: torch.Tensor) -> torch.Tensor:
            self.rows += len(tokens_BL)
            return own(this, tokens_BL)

        monkeypatch.setattr(BertEncoder, "states", states)


def quiet(what: str, done: float) -> None:
    assert 0 <= done <= 1


def check(states: States, numbers: np.ndarray, rows: np.ndarray, atol: float = 1e-5) -> None:
    read = StateRows(states, torch.device("cpu"), torch.float32)
    for number, row in zip(numbers, rows, strict=True):
        x, real = read.take(np.array([number]))
        length = int((row >= 0).sum())
        assert real.shape == (1, length)
        torch.testing.assert_close(x, encoder().states(torch.from_numpy(row[None]))[:, :length], atol=atol, rtol=0.01)


def test_states_are_the_encoders_and_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    a, b = tokens(20, 1), tokens(15, 2)
    (at_a, at_b), states = texts.StateFile(tmp_path, encoder()).of([a, b], quiet)
    assert watch.rows == 35
    check(states, at_a, a)
    check(states, at_b, b)
    # another split of the same texts, with one more, and one twice
    more = np.concatenate([b[::-1], a[:3], tokens(1, 9), a[:1]])
    watch.rows = 0
    (at,), states = texts.StateFile(tmp_path, encoder()).of([more], quiet)
    assert watch.rows == 1
    assert at[-1] == at_a[0]
    check(states, at, more)


def test_in_bfloat16(tmp_path: Path) -> None:
    rows = tokens(9, 1)
    (at,), states = texts.StateFile(tmp_path, encoder(), "bfloat16").of([rows], quiet)
    assert states.path.stat().st_size == 9 * LENGTH * 16 * 2
    check(states, at, rows, atol=0.02)


def test_one_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "TOKENS_AT_ONCE", 24)
    monkeypatch.setattr(texts, "BYTES_A_WRITE", 1)
    rows, calls = tokens(20, 1), 0

    def stop(what: str, done: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        texts.StateFile(tmp_path, encoder()).of([rows], stop)
    file = texts.StateFile(tmp_path, encoder())
    kept = file.rows.count()
    assert 0 < kept < 20
    with file.rows.rows_path.open("ab") as rows_file, file.rows.keys_path.open("ab") as keys_file:  # killed while it wrote
        rows_file.write(b"half a row")
        keys_file.write(b"half")
    watch = Watch(monkeypatch)
    (at,), states = file.of([rows], quiet)
    assert watch.rows == 20 - kept
    check(states, at, rows)


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(RunFailed, match=r"0\.0 GB are free; point \$SUBPOP_CACHE"):
        texts.StateFile(tmp_path, encoder()).of([tokens(3, 1)], quiet)


def test_representations(tmp_path: Path) -> None:
    rows = tokens(6, 1)
    (at,), states = texts.StateFile(tmp_path, encoder()).of([rows], quiet)
    mean, flat = (texts.representation(states, at, layer, quiet) for layer in ("hidden", "tokens"))
    bert = encoder()._bert
    params = [*encoder().params, *(torch.zeros(1) for _ in range(4))]
    whole = Bert(BertSource(SHAPE, None, "random"), 2, LENGTH)
    ids = whole.pixels(torch.from_numpy(rows))
    own = [whole.layer_of(params, ids, layer) for layer in ("hidden", "tokens")]
    assert bert.width == 16
    torch.testing.assert_close(torch.from_numpy(mean), own[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.from_numpy(flat), own[1], atol=1e-5, rtol=0)


# ---- a dataset ------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(bert_files.ARCHITECTURES, "tiny", SHAPE)
    return tmp_path


def dataset() -> Dataset:
    def rows(count: int, first: int) -> Rows:
        said = np.array([" ".join(f"word{(first + i * j) % 40}" for j in range(1 + i)) for i in range(count)], object)
        y = np.arange(count) % 2
        return Rows(np.empty((count, 0), np.float32), y, np.arange(count) + first, pd.DataFrame({"label": y}), texts=said)

    return Dataset("imdb", ("neg", "pos"), (), rows(8, 0), rows(8, 100), rows(5, 200))


def test_a_dataset_as_tokens_and_as_states(places: Path) -> None:
    whole = BertSection(architecture="tiny", length=LENGTH)
    seen = texts.seen_by(whole, dataset(), 3, report=quiet, data_dir=places, opened=Opened())
    assert seen.train.x.dtype == np.int32
    assert seen.train.x.shape == (8, LENGTH)
    assert seen.states is None
    last = whole.model_copy(update={"tune": "last_layer"})
    frozen = texts.seen_by(last, dataset(), 3, report=quiet, data_dir=places, opened=Opened())
    assert frozen.states is not None
    assert frozen.aux.x.shape == (8, 1)
    for mine, its in ((frozen.train, seen.train), (frozen.test, seen.test)):
        check(frozen.states, mine.x[:, 0], its.x)


def test_rates_of_dropout_are_the_scenarios(places: Path) -> None:
    section = BertSection(architecture="tiny", attention_dropout=0.3, dropout=0.0)
    source = text_models.source_of(section)
    assert isinstance(source, BertSource)
    shape = source.shape
    assert (shape.attention_dropout, shape.hidden_dropout, shape.classifier_dropout) == (0.3, 0.0, 0.0)


def test_no_texts_no_change() -> None:
    rows = Rows(np.zeros((2, 3), np.float32), np.zeros(2, np.int64), np.arange(2), pd.DataFrame({"a": [1, 2]}))
    plain = Dataset("adult", ("a", "b"), ("x",), rows, rows, rows)
    assert texts.seen_by(MlpSection(), plain, 0, report=quiet, opened=Opened()) is plain
