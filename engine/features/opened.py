"""What models are made of, opened once and held: files of weights, frozen networks, text encoders, tokenizers, hidden states.

One holder serves a run from its data to its last stack, so that no file of weights is read again for a stack, a trial or the adversary.
Libraries are imported when first needed: tables and trees need none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.scenario.sections import BertSection, NetworkKeys, TrainedKeys

if TYPE_CHECKING:
    import torch

    from engine.features.text_models import TextNetwork, TextSource
    from engine.features.tokenizer import TextTokenizer
    from engine.models.networks.encoder import Encoder
    from engine.models.networks.network import Network
    from engine.rows import States
    from engine.training.encoders.states import StateRows

Report = Callable[[str, float], None]  # what is being done, share done; may raise Interrupted
Image = tuple[int, int]  # height, width
Item = TypeVar("Item")
# keys that say how a network is trained, not what it is
TRAINING = frozenset([*TrainedKeys.model_fields, "tune", "augment"]) - {"kind"}


class Opened:
    """Each is made when first asked for; another section that differs in training alone is given the same."""

    def __init__(self) -> None:
        self._networks: dict[Hashable, Network] = {}
        self._encoders: dict[Hashable, Encoder] = {}
        self._sources: dict[Hashable, TextSource] = {}
        self._text_networks: dict[Hashable, TextNetwork] = {}
        self._tokenizers: dict[Hashable, TextTokenizer] = {}
        self._state_rows: dict[Hashable, StateRows] = {}

    # ---- pictures -------------------------------------------------------------------------------------------------------

    def network(self, section: NetworkKeys, classes: int, image: Image | None) -> Network:
        """A whole network of pictures of `image` pixels; its weights are read from their file at the first `init`, and kept."""
        from engine.models.build import network_of

        key = (section.model_dump_json(exclude=set(TRAINING)), classes, image)
        return _kept(self._networks, key, lambda: network_of(section, classes, image))

    def encoder(self, section: NetworkKeys, classes: int, image: Image, seed: int, device: torch.device) -> Encoder:
        """The frozen part of a network that is tuned in its last layer alone, on a device."""
        from engine.models.build import encoder_of

        key = (section.model_dump_json(exclude=set(TRAINING)), classes, image, seed)
        encoder = _kept(self._encoders, key, lambda: encoder_of(section, self.network(section, classes, image), seed))
        return _kept(self._encoders, (*key, str(device)), lambda: encoder.to(device))

    # ---- texts ----------------------------------------------------------------------------------------------------------

    def source(self, section: BertSection) -> TextSource:
        """The encoder of texts that a section names, with its rates of dropout where it sets them."""
        from engine.features.text_models import source_of

        key = (section.weights, section.name, section.revision, section.architecture, section.attention_dropout, section.dropout)
        return _kept(self._sources, key, lambda: source_of(section))

    def text_network(self, section: BertSection, classes: int) -> TextNetwork:
        """The network that reads tokens at every step."""
        from engine.features.text_models import network_of

        source = self.source(section)
        return _kept(self._text_networks, (id(source), section.tune, section.length, classes), lambda: network_of(source, section, classes))

    def tokenizer(self, section: BertSection, data_dir: Path | None, report: Report) -> TextTokenizer:
        """The encoder's own tokenizer; bert-base-uncased's words where its weights are random."""
        from engine.features.text_models import tokenizer_for

        source = self.source(section)
        return _kept(self._tokenizers, (id(source), data_dir), lambda: tokenizer_for(source, data_dir, report))

    def state_rows(self, states: States, device: torch.device, dtype: torch.dtype) -> StateRows:
        """The hidden states for a device; those that lie on a GPU stay there from stack to stack."""
        from engine.training.encoders.states import StateRows

        key = (states.path, states.shape, states.dtype, str(device), dtype)
        return _kept(self._state_rows, key, lambda: StateRows(states, device, dtype))


def _kept(items: dict[Hashable, Item], key: Hashable, make: Callable[[], Item]) -> Item:
    if key not in items:
        items[key] = make()
    return items[key]
