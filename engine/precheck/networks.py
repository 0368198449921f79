"""Which tensors a VGG and the small `conv` have, and what a file of other tensors looks like, in words that name the key to set.

The sizes stand in `engine/models/networks/` for the networks themselves; torch need not be loaded to hold a file against them, and a test
holds these against those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]
VGG_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions before each pool, by depth
VGG_WIDTHS = (64, 128, 256, 512, 512)
RESNETS: dict[tuple[tuple[int, ...], bool], str] = {  # blocks of each layer, and whether a block has three convolutions
    ((2, 2, 2, 2), False): "resnet18", ((3, 4, 6, 3), False): "resnet34", ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101", ((3, 8, 36, 3), True): "resnet152",
}  # fmt: skip
CONV_WIDTHS = (32, 32, 64, 64, 128, 128, 256)  # of `conv` below its last convolution, which has a channel for each class


def vgg(depth: int) -> dict[str, tuple[int, ...]]:
    """The convolutional part of a VGG, as torchvision names it: "features.0.weight" -> (64, 3, 3, 3)."""
    shapes: dict[str, tuple[int, ...]] = {}
    at, below = 0, 3
    for many, width in zip(VGG_BLOCKS[depth], VGG_WIDTHS, strict=True):
        for _ in range(many):
            shapes[f"features.{at}.weight"], shapes[f"features.{at}.bias"] = (width, below, 3, 3), (width,)
            at, below = at + 2, width  # a rectifier after each
        at += 1  # a pool
    return shapes


def conv() -> dict[str, tuple[int, ...]]:
    """`conv` but for its last convolution, of which the classes decide."""
    shapes: dict[str, tuple[int, ...]] = {}
    below = 3
    for number, width in enumerate(CONV_WIDTHS, 1):
        shapes[f"features.conv{number}.weight"], shapes[f"features.conv{number}.bias"] = (width, below, 3, 3), (width,)
        below = width
    return shapes


def looks_like(shapes: Shapes) -> tuple[str, str] | None:
    """(what a file's tensors are of, the keys that say so): ("VGG11", "model.depth = 11"); None where nobody knows."""
    for depth in VGG_BLOCKS:
        convolutional = {name: shape for name, shape in shapes.items() if re.fullmatch(r"features\.\d+\.(weight|bias)", name)}
        if convolutional == vgg(depth):
            return f"VGG{depth}", f'model.kind = "vgg", model.depth = {depth}'
    if shapes.get("features.conv1.weight") == (CONV_WIDTHS[0], 3, 3, 3):
        return "conv", 'model.kind = "conv"'
    blocks = tuple(_blocks(shapes))
    name = RESNETS.get((blocks, "layer1.0.conv3.weight" in shapes))
    if name:
        width = shapes.get("layer1.0.conv1.weight", (0,))[0]
        groups = shapes.get("layer1.0.conv2.weight", (0, 0))
        plain = width == 64 and groups[1] == 64  # the wide and the grouped ones have the same blocks
        return (name, f'model.kind = "torchvision", model.architecture = "{name}"') if plain else None
    if any("embeddings.word_embeddings" in name for name in shapes):
        return "a text encoder", 'model.kind = "bert", model.weights = its folder'
    return None


def _blocks(shapes: Shapes) -> Iterator[int]:
    for layer in range(1, 5):
        yield len({match[1] for name in shapes if (match := re.match(rf"layer{layer}\.(\d+)\.conv1\.weight$", name))})


@cache
def torchvision_models() -> tuple[frozenset[str], frozenset[str]]:
    """(names of torchvision's classifiers of pictures, all its other models), read from its sources: to import it takes seconds."""
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return frozenset(), frozenset()
    folder = Path(spec.submodule_search_locations[0]) / "models"
    classifiers = frozenset(name for file in folder.glob("*.py") for name in _registered(file))
    others = frozenset(name for file in folder.glob("*/*.py") for name in _registered(file))
    return classifiers, others


def _registered(file: Path) -> Iterator[str]:
    try:
        parts = file.read_text(encoding="utf-8").split("\n@register_model(")[1:]
    except (OSError, UnicodeDecodeError):
        return
    for part in parts:
        named = re.match(r'(?:name=)?"(\w+)"', part)
        if (match := named or re.search(r"^def (\w+)\(", part, re.MULTILINE)) is not None:
            yield match[1]
