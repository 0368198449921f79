"""What a model reads of a dataset's texts: tokens, or the hidden states below the layer that is trained, computed once a text.

States are kept on disk, one file for each frozen encoder, every text under a hash of its tokens: another split, a smaller subset or
another seed's run finds what is there already, and a computation that was interrupted goes on where it stopped. They may exceed memory:
what is passed on is each row's number in the file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.errors import RunFailed
from engine.features.kept import Report
from engine.features.keyed_rows import HASH_BYTES, KeyedRows
from engine.features.opened import Opened
from engine.features.tokenizer import TextTokenizer
from engine.features.tokens import tokens_of
from engine.models.bert.bert import BertEncoder, represented
from engine.models.encoders.files import EncoderSource
from engine.rows import Dataset, Rows, States
from engine.scenario.sections import BertSection
from engine.system import cache
from engine.system.filesystem import cache_dir
from engine.system.threads import all_cores
from engine.training.encoders.states import StateRows

TOKENS_AT_ONCE = 4096  # of a batch that is encoded: 32 texts of 128 tokens
BYTES_A_WRITE = 2**26
RECORD_BYTES = HASH_BYTES + 4  # a text's hash and its number of tokens


def seen_by(
    section: BertSection,
    dataset: Dataset,
    seed: int,
    *,
    device: str = "cpu",
    report: Report,
    data_dir: Path | None = None,
    opened: Opened,
) -> Dataset:
    """The dataset as a text encoder reads it; left as it is where there are no texts.

    tune = "all": x is the tokens, int32 [rows, length], -1 for padding. "last_layer": x is int64 [rows, 1], each row's number in `states`;
    of encoders that are no BERT, whose frozen layers run at every step, it is the tokens.
    """
    splits = (dataset.train, dataset.aux, dataset.test)
    if dataset.train.texts is None:
        return dataset
    source = opened.source(section)
    if isinstance(source, EncoderSource):  # what cannot be trained is told before anything is tokenised
        opened.text_network(section, len(dataset.classes))
    tokenizer = opened.tokenizer(section, data_dir, report)
    tokens = [_tokens(rows, tokenizer, section.length, report) for rows in splits]
    if section.tune == "all" or isinstance(source, EncoderSource):
        seen = [replace(rows, x=x) for rows, x in zip(splits, tokens, strict=True)]
        return replace(dataset, train=seen[0], aux=seen[1], test=seen[2])
    encoder = BertEncoder(source, section.length, seed).to(torch.device(device))
    numbers, states = StateFile(cache_dir() / "states", encoder, section.states).of(tokens, report)
    seen = [replace(rows, x=at[:, None]) for rows, at in zip(splits, numbers, strict=True)]
    return replace(dataset, train=seen[0], aux=seen[1], test=seen[2], states=states)


def _tokens(rows: Rows, tokenizer: TextTokenizer, length: int, report: Report) -> np.ndarray:
    assert rows.texts is not None
    return tokens_of(rows.texts, tokenizer, length, report)


# ---- what subpopulations are formed in ------------------------------------------------------------------------------


def representation(states: States, numbers: np.ndarray, layer: str, report: Report) -> np.ndarray:
    """float32 [rows, numbers] of rows of the states: "hidden", the mean of a text's tokens; "tokens", all of them, flattened."""
    rows = StateRows(states, torch.device("cpu"), torch.float32)
    width = states.shape[2] * (states.shape[1] if layer == "tokens" else 1)
    out = np.empty((len(numbers), width), np.float32)
    for lo in range(0, len(numbers), 256):
        report("representing the texts", lo / len(numbers))
        out[lo : lo + 256] = represented(*rows.take(numbers[lo : lo + 256]), layer, states.shape[1]).numpy()
    return out


# ---- the file -------------------------------------------------------------------------------------------------------


class StateFile:
    """The states of one encoder, [texts, length, width], each text's under a hash of its tokens, with their number.

    Padding is never written: where the file system can, it takes no place.
    """

    def __init__(self, folder: Path, encoder: BertEncoder, dtype: str = "float32") -> None:
        self.encoder, self.dtype, self.folder = encoder, dtype, folder
        row_bytes = encoder.length * encoder.width * getattr(torch, dtype).itemsize
        token_bytes = row_bytes // encoder.length

        def used_bytes(record: bytes) -> int:
            return token_bytes * int.from_bytes(record[HASH_BYTES:], "little")

        self.rows = KeyedRows(folder, f"{encoder.digest}-{encoder.length}-{dtype}", row_bytes, RECORD_BYTES, used_bytes=used_bytes)

    def of(self, splits: Sequence[np.ndarray], report: Report) -> tuple[list[np.ndarray], States]:
        """Where the states of each row of tokens lie, int64 [rows] for each array int32 [rows, length], and the file.

        RunFailed where the disk is full or the folder cannot be written to.
        """
        keys = [[_key(row) for row in tokens] for tokens in splits]
        cache.use("states", self.rows.rows_path.name)
        wanted = {key: row for split, tokens in zip(keys, splits, strict=True) for key, row in zip(split, tokens, strict=True)}
        try:
            places = self.rows.places(wanted)
            for line in places.said("hidden states"):
                report(line, 0.0)
            kept = places.by_hash
            self._compute([key for key in wanted if key not in kept], wanted, kept, report)
            cache.sweep()
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        numbers = [np.array([kept[key] for key in split], np.int64) for split in keys]
        return numbers, self._states()

    def _compute(self, missing: list[bytes], wanted: dict[bytes, np.ndarray], kept: dict[bytes, int], report: Report) -> None:
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lengths = {key: int((wanted[key] >= 0).sum()) for key in missing}
        need = sum(lengths.values()) * self.rows.row_bytes // self.encoder.length
        if (free := shutil.disk_usage(self.folder).free) < need:
            raise self._failed(f"they take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
        order = sorted(missing, key=lambda key: lengths[key])  # texts of like length together: little padding is computed
        total, done = sum(lengths.values()), 0
        pending: list[tuple[bytes, int, Tensor]] = []
        size = 0
        for batch in _batches(order, lengths):
            report(f"computing hidden states of {len(missing):,} texts", done / total)
            with all_cores():
                states = self.encoder.states(torch.from_numpy(np.stack([wanted[key] for key in batch])))
            states = states.to(getattr(torch, self.dtype)).cpu()
            pending += [(key, lengths[key], states[i, : lengths[key]]) for i, key in enumerate(batch)]
            done += sum(lengths[key] for key in batch)
            size += states.numel() * states.element_size()
            if size >= BYTES_A_WRITE:
                self._append(pending, kept)
                size = 0
        self._append(pending, kept)

    def _append(self, pending: list[tuple[bytes, int, Tensor]], kept: dict[bytes, int]) -> None:
        """Keep what was computed, and forget it here."""
        if pending:
            records = [key + length.to_bytes(4, "little") for key, length, _ in pending]
            first = self.rows.append(records, (states.contiguous().view(torch.uint8).numpy().data for _, _, states in pending))
            kept.update((key, at) for at, (key, _, _) in enumerate(pending, first))
        pending.clear()

    def _states(self) -> States:
        records = np.frombuffer(self.rows.records(), np.dtype([("key", f"V{HASH_BYTES}"), ("length", "<i4")]))
        lengths = records["length"].astype(np.int32)
        return States(self.rows.rows_path, (len(lengths), self.encoder.length, self.encoder.width), self.dtype, lengths)

    def _failed(self, why: str) -> RunFailed:
        return RunFailed(
            f"the hidden states of the texts cannot be kept: {why}",
            where=str(self.folder),
            next="point $SUBPOP_CACHE to a folder with room, or make model.length or dataset.rows smaller",
        )


def _batches(order: Sequence[bytes], lengths: dict[bytes, int]) -> Iterator[list[bytes]]:
    """Keys in their order, so many at a time that they make TOKENS_AT_ONCE tokens with their padding."""
    batch: list[bytes] = []
    for key in order:  # shortest first
        if batch and (len(batch) + 1) * lengths[key] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(key)
    if batch:
        yield batch


def _key(row: np.ndarray) -> bytes:
    return blake2b(row[row >= 0].astype("<i4").tobytes(), digest_size=HASH_BYTES).digest()
