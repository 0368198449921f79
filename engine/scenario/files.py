"""Files of scenarios: a preset by name or a file by path, as text."""

from __future__ import annotations

from pathlib import Path

from engine.errors import Mistake, RequestError, ScenarioError, UnknownName
from engine.scenario import presets as catalog

LARGEST_BYTES = 1_000_000  # a scenario is a page of text; what is larger is another file given by mistake
TABLES = (".csv", ".tsv", ".parquet", ".pq")  # endings of what people give where a scenario is wanted


def text_of(name_or_path: str | Path) -> tuple[str, Path, str]:
    """What to call it, its file and its text, of a preset or a scenario file."""
    name = str(name_or_path)
    known = catalog.presets()
    if name in known:
        return name, known[name], _read(known[name])
    path = Path(name).expanduser()
    try:
        exists = path.exists()
    except (OSError, ValueError):  # too long, or a character no file name may have
        exists = False
    if not exists and not name.endswith(".toml") and "/" not in name:
        raise UnknownName("preset", name[:80], known, next="(a scenario of your own is given as a path that ends in .toml)")
    return name, path, _read(path)


def _read(path: Path) -> str:
    where = str(path)
    try:
        if path.is_dir():
            raise RequestError("is a folder, not a scenario", where=where, next="give the .toml file inside it")
        if path.exists() and not path.is_file():
            raise RequestError("is not a regular file", where=where, next="give a .toml file")
        if path.suffix.lower() in TABLES and path.exists():
            raise RequestError(
                "is a table, not a scenario",
                where=where,
                next="name it in a scenario file, as its dataset.path, with dataset.label; `subpop show quickstart` prints a scenario",
            )
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise RequestError("there is no such file", where=where, next="check the path, or see `subpop presets` for what ships") from None
    except OSError as error:
        raise RequestError(f"cannot be read ({error.strerror or error})", where=where, next="check its permissions") from None
    except ValueError:
        raise RequestError("is not a file name", where=repr(where), next="check the path") from None
    if len(data) > LARGEST_BYTES:
        raise RequestError(f"is larger than {LARGEST_BYTES:,} bytes, so it is no scenario", where=where, next="give the .toml file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScenarioError([Mistake("", "is not UTF-8 text; save the file as UTF-8", line)], where=where) from None
