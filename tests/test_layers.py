"""What the contracts in pyproject.toml (`lint-imports`) cannot say: what must load quickly, and modules named at run time.

import-linter sees every import alike. Whether it runs when a module is loaded, or only inside a function, is what a first paint feels.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from engine.scenario.kinds import unions

ROOT = Path(__file__).resolve().parents[1]
TORCH = ("torch", "torchvision", "torchaudio", "transformers", "safetensors")
HEAVY = (*TORCH, "numpy", "pandas", "pydantic", "sklearn", "scipy", "pyarrow")
# What the app's first paint, `subpop --help` and `subpop runs` load.
LIGHT = (
    "tui.main", "tui.app", "engine.cli.main", "engine.runs.start", "engine.runs.again", "engine.store", "engine.store.bundle",
    "engine.tables.world", "engine.tables.columns", "engine.tables.matching", "engine.export.export", "engine.paper", "engine.rows",
    "engine.errors", "engine.seeds", "engine.rates", "engine.scenario.presets", "engine.scenario.weights", "engine.scenario.toml",
    "engine.scenario.files", "engine.drafting.looks", "engine.drafting.sniffing", "engine.drafting.completing", "engine.cli.drafts",
    "engine.datasets", "engine.system.devices", "engine.system.writing",
)  # fmt: skip

OPENS = (
    "engine.scenario.modules"  # the one place that imports by a name: a kind's, of the files of one package (tests/scenario/test_kinds.py)
)
# What it opens for the app, which asks whether a preset's data are here.
LIGHT += tuple(f"engine.datasets.{kind}" for kind in unions()[("dataset",)])

When = Literal["eager", "lazy", "typing"]  # at import, inside a function, for the type checker alone


@dataclass(frozen=True)
class Import:
    """One import statement: whose, of what (as far as it names a module), when it runs."""

    importer: str
    target: str
    when: When
    place: str


def modules(root: Path) -> dict[str, Path]:
    """Module name -> file, for all that is in engine/ and tui/."""
    found = {}
    for path in sorted([*(root / "engine").rglob("*.py"), *(root / "tui").rglob("*.py")]):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import of every module; a name imported from a package counts as its submodule where it is one."""
    known = modules(root)
    found = []
    for importer, path in known.items():
        package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
        for node, when in _statements(path.read_text(encoding="utf-8")):
            place = f"{path.relative_to(root)}:{node.lineno}"
            found += [Import(importer, target, when, place) for target in _targets(node, package, known)]
    return found


@cache
def _statements(source: str) -> tuple[tuple[ast.Import | ast.ImportFrom | ast.Call, When], ...]:
    return tuple(_walk(ast.parse(source).body, "eager"))


def _walk(nodes: Iterable[ast.AST], when: When) -> Iterator[tuple[ast.Import | ast.ImportFrom | ast.Call, When]]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            yield node, when
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _walk(node.body, "typing")
            yield from _walk(node.orelse, when)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(ast.iter_child_nodes(node), "lazy" if when == "eager" else when)
        else:
            yield from _walk(ast.iter_child_nodes(node), when)


def _targets(node: ast.Import | ast.ImportFrom | ast.Call, package: str, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Call):  # import_module("torch") and its like: a name worked out at run time is refused as such
        if ast.unparse(node.func).rpartition(".")[2] not in ("import_module", "__import__", "run_module"):
            return []
        name = node.args[0] if node.args else None
        return [name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else "?"]
    base = node.module or ""
    if node.level:
        parents = package.split(".")
        base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]


def ours(target: str) -> bool:
    return target.split(".")[0] in ("engine", "tui")


def closure(found: Sequence[Import], known: Iterable[str], start: str) -> dict[str, str]:
    """All that importing `start` imports -> the module that does; ours and others'. Importing a module imports its packages."""
    known = set(known)
    eager: dict[str, list[str]] = {}
    for each in found:
        if each.when == "eager":
            eager.setdefault(each.importer, []).append(each.target)
    why: dict[str, str] = {start: ""}
    left = [start]
    while left:
        module = left.pop()
        parents = [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)] if module in known else []
        for target in [*eager.get(module, []), *parents]:
            if target not in why:
                why[target] = module
                left.append(target)
    return why


def trail(why: dict[str, str], target: str) -> str:
    """ "a imports b imports c", for a message."""
    steps = [target]
    while why[steps[-1]]:
        steps.append(why[steps[-1]])
    return " imports ".join(reversed(steps))


def violations(root: Path) -> list[str]:
    """What loads more than it may in the sources under `root`, in words; empty where nothing does."""
    known, found = modules(root), imports(root)
    told = [
        f"{each.place}: {each.importer} imports a module by a name worked out at run time; let {OPENS} open it"
        for each in found
        if each.target == "?" and each.importer != OPENS
    ]
    for light in LIGHT:
        why = closure(found, known, light)
        told += [f"{trail(why, target)}: {light} must stay light" for target in why if target.split(".")[0] in HEAVY]
    # What the app loads later, inside its functions, may be slow to import but is not torch either
    for target in sorted(
        {each.target for each in found if each.importer.split(".")[0] == "tui" and each.when != "typing" and ours(each.target)}
    ):
        why = closure(found, known, target)
        told += [f"tui imports {trail(why, heavy)}: the app never loads torch" for heavy in why if heavy.split(".")[0] in TORCH]
    return told


# ---- the tree as it is ----------------------------------------------------------------------------------------------


def test_what_must_be_light_imports_nothing_heavy():
    told = violations(ROOT)
    assert not told, "\n".join(told)


def test_what_is_called_light_is_there():
    assert set(LIGHT) <= modules(ROOT).keys()


def test_what_must_be_light_is_light_when_it_runs():
    """The same by importing, which also sees what third parties load."""
    light = [name for name in LIGHT if name != "tui.app"]
    script = (
        f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\n"
        f"assert not {{*{HEAVY}, 'textual'}} & set(sys.modules), {{*{HEAVY}, 'textual'}} & set(sys.modules)\n"
        f"import tui.app\nassert not {{*{HEAVY}}} & set(sys.modules), {{*{HEAVY}}} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# ---- that the checks see ---------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, without their caches, to plant violations in."""
    for package in ("engine", "tui"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(copy: Path, file: str, planted: str) -> None:
    path = copy / file
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{planted}\n", encoding="utf-8")


HEAVIER = [
    ("engine/errors.py", "import numpy.linalg", "engine.errors imports numpy.linalg: engine.errors must stay light"),
    ("engine/system/filesystem.py", "import pandas", "engine.store.opening imports engine.system.filesystem imports pandas"),
    ("engine/scenario/presets.py", "import pandas", "engine.scenario.presets imports pandas: engine.scenario.presets must stay light"),
    (
        "engine/scenario/__init__.py",
        "from .sections import Scenario",
        "engine.scenario.sections imports pydantic: engine.scenario.presets must",
    ),
    (
        "tui/services/planted.py",
        "def late():\n    from engine.pipeline import order",
        "tui imports engine.pipeline.order imports engine.pipeline.",
    ),
    ("engine/attacks/draw.py", "import importlib\nimportlib.import_module(name)", "by a name worked out at run time"),
]


@pytest.mark.parametrize(("file", "planted", "says"), HEAVIER, ids=[f"{file}: {says}" for file, _, says in HEAVIER])
def test_what_loads_more_is_seen(copy: Path, file: str, planted: str, says: str):
    plant(copy, file, planted)
    told = violations(copy)
    assert any(says in message for message in told), told


BROKEN = [
    ("engine/rows.py", "def late():\n    import engine.runs.worker", "engine.rows is not allowed to import engine.runs"),
    ("engine/attacks/draw.py", "from engine import subpopulations", "engine.attacks is not allowed to import engine.subpopulations"),
    (
        "engine/attacks/draw.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..datasets import adult",
        "engine.attacks is not allowed to import engine.datasets",
    ),
    ("engine/cli/main.py", "def late():\n    import tui.app", "engine is not allowed to import tui"),
    ("engine/cli/text.py", "from engine.cli import runs", "No cycles are allowed in engine.cli"),
    ("engine/novelty.py", "", "novelty"),
    ("tui/widgets/tabs.py", "def late():\n    from tui.dialogs.reader import Reader", "tui.widgets is not allowed to import tui.dialogs"),
    ("engine/attacks/draw.py", "import textual.app", "engine is not allowed to import textual"),
    ("tui/session.py", "def late():\n    import torch.cuda", "tui is not allowed to import torch"),
    ("engine/scenario/checks.py", "def late():\n    from torch import nn", "engine.scenario is not allowed to import torch"),
    ("engine/runs/work.py", "import sqlite3", "engine.runs is not allowed to import sqlite3"),
]


@pytest.mark.parametrize(("file", "planted", "says"), BROKEN, ids=[f"{file}: {says}" for file, _, says in BROKEN])
def test_a_broken_contract_is_seen(copy: Path, file: str, planted: str, says: str):
    plant(copy, file, planted)
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    assert says in done.stdout, done.stdout[-3000:]
