"""Where a text encoder's tokenizer is found, and whether such a model can be fed from it. Imports neither torch nor transformers.

A tokenizer is `tokenizer.json`, or BERT's list of word pieces, `vocab.txt`. One of another form is read by transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.files.fetching import Source, download
from engine.errors import BadData, MissingData

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    Report = Callable[[str, float], None]

FAST, PIECES, CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
OTHER_FORMS = ("spiece.model", "sentencepiece.bpe.model", "spm.model", "vocab.json", "tokenizer.model")  # what transformers makes one of
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
NEEDED = ("[CLS]", "[SEP]", "[UNK]")
# The vocabulary of bert-base-uncased, for models whose weights are drawn at random
BERT = Source(
    "bert", PIECES, "64800d5d8528ce344256daf115d4965e", 231_508, "https://huggingface.co/bert-base-uncased/resolve/main",
    "https://huggingface.co/bert-base-uncased/tree/main",
)  # fmt: skip


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer as text: what it does is all in `json`, whose hash `digest` is. size: one more than the largest id it can give."""

    where: str
    json: str
    digest: str
    size: int

    def build(self) -> Tokenizer:
        """Of its own, so that nobody else's settings change it."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.json)


def bert_vocabulary(data_dir: Path, report: Report) -> Path:
    """`bert/vocab.txt` in the data folder, whichever lies there; bert-base-uncased's is fetched where none does."""
    path = BERT.path(data_dir)
    return path if path.is_file() else download(BERT, data_dir, report)


def tokenizer_of(source: str | Path, *, embeddings: int | None = None, around: int = 2) -> TextTokenizer:
    """The tokenizer in a folder or a file, or of a model on the Hugging Face hub, from its cache before the network.

    embeddings: how many tokens the model knows. around: how many special tokens it must put around a text at least: [CLS] and [SEP] of
    BERT's; others may pool all tokens, but read something of an empty text too. MissingData where there is none, BadData for
    one that does not fit.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        rust, where = _in_folder(path)
    elif path.is_file():
        rust, where = _in_file(path), str(path)
    elif isinstance(source, str) and HUB_NAME.fullmatch(source):
        rust, where = _from_hub(source)
    else:
        raise MissingData(
            "there is no such folder", where=str(source), next="check model.weights: a folder with a model and its tokenizer is wanted"
        )
    return _checked(rust, where, embeddings, around)


def _checked(rust: Tokenizer, where: str, embeddings: int | None, around: int) -> TextTokenizer:
    rust.no_padding()
    rust.no_truncation()
    alone = rust.encode("")
    if len(alone.ids) < around or not all(alone.special_tokens_mask):
        raise BadData(
            f"puts no [CLS] before a text and no [SEP] after it (around nothing it puts {' '.join(alone.tokens) or 'nothing'})",
            where=where,
            next="a classifier reads [CLS]: use the tokenizer of an encoder such as BERT",
        )
    size = max(rust.get_vocab(with_added_tokens=True).values()) + 1
    if embeddings is not None and size > embeddings:
        raise BadData(
            f"has {size:,} tokens, and the model has embeddings for {embeddings:,}: they do not belong together",
            where=where,
            next="put the tokenizer that the model was trained with beside its weights",
        )
    text = rust.to_str()
    import tokenizers

    return TextTokenizer(where, text, blake2b(f"{tokenizers.__version__} {text}".encode(), digest_size=12).hexdigest(), size)


# ---- files -----------------------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> tuple[Tokenizer, str]:
    for name in (FAST, PIECES):
        if (folder / name).is_file() and (name == FAST or _are_pieces(folder / name)):
            return _in_file(folder / name), str(folder / name)
    if any((folder / name).is_file() for name in (*OTHER_FORMS, PIECES)):
        return _through_transformers(folder), str(folder)
    raise MissingData(
        f"holds no tokenizer (neither {FAST} nor {PIECES})",
        where=str(folder),
        next="copy the model's own into it, or save it there with tokenizer.save_pretrained",
    )


def _are_pieces(path: Path) -> bool:
    """Whether a vocab.txt is left to BERT's way: not where another architecture's config.json beside it and other special tokens say so."""
    kind = _config(path.with_name("config.json")).get("model_type", "bert")
    try:
        return kind == "bert" or set(NEEDED) <= set(path.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError):
        return True  # and told there


def _in_file(path: Path, config: Path | None = None) -> Tokenizer:
    try:
        return _fast(path) if path.suffix == ".json" else _pieces(path, config or path.with_name(CONFIG))
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path), next="check the file's permissions") from error


def _fast(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(path.read_text("utf-8"))
    except OSError:
        raise
    except Exception as error:  # tokenizers raises Exception itself
        raise BadData(
            f"is no tokenizer: {error}", where=str(path), next="is it whole? get it again, from where the model is from"
        ) from error


def _pieces(path: Path, config: Path) -> Tokenizer:
    """BERT's word pieces, one a line. Capitals are folded unless tokenizer_config.json beside it says otherwise."""
    from tokenizers import BertWordPieceTokenizer

    try:
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadData("is not text (UTF-8)", where=str(path), next="it must hold one word piece a line") from error
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines if lines[-1] else lines[:-1])}
    if missing := [token for token in NEEDED if token not in vocabulary]:
        raise BadData(f"lacks {', '.join(missing)}", where=str(path), next="it must be the vocabulary of a BERT, one word piece a line")
    settings = _config(config)
    made = BertWordPieceTokenizer(
        vocabulary,
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )
    rust: Tokenizer = made._tokenizer
    rust.add_special_tokens([token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in vocabulary])
    return rust


def _config(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BadData(f"is not JSON: {error}", where=str(path), next="get it again, or delete it") from error
    return settings if isinstance(settings, dict) else {}


def _through_transformers(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        rust: Tokenizer = made.backend_tokenizer
    except Exception as error:  # whatever a foreign tokenizer raises: a missing package, a file of another form
        raise BadData(
            f"holds a tokenizer that cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(folder),
            next=f"save it as {FAST}: tokenizer.save_pretrained",
        ) from error
    return rust


# ---- the hub ---------------------------------------------------------------------------------------------------------


def _from_hub(name: str) -> tuple[Tokenizer, str]:
    from huggingface_hub import errors

    for file in (FAST, PIECES):
        try:
            path = _of_hub(name, file)
        except errors.LocalEntryNotFoundError as error:
            raise _missing(name, "not in the cache, and the hub cannot be reached") from error
        except errors.EntryNotFoundError:
            continue
        except errors.RepositoryNotFoundError as error:
            raise _missing(name, "the hub has no such model, or shows it to members alone") from error
        except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError, ValueError) as error:
            raise _missing(name, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
        config = _config_of_hub(name) if file == PIECES else None
        return _in_file(path, config), f"{name} (from the hub), {file}"
    raise BadData(
        f"has neither {FAST} nor {PIECES}", where=name, next="download it, save its tokenizer with save_pretrained, give the folder"
    )


def _of_hub(name: str, file: str) -> Path:
    """From the cache where it is there, whole and without asking anybody."""
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(name, file, local_files_only=True))
    except errors.LocalEntryNotFoundError:
        return Path(hf_hub_download(name, file))


def _config_of_hub(name: str) -> Path | None:
    from huggingface_hub import errors

    try:
        return _of_hub(name, CONFIG)
    except errors.EntryNotFoundError:
        return None


def _missing(name: str, why: str) -> MissingData:
    return MissingData(
        f"its tokenizer is not here and could not be fetched from the hub ({why})",
        where=name,
        next=f"give a folder that holds the model as model.weights, run once where the network allows, or put {name} into the cache of "
        "huggingface_hub ($HF_HOME)",
    )
