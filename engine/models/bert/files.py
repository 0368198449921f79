"""Where a BERT comes from: a folder or a model of the Hugging Face hub (config.json and safetensors), or sizes by name and random weights.

Nothing is unpickled: weights in PyTorch's own format are not opened. transformers is not needed, and not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import BadData, MissingData, RequestError, UnknownName
from engine.models import weights
from engine.models.bert.folder import CONFIG, INDEX, WHOLE, settings_of, weight_files
from engine.models.bert.last_layer import GELU, LastLayer
from engine.scenario.weights import HUB, RANDOM


@dataclass(frozen=True)
class BertShape:
    """Sizes and rates of a whole encoder, with what BERT's own configuration has where a file does not say."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    vocabulary: int = 30522
    positions: int = 512
    types: int = 2
    eps: float = 1e-12
    gelu: str = "none"
    attention_dropout: float = 0.1
    hidden_dropout: float = 0.1
    classifier_dropout: float = 0.1
    std: float = 0.02

    def last_layer(self, classes: int, *, pooler: bool = True) -> LastLayer:
        """The part that tune = "last_layer" trains."""
        return LastLayer(
            width=self.width,
            heads=self.heads,
            inner=self.inner,
            classes=classes,
            pooler=pooler,
            eps=self.eps,
            gelu=self.gelu,
            attention_dropout=self.attention_dropout,
            hidden_dropout=self.hidden_dropout,
            classifier_dropout=self.classifier_dropout,
            std=self.std,
        )


ARCHITECTURES = {
    "bert-base": BertShape(),
    "minilm": BertShape(width=384, layers=6, heads=12, inner=1536),
    "bert-mini": BertShape(width=256, layers=4, heads=4, inner=1024),
    "bert-tiny": BertShape(width=128, layers=2, heads=2, inner=512),
}


@dataclass(frozen=True)
class BertSource:
    """An encoder that victims start from.

    tensors   name (as transformers', without "bert.") -> tensor; None for random weights
    where     for messages: the folder, or what was drawn
    folder    where its tokenizer may be; None for random weights
    files     file name -> path of what was read
    """

    shape: BertShape
    tensors: Mapping[str, Tensor] | None
    where: str
    folder: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def checksums(self) -> dict[str, str]:
        """File name -> "sha256:..."; of a model of the hub also which commit it is."""
        return {name: weights.checksum(path) for name, path in self.files.items()} | commit_of(self.folder)


def find(kind: str, name: str | None, architecture: str | None, revision: str | None = None) -> BertSource:
    """kind: "random" (sizes of `architecture`, bert-base where None), "hub" (the model `name`), or a folder. See `of_folder`."""
    if kind == RANDOM:
        wanted = architecture or "bert-base"
        if wanted not in ARCHITECTURES:
            raise UnknownName("architecture", wanted, ARCHITECTURES)
        return BertSource(ARCHITECTURES[wanted], None, f"{wanted}, random weights")
    return of_folder(folder_of(kind, name, revision))


def folder_of(kind: str, name: str | None, revision: str | None = None) -> Path:
    """kind: "hub" (the model `name`, fetched where need be), or a folder, which need not be there."""
    if kind == HUB:
        if not name:
            raise RequestError("a model of the hub has a name", where="model.name", next='set it, to "bert-base-uncased" for one')
        return from_hub(name, revision)
    return Path(kind).expanduser()


def of_folder(folder: Path) -> BertSource:
    """A folder with config.json and model.safetensors, or its parts. MissingData where there is none; BadData for what is no BERT."""
    shape, files = _shape(folder), weight_files(folder)
    stamps = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    tensors = _tensors(stamps)
    _check(tensors, shape, str(files[0]))
    return BertSource(shape, tensors, str(folder), folder, {path.name: path for path in files})


def from_hub(name: str, revision: str | None = None) -> Path:
    """The folder of a model of the hub, in the hub's own cache; fetched where the network allows.

    revision: a commit, a tag or a branch; None: what is called main, as it is here or, where nothing is, as it is there now.
    """
    try:
        from huggingface_hub import snapshot_download

        wanted = [CONFIG, "*.safetensors", INDEX, "tokenizer*", "vocab.txt", "special_tokens_map.json", "added_tokens.json"]
        wanted += ["vocab.json", "merges.txt", "*.model"]  # other tokenizers' than BERT's
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=True))
            if (folder / CONFIG).exists() and ((folder / WHOLE).exists() or (folder / INDEX).exists()):
                return folder
        except Exception:  # not in the cache: told in many ways
            pass
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client and what it stands on raise errors of several trees
        why = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise MissingData(
            f"the model {name}{f' at revision {revision}' if revision else ''} is not here and could not be fetched ({why})",
            where="model.weights",
            next="give the folder of a copy as model.weights, or start from nothing with --set model.weights=random",
        ) from error


def commit_of(folder: Path | None) -> dict[str, str]:
    """{"hub commit": its hash} of a folder in the hub's cache, which is named after it; nothing of any other."""
    return {"hub commit": folder.name} if folder is not None and folder.parent.name == "snapshots" else {}


# ---- reading --------------------------------------------------------------------------------------------------------


def _shape(folder: Path) -> BertShape:
    where, settings = str(folder / CONFIG), settings_of(folder)
    if settings.get("model_type", "bert") != "bert":
        raise BadData(f"is of {settings['model_type']!r}, not of a BERT", where=where, next="use a model whose model_type is bert")
    if (
        settings.get("position_embedding_type", "absolute") != "absolute"
        or settings.get("is_decoder")
        or settings.get("add_cross_attention")
    ):
        raise BadData("is not of a plain BERT encoder (relative positions, or a decoder)", where=where, next="use another model")
    act = settings.get("hidden_act", "gelu")
    if act not in GELU:
        raise BadData(f"has the activation {act!r}", where=where, next=f"use a model with one of {', '.join(GELU)}")
    plain = BertShape()
    hidden_dropout = _number(settings, "hidden_dropout_prob", plain.hidden_dropout, where)
    shape = BertShape(
        width=_count(settings, "hidden_size", plain.width, where),
        layers=_count(settings, "num_hidden_layers", plain.layers, where),
        heads=_count(settings, "num_attention_heads", plain.heads, where),
        inner=_count(settings, "intermediate_size", plain.inner, where),
        vocabulary=_count(settings, "vocab_size", plain.vocabulary, where),
        positions=_count(settings, "max_position_embeddings", plain.positions, where),
        types=_count(settings, "type_vocab_size", plain.types, where),
        eps=_number(settings, "layer_norm_eps", plain.eps, where),
        gelu=GELU[act],
        attention_dropout=_number(settings, "attention_probs_dropout_prob", plain.attention_dropout, where),
        hidden_dropout=hidden_dropout,
        classifier_dropout=_number(settings, "classifier_dropout", hidden_dropout, where),
        std=_number(settings, "initializer_range", plain.std, where),
    )
    if shape.width % shape.heads:
        raise BadData(f"has {shape.heads} heads for a width of {shape.width}", where=where, next="get the file anew")
    return shape


def _count(settings: Mapping[str, Any], key: str, default: int, where: str) -> int:
    count = settings.get(key, default)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 10_000_000:
        raise BadData(f"has {key} = {count!r}, and a whole number from 1 is wanted", where=where, next="get the file anew")
    return count


def _number(settings: Mapping[str, Any], key: str, default: float, where: str) -> float:
    number = settings.get(key)
    if number is None:
        return default
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number < 1:
        raise BadData(f"has {key} = {number!r}, and a number from 0 to under 1 is wanted", where=where, next="get the file anew")
    return float(number)


@lru_cache(maxsize=4)
def _tensors(stamps: tuple[tuple[Path, int, int], ...]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path, _, _ in stamps:
        tensors |= weights.read(path)
    named = {_today(name): tensor.detach().float() for name, tensor in tensors.items() if tensor.is_floating_point()}
    return named


def _today(name: str) -> str:
    """Without the prefix of a model with a head on it; layer norm's parameters as they are called since PyTorch 1."""
    name = name.removeprefix("bert.")
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        name = name.replace(old, new)
    return name


def _check(tensors: Mapping[str, Tensor], shape: BertShape, where: str) -> None:
    wanted = dict(zip(encoder_names(shape), encoder_shapes(shape), strict=True))
    missing = [name for name in wanted if name not in tensors]
    if missing:
        what = f"lacks {len(missing)} of the {len(wanted)} tensors that its {CONFIG} asks for ({', '.join(missing[:3])})"
        raise BadData(what, where=where, next="give the weights of a BERT encoder, with the config.json that belongs to them")
    other = [
        f"{name} is {tuple(tensors[name].shape)} for {size}"
        for name, size in (*wanted.items(), *zip(pooler_names(), ((shape.width, shape.width), (shape.width,)), strict=True))
        if name in tensors and tuple(tensors[name].shape) != size
    ]
    if other:
        raise BadData(f"does not fit its {CONFIG}: {'; '.join(other[:3])}", where=where, next="get both files anew, from one place")
    if odd := [name for name in wanted if not bool(torch.isfinite(tensors[name]).all())]:
        raise BadData(f"has weights that are not finite numbers ({', '.join(odd[:3])})", where=where, next="get the file anew")


# ---- names ----------------------------------------------------------------------------------------------------------


def encoder_names(shape: BertShape) -> tuple[str, ...]:
    """The encoder's parameters in order, as transformers names them, without "bert."."""
    tables = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
    layer = [name for name in shape.last_layer(2, pooler=False).names if not name.startswith("classifier")]
    layers = [f"encoder.layer.{i}.{name}" for i in range(shape.layers) for name in layer]
    return (*tables, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias", *layers)


def encoder_shapes(shape: BertShape) -> tuple[tuple[int, ...], ...]:
    """Their sizes, in the same order."""
    tables = [(count, shape.width) for count in (shape.vocabulary, shape.positions, shape.types)]
    return (*tables, (shape.width,), (shape.width,), *(shape.last_layer(2, pooler=False).shapes[:-2] * shape.layers))


def pooler_names() -> tuple[str, str]:
    return "pooler.dense.weight", "pooler.dense.bias"


def digest_of(tensors: Mapping[str, Tensor], shape: BertShape) -> str:
    """16 hexadecimal digits of some of an encoder's tensors and what else its states depend on."""
    digest = blake2b(repr((shape.heads, shape.eps, shape.gelu)).encode(), digest_size=8)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
