"""Texts as tokens: encoded once, by several threads, and kept in the cache folder, where they are read through a memory map."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import RequestError
from engine.features.tokenizer import TextTokenizer, tokenizer_of
from engine.system import cache
from engine.system.filesystem import cache_dir
from engine.system.processes import cores

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Report = Callable[[str, float], None]  # what is being done, share done; may raise Interrupted
FORMAT = 2  # raise it when the same texts and tokenizer would give other rows
PADDING = -1
LEAST = 3  # [CLS], a token, [SEP]
AT_ONCE = 256  # texts that a thread takes
REACH = 5  # characters a token, to begin with: in English, with the blank, it is a little less
PART, STALE_S = ".part", 3600.0  # an unfinished file not written to for so long has no writer left
SWITCH = "TOKENIZERS_PARALLELISM"


def tokens_of(
    texts: Sequence[str] | np.ndarray, tokenizer: TextTokenizer | str | Path, length: int, report: Report, *, embeddings: int | None = None
) -> np.ndarray:
    """int32 [texts, length]: [CLS], the text's first length - 2 tokens, [SEP], then -1. A read-only memory map, unless nothing can be kept.

    tokenizer: what `tokenizer_of` gives or takes; embeddings as there. The same texts in the same order are encoded once.
    """
    if length < LEAST:
        raise RequestError(f"{length} tokens leave no room for a word", where="model.length", next=f"set it to {LEAST} or more")
    if not isinstance(tokenizer, TextTokenizer):
        tokenizer = tokenizer_of(tokenizer, embeddings=embeddings)
    if not len(texts):
        return np.empty((0, length), np.int32)
    path = cache_dir() / "tokens" / f"{_digest(texts)}-{tokenizer.digest}-{length}.int32"
    cache.use("tokens", path.name)
    if (tokens := _opened(path, len(texts), length)) is not None:
        return tokens
    if path.exists():
        report("the kept tokens are damaged on the disk: the texts are tokenised again", 0.0)
    with contextlib.suppress(OSError), _part(path) as (file, keep):
        digests = []
        for block in _encoded(texts, tokenizer, length, report):
            file.write(data := block.tobytes())
            digests.append(cache.digest(data))
        file.write(cache.digest(*digests))
        keep()
    cache.sweep()
    if (tokens := _opened(path, len(texts), length)) is not None:
        return tokens
    return np.concatenate(list(_encoded(texts, tokenizer, length, report)))  # a full or read-only disk: for this time only


def _digest(texts: Sequence[str] | np.ndarray) -> str:
    """Of the texts in their order."""
    digest = blake2b(str(FORMAT).encode(), digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


# ---- encoding --------------------------------------------------------------------------------------------------------


def _encoded(texts: Sequence[str] | np.ndarray, tokenizer: TextTokenizer, length: int, report: Report) -> Iterator[np.ndarray]:
    """Blocks of rows, int32 [texts of the block, length], in order.

    Python's threads, each in the tokenizer's compiled code: its own pool of threads would outlive this, and the engine forks later.
    """
    rust = tokenizer.build()
    rust.enable_truncation(length)
    what = f"tokenising {len(texts):,} texts"
    report(what, 0.0)
    with _single_threaded():
        threads = ThreadPoolExecutor(cores())
        try:
            blocks = [threads.submit(_block, rust, texts[at : at + AT_ONCE], length) for at in range(0, len(texts), AT_ONCE)]
            for number, block in enumerate(blocks, 1):
                yield block.result()
                report(what, number / len(blocks))
                blocks[number - 1] = None  # type: ignore[call-overload]  # let go of
        finally:
            threads.shutdown(cancel_futures=True)


def _block(rust: Tokenizer, texts: Sequence[str] | np.ndarray, length: int) -> np.ndarray:
    """int32 [texts, length], as if each text had been read to its end.

    A text is read only so far as needed: a beginning that ends before a blank is split as the whole is, and once it fills all places
    nothing behind it matters.
    """
    out = np.full((len(texts), length), PADDING, np.int32)
    left, reach = list(range(len(texts))), REACH * length
    while left:
        starts = [_start(_whole(texts[at]), reach) for at in left]
        more = []
        for at, start, encoding in zip(left, starts, rust.encode_batch_fast(starts), strict=True):
            ids = encoding.ids
            if len(ids) < length and len(start) < len(texts[at]):
                more.append(at)
            else:
                out[at, : len(ids)] = ids
        left, reach = more, 4 * reach
    return out


def _start(text: str, reach: int) -> str:
    """The text, or so much of it, before a blank; all of it where there is none so far."""
    if len(text) <= reach:
        return text
    blank = text.rfind(" ", 0, reach)
    return text[:blank] if blank > 0 else text if len(text) <= 4 * reach else ""


def _whole(text: str) -> str:
    """Text that is Unicode: halves of characters, which no encoding has, are replaced."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """The tokenizer's own threads off, for as long as this lasts: once they have been used, each fork is warned of."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SWITCH, None)
        else:
            os.environ[SWITCH] = before


# ---- files -----------------------------------------------------------------------------------------------------------


def _opened(path: Path, rows: int, length: int) -> np.ndarray | None:
    """The rows, mapped; None where there are none, not all, or not those that were written: a digest of all blocks' stands behind them."""
    try:
        if path.stat().st_size != 4 * rows * length + cache.DIGEST_BYTES:
            return None
        tokens = np.memmap(path, np.int32, "r", shape=(rows, length))
        blocks = [cache.digest(tokens[at : at + AT_ONCE].data.cast("B")) for at in range(0, rows, AT_ONCE)]
        with path.open("rb") as file:
            file.seek(4 * rows * length)
            return tokens if file.read() == cache.digest(*blocks) else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _part(path: Path) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A file beside `path` to write to, and what moves it there; gone otherwise. Sweeps away what killed runs left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".*{PART}"):
        if time.time() - old.stat().st_mtime > STALE_S:
            old.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:

            def keep() -> None:
                file.flush()
                part.chmod(0o644)
                os.replace(part, path)

            yield file, keep
    finally:
        part.unlink(missing_ok=True)
