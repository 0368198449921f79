"""What one of transformers' text classifiers is made of, found by building it once and watching it read a few tokens.

Architectures differ in everything: where their layers lie, what they pool, whether padding matters. Instead of a list of architectures,
whatever must be known is tried out, and what cannot be used is refused in words: one that reads left to right only, for one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import BadData, RequestError
from engine.models.encoders.files import ATTENTION_RATES, CLASSIFIER_RATES, HIDDEN_RATES, EncoderSource

TOKENS = 7  # of the text that an architecture is tried out on
LAST_POOLED = ("xlnet",)  # [CLS] comes last, so padding comes first
TYPE_OF_CLS = {"xlnet": -1, "funnel": 0}  # architectures whose [CLS], at that place, is of a token type of its own
CLS_TYPE = 2
OTHER = "use an encoder that classifies texts, such as BERT, RoBERTa or DistilBERT"


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A classifier whose tensors lie on the meta device: it is only ever called with others in their place.

    module      transformers' own, logits and all
    encoder     the name of the part without the head, and the prefix of its parameters' names
    used        names of the parameters that decide the logits, in the module's order
    last        names of those of the last encoder layer, of what comes after it, and of the head; () where layers share their parameters
    classifier  the name of the last dense layer, which makes the logits
    fixed       name -> what is the same for every victim: buffers, tables that are never trained, parameters that nothing reads
    width       numbers of a token's state
    vocabulary  tokens that it knows
    positions   how many tokens it reads of a text at most; None: any number
    states      whether its hidden states are one a token
    trims       whether a text's logits are the same however much padding follows it
    pads_first, pad, cls_type   where padding goes, with which token, and the place of a [CLS] of a type of its own
    """

    module: nn.Module
    encoder: str
    used: tuple[str, ...]
    last: tuple[str, ...]
    classifier: str
    fixed: Mapping[str, Tensor]
    width: int
    vocabulary: int
    positions: int | None
    states: bool
    trims: bool
    has_dropout: bool
    pads_first: bool
    pad: int
    cls_type: int | None

    def inputs(self, tokens_BT: Tensor) -> dict[str, Tensor]:
        """Tokens [B, T], -1 for padding, as transformers' forward takes them: int64, padding before or after."""
        real_BT, count = tokens_BT >= 0, tokens_BT.shape[1]
        if self.pads_first:
            tokens_BT, real_BT = (_rolled(x, count - real_BT.sum(1)) for x in (tokens_BT, real_BT))
        arguments = {"input_ids": tokens_BT.masked_fill(~real_BT, self.pad).long(), "attention_mask": real_BT.long()}
        if self.cls_type is not None:
            places_B = real_BT.long().cumsum(1).argmax(1) if self.cls_type < 0 else real_BT.long().argmax(1)
            types_BT = torch.zeros_like(arguments["input_ids"])
            arguments["token_type_ids"] = types_BT.scatter_(1, places_B[:, None], CLS_TYPE)
        return arguments

    def in_order(self, states_BTW: Tensor, tokens_BT: Tensor) -> Tensor:
        """States as the tokens stand in `tokens_BT`, padding last."""
        return _rolled(states_BTW, (tokens_BT >= 0).sum(1) - tokens_BT.shape[1]) if self.pads_first else states_BTW


def _rolled(x: Tensor, by_B: Tensor) -> Tensor:
    """Each row of x [B, T, ...] rolled to the right by its own number of places."""
    count = x.shape[1]
    at_BT = (torch.arange(count, device=x.device) - by_B[:, None]) % count
    return x[torch.arange(len(x), device=x.device)[:, None], at_BT]


def skeleton_of(source: EncoderSource, classes: int) -> Skeleton:
    """Raises BadData for what is no encoder that classifies texts, or not one that transformers knows."""
    return _skeleton(source.kind, source.settings, source.rates, classes, source.where)


def built(source: EncoderSource, classes: int, seed: int) -> nn.Module:
    """The model as transformers makes it, on the CPU, its float32 weights drawn as its architecture draws them."""
    return _built(_config(source.kind, source.settings, source.rates, classes, source.where), seed, source.where)


# ---- transformers -----------------------------------------------------------------------------------------------------


def _config(kind: str, settings: str, rates: Sequence[tuple[str, float]], classes: int, where: str) -> Any:
    import json

    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    if kind not in CONFIG_MAPPING or kind not in CLASSIFIERS:
        known = "no classifier of texts of this kind" if kind in CONFIG_MAPPING else "no model of this kind"
        raise BadData(f"is of {kind!r}, and transformers has {known}", where=where, next=OTHER)
    try:
        config = CONFIG_MAPPING[kind].from_dict(json.loads(settings))
        config.num_labels = classes
        config.problem_type = None
    except Exception as error:  # a setting of the wrong type or size: each configuration has its own ways
        raise BadData(f"has a config.json that transformers cannot use ({_short(error)})", where=where, next="get the file anew") from error
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        raise BadData(f"is of {kind!r} with a decoder, not an encoder alone", where=where, next=OTHER)
    if getattr(config, "attention_type", None) == "block_sparse":  # of random blocks, and given up for good after one short text
        config.attention_type = "original_full"
    for key, names in (("attention_dropout", ATTENTION_RATES), ("dropout", (*HIDDEN_RATES, *CLASSIFIER_RATES))):
        rates_by_name = {name: rate for name, rate in rates if name in names}
        if rates_by_name and not any(hasattr(config, name) for name in rates_by_name):
            raise RequestError(f"a model of {kind!r} has no such rate", where=f"model.{key}", next="take it out")
        for name in rates_by_name:
            if hasattr(config, name):
                setattr(config, name, rates_by_name[name])
    return config


def _built(config: Any, seed: int, where: str) -> nn.Module:
    from transformers import AutoModelForSequenceClassification as Auto

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            try:
                made: nn.Module = Auto.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
            except ValueError as error:  # an architecture that writes its attention out
                if "scaled_dot_product_attention" not in str(error) and "sdpa" not in str(error):
                    raise
                torch.manual_seed(seed)
                made = Auto.from_config(config, attn_implementation="eager", dtype=torch.float32)
        except Exception as error:  # sizes that do not go together, a package that is missing
            raise BadData(f"cannot be built by transformers ({_short(error)})", where=where, next=OTHER) from error
    return made


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


# ---- trying it out ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _skeleton(kind: str, settings: str, rates: tuple[tuple[str, float], ...], classes: int, where: str) -> Skeleton:
    config = _config(kind, settings, rates, classes, where)
    module = _built(config, 0, where).eval()
    encoder = str(getattr(module, "base_model_prefix", ""))
    if not hasattr(module, encoder):
        raise BadData(f"is of {kind!r}, whose encoder cannot be told from its head", where=where, next=OTHER)
    try:
        vocabulary = int(module.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    except Exception as error:  # of letters, or of no table at all
        raise BadData(f"is of {kind!r}, which has no table of tokens", where=where, next=OTHER) from error
    positions = _positions(module, config)
    pad = getattr(config, "pad_token_id", None)
    pad = 0 if pad is None or not 0 <= pad < vocabulary else int(pad)
    takes_types = "token_type_ids" in inspect.signature(module.forward).parameters
    cls_type = TYPE_OF_CLS.get(kind) if takes_types else None
    features: dict[str, Any] = {"pads_first": kind in LAST_POOLED, "pad": pad, "cls_type": cls_type}
    blank = Skeleton(module, encoder, (), (), "", {}, 0, vocabulary, positions, False, True, False, **features)
    tokens_BT = torch.tensor([[i for i in range(vocabulary) if i != pad][-TOKENS:]])
    tokens_BT = tokens_BT[:, : positions or TOKENS]
    try:
        with torch.random.fork_rng(devices=[]):
            seen = _watched(blank, config, tokens_BT, classes)
    except BadData:
        raise
    except Exception as error:  # it wants pictures, boxes or whatever else beside its tokens
        raise BadData(f"is of {kind!r}, which cannot read tokens alone ({_short(error)})", where=where, next=OTHER) from error
    if seen["one_way"]:
        raise BadData(f"is of {kind!r}, which reads a text from left to right only and is no encoder", where=where, next=OTHER)
    if not seen["classifier"]:
        raise BadData(f"is of {kind!r}, whose logits are not made by a dense layer", where=where, next=OTHER)
    if seen["changed"]:
        raise BadData(f"is of {kind!r}, which changes {seen['changed'][0]} while it reads", where=where, next=OTHER)
    used = seen["used"]
    fixed = {n: t.detach() for n, t in (*module.named_parameters(), *module.named_buffers()) if n not in used}
    where_else = {k: seen[k] for k in ("last", "classifier", "width", "states", "trims", "has_dropout")}
    return Skeleton(
        module.to("meta"), encoder, used=used, fixed=fixed, vocabulary=vocabulary, positions=positions, **where_else, **features
    )


def _watched(made: Skeleton, config: Any, tokens_BT: Tensor, classes: int) -> dict[str, Any]:
    """What a Skeleton has beyond what can be read off its configuration; made: with what can."""
    module, order = made.module, dict[str, int]()
    calls: dict[str, int] = {}
    linears: dict[str, tuple[Tensor, Tensor]] = {}

    def before(name: str) -> Any:
        def note(*_: object) -> None:
            order.setdefault(name, len(order))
            calls[name] = calls.get(name, 0) + 1

        return note

    def after(name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            linears[name] = (inputs[0], out)

        return note

    hooks = [m.register_forward_pre_hook(before(name)) for name, m in module.named_modules()]
    hooks += [
        m.register_forward_hook(after(n)) for n, m in module.named_modules() if isinstance(m, nn.Linear) and m.out_features == classes
    ]
    try:
        with torch.no_grad():
            outputs = module(**made.inputs(tokens_BT), output_hidden_states=True)
    finally:
        for hook in hooks:
            hook.remove()
    logits = outputs.logits
    makers = [n for n, (fed, out) in linears.items() if fed.dim() == 2 and out.shape == logits.shape and out.equal(logits)]
    states = outputs.hidden_states
    width = int(states[-1].shape[-1]) if states else 0
    flat = bool(states) and len(states) > 1 and tuple(states[-2].shape) == (*tokens_BT.shape, width)
    other, longer = tokens_BT.clone(), torch.cat([tokens_BT, torch.full_like(tokens_BT[:, :1], -1)], 1)
    other[:, -1] = tokens_BT[:, 0]
    used, changed, has_dropout = _trained(made, tokens_BT)
    with torch.no_grad():
        first = [made.in_order(module(**made.inputs(t), output_hidden_states=True).hidden_states[-1], t)[:, 0] for t in (tokens_BT, other)]
        short = made.positions is not None and longer.shape[1] > made.positions
        trims = short or torch.allclose(module(**made.inputs(longer)).logits, logits, atol=1e-5, rtol=1e-3)
    return {
        "one_way": first[0].equal(first[1]),
        "classifier": makers[-1] if makers else "",
        "changed": changed,
        "used": used,
        "last": _last(made, config, order, calls, used),
        "width": width,
        "states": flat,
        "trims": bool(trims),
        "has_dropout": has_dropout,
    }


def _trained(made: Skeleton, tokens_BT: Tensor) -> tuple[tuple[str, ...], list[str], bool]:
    """Which parameters a step of training reaches, which buffers it changes, and whether it draws random numbers."""
    module = made.module.train()
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    torch.manual_seed(1)
    logits = module(**made.inputs(tokens_BT)).logits
    logits.logsumexp(-1).sum().backward()
    used = tuple(name for name, p in module.named_parameters() if p.grad is not None)
    module.zero_grad(set_to_none=True)
    with torch.no_grad():
        torch.manual_seed(2)
        again = module(**made.inputs(tokens_BT)).logits
    changed = [name for name, buffer in module.named_buffers() if not buffer.equal(kept[name])]
    module.eval()
    return used, changed, not again.equal(logits)


def _last(made: Skeleton, config: Any, order: Mapping[str, int], calls: Mapping[str, int], used: Sequence[str]) -> tuple[str, ...]:
    """The used parameters of the last layer, of modules that are called after it, and of the head."""
    start = f"{made.encoder}."
    lists = {n: m for n, m in made.module.named_modules() if isinstance(m, nn.ModuleList) and n.startswith(start)}
    if not lists:
        return ()
    layers = getattr(config, "num_hidden_layers", max(map(len, lists.values())))
    layer = next((f"{n}.{layers - 1}" for n, m in lists.items() if len(m) == layers), None)
    if layer is None or calls.get(layer, 1) != 1:  # shared by all layers, as ALBERT's, or run several times
        return ()
    begins = min((at for name, at in order.items() if f"{name}.".startswith(f"{layer}.")), default=len(order))

    def tuned(name: str) -> bool:
        owner = name.rpartition(".")[0]
        return name.startswith(f"{layer}.") or not name.startswith(start) or order.get(owner, -1) > begins

    return tuple(name for name in used if tuned(name))


def _positions(module: nn.Module, config: Any) -> int | None:
    """How many tokens there are positions for: of tables that begin after the padding's position, so many less."""
    tables = [m for n, m in module.named_modules() if isinstance(m, nn.Embedding) and n.rpartition(".")[2] == "position_embeddings"]
    if tables:
        return min(m.num_embeddings - (0 if m.padding_idx is None else m.padding_idx + 1) for m in tables)
    most = getattr(config, "max_position_embeddings", None)
    return int(most) if isinstance(most, int) and most > 0 else None


def check_length(made: Skeleton, length: int) -> None:
    """RequestError where a text of so many tokens is longer than the model reads."""
    if made.positions is not None and length > made.positions:
        raise RequestError(
            f"this model reads {made.positions} tokens, not {length}", where="model.length", next=f"set it to {made.positions} or less"
        )
