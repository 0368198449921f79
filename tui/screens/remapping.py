"""keys.toml held against the keys there are: names that nothing has and keys that two things would share are refused, in words.

For someone who remaps: it opens every screen and dialog to read their bindings, which nobody else waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _character_to_key
from textual.screen import ModalScreen, Screen

from engine.errors import nearest
from tui.dialogs import (
    ask_path,
    bins,
    choose,
    choose_run,
    confirm,
    everything,
    export,
    fetch,
    help,
    open_file,
    reader,
    reading,
    row,
    starting,
)
from tui.screens import columns, compare, desk, form, palette, plan, plots, results, runs, subpopulations
from tui.widgets import choice, field_row, line, log_view, members_pane
from tui.widgets.pictures import grid
from tui.widgets.plot import view
from tui.widgets.table import live, pane
from tui.widgets.table.live import LiveTable

# every module whose screens, dialogs or widgets have keys; a test looks for others
MODULES: tuple[ModuleType, ...] = (
    ask_path,
    bins,
    choose,
    choose_run,
    confirm,
    everything,
    export,
    fetch,
    help,
    open_file,
    reader,
    reading,
    row,
    starting,
    columns,
    compare,
    desk,
    form,
    palette,
    plan,
    plots,
    results,
    runs,
    subpopulations,
    choice,
    field_row,
    line,
    log_view,
    members_pane,
    grid,
    view,
    live,
    pane,
)

Keys = dict[str, frozenset[str]]  # binding id -> its keys


def checked(keymap: Mapping[str, str], app: type[App[Any]]) -> tuple[dict[str, str], list[str]]:
    """The entries of a keymap that may be used, and why the others may not, a line each."""
    companies = list(_companies(app))
    known = {name for company in companies for name in company}
    wrong = [_unknown(name, known) for name in keymap if name not in known]
    good = {name: keys for name, keys in keymap.items() if name in known}
    while clash := _clash(good, companies):
        name, other, key = clash
        del good[name]
        wrong.append(f'"{name}" = "{keymap[name]}": {key} is the key of "{other}" there')
    return good, wrong


def _unknown(name: str, known: set[str]) -> str:
    near = nearest(name, known)
    return f'"{name}" is the name of no key; {f"did you mean {near!r}?" if near else "? shows the names"}'


def _clash(keymap: Mapping[str, str], companies: list[Keys]) -> tuple[str, str, str] | None:
    """(a remapped name, what else has one of its new keys in the same place, that key), or None. Of two remapped ones the later."""
    for name in reversed(list(keymap)):
        for company in companies:
            if name not in company:
                continue
            own = _split(keymap[name])
            for other, default in company.items():
                others = _split(keymap[other]) if other in keymap else default
                if other != name and (shared := (own & others) - (company[name] & default)):  # what they share as they come is meant
                    return name, other, min(shared)
    return None


def _companies(app: type[App[Any]]) -> Iterator[Keys]:
    """What may be active together: each class's own bindings; those of a screen with the app's and a table's."""
    everywhere = {**_bindings(app), **_bindings(LiveTable)}
    yield everywhere
    for cls in _classes():
        own = _bindings(cls)
        yield {**everywhere, **own} if issubclass(cls, Screen) and not issubclass(cls, ModalScreen) else own


def _classes() -> list[type[DOMNode]]:
    """Every screen, dialog and widget of ours."""
    classes = {cls for module in MODULES for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, DOMNode)}
    return sorted((cls for cls in classes if cls.__module__.startswith("tui.")), key=lambda cls: (cls.__module__, cls.__name__))


def _bindings(cls: type[DOMNode]) -> Keys:
    """Binding id -> keys of a class, with what it inherits."""
    keys: dict[str, set[str]] = {}
    for base in cls.__mro__:
        for binding in Binding.make_bindings(base.__dict__.get("BINDINGS", ())):
            if binding.id:
                keys.setdefault(binding.id, set()).add(binding.key)
    return {name: frozenset(names) for name, names in keys.items()}


def _split(keys: str) -> frozenset[str]:
    """Keys as a binding has them."""
    parts = (part.strip() for part in keys.split(","))
    return frozenset(_character_to_key(part) if len(part) == 1 else part for part in parts if part)
