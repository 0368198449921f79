"""Imports only point down, read from the source: nothing is imported to find out.

LAYERS is DESIGN.md's table. A new file under engine/ must be given its place there; a file inside a package that is placed needs none.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Top first. A module may import from its own layer (without going round in circles) and from those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("tui",),
    (
        "engine.cli", "engine.cli_bar", "engine.cli_data", "engine.cli_plots",
        "engine.cli_results", "engine.cli_runs", "engine.cli_scenarios",
        "engine.cli_text", "engine.cli_watch", "engine.cli_again", "engine.notebook",
    ),
    ("engine.run", "engine.again"),
    (
        "engine.worker", "engine.carry_out", "engine.heart", "engine.progress", "engine.preview", "engine.bench", "engine.contact_sheet",
        "engine.showing", "engine.finding", "engine.reuse",
    ),
    ("engine.executor",),
    ("engine.pipeline",),
    ("engine.adversary",),
    ("engine.victims",),
    ("engine.features", "engine.pictures", "engine.texts", "engine.texts_tokens", "engine.texts_tokenizer"),
    (
        "engine.store", "engine.store_db", "engine.store_results", "engine.store_runs", "engine.store_tables", "engine.migrations",
        "engine.store_checks", "engine.store_run_row", "engine.store_bundle_checks",
        "engine.tables", "engine.tables_specs", "engine.tables_cells", "engine.tables_rows", "engine.tables_work",
        "engine.tables_optimization", "engine.tables_attributes", "engine.tables_columns", "engine.tables_distribution",
        "engine.tables_dose", "engine.tables_specs_analyses", "engine.tables_groups", "engine.tables_matchers", "engine.tables_predicted",
        "engine.export_together", "engine.export_all", "engine.report", "engine.verdict", "engine.store_bundle", "engine.export",
        "engine.export_formats", "engine.paper", "engine.plots", "engine.plots_data", "engine.plots_dose",
        "engine.plots_files", "engine.plots_drawing", "engine.export_plots",
        "engine.provenance", "engine.comparing", "engine.tables_compare", "engine.report_compared",
    ),
    (
        "engine.datasets", "engine.models", "engine.subpopulations", "engine.attacks", "engine.training", "engine.defenses",
        "engine.evaluation",
    ),
    (
        "engine", "engine.scenario", "engine.reading", "engine.checks", "engine.mistakes", "engine.toml_text", "engine.catalog",
        "engine.rows", "engine.errors", "engine.seeds", "engine.control", "engine.processes", "engine.filesystem",
        "engine.available", "engine.rates", "engine.weights_place",
    ),
)  # fmt: skip
CONCEPTS, PLAIN = LAYERS[-2], LAYERS[-1]  # concepts do not import each other; plain types import no torch
UPWARD = {("engine.cli", "tui"): "`subpop` alone opens the app"}  # and only from inside a function
MODULES_OF = {"torch": ("torch", "torchvision", "torchaudio", "transformers", "safetensors"), "textual": ("textual",)}
HEAVY = (*MODULES_OF["torch"], "numpy", "pandas", "pydantic", "sklearn", "scipy", "pyarrow")
# What the app's first paint, `subpop --help` and `subpop runs` load.
LIGHT = (
    "tui.app", "engine.cli", "engine.run", "engine.store", "engine.tables", "engine.paper", "engine.rows", "engine.errors", "engine.seeds",
    "engine.catalog", "engine.datasets",
)  # fmt: skip

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


def layer_of(module: str) -> int | None:
    """The index in LAYERS of the module or the package it is in; None where it has no place. `engine` itself holds no others."""
    for level, names in enumerate(LAYERS):
        if any(module == name or (name != "engine" and module.startswith(f"{name}.")) for name in names):
            return level
    return None


def concept_of(module: str) -> str | None:
    """The concept folder a module is in."""
    return next((name for name in CONCEPTS if module == name or module.startswith(f"{name}.")), None)


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
    """Every way in which the sources under `root` break the layers, in words; empty where none do."""
    known, found = modules(root), imports(root)
    told = [
        f"{path.relative_to(root)}: {module} has no layer; add it to LAYERS in tests/test_layers.py, at the row it belongs to"
        for module, path in known.items()
        if layer_of(module) is None
    ]
    told += [message for each in found if (message := _wrong(each))]
    told += [f"{' imports '.join(circle)}: a circle" for circle in circles(found)]
    for light in LIGHT:
        if light in known:
            why = closure(found, known, light)
            told += [f"{trail(why, target)}: {light} must stay light" for target in why if target.split(".")[0] in HEAVY]
    # What the app loads later, inside its functions, may be slow to import but is not torch either
    for target in sorted(
        {each.target for each in found if each.importer.split(".")[0] == "tui" and each.when != "typing" and ours(each.target)}
    ):
        why = closure(found, known, target)
        told += [
            f"tui imports {trail(why, heavy)}: the app never loads torch" for heavy in why if heavy.split(".")[0] in MODULES_OF["torch"]
        ]
    return told


def _wrong(each: Import) -> str | None:
    """What is wrong with one import, or None."""
    importer, target, top = each.importer, each.target, each.target.split(".")[0]
    head = f"{each.place}: {importer} imports {target}"
    if target == "?":
        return f"{each.place}: {importer} imports a module by a name worked out at run time; use a literal registry"
    in_app = importer.split(".")[0] == "tui"
    if top.startswith(MODULES_OF["textual"]) and not in_app:
        return f"{head}: only tui imports Textual"
    if top in MODULES_OF["torch"] and in_app:
        return f"{head}: tui never imports torch"
    if top in MODULES_OF["torch"] and importer in PLAIN and each.when != "typing":
        return f"{head}: plain types import no torch"
    if not ours(target):
        return None
    if (importer, top) in UPWARD and each.when == "lazy":
        return None
    above, below = layer_of(importer), layer_of(target)
    if above is None or below is None:  # told once, of the file
        return None
    if below < above:
        return f"{head}: upwards; imports only point down"
    if concept_of(importer) and concept_of(target) and concept_of(importer) != concept_of(target):
        return f"{head}: sideways; a concept folder imports no other: let engine/pipeline.py hand it over"
    return None


def circles(found: Sequence[Import]) -> list[list[str]]:
    """Modules that import each other in a circle when imported, each circle once."""
    eager: dict[str, set[str]] = {}
    for each in found:
        # A package importing its own submodules, and they its other submodules, is how packages work
        if each.when == "eager" and ours(each.target) and not each.importer.startswith(f"{each.target}."):
            eager.setdefault(each.importer, set()).add(each.target)
    done: set[str] = set()
    told: list[list[str]] = []

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            told.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in sorted(eager.get(module, ())):
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(eager):
        visit(module, [])
    return told


# ---- the tree as it is ----------------------------------------------------------------------------------------------


def test_imports_only_point_down():
    told = violations(ROOT)
    assert not told, "\n".join(told)


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


def test_every_name_in_the_table_is_placed_once():
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))


# ---- that the check sees ---------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, without their caches, to plant violations in."""
    for package in ("engine", "tui"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


PLANTED = [
    ("engine/rows.py", "from engine.attacks import draw", "engine.rows imports engine.attacks.draw: upwards"),
    ("engine/rows.py", "def late():\n    import engine.worker", "engine.rows imports engine.worker: upwards"),
    ("engine/rows.py", "from .store import Store", "engine.rows imports engine.store: upwards"),
    ("engine/attacks/draw.py", "from engine import subpopulations", "engine.attacks.draw imports engine.subpopulations: sideways"),
    (
        "engine/attacks/draw.py",
        "if TYPE_CHECKING:\n    from ..datasets import adult",
        "engine.attacks.draw imports engine.datasets.adult: sideways",
    ),
    ("engine/attacks/draw.py", "import textual.app", "only tui imports Textual"),
    ("engine/seeds.py", "def late():\n    from torch import nn", "engine.seeds imports torch: plain types import no torch"),
    ("engine/errors.py", "import numpy.linalg", "engine.errors imports numpy.linalg: engine.errors must stay light"),
    ("engine/filesystem.py", "import pandas", "engine.store imports engine.store_db imports engine.filesystem imports pandas"),
    ("engine/catalog.py", "import pandas", "engine.catalog imports pandas: engine.catalog must stay light"),
    ("tui/planted.py", "def late():\n    import torch.cuda", "tui.planted imports torch.cuda: tui never imports torch"),
    (
        "tui/planted.py",
        "def late():\n    from engine import pipeline",
        "tui imports engine.pipeline imports torch: the app never loads torch",
    ),
    ("tui/planted.py", "from importlib import import_module\nimport_module('torch')", "tui.planted imports torch: tui never imports torch"),
    ("engine/attacks/draw.py", "import importlib\nimportlib.import_module(name)", "by a name worked out at run time"),
    ("engine/cli_text.py", "from engine import cli", "a circle"),
    ("engine/novelty.py", "", "engine/novelty.py: engine.novelty has no layer; add it to LAYERS in tests/test_layers.py"),
    ("engine/cli.py", "import tui.app", "engine.cli imports tui.app: upwards"),
]


@pytest.mark.parametrize(("file", "planted", "says"), PLANTED, ids=[f"{file}: {says}" for file, _, says in PLANTED])
def test_a_planted_violation_is_seen(copy: Path, file: str, planted: str, says: str):
    before = set(violations(copy))
    path = copy / file
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{planted}\n", encoding="utf-8")
    new = set(violations(copy)) - before
    assert any(says in message for message in new), sorted(new)


def test_what_is_allowed_is_not_called_wrong(copy: Path):
    before = set(violations(copy))
    (copy / "engine/attacks/planted.py").write_text(
        "from engine.attacks import draw\nfrom . import label_flip\nimport torch\nfrom engine.rows import Rows\n", encoding="utf-8"
    )
    with (copy / "engine/cli.py").open("a", encoding="utf-8") as file:
        file.write("\ndef late():\n    from tui import app\n    import torch\n")
    assert set(violations(copy)) == before
