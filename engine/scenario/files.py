"""Files of scenarios: a preset by name or a file by path, as text."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.errors import Mistake, RequestError, ScenarioError, UnknownName
from engine.scenario import presets as catalog

LARGEST_BYTES = 1_000_000  # a scenario is a page of text; what is larger is another file given by mistake
# What people give where a scenario is wanted: tables, by the ends of their names, and by how they begin.
TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".parquet", ".pq", ".jsonl", ".ndjson", ".jsonlines", ".json", ".xlsx", ".xls")
MAGIC = (b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # Parquet, gzip, Excel's two


def text_of(name_or_path: str | Path) -> tuple[str, Path, str]:
    """What to call it, its file and its text, of a preset or a scenario file."""
    name = str(name_or_path)
    known = catalog.presets()
    if name in known:
        return name, known[name], _read(known[name], name)
    path = Path(name).expanduser()
    try:
        exists = path.exists()
    except (OSError, ValueError):  # too long, or a character no file name may have
        exists = False
    if not exists and not name.lower().removesuffix(".gz").endswith((".toml", *TABLES)) and "/" not in name:
        raise UnknownName("preset", name[:80], known, next="(a scenario of your own is given as a path that ends in .toml)")
    return name, path, _read(path, name)


def _read(path: Path, typed: str) -> str:
    """typed: the path as it was typed: "./runs" is no command."""
    where = str(path)
    try:
        if path.is_dir():
            raise RequestError(
                "is a folder, not a scenario", where=where, next=f"give the .toml file inside it; of a folder of pictures {_made_of(typed)}"
            )
        if path.exists() and not path.is_file():
            raise RequestError("is not a regular file", where=where, next="give a .toml file")
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if path.name.lower().removesuffix(".gz").endswith(TABLES) or data.startswith(MAGIC):
            raise RequestError("is a table, not a scenario", where=where, next=_made_of(typed))
    except FileNotFoundError:
        raise RequestError("there is no such file", where=where, next="check the path, or see `subpop presets` for what ships") from None
    except OSError as error:
        raise RequestError(f"cannot be read ({error.strerror or error})", where=where, next="check its permissions") from None
    except ValueError:
        raise RequestError("is not a file name", where=repr(where), next="check the path") from None
    if len(data) > LARGEST_BYTES:
        what = f"is larger than {LARGEST_BYTES:,} bytes, so it is no scenario"
        raise RequestError(what, where=where, next=f"give the .toml file; of a table {_made_of(typed)}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScenarioError([Mistake("", "is not UTF-8 text; save the file as UTF-8", line)], where=where) from None


def _made_of(typed: str) -> str:
    """How a scenario is made of a file of one's own."""
    name = shlex.quote(typed)
    return f"`subpop init {name} > mine.toml` makes one, and `subpop {name}` opens the app with it"
