"""Where a text encoder of any architecture comes from: a folder's config.json and its safetensors, or sizes of BERT's by name.

BERTs go their own fast way (`bert/files.py`). Of every other encoder the configuration is read here, its weights by name, as they are;
what they mean is transformers' matter (`skeleton.py`), which is not imported here. No code that comes with a model is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from engine.errors import BadData
from engine.models import weights
from engine.models.bert import files as bert_files
from engine.models.bert.files import BertSource
from engine.models.bert.folder import CONFIG, settings_of, weight_files
from engine.models.bert.last_layer import GELU
from engine.scenario.weights import RANDOM

# How architectures call their rates of dropout: of attention weights; of what layers add; of the classifier and what is pooled for it.
ATTENTION_RATES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_RATES = ("hidden_dropout_prob", "hidden_dropout", "dropout", "embedding_dropout", "mlp_dropout", "activation_dropout")
CLASSIFIER_RATES = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "summary_last_dropout", "pooler_dropout")
HUB_NEXT = "load it with transformers' own class of that model and save_pretrained it, or use another model"


@dataclass(frozen=True)
class EncoderSource:
    """An encoder of transformers that victims start from.

    kind      its model_type: "distilbert"
    settings  its config.json, as JSON text
    tensors   name (as in the file) -> tensor, floating ones in float32
    rates     what the scenario sets dropout to: name of a setting -> rate
    """

    kind: str
    settings: str
    tensors: Mapping[str, Tensor]
    where: str
    folder: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    rates: tuple[tuple[str, float], ...] = ()

    def checksums(self) -> dict[str, str]:
        """File name -> "sha256:..."; of a model of the hub also which commit it is."""
        return {name: weights.checksum(path) for name, path in self.files.items()} | bert_files.commit_of(self.folder)


def find(kind: str, name: str | None, architecture: str | None, revision: str | None = None) -> BertSource | EncoderSource:
    """kind: "random" (BERT's sizes of `architecture`), "hub" (the model `name`), or a folder. See `of_folder`."""
    if kind == RANDOM:
        return bert_files.find(kind, name, architecture)
    return of_folder(bert_files.folder_of(kind, name, revision))


def of_folder(folder: Path) -> BertSource | EncoderSource:
    """A folder with config.json and model.safetensors, or its parts.

    MissingData where there is none. BadData for what is no model's configuration, for one that brings code of its own, and for weights of
    another form than safetensors.
    """
    path, settings = folder / CONFIG, settings_of(folder)
    if isinstance(code := settings.get("auto_map"), Mapping) and code:
        what = "is of a model that brings code of its own (auto_map), which is never run"
        raise BadData(what, where=str(path), next=HUB_NEXT)
    kind = settings.get("model_type", "bert")
    if not isinstance(kind, str):
        raise BadData(f"has model_type = {kind!r}, which is no name", where=str(path), next="get the file anew")
    if kind == "bert" and settings.get("hidden_act", "gelu") in GELU:
        return bert_files.of_folder(folder)
    files = weight_files(folder)
    stamps = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return EncoderSource(kind, json.dumps(settings), _tensors(stamps), str(folder), folder, {file.name: file for file in files})


@lru_cache(maxsize=2)
def _tensors(stamps: Sequence[tuple[Path, int, int]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path, _, _ in stamps:
        tensors |= weights.read(path)
    return {name: (t.detach().float() if t.is_floating_point() else t) for name, t in tensors.items()}


def rates_of(attention: float | None, hidden: float | None) -> tuple[tuple[str, float], ...]:
    """`EncoderSource.rates` of a scenario's attention_dropout and dropout; None leaves a model's own."""
    rates: list[tuple[Sequence[str], float | None]] = [(ATTENTION_RATES, attention), (HIDDEN_RATES, hidden), (CLASSIFIER_RATES, hidden)]
    return tuple((name, rate) for names, rate in rates if rate is not None for name in names)


def fitted(source: EncoderSource, wanted: Mapping[str, Tensor], prefix: str, may_lack: Sequence[str]) -> dict[str, Tensor]:
    """The file's tensors by the model's own names, float32: those among `wanted` (name -> a tensor of its size) that it has.

    prefix: the name of the encoder within the model with a head on it, which files of the encoder alone leave out. may_lack: what may be
    missing, and then begins at random. BadData where others are missing, have another shape, or are not finite.
    """
    where = str(next(iter(source.files.values()), source.where))
    today = {_today(name): tensor for name, tensor in source.tensors.items()}
    fitting: dict[str, Tensor] = {}
    for name in wanted:
        for called in (name, name.removeprefix(f"{prefix}.")):
            if called in today:
                fitting[name] = today[called]
                break
    missing = [name for name in wanted if name not in fitting and name not in may_lack]
    if missing:
        what = f"lacks {len(missing)} of the {len(wanted)} tensors that its {CONFIG} asks for ({', '.join(missing[:3])})"
        raise BadData(what, where=where, next=f"give the weights of a {source.kind} encoder, with the config.json that belongs to them")
    if other := [
        f"{name} is {tuple(t.shape)} for {tuple(wanted[name].shape)}" for name, t in fitting.items() if t.shape != wanted[name].shape
    ]:
        raise BadData(f"does not fit its {CONFIG}: {'; '.join(other[:3])}", where=where, next="get both files anew, from one place")
    if odd := [name for name, t in fitting.items() if t.is_floating_point() and not bool(t.isfinite().all())]:
        raise BadData(f"has weights that are not finite numbers ({', '.join(odd[:3])})", where=where, next="get the file anew")
    return fitting


def _today(name: str) -> str:
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        name = name.replace(old, new)
    return name
