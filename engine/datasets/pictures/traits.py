"""What a person would say of a picture at a glance: how bright, how warm, how colourful. For describing clusters and for FeatureMatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.datasets.splits import levels

if TYPE_CHECKING:
    import numpy as np

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
LOOKED_AT = 16  # pixels a side; of a larger picture every second, third, ... is looked at
WORDS = {  # a column of the frame -> its levels, equally filled over all pictures of the dataset
    "brightness": ("darkest", "dark", "bright", "brightest"),
    "contrast": ("flat", "soft", "strong"),
    "warmth": ("cool", "neutral", "warm"),
    "colour": ("grey", "muted", "colourful"),
    "surroundings": ("darker", "alike", "lighter"),  # than the middle
}


def measured(pixels: np.ndarray) -> np.ndarray:
    """float32 [pictures, traits] of uint8 [pictures, size, size, 3], in the order of WORDS and in units of 0..255."""
    import numpy as np

    step = max(1, pixels.shape[1] // LOOKED_AT)
    red, green, blue = np.ascontiguousarray(pixels[:, ::step, ::step].transpose(3, 0, 1, 2), np.float32)  # [pictures, side, side] each
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    edge = max(1, luma.shape[1] // 8)
    middle = np.zeros(luma.shape[1:], bool)
    middle[edge:-edge, edge:-edge] = True
    return np.stack(
        [
            luma.mean(axis=(1, 2)),
            luma.std(axis=(1, 2)),
            (red - blue).mean(axis=(1, 2)),
            (np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).mean(axis=(1, 2)),
            luma[:, ~middle].mean(axis=1) - luma[:, middle].mean(axis=1),
        ],
        axis=1,
    ).astype(np.float32)


def in_words(traits: np.ndarray) -> dict[str, np.ndarray]:
    """Column name -> words [pictures]; the levels' edges are quantiles of all the pictures given."""
    return {name: levels(traits[:, place], words) for place, (name, words) in enumerate(WORDS.items())}
