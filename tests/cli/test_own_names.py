"""A project with an engine.py and a tui/ of its own, in the working directory and on PYTHONPATH, is never imported in our place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from engine.scenario.identity import dump
from engine.scenario.parse import load
from engine.system import children
from tests.tui.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
SUBPOP = str(Path(sys.executable).with_name("subpop"))
WAYS = [[SUBPOP], [sys.executable, "-m", "subpop_audit"]]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A person's project, both of whose names are ours; importing either would be seen."""
    folder = tmp_path / "project"
    (folder / "tui").mkdir(parents=True)
    for file in (folder / "engine.py", folder / "tui" / "__init__.py"):
        file.write_text("raise SystemError('the stranger was imported')\n")
    return folder


def environment(project: Path) -> dict[str, str]:
    places = {"SUBPOP_STORE": str(project / "runs.db"), "SUBPOP_CONFIG": str(project / "config")}
    return {**os.environ, **places, "PYTHONPATH": str(project)}


@pytest.mark.parametrize("way", WAYS, ids=["subpop", "python -m"])
def test_the_command_is_ours(way: list[str], project: Path) -> None:
    done = subprocess.run([*way, "--version"], cwd=project, env=environment(project), capture_output=True, text=True, timeout=60)
    assert done.stdout == f"subpop {PROJECT['project']['version']}\n", done.stderr


def test_without_ours_first_it_would_be_the_strangers(project: Path) -> None:
    """That the project above is one that breaks things."""
    code = "import engine.errors"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=environment(project), capture_output=True, text=True, timeout=60)
    assert "the stranger was imported" in done.stderr


@pytest.mark.parametrize("layout", ["wheel", "editable", "checkout"])
def test_its_own_packages_are_found_in_every_layout(layout: str, project: Path, tmp_path: Path) -> None:
    """A wheel has the way in at the top alone; an editable install a copy of it, and the packages elsewhere on the path."""
    site, checkout = tmp_path / "site", tmp_path / "checkout"
    ours = site if layout == "wheel" else checkout
    (ours / "engine" / "scenario").mkdir(parents=True)
    (ours / "engine" / "scenario" / "sections.py").touch()
    entry = (checkout / "engine" if layout == "checkout" else site) / "subpop_audit.py"
    entry.parent.mkdir(exist_ok=True)
    entry.write_bytes((ROOT / "engine" / "subpop_audit.py").read_bytes())
    path = [str(project), str(entry.parent), str(checkout)]
    code = f"import sys; sys.path[:0] = {path}; import subpop_audit; print(subpop_audit.root())"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(ours), done.stderr


@pytest.mark.parametrize("module", ["runs.worker", "runs.rebuild", "precheck.apart", "preview.process", "drafting.process"])
def test_every_process_of_ours_is_ours(module: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(project))
    ours = children.command(f"engine.{module}", *(["--help"] if module.startswith("runs") else []))
    question = json.dumps({"toml": dump(load("quickstart")), "data": str(project)}) if module == "precheck.apart" else ""
    done = subprocess.run(ours, cwd=project, input=question, env=children.environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_module_knows_how_ours_are_started() -> None:
    files = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "tui").rglob("*.py")]
    assert [file.name for file in files if "sys.executable" in file.read_text(encoding="utf-8")] == ["children.py"]


def test_the_app_is_ours(project: Path) -> None:
    with Terminal([SUBPOP], environment=environment(project), folder=project) as terminal:
        terminal.until("quickstart", 20)
        terminal.type("q")
        terminal.read(0.5)
        assert terminal.process.wait(10) == 0


def test_pictures_of_the_readme_are_in_the_wheel_beside_it() -> None:
    linked = re.findall(r"!\[[^\n]*?\]\((\S+\.svg)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    shared = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert linked
    assert shared == {file: f"share/doc/subpop-audit/{file}" for file in ("README.md", *linked)}
    assert all((ROOT / file).is_file() for file in shared)
