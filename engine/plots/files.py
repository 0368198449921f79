"""Plots to PNG and SVG files, as wide as a column of a paper. Needs matplotlib, which is an extra.

The same plot gives the same bytes: no date, no version, no settings of the person's own. Marks and line styles tell series apart without
colour, and the colours (Okabe and Ito's) also without seeing red or green.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from engine.errors import RequestError
from engine.plots.data import Plot, alt
from engine.system.installed import DISTRIBUTION, library_version
from engine.system.writing import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
# Never by a bare name: the package index does not have this one, and `subpop` there is somebody else's.
WHEEL = f"./{DISTRIBUTION.replace('-', '_')}-{library_version(DISTRIBUTION)}-py3-none-any.whl[plots]"
INSTALL = f"in a checkout: uv sync --extra plots; from a wheel, by its path: pip install '{WHEEL}'"
DPI = 300
_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "text.parse_math": False,  # a description may have a dollar sign
    "svg.hashsalt": "subpop",
    "svg.fonttype": "path",
    "axes.unicode_minus": True,
}


def available() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def figure(plot: Plot) -> Figure:
    """The plot as a matplotlib figure, which no `pyplot` knows of. RequestError where matplotlib is missing."""
    with _settings():
        from engine.plots.drawing import draw

        return draw(_cleaned(plot))


def write(plot: Plot, path: Path) -> None:
    """Write it as the path's suffix says, whole or not at all.

    RequestError for another suffix, a path that cannot be written, or where matplotlib is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RequestError("a plot is written as .png or .svg", where=str(path), next="end its name in one of them")
    made = png(plot) if suffix == ".png" else svg(plot)
    write_file(path, lambda out: _write(out, made))


def write_all(plots: Mapping[str, Plot], folder: Path, head: str = "") -> list[Path]:
    """Each plot by its name, behind `head`, in each format; the files. Errors as of `write`."""
    paths = [folder / f"{head}{name}{suffix}" for name in plots for suffix in SUFFIXES]
    for path, plot in zip(paths, (plot for plot in plots.values() for _ in SUFFIXES), strict=True):
        write(plot, path)
    return paths


def png(plot: Plot) -> bytes:
    """The file's bytes. RequestError where matplotlib is missing."""
    out = io.BytesIO()
    with _settings():
        metadata = {"Software": None, "Title": _printable(plot.title), "Description": _printable(alt(plot, notes=True))}
        figure(plot).savefig(out, format="png", dpi=DPI, metadata=metadata)
    return out.getvalue()


def svg(plot: Plot) -> bytes:
    """The file's bytes, with a title and a description for those who cannot see it. RequestError where matplotlib is missing."""
    out = io.BytesIO()
    with _settings():
        figure(plot).savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    metadata = (
        f'<title id="title">{escape(_printable(plot.title))}</title>\n <desc id="desc">{escape(_printable(alt(plot, notes=True)))}</desc>\n'
    )
    made = re.sub(r"(<svg\b[^>]*?)>", rf'\1 role="img" aria-labelledby="title desc">{chr(10)} \0', out.getvalue().decode(), count=1)
    return made.replace("\0", metadata, 1).encode()


def _cleaned(plot: Plot) -> Plot:
    """Without what XML cannot hold, which matplotlib would pass on."""
    series = tuple(replace(each, name=_printable(each.name), of=_printable(each.of)) for each in plot.series)
    ticks, notes = (tuple(map(_printable, texts)) for texts in (plot.ticks, plot.notes))
    return replace(plot, title=_printable(plot.title), series=series, ticks=ticks, notes=notes)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _write(out: object, made: bytes) -> None:
    out.write(made)  # type: ignore[attr-defined]


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's defaults and ours, and the person's own again behind it."""
    try:
        from matplotlib import style
    except ImportError as error:
        raise RequestError("drawing plots needs matplotlib, which is not installed", where="plots", next=f"install it {INSTALL}") from error
    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as a box
        yield
