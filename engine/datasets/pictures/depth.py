"""Pictures of more than 8 bits a pixel to 0..255: by one scale for a whole source, so that its dark pictures stay dark.

What a file says of itself ("16 bits", "float") tells where its values may lie, not where they do: microscopes and scanners put 12 bits into
16, and floats may be 0 to 1 or anything. So all of a source's deep pictures are looked at before one is scaled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

DEEP_ENDINGS = (".tif", ".tiff", ".png", ".pgm", ".ppm", ".pnm", ".pfm")  # of the formats that are read, those that can be deep
BITS = (8, 10, 12, 14, 16)
OF_MODE = {"F": "float", "I": "32-bit"}  # every other deep mode begins with "I;16"


def kind_of(image: Image) -> str | None:
    """Which deep kind a picture is, in words; None for 8 bits and less."""
    return "16-bit" if image.mode.startswith("I;16") else OF_MODE.get(image.mode)


@dataclass(frozen=True)
class Scale:
    """Values from `low` on, `width` of them, over all the source's pictures of a kind, become 0 to 255."""

    low: float
    width: float

    def applied(self, values: np.ndarray) -> np.ndarray:
        """uint8 of the shape given; what is not a number becomes 0."""
        import numpy as np

        with np.errstate(invalid="ignore"):
            shown = np.floor((values.astype(np.float64) - self.low) * (256.0 / self.width))
        return np.nan_to_num(np.clip(shown, 0, 255), nan=0.0).astype(np.uint8)


Scales = dict[str, Scale]


def scales_of(paths: Iterable[Path], formats: tuple[str, ...], most_pixels: int) -> tuple[Scales, tuple[str, ...]]:
    """The scale of each deep kind among the picture files, and notes. Files that cannot be read are passed over."""
    import numpy as np
    from PIL import Image as Images

    ends: dict[str, tuple[float, float]] = {}
    seen: dict[str, int] = {}
    for path in paths:
        if not path.name.lower().endswith(DEEP_ENDINGS) or not path.is_file():  # a pipe would be waited for
            continue
        try:
            with Images.open(path, formats=formats) as image:
                kind = kind_of(image)
                if kind is None or image.size[0] * image.size[1] > most_pixels:
                    continue
                values = np.asarray(image)
        except Exception:  # a broken file makes readers raise nearly anything: told when it is decoded
            continue
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            low, high = ends.get(kind, (np.inf, -np.inf))
            ends[kind] = min(low, float(finite.min())), max(high, float(finite.max()))
            seen[kind] = seen.get(kind, 0) + 1
    scales = {kind: _scale(*of) for kind, of in ends.items()}
    notes = tuple(
        f"{counted(seen[kind], f'{kind} picture')} with values {ends[kind][0]:g} to {ends[kind][1]:g}: the range "
        f"{scale.low:g} to {scale.low + scale.width - (scale.width > 2):g} is brought to 0 to 255"
        for kind, scale in sorted(scales.items())
    )
    return scales, notes


def _scale(low: float, high: float) -> Scale:
    """The usual range that the values fit: 0 to 1, -1 to 1, or 8, 10, 12, 14 or 16 bits; else their own."""
    if low >= -1 and high <= 1:
        return Scale(0.0, 1.0) if low >= 0 else Scale(-1.0, 2.0)
    if low >= 0:
        for bits in BITS:
            if high < 2**bits:
                return Scale(0.0, 2.0**bits)
    return Scale(low, max(high - low, 1e-300))
