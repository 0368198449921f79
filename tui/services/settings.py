"""What the app remembers between sessions: theme, place, how each table is looked at, the form. One small JSON file."""

from __future__ import annotations

import json
import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from tui.widgets.table.model import View

SETTINGS, KEYS = "app.json", "keys.toml"


def config_dir() -> Path:
    """$SUBPOP_CONFIG, else the user config directory."""
    if configured := os.environ.get("SUBPOP_CONFIG"):
        return Path(configured).expanduser()
    from platformdirs import user_config_path

    return user_config_path("subpop", appauthor=False)


class Settings:
    """A dictionary kept in a file. Unreadable or foreign contents are ignored: forgetting is better than failing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / SETTINGS
        self.values: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(stored, dict):
                self.values = stored
        self._saved = json.dumps(self.values, sort_keys=True)

    def get(self, name: str, default: Any = None) -> Any:
        """A remembered value, or the default where there is none or it is of another kind than the default."""
        value = self.values.get(name, default)
        return value if default is None or isinstance(value, type(default)) else default

    def put(self, name: str, value: Any) -> None:
        self.values[name] = value

    def view(self, table: str, default: View | None = None) -> View:
        """How a table was last looked at."""
        known = self.get("views", {}).get(table)
        return View.from_json(known) if known is not None else default or View()

    def put_view(self, table: str, view: View) -> None:
        self.put("views", {**self.get("views", {}), table: view.to_json()})

    def save(self) -> None:
        """Write where anything changed, all or nothing; a config directory that cannot be written is left alone."""
        text = json.dumps(self.values, sort_keys=True)
        if text == self._saved:
            return
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(self.values, indent=1, sort_keys=True), encoding="utf-8")
            part.replace(self.path)
            self._saved = text

    def keymap(self) -> tuple[dict[str, str], str]:
        """The `[keys]` of keys.toml (binding id -> keys, as `"run.pause" = "p,ctrl+p"`), and what is wrong with the file."""
        path = self.folder / KEYS
        try:
            bindings = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError) as error:
            return {}, f"{path}: {error}; the keys are as they come"
        if not isinstance(bindings, dict):
            return {}, f"{path}: `keys` should be a table; the keys are as they come"
        good = {str(name): keys for name, keys in bindings.items() if isinstance(keys, str) and keys}
        bad = [str(name) for name in bindings if name not in good]
        return good, f'{path}: {", ".join(bad)} should be text such as "ctrl+s"' if bad else ""
