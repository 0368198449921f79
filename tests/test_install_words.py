"""How to install is never said by a name: on the package index `subpop` is a stranger's package, and ours is not there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from engine.plots import files as plots_files

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("*.md", "*.py", "*.toml", "*.tcss", "*.yml", "*.yaml", "*.txt", "*.cfg")
BY_NAME = re.compile(r"(?:\binstall|\badd|\buvx|\bpipx run|\btool run|--with)\s+(?:-\S+\s+)*['\"`]*subpop(?![\w.+/-]*\.whl)(?:\b|\[)")
EXTRA = re.compile(r"\bsubpop(?:[-_]audit)?\[")


def said_by_name(text: str) -> list[str]:
    return [line for line in text.splitlines() if BY_NAME.search(line) or EXTRA.search(line)]


def texts() -> list[Path]:
    folders = (ROOT / name for name in ("engine", "tui", "presets", "tests"))
    return [*ROOT.glob("*.*"), *(file for folder in folders for pattern in TEXTS for file in folder.rglob(pattern))]


def test_no_text_installs_the_bare_name() -> None:
    found = {file: said_by_name(file.read_text(encoding="utf-8", errors="replace")) for file in texts() if file.is_file()}
    assert ROOT / "README.md" in found
    assert len(found) > 200
    assert not {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize("name", ["pop", "pop-audit"])
@pytest.mark.parametrize("command", ["pip install 'NAME{}'", "pip install -U NAME", 'uv pip install "NAME{}"', "uvx NAME", "uv add NAME"])
def test_the_check_sees_what_it_looks_for(command: str, name: str) -> None:
    line = command.replace("NAME", "sub" + name).replace("{}", "[plots]")
    assert said_by_name(line) == [line]


def test_what_is_said_instead() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (
        f"in a checkout: uv sync --extra plots; from a wheel, by its path: pip install './subpop_audit-{version}-py3-none-any.whl[plots]'"
    ) == plots_files.INSTALL
    assert not said_by_name(plots_files.INSTALL)
    readme = (ROOT / "README.md").read_text()
    assert "uv sync --extra plots" in readme
    assert f"subpop_audit-{version}-py3-none-any.whl[plots]" in readme
