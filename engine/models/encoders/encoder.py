"""Any of transformers' encoders for classifying texts, run functionally: one victim is a list of tensors, named as transformers has them.

Slower than `bert.py`, which has one architecture written out: for encoders that are no BERT, and for those whose classifier pools all
tokens. What is not trained is no part of a victim; it lies here once, and runs forward at every step with its dropout on, as published.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import BadData, RequestError
from engine.models.bert.bert import LAYERS, TRIM, Sites, represented, sites
from engine.models.encoders.files import EncoderSource, fitted
from engine.models.encoders.skeleton import built, check_length, skeleton_of
from engine.models.softmax import SoftmaxModel

DRAWN = ("dropout", "scaled_dot_product_attention", "bernoulli", "bernoulli_", "rand", "rand_like")  # what random numbers are drawn in


class AutoEncoder(SoftmaxModel):
    """A whole encoder with its head. A network as `network.py` has it, whose pixels are tokens; every tensor of a victim is trained.

    length: tokens of a row; classes: of the classifier, which is always drawn anew. tune "last_layer": the last encoder layer, what comes
    after it (a pooler, a norm), the head's dense layers and the classifier; the rest stays as it was read.
    """

    has_batch_norm = False
    cuts_batches = True

    def __init__(self, source: EncoderSource, classes: int, length: int, tune: Literal["all", "last_layer"] = "all") -> None:
        made = self._made = skeleton_of(source, classes)
        check_length(made, length)
        if tune == "last_layer" and not made.last:
            raise RequestError(
                f"the last layer of {source.kind!r} cannot be trained alone: its layers share their weights, or are not in one row",
                where="model.tune",
                next='use tune = "all"',
            )
        self.source, self.classes, self.length, self.tune = source, classes, length, tune
        self.width, self.layers = made.width, LAYERS if made.states else ()
        self.names = self.parameter_names = made.used if tune == "all" else made.last
        self.trainable, self.has_dropout = len(self.names), made.has_dropout
        sizes = dict((*made.module.named_parameters(), *made.module.named_buffers()))
        self.shapes = tuple(tuple(sizes[name].shape) for name in self.names)
        saved = {name: sizes[name] for name in made.module.state_dict() if not name.startswith(f"{made.classifier}.")}
        head = [n for n in saved if not n.startswith(f"{made.encoder}.") or n in made.fixed or "pool" in n]
        self._given = fitted(source, saved, made.encoder, head)
        frozen = {name: self._given.get(name, table) for name, table in made.fixed.items()}
        frozen |= {name: self._given[name] for name in made.used if name not in self.names and name in self._given}
        if lacking := [name for name in made.used if name not in self.names and name not in frozen]:
            raise BadData(f"lacks {', '.join(lacking[:3])}, which is not trained", where=source.where, next='use tune = "all"')
        self._frozen = {(torch.device("cpu"), torch.float32): frozen}

    # ---- weights ------------------------------------------------------------------------------------------------------

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """A trial's initial weights: the checkpoint's, and what it lacks drawn from the generator as transformers draws it."""
        drawn = dict(built(self.source, self.classes, int(torch.randint(2**63 - 1, (), generator=generator))).named_parameters())
        return [self._given.get(name, drawn[name]).detach().to(dtype, copy=True) for name in self.names]

    @property
    def kernels(self) -> tuple[int, ...]:
        """Where the tensors lie that weight decay is on."""
        named = zip(self.names, self.shapes, strict=True)
        return tuple(at for at, (name, size) in enumerate(named) if len(size) > 1 and not name.endswith("bias"))

    def _fixed(self, like: Tensor) -> Mapping[str, Tensor]:
        """What is not trained, where and in what precision the parameters are."""
        key = (like.device, like.dtype)
        if key not in self._frozen:
            frozen = self._frozen[torch.device("cpu"), torch.float32].items()
            self._frozen[key] = {n: t.to(like.device, like.dtype if t.is_floating_point() else t.dtype) for n, t in frozen}
        return self._frozen[key]

    # ---- forward ------------------------------------------------------------------------------------------------------

    def pixels(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Tokens [B, length], -1 for padding -> int64 [B, the longest of them, rounded up; all of them where padding counts]."""
        return self.cut(x, int((x >= 0).sum(1).max()) if len(x) and self._made.trims else x.shape[1])

    def cut(self, x: Tensor, longest: int) -> Tensor:
        """`pixels` where it is known how many tokens the longest has: to look it up a GPU is waited for."""
        longest = longest if len(x) and self._made.trims else x.shape[1]
        return x[:, : min(x.shape[1], -(-max(longest, 1) // TRIM) * TRIM)].long()

    def logits(self, params: Sequence[Tensor], tokens_BT: Tensor, *, training: bool = False) -> Tensor:
        """Logits [B, classes]. training: dropout is on, its masks drawn from the seed PyTorch's generator was given."""
        with _streams(tokens_BT.device) if training and self.has_dropout else contextlib.nullcontext():
            logits_BO: Tensor = self._run(params, tokens_BT, training=training).logits
        return logits_BO

    @contextlib.contextmanager
    def _reading(self, note: Callable[[Tensor], None]) -> Iterator[None]:
        """Within it, note is given what the classifier reads."""
        hook = self._made.module.get_submodule(self._made.classifier).register_forward_pre_hook(lambda _, inputs: note(inputs[0]))
        try:
            yield
        finally:
            hook.remove()

    def hidden_of(self, params: Sequence[Tensor], tokens_BT: Tensor) -> Tensor:
        """What the classifier reads [B, width of the head]."""
        inputs: list[Tensor] = []
        with self._reading(inputs.append):
            self._run(params, tokens_BT)
        return inputs[-1]

    def states_of(self, params: Sequence[Tensor], tokens_BT: Tensor) -> Tensor:
        """Hidden states before the last encoder layer [B, tokens, width]; those of padding mean nothing."""
        return self._made.in_order(self._run(params, tokens_BT, output_hidden_states=True).hidden_states[-2], tokens_BT)

    def layer_of(self, params: Sequence[Tensor], tokens_BT: Tensor, layer: str) -> Tensor:
        """One of `layers` [B, numbers]. RequestError where there is none of that name."""
        if layer not in self.layers:
            alternatives = f"use {', '.join(self.layers)}" if self.layers else "its states are not one a token: use another model"
            raise RequestError(f"{self.source.kind} has no layer {layer!r}", where="subpopulations.layer", next=alternatives)
        return represented(self.states_of(params, tokens_BT), tokens_BT >= 0, layer, self.length)

    def head_of(self, params: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The classifier: kernel [width of the head, classes] and bias [classes]."""
        named, name = dict(zip(self.names, params, strict=True)), self._made.classifier
        kernel = named[f"{name}.weight"].t()
        return kernel, named.get(f"{name}.bias", kernel.new_zeros(self.classes))

    def _run(self, params: Sequence[Tensor], tokens_BT: Tensor, *, training: bool = False, **more: bool) -> Any:
        tensors = {**self._fixed(params[0]), **dict(zip(self.names, params, strict=True))}
        module = self._made.module.train(training)
        return functional_call(module, tensors, (), {**self._made.inputs(tokens_BT), **more})

    # ---- what it is -----------------------------------------------------------------------------------------------------

    def notes(self) -> tuple[str, ...]:
        """What dropout and padding mean for victims that are compared within a trial."""
        notes = []
        if self.has_dropout:
            notes.append(
                "dropout: masks are drawn from the trial's seed anew for each layer, the same for every arm of a trial as far as the rows "
                f"of a step agree (and its longest text, to {TRIM} tokens)"
            )
        if not self._made.trims:
            notes.append("padding: this encoder reads it too, so every text is padded to model.length")
        return tuple(notes)

    def operations(self, rows: int = 1) -> int:
        """Multiplications and additions of one forward pass over so many texts of full length."""
        tokens_1L = torch.zeros(1, self.length, dtype=torch.long)
        params = [torch.zeros(size) for size in self.shapes]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self._run(params, tokens_1L)
        return rows * int(counter.get_total_flops())

    def operations_of(self, tokens_R: np.ndarray) -> int:
        """The same over texts of so many tokens, int [texts], as if attention cost what it does at full length."""
        return round(self.operations() * int(tokens_R.sum()) / self.length)


# ---- dropout ------------------------------------------------------------------------------------------------------------


class _Streams(TorchFunctionMode):
    """Each place at which numbers are drawn begins a stream of its own (see `bert.Sites`)."""

    def __init__(self, drawn: Sites) -> None:
        super().__init__()
        self.drawn = drawn

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in DRAWN:
            self.drawn.next()
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _streams(device: torch.device) -> Iterator[None]:
    with sites(device) as drawn, _Streams(drawn):
        yield
