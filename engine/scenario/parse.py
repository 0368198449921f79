"""Reads a scenario: bytes to text, text to a tree of keys, overrides and [smoke] laid over it, every mistake gathered."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from engine.errors import Mistake, ScenarioError
from engine.rows import RunRow
from engine.scenario import checks, kinds, mistakes, naming, overlay
from engine.scenario import toml as toml_text
from engine.scenario import weights as weights_place
from engine.scenario.files import text_of
from engine.scenario.mistakes import Found
from engine.scenario.sections import ClusterMatchSection, DatasetKeys, Scenario
from engine.scenario.toml import Path as Keys

DEEPEST = 30  # levels of nesting
MODELS = (("model",), ("adversary", "model"))  # whose `weights` may be a file
NOT_IN_SMOKE = ("smoke", "smoked")

# ---- text to a validated scenario -----------------------------------------------------------------------------------


def parse(
    text: str,
    *,
    where: str = "scenario",
    overrides: Sequence[str] = (),
    smoke: bool = False,
    folder: Path | None = None,
    say: Callable[[str], None] | None = None,
    stored: bool = False,
) -> Scenario:
    """A scenario out of TOML text, `--set` overrides (`model.epochs=5`, applied last) and, if `smoke`, its own [smoke] section.

    An override of a `kind` takes out what the text gives for the old kind and the new one has no use for.
    folder: what a relative `dataset.path` in the text is relative to; None leaves it as it is.
    say: is told, in words, where keys went with their kind, and where `title` or `reproduces` are of another system than what is run and
    were put right (see `naming`).
    stored: the text is a run's. Older versions wrote the keys of every kind: those that a section's own does not have are dropped.
    Raises ScenarioError with every mistake. [smoke] is judged as strictly as the rest whether or not it is applied.
    """
    text = text.removeprefix("\ufeff")
    raw = _toml(text, where)
    raw = overlay.of_own_kinds(raw) if stored else raw
    lines = toml_text.locate(text)
    _anchor(raw, folder)
    keys = schema()
    messages: Found = {}
    bad_overrides: list[Mistake] = []
    late: list[tuple[Keys, object]] = []
    overridden: list[Keys] = []
    for override in overrides:
        try:
            path, value = _override(override, keys)
        except ValueError as error:
            bad_overrides.append(Mistake("--set " + mistakes.show(override), str(error)))
            continue
        inner = path[1:] if path[0] == "smoke" else path
        if value is None and not mistakes.is_key(inner, keys):
            bad_overrides.append(Mistake(mistakes.name_key(path)[0], f"{mistakes.unknown(inner, keys)} (given on the command line)"))
            continue
        overridden.append(path)
        if folder and isinstance(value, str) and "\0" not in value:  # on a command line a path is relative to where one stands
            names_file = (path[-2:-1] == ("dataset",) and path[-1] in _places()) or (
                path[-2:] == ("model", "weights") and weights_place.is_file(value, Path())
            )
            value = str(Path(value).expanduser().absolute()) if names_file else value
        if path[0] == "smoke":
            overlay.put(raw, path, value)
        else:
            late.append((path, value))

    over = raw.pop("smoke", {})
    if not isinstance(over, dict):
        messages[("smoke",)] = f"is {mistakes.show(over)}; expected a section of keys to override"
        over = {}
    for name in NOT_IN_SMOKE:
        if name in over:
            messages[("smoke", name)] = "cannot be set by [smoke]; take it out"
            over = {k: v for k, v in over.items() if k != name}
    small = overlay.laid_over(raw, over)
    if smoke and over:
        turned = overlay.changed(small, dict(late), [path[1:] for path in overridden if path[0] == "smoke"])
        small = kinds.without(small, turned)
    else:
        turned = overlay.changed(raw, dict(late))
        raw = kinds.without(raw, turned)
    for path, value in late:  # only on what is asked for: `--smoke --set dataset.rows=80` need not make sense at full size
        overlay.put(small if smoke and over else raw, path, value)

    plain, wrong = _validate(raw, keys)
    messages |= wrong
    small_scenario, small_wrong = _validate(small, keys)
    for path, what in small_wrong.items():
        inside = overlay.has(over, path) and not any(path[: len(o)] == o for o in overridden)
        if smoke and any(path[: len(o)] == o for o in overridden):
            messages[path] = what
        elif inside or path not in wrong:
            messages[("smoke", *path) if inside else ("smoke",)] = what if inside else f"leads to: {mistakes.name_key(path)[0]} {what}"
    if smoke and not over and not raw.get("smoked") and ("smoke",) not in messages:
        messages[("smoke",)] = "the scenario has no [smoke] section, so --smoke has nothing to apply; add one or leave --smoke out"
    problems = mistakes.tell(messages, lines, overridden) + bad_overrides
    if problems:
        raise ScenarioError(problems, where=where)
    gone = overlay.in_words(turned, small if smoke and over else raw)
    if smoke and over:
        return _called(small_scenario.model_copy(update={"smoked": True}), gone, say)  # type: ignore[union-attr]
    over = kinds.without(over, overlay.foreign(over, raw))
    if over and late and _validate(overlay.laid_over(raw, over), keys)[1]:
        over = {}  # it made sense until something was set: a run's own scenario, which keeps it, is to be read again
    return _called(plain.model_copy(update={"smoke": over}), gone, say)  # type: ignore[union-attr]


def _called(scenario: Scenario, gone: str, say: Callable[[str], None] | None) -> Scenario:
    """The scenario under a title and a claim of its own. Every way in passes here, so none can run under another system's name.

    gone: which keys went with their kind; "" where none did.
    """
    changes, why = naming.corrected(scenario.model_dump())
    for note in (gone, why):
        if note and say is not None:
            say(note)
    return scenario.model_copy(update=changes) if changes else scenario


def load(
    name_or_path: str | Path, overrides: Sequence[str] = (), smoke: bool = False, say: Callable[[str], None] | None = None
) -> Scenario:
    """A preset by name, or a scenario file by path. UnknownName where it is neither; ScenarioError for what is wrong in it."""
    name, path, text = text_of(name_or_path)
    return parse(text, where=name, overrides=overrides, smoke=smoke, folder=path.parent, say=say)


def scenario_of(run: RunRow) -> Scenario:
    """The scenario as it was run."""
    return stored(run.scenario_toml, where=f"the scenario of run {run.id}")


def stored(text: str, *, where: str = "scenario", say: Callable[[str], None] | None = None) -> Scenario:
    """The scenario of a run of any version, as it is kept with it. See `parse`."""
    return parse(text, where=where, say=say, stored=True)


@cache
def schema() -> dict[str, Any]:
    """The scenario's keys as a JSON schema: types, bounds and choices, for forms and for messages."""
    return Scenario.model_json_schema()


def _validate(raw: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Scenario | None, Found]:
    """The scenario of a raw tree, or what is wrong with it: what each key takes, and what must hold between keys."""
    raw = _defaults(kinds.with_kinds(raw))
    messages = mistakes.strange_text(raw)
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(_tuples(raw), strict=True)
        view: Scenario = scenario
    except ValidationError as error:
        messages = mistakes.explain(_errors(error, _tuples(raw)), raw, schema) | messages
        view = cast("Scenario", _view(Scenario, raw, messages))
    for keys, what in checks.check(view):
        if not any(_touches(key, bad) for key in keys for bad in messages):
            messages[keys[0]] = what
    return scenario, messages


def _errors(error: ValidationError, tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A validator's errors, and those of a section that it did not look at, because its kind is none."""
    for each in error.errors(include_url=False):
        yield cast("Mapping[str, Any]", each)
        if each["type"].startswith("union_tag"):
            yield from kinds.of_any_kind(each["loc"], _section_at(tree, each["loc"]))


def _defaults(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree with the defaults that depend on another key: texts have no input that clusters could be formed in."""
    formed = _section_at(raw, ("subpopulations",))
    data, matcher = (kinds.class_at((name,), raw) for name in ("dataset", "subpopulations"))
    if not (issubclass(data, DatasetKeys) and data.HOLDS == "texts" and issubclass(matcher, ClusterMatchSection)) or "layer" in formed:
        return raw
    return {**raw, "subpopulations": {**formed, "layer": "hidden"}}


@cache
def _places() -> frozenset[str]:
    """The keys of [dataset] that name files."""
    of_kinds = mistakes.kinds_of(schema()["properties"]["dataset"], schema()).values()
    nodes = [item for kind in of_kinds for item in kind["properties"].items()]
    return frozenset(key for key, node in nodes if any(each.get("format") == "path" for each in (node, *node.get("anyOf", ()))))


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        tree = tomllib.loads(text)
        if _too_deep(tree):
            raise RecursionError
        return tree
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        what, line = (match[1], int(match[2]) if match[2] else text.count("\n") + 1) if match else (str(error), None)
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
        for key in _places():
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


def _view(model: type[BaseModel], raw: Mapping[str, Any], messages: Found, at: Keys = ()) -> BaseModel:
    """What can be checked of a scenario with mistakes in it: its good keys, and defaults (None where there is none) for the rest.

    A section is of its own class where its kind is one, else of what all kinds of the section have.
    """
    tree, values = _section_at(raw, at), dict[str, Any]()
    for name, field in model.model_fields.items():
        path, plain = (*at, name), cast("Any", field.annotation)
        default = None if field.is_required() else field.default
        section = kinds.class_at(path, raw) if path in kinds.unions() else plain if _is_section(plain) else None
        if section is not None and (field.is_required() or default is not None or isinstance(tree.get(name), dict)):
            values[name] = _view(section, raw, messages, path)
        elif name in tree and not any(_touches(path, bad) for bad in messages):
            values[name] = tree[name]
        else:
            values[name] = default
    return model.model_construct(**values)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
