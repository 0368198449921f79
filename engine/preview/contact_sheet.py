"""One picture of a run's subpopulations: a row each, its most typical members, and the points that poison it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import RequestError, SubpopError
from engine.pipeline.discovery import Discovery
from engine.preview import showing
from engine.rows import RunRow, Subpopulation
from engine.system.writing import write_file

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from engine.scenario.sections import Scenario
    from engine.store import StoredDiscovery

Say = Callable[[str, float], None]
SIDE, GAP = 64, 6  # pixels of a thumbnail, and between two
WORDS = 300  # pixels of the column of descriptions
HEAD, LINE = 64, 15  # pixels of the lines above the first row, and of one line of text
MOST_PIXELS = 2**28  # of the whole sheet
LACKING = {"×": "x", "≤": "<=", "≥": ">=", "…": "..."}  # signs that PIL's own font lacks
INK, QUIET, WRONG, PAPER = (24, 28, 32), (110, 116, 124), (176, 40, 34), (255, 255, 255)


@dataclass(frozen=True)
class Strip:
    """One row of the sheet: uint8 [pictures, side, side, 3] of members and their classes, of points and their (given, true) classes."""

    about: Subpopulation
    members: np.ndarray
    classes: tuple[str, ...]
    points: np.ndarray
    labels: tuple[tuple[str, str], ...]


def write(
    run: RunRow,
    stored: StoredDiscovery | None,
    data_dir: Path,
    out: Path,
    *,
    pictures: int = 10,
    points: int = 6,
    alpha: float | None = None,
    trial: int = 0,
    progress: Say = lambda what, share: None,
) -> int:
    """Write the contact sheet of a run as a PNG; returns how many subpopulations are on it: those attacked, else all.

    stored: the run's discovery with its bulk arrays. alpha: of the poison shown; None: 1, or the scenario's first.
    Raises RequestError before the run's discovery, for data that have no pictures or are not the run's, and for a path that cannot be
    written; MissingData where the data are not here.
    """
    from engine.pipeline import order as pipeline
    from engine.scenario.parse import scenario_of

    if stored is None:
        raise RequestError("its subpopulations are not known yet", where=f"run {run.id}", next="wait for its discovery, or resume it")
    scenario = scenario_of(run)
    dataset = pipeline.rows(scenario, data_dir, log=lambda message: None, progress=progress)
    if dataset.aux.images is None:
        raise RequestError(f"its data ({dataset.kind}) have no pictures", where=f"run {run.id}", next="export the table `subpopulations`")
    if len(stored.membership.aux) != len(dataset.aux):
        raise RequestError("the data here are not the run's", where=f"run {run.id}", next="point --data at the data it was made with")
    discovery = Discovery(dataset, stored.membership, stored.subpopulations, stored.arrays)
    shown = [one for one in discovery.subpopulations if one.attacked] or list(discovery.subpopulations)
    alphas = scenario.attack.alphas
    rate = alpha if alpha is not None else 1.0 if 1.0 in alphas else alphas[0]
    strips = []
    for at, one in enumerate(shown):
        progress("contact sheet", at / len(shown))
        strips.append(strip_of(scenario, discovery, one, pictures, points, rate, trial))
    head = [f"{run.title}  ·  run {run.id}  ·  {run.name}", "; ".join(run.deviations)]
    sheet = draw(strips, head, pictures, points, f"poison, alpha {rate:g}, trial {trial + 1}: the label given, red where wrong")
    write_file(out, lambda stream: sheet.save(stream, "PNG"))
    return len(strips)


def strip_of(scenario: Scenario, discovery: Discovery, one: Subpopulation, pictures: int, points: int, alpha: float, trial: int) -> Strip:
    """What cannot be poisoned (influence without its scores, no aux rows) is shown without points."""
    dataset = discovery.dataset
    assert dataset.aux.images is not None
    rows = showing.members(dataset, discovery.membership, discovery.arrays, one.index, "aux")[0][:pictures]
    typical = showing.thumbnails(dataset.aux.images[rows], SIDE)
    names = tuple(dataset.classes[y] for y in dataset.aux.y[rows])
    labels: tuple[tuple[str, str], ...] = ()
    drawn = np.empty((0, SIDE, SIDE, 3), np.uint8)
    if points:
        try:
            poison = showing.poison_points(scenario, discovery, one.index, alpha, trial)
        except SubpopError:
            return Strip(one, typical, names, drawn, labels)
        # copies of one row look alike: each is shown once
        first = np.sort(np.unique(poison.poison.rows, return_index=True)[1])[:points]
        images = poison.images(first)
        if images is not None and len(images):
            drawn = showing.thumbnails(images, SIDE)
        labels_given, true = poison.poison.labels[first], poison.poison.true_labels[first]
        labels = tuple((dataset.classes[g], dataset.classes[t]) for g, t in zip(labels_given, true, strict=True))
    return Strip(one, typical, names, drawn, labels)


def draw(strips: Sequence[Strip], head: Sequence[str], pictures: int, points: int, poison: str) -> Picture:
    """The sheet: text in PIL's own font, so that it looks the same everywhere."""
    from PIL import Image, ImageDraw

    height = SIDE + LINE + 3 * GAP
    poisoned = any(len(strip.points) for strip in strips)
    left = WORDS + pictures * (SIDE + GAP) + 3 * GAP
    size = (left + (points * (SIDE + GAP) if poisoned else 0) + GAP, HEAD + LINE + len(strips) * height + GAP)
    if size[0] * size[1] > MOST_PIXELS:
        raise RequestError(f"{len(strips)} subpopulations make a sheet of {size[0]}x{size[1]} pixels", next="ask for fewer pictures a row")
    sheet = Image.new("RGB", size, PAPER)
    pen, large, small = ImageDraw.Draw(sheet), _font(17), _font(12)
    pen.text((GAP, GAP), _fit(head[0], large, size[0] - 2 * GAP), INK, large)
    pen.text((GAP, GAP + 24), _fit(head[1], small, size[0] - 2 * GAP), WRONG, small)
    order = "members of aux, the most typical first"
    for x, words in ((GAP, "subpopulation"), (WORDS, order), (left, poison if poisoned else "")):
        pen.text((x, HEAD - GAP), words, QUIET, small)
    for at, strip in enumerate(strips):
        top = HEAD + LINE + at * height
        pen.line((0, top, size[0], top), (226, 228, 230))
        _words(pen, strip.about, top + GAP, large, small)
        for k, picture in enumerate(strip.members):
            _card(sheet, pen, (WORDS + k * (SIDE + GAP), top + GAP), picture, strip.classes[k], QUIET, small)
        for k, picture in enumerate(strip.points):
            label_given, true = strip.labels[k]
            ink = QUIET if label_given == true else WRONG
            _card(sheet, pen, (left + k * (SIDE + GAP), top + GAP), picture, label_given, ink, small)
    return sheet


def _words(pen: Any, about: Subpopulation, top: int, large: Any, small: Any) -> None:
    """The description on up to three lines, then sizes, confidence and target."""
    pen.text((GAP, top), f"{about.index}", INK, large)
    lines, room = [""], WORDS - 46
    for word in about.description.split():
        if lines[-1] and small.getlength(f"{lines[-1]} {word}") > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    if len(lines) > 3:
        lines[2:] = [" ".join(lines[2:])]
    sure = f", confidence {about.confidence:.2f}" if about.confidence is not None else ""
    facts = [f"train {about.train_rows}, aux {about.aux_rows}, test {about.test_rows}{sure}"]
    facts.append(f"target {about.target_label}" if about.target_label else "labels flipped point by point")
    for at, (line, ink) in enumerate([*((line, INK) for line in lines), *((line, QUIET) for line in facts)]):
        pen.text((40, top + at * LINE), _fit(line, small, room), ink, small)


def _card(sheet: Picture, pen: Any, at: tuple[int, int], picture: np.ndarray, caption: str, ink: tuple[int, int, int], font: Any) -> None:
    from PIL import Image

    sheet.paste(Image.fromarray(picture), at)
    pen.text((at[0], at[1] + SIDE + 1), _fit(caption, font, SIDE + GAP - 2), ink, font)


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fit(text: str, font: Any, width: float) -> str:
    """The text, cut to a width in pixels, in characters that PIL's font has."""
    for sign, plain in LACKING.items():
        text = text.replace(sign, plain)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
