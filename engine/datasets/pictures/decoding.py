"""Bytes of picture files into pixels, by several threads. A file that cannot be decoded is counted and named, never fatal.

Pictures are other people's bytes: only well-known formats are tried, and a size is looked at before anything is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.datasets.files.archives import Leftovers
from engine.datasets.pictures.depth import Scales, kind_of
from engine.datasets.pictures.traits import measured

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # Pillow can do more; those are rarely pictures and rarely tested
MOST_PIXELS = 100_000_000  # of one picture: 300 MB unpacked, a thread
MOST_THREADS = 16
BATCH = 64  # pictures that a thread takes at once
ROTATED = "exif"

Member = tuple[str, Callable[[], bytes], float]  # its name, what reads it, and the share of the source that is then read


class LeftOut(Exception):
    """Why a file is not used, as words that follow "left out"."""


@dataclass(frozen=True)
class Block:
    """Some pictures of a source, decoded.

    pixels   uint8 [pictures, size, size, 3];  traits  float32 [pictures, traits];  digests  SHA-256 of each file read, used or not
    resized  how many had another size, and `squeezed` of them another shape;  done  the share of the source that is read
    """

    names: list[str]
    pixels: np.ndarray
    traits: np.ndarray
    digests: list[tuple[str, bytes]]
    resized: int = 0
    squeezed: int = 0
    done: float = 0.0


def decode(members: Iterable[Member], size: int, left: Leftovers, scales: Scales | None = None) -> Generator[Block, None, None]:
    """Blocks in the members' order, whatever the number of threads. scales: of pictures of more than 8 bits."""
    from PIL import Image

    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    waiting: deque[Future[tuple[Block, list[tuple[str, str]]]]] = deque()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # judged by MOST_PIXELS instead, and said in a note
        pool = ThreadPoolExecutor(threads, "decode")
        try:
            for batch in _batches(members):
                waiting.append(pool.submit(_decode_batch, batch, size, scales))
                if len(waiting) > 2 * threads:
                    yield _taken(waiting, left)
            while waiting:
                yield _taken(waiting, left)
        finally:  # Ctrl-C: what has not begun never does
            pool.shutdown(wait=True, cancel_futures=True)


def _taken(waiting: deque[Future[tuple[Block, list[tuple[str, str]]]]], left: Leftovers) -> Block:
    block, failed = waiting.popleft().result()
    for why, name in failed:
        left.add(why, name)
    return block


def _batches(members: Iterable[Member]) -> Iterator[list[Member]]:
    batch: list[Member] = []
    for member in members:
        batch.append(member)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _decode_batch(batch: list[Member], size: int, scales: Scales | None) -> tuple[Block, list[tuple[str, str]]]:
    """The pictures among the files, and (why, name) of the others."""
    import numpy as np

    names: list[str] = []
    digests: list[tuple[str, bytes]] = []
    failed: list[tuple[str, str]] = []
    pixels = np.empty((len(batch), size, size, 3), np.uint8)
    resized = squeezed = 0
    for name, read, _ in batch:
        try:
            data = read()
            digests.append((name, hashlib.sha256(data).digest()))
            pixels[len(names)], was = picture(data, size, scales)
        except LeftOut as error:
            failed.append((str(error), name))
        else:
            names.append(name)
            resized += was != (size, size)
            squeezed += was[0] != was[1]
    kept = pixels[: len(names)]
    return Block(names, kept, measured(kept), digests, resized, squeezed, batch[-1][2]), failed


def picture(data: bytes, size: int, scales: Scales | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """uint8 [size, size, 3] of a picture file, and the width and height it had. LeftOut where it is none or too large.

    Another size is brought to this one, the sides each by its own factor: nothing is cut off.
    """
    import numpy as np
    from PIL import Image

    if not data:
        raise LeftOut("empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise LeftOut(f"larger than {MOST_PIXELS // 1_000_000} megapixels")
            if min(width, height) >= 4 * size:  # a photograph: let the JPEG decoder halve it, which is exact enough and much faster
                image.draft("RGB", (2 * size, 2 * size))
            shown = _upright(_as_rgb(image, scales or {}))
            if shown.size != (size, size):
                shown = shown.resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(shown), (width, height)
    except LeftOut:
        raise
    except Image.DecompressionBombError:
        raise LeftOut(f"larger than {MOST_PIXELS // 1_000_000} megapixels") from None
    except Exception as error:  # a broken file makes Pillow's readers raise nearly anything; whatever it is, it is no picture
        raise LeftOut("not readable as a picture") from error


def _as_rgb(image: Image, scales: Scales) -> Image:
    """In RGB; what is transparent lies on white, more than 8 bits are scaled as given, or 16 cut to 8."""
    import numpy as np
    from PIL import Image as Images

    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if (scale := scales.get(kind_of(image) or "")) is not None:
        return Images.fromarray(scale.applied(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I;16"):
        return Images.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Images.alpha_composite(Images.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image) -> Image:
    """Turned as its camera said."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if ROTATED in image.info else image
