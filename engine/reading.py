"""Reads a scenario: bytes to text, text to a tree of keys, overrides and [smoke] laid over it, every mistake gathered."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from engine import catalog, checks, mistakes, naming, toml_text, weights_place
from engine.errors import Mistake, RequestError, ScenarioError, UnknownName
from engine.mistakes import Found
from engine.toml_text import Path as Keys

if TYPE_CHECKING:
    from engine.scenario import Scenario

LARGEST_BYTES = 1_000_000  # a scenario is a page of text; what is larger is another file given by mistake
DEEPEST = 30  # levels of nesting
TABLES = (".csv", ".tsv", ".parquet", ".pq")  # endings of what people give where a scenario is wanted
PLACES = ("path", "annotations_file")  # keys of [dataset] that name files
MODELS = (("model",), ("adversary", "model"))  # whose `weights` may be a file
NOT_IN_SMOKE = ("smoke", "smoked")

S = TypeVar("S", bound="Scenario")


# ---- files ----------------------------------------------------------------------------------------------------------


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


# ---- text to a validated scenario -----------------------------------------------------------------------------------


def parse(
    model: type[S],
    text: str,
    *,
    where: str,
    overrides: Sequence[str],
    smoke: bool,
    folder: Path | None,
    say: Callable[[str], None] | None = None,
) -> S:
    """See `engine.scenario.parse`."""
    text = text.removeprefix("\ufeff")
    raw = _toml(text, where)
    lines = toml_text.locate(text)
    _anchor(raw, folder)
    schema = schema_of(model)
    found: Found = {}
    bad_overrides: list[Mistake] = []
    late: list[tuple[Keys, object]] = []
    overridden: list[Keys] = []
    for override in overrides:
        try:
            path, value = _override(override, schema)
        except ValueError as error:
            bad_overrides.append(Mistake("--set " + mistakes.show(override), str(error)))
            continue
        inner = path[1:] if path[0] == "smoke" else path
        if value is None and not mistakes.is_key(inner, schema):
            bad_overrides.append(Mistake(mistakes.name_key(path)[0], f"{mistakes.unknown(inner, schema)} (given on the command line)"))
            continue
        overridden.append(path)
        if folder and isinstance(value, str) and "\0" not in value:  # on a command line a path is relative to where one stands
            names_file = (path[-2:-1] == ("dataset",) and path[-1] in PLACES) or (
                path[-2:] == ("model", "weights") and weights_place.is_file(value, Path())
            )
            value = str(Path(value).expanduser().absolute()) if names_file else value
        if path[0] == "smoke":
            _put(raw, path, value)
        else:
            late.append((path, value))

    over = raw.pop("smoke", {})
    if not isinstance(over, dict):
        found[("smoke",)] = f"is {mistakes.show(over)}; expected a section of keys to override"
        over = {}
    for name in NOT_IN_SMOKE:
        if name in over:
            found[("smoke", name)] = "cannot be set by [smoke]; take it out"
            over = {k: v for k, v in over.items() if k != name}
    small = _merge(raw, over)
    for path, value in late:  # only on what is asked for: `--smoke --set dataset.rows=80` need not make sense at full size
        _put(small if smoke and over else raw, path, value)

    plain, wrong = validate(model, raw, schema)
    found |= wrong
    small_scenario, small_wrong = validate(model, small, schema)
    for path, what in small_wrong.items():
        inside = _has(over, path) and not any(path[: len(o)] == o for o in overridden)
        if smoke and any(path[: len(o)] == o for o in overridden):
            found[path] = what
        elif inside or path not in wrong:
            found[("smoke", *path) if inside else ("smoke",)] = what if inside else f"leads to: {mistakes.name_key(path)[0]} {what}"
    if smoke and not over and not raw.get("smoked") and ("smoke",) not in found:
        found[("smoke",)] = "the scenario has no [smoke] section, so --smoke has nothing to apply; add one or leave --smoke out"
    told = mistakes.tell(found, lines, overridden) + bad_overrides
    if told:
        raise ScenarioError(told, where=where)
    if smoke and over:
        return _called(small_scenario.model_copy(update={"smoked": True}), say)  # type: ignore[union-attr]
    if over and late and validate(model, _merge(raw, over), schema)[1]:
        over = {}  # it made sense until something was set: a run's own scenario, which keeps it, is to be read again
    return _called(plain.model_copy(update={"smoke": over}), say)  # type: ignore[union-attr]


def _called(scenario: S, say: Callable[[str], None] | None) -> S:
    """The scenario under a title and a claim of its own. Every way in passes here, so none can run under another system's name."""
    changes, why = naming.corrected(scenario.model_dump())
    if not changes:
        return scenario
    if say is not None:
        say(why)
    return scenario.model_copy(update=changes)


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model's keys as a JSON schema: types, bounds and choices."""
    return model.model_json_schema()


def validate(model: type[S], raw: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[S | None, Found]:
    """The scenario of a raw tree, or what is wrong with it: what each key takes, and what must hold between keys."""
    raw = _defaults(raw)
    found = mistakes.strange_text(raw)
    scenario: S | None = None
    try:
        scenario = model.model_validate(_tuples(raw), strict=True)
        view: Scenario = scenario
    except ValidationError as error:
        found = mistakes.explain(cast("Iterable[Mapping[str, Any]]", error.errors(include_url=False)), raw, schema) | found
        view = cast("Scenario", _view(model, raw, found))
    for keys, what in checks.check(view):
        if not any(_touches(key, bad) for key in keys for bad in found):
            found[keys[0]] = what
    return scenario, found


def _defaults(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree with the defaults that depend on another key: texts have no input that clusters could be formed in."""
    formed = _section_at(raw, ("subpopulations",))
    if _section_at(raw, ("dataset",)).get("kind") not in checks.TEXTS or formed.get("kind") != "cluster_match" or "layer" in formed:
        return raw
    return {**raw, "subpopulations": {**formed, "layer": "hidden"}}


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        tree = tomllib.loads(text)
        if _too_deep(tree):
            raise RecursionError
        return tree
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        what, line = (said[1], int(said[2]) if said[2] else text.count("\n") + 1) if said else (str(error), None)
        raise ScenarioError([Mistake("", f"is not TOML: {_lower(what)}", line)], where=where) from None
    except RecursionError:
        raise ScenarioError([Mistake("", "is nested too deeply to be a scenario")], where=where) from None
    except ValueError as error:  # tomllib lets through int()'s own refusal of thousands of digits, and impossible dates
        what = "a number of too many digits" if "digits" in str(error) else f"a value that cannot be read: {_lower(str(error))}"
        raise ScenarioError([Mistake("", f"has {what}")], where=where) from None


def _shallow(text: str) -> dict[str, Any]:
    tree = tomllib.loads(text)
    if _too_deep(tree):
        raise ValueError
    return tree


def _too_deep(tree: dict[str, Any]) -> bool:
    """More levels than any scenario has: dotted keys alone can nest by the thousand, and what follows walks the tree by recursion."""
    level: list[Any] = [tree]
    for _ in range(DEEPEST):
        level = [v for node in level for v in (node.values() if isinstance(node, dict) else node) if isinstance(v, dict | list)]
    return bool(level)


def _lower(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in text).split())
    return text[:1].lower() + text[1:]


def _override(text: str, schema: Mapping[str, Any]) -> tuple[Keys, object]:
    """`key=value` of one `--set`. The value is TOML; what is no TOML is taken as text; nothing at all (None) takes the key out."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("expected KEY=VALUE, as --set model.epochs=5")
    try:
        node: Any = _shallow(f"{name.strip()} = 0")
        path: Keys = ()
        while isinstance(node, dict):
            ((part, node),) = node.items()
            path = (*path, part)
    except (ValueError, RecursionError):
        raise ValueError("is not a dotted key; expected KEY=VALUE, as --set model.epochs=5") from None
    value = value.strip()
    if not value:
        return path, None
    try:
        read = _shallow(f"v = {value}")
        parsed = read["v"] if list(read) == ["v"] else value
    except (ValueError, RecursionError):
        parsed = value
    inner = path[1:] if path[0] == "smoke" else path
    return path, value if mistakes.expects_text(inner, schema) and not isinstance(parsed, str) else parsed


# ---- trees ----------------------------------------------------------------------------------------------------------


def _put(tree: dict[str, Any], path: Keys, value: object) -> None:
    for part in path[:-1]:
        inner = tree.get(cast("str", part))
        if not isinstance(inner, dict):
            inner = tree[cast("str", part)] = {}
        tree = inner
    if value is None:
        tree.pop(cast("str", path[-1]), None)
    else:
        tree[cast("str", path[-1])] = value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `over` laid over it, section by section."""
    merged = {k: _merge(v, {}) if isinstance(v, dict) else v for k, v in base.items()}
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merge(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return merged


def _has(tree: object, path: Keys) -> bool:
    """Whether the tree has that place; a list in it may be shorter than the list that lies over it."""
    for part in path:
        if isinstance(tree, dict):
            there = part in tree
        else:
            there = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
        if not there:
            return False
        tree = tree[part]  # type: ignore[index]
    return True


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _touches(key: Keys, bad: Keys) -> bool:
    short = min(len(key), len(bad))
    return key[:short] == bad[:short]


def _anchor(raw: dict[str, Any], folder: Path | None) -> None:
    """Makes relative files of data and weights absolute: the worker that reads them may stand in another folder."""
    if folder is None:
        return
    for tree in (raw, raw.get("smoke")):
        dataset = _section_at(tree, ("dataset",))
        for key in PLACES:
            if isinstance(path := dataset.get(key), str) and path and "\0" not in path:
                dataset[key] = str((folder / Path(path).expanduser()).absolute())
        for at in MODELS:
            section = _section_at(tree, at)
            if isinstance(path := section.get("weights"), str) and "\0" not in path and weights_place.is_file(path, folder):
                section["weights"] = str((folder / Path(path).expanduser()).absolute())


def _section_at(tree: object, at: Keys) -> dict[str, Any]:
    for part in at:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _view(model: type[BaseModel], raw: object, found: Found, at: Keys = ()) -> SimpleNamespace:
    """What can be checked of a scenario with mistakes in it: its good keys, and defaults (None where there is none) for the rest."""
    tree = raw if isinstance(raw, dict) else {}
    view = SimpleNamespace()
    for name, field in model.model_fields.items():
        path = (*at, name)
        section = next((t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_section(t)), None)
        if section is not None and (field.annotation is section or isinstance(tree.get(name), dict)):
            setattr(view, name, _view(section, tree.get(name), found, path))
        elif name in tree and not any(_touches(path, bad) for bad in found):
            setattr(view, name, tree[name])
        else:
            setattr(view, name, None if field.is_required() else field.default)
    return view


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
