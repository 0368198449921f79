"""A tiny BERT, its hidden states, and transformers' own last layer with the dropout masks it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.bert.last_layer import LastLayer
from engine.steps import Kept

LAYER = LastLayer(width=24, heads=3, inner=40, classes=3, std=0.4)
PLAIN = LastLayer(width=24, heads=3, inner=40, classes=2, pooler=False, gelu="tanh", attention_dropout=0.0, hidden_dropout=0.0,
                  classifier_dropout=0.0, std=0.4)  # fmt: skip


def params_of(layer: LastLayer, seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Weights in which nothing is zero or one."""
    draw = torch.Generator().manual_seed(seed)
    return [p + 0.1 * torch.randn(p.shape, generator=draw, dtype=torch.float64).to(dtype) for p in layer.init(draw, dtype)]


def states(rows: int, tokens: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Hidden states and which tokens are real, of texts of several lengths."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, tokens, width, generator=draw, dtype=torch.float64).to(dtype)
    lengths = torch.randint(2, tokens + 1, (rows,), generator=draw)
    return x, torch.arange(tokens) < lengths[:, None]


def kept(layer: LastLayer, rows: int, tokens: int, seed: int, dtype: torch.dtype = torch.float64) -> Kept:
    draw = torch.Generator().manual_seed(seed)
    attention = (torch.rand(rows, layer.heads, tokens, generator=draw) > 0.3).to(dtype) / 0.7
    return Kept(attention, (torch.rand(rows, 3, layer.width, generator=draw) > 0.2).to(dtype) / 0.8)


class Transformers(nn.Module):
    """transformers' BertLayer, pooler and classifier with a victim's weights; params, and their names here, in the order of its list."""

    def __init__(self, layer: LastLayer, params: Sequence[Tensor]) -> None:
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=30, hidden_size=layer.width, num_hidden_layers=1, num_attention_heads=layer.heads, intermediate_size=layer.inner,
            hidden_act="gelu" if layer.gelu == "none" else "gelu_new", layer_norm_eps=layer.eps, num_labels=layer.classes,
        )  # fmt: skip
        config._attn_implementation = "eager"
        whole = BertForSequenceClassification(config).to(params[0].dtype)
        self.shape, self.layer, self.dropout, self.classifier = layer, whole.bert.encoder.layer[0], whole.dropout, whole.classifier
        self.pooler = whole.bert.pooler if layer.pooler else None
        self.names = [name if name.split(".")[0] in ("pooler", "classifier") else f"layer.{name}" for name in layer.names]
        own = dict(self.train().named_parameters())
        self.params = [own[name] for name in self.names]
        with torch.no_grad():
            for mine, given in zip(self.params, params, strict=True):
                mine.copy_(given)

    def forward(self, x_BTW: Tensor, real_BT: Tensor, kept: Kept | None = None) -> Tensor:
        mask = torch.zeros(real_BT.shape, dtype=x_BTW.dtype).masked_fill(~real_BT, -torch.inf)[:, None, None]
        with given_masks(self.shape, x_BTW, kept):
            out_BTW = self.layer(x_BTW, mask)
            hidden = out_BTW[:, 0] if self.pooler is None else self.pooler(out_BTW)
            logits: Tensor = self.classifier(self.dropout(hidden))
            return logits

    logits = forward


@contextmanager
def given_masks(layer: LastLayer, x_BTW: Tensor, kept: Kept | None) -> Iterator[None]:
    """Within it dropout multiplies by these instead of what it would draw; rows other than [CLS]'s are left whole."""
    rows, tokens, width = x_BTW.shape
    masks: list[Tensor] = []
    if kept is not None:
        attention = x_BTW.new_ones(rows, layer.heads, tokens, tokens)
        attention[:, :, 0] = kept.attention
        masks.append(attention)
        for which in (0, 1):
            masks.append(x_BTW.new_ones(rows, tokens, width))
            masks[-1][:, 0] = kept.hidden[:, which]
        masks.append(kept.hidden[:, 2])

    def dropout(x: Tensor, *args: object, **more: object) -> Tensor:
        return x if kept is None else x * masks.pop(0)

    with mock.patch.object(F, "dropout", dropout):
        yield
    assert not masks
