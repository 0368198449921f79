"""The README is true: every command of it is run, in its order, as it is written but for slivers of the data; its scenarios load."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from engine.cli import main as cli
from engine.models.bert.bert import Bert
from engine.models.bert.files import ARCHITECTURES, BertSource
from engine.runs import start as run
from engine.runs.worker import work
from engine.scenario.parse import load, parse
from engine.scenario.presets import presets
from engine.store import Store

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()]
TOML = [text for kind, text in BLOCKS if kind == "toml"]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]

ELSEWHERE = {"uv run pytest": "it is what runs this"}
ADULT = ["--smoke", "--set", "model.epochs=3", "--set", "dataset.rows=800", "--set", "evaluation.trials=3"]
# What is added to a command so that it is short; the way that it takes is the same.
SHORT = {
    "quickstart": ["--smoke"],
    "adult-clustermatch": ADULT,
    "adult-featurematch": ADULT,
    "utkface-vgg-ll": ["--set", "dataset.rows=120", "--set", "dataset.image_size=32", "--set", "model.epochs=2"],
    "imdb-bert-ll": ["--smoke", "--set", "dataset.rows=80", "--set", "model.length=16", "--set", "model.epochs=1"],
    "mine.toml": ["--set", "dataset.rows=600", "--set", "model.epochs=2", "--set", "evaluation.trials=1"],
    "loans.toml": ["--set", "model.epochs=2"],
}
STATUS = {"": {2}, "loans.csv": {2}, "check": {0, 3}}  # the app is told that there is no terminal; a run may or may not pass


@dataclass
class Shell:
    """A reader's shell. runs: the first run of each preset, for what the reader replaces: RUN, RUN1, an index."""

    folder: Path
    runs: dict[str, str] = field(default_factory=dict)

    def call(self, line: str) -> tuple[str, int]:
        """Run one line; its subcommand and exit status."""
        line, _, file = re.sub(r" +#.*", "", line).partition(" > ")
        words = self._filled_in(shlex.split(line.rpartition("uv run subpop")[2]))
        with contextlib.ExitStack() as stack:
            if file:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context((self.folder / file).open("w"))))
            return words[0] if words else "", cli.main(words)

    def _filled_in(self, words: list[str]) -> list[str]:
        command, of = (words[0] if words else ""), words[1] if len(words) > 1 else ""
        clusters, features = (self.runs.get(f"adult-{kind}match", "") for kind in ("cluster", "feature"))
        stands_for = {
            "RUN": features,
            "RUN1": features,
            "RUN2": clusters,
            "model.weights=/models/bert": f"model.weights={_bert(self.folder)}",
        }
        if "--contact-sheet" in words:
            stands_for["latest"] = self.runs["utkface-vgg-ll"]
        if command == "again":
            stands_for |= {"latest": clusters, "3,17,42": ",".join(str(i) for i in self.attacked(clusters)[:3])}
        if command == "check":
            stands_for["latest"] = features
        if "--subpopulation" in words:
            stands_for["17"] = str(self.attacked(features)[0])
        return [
            *(stands_for.get(word, word) for word in words),
            *(SHORT.get(of, []) if command in ("run", "discover", "plan", "work", "slurm") else []),
        ]

    def attacked(self, run_id: str) -> list[int]:
        with Store.open(self.folder / "runs.db") as store:
            return sorted({int(str(row[0])) for row in store.table(run_id, "damage").rows})


@pytest.fixture
def shell(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs are carried out in this process: what a process of their own adds is tested elsewhere."""
    found = Shell(tmp_path)
    titles = {load(name).title: name for name in presets()}

    def carried_out(store: Store, run_id: str, worker: object) -> None:
        assert work(store, run_id) == "done", store.run(run_id).error
        found.runs.setdefault(titles.get(store.run(run_id).title, "mine"), run_id)

    monkeypatch.setattr(run, "_spawn", carried_out)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))
    monkeypatch.setenv("SUBPOP_DATA", str(shared_data))
    return found


def test_every_command_is_true(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    _loans(shell.folder)
    for line in COMMANDS:
        if any(line.endswith(other) for other in ELSEWHERE):
            continue
        command, status = shell.call(line)
        said = capsys.readouterr()
        assert status in STATUS.get(command, {0}), f"{line}\nexit status {status}\n{said.err[-2000:]}"
    made = {path.name for path in shell.folder.iterdir()}
    assert {"damage.csv", "sheet.png", "report", "mine.toml", "run.subpop", "elsewhere.db", "job.sh", "merged.db"} <= made
    assert any(name.endswith("-plots") for name in made)
    assert (shell.folder / "report" / "report.md").stat().st_size > 1000


def test_the_five_lines_of_python(shell: Shell) -> None:
    for code in PYTHON:
        names: dict[str, object] = {}
        exec(code.replace('"evaluation.trials=3"', '"evaluation.trials=3", smoke=True'), names)  # the README's own
        assert (shell.folder / "report" / "report.md").is_file()


@pytest.mark.parametrize("text", TOML)
def test_every_scenario_loads(text: str, tmp_path: Path) -> None:
    if "title" not in text:  # the first sections of one
        text = f'title = "mine"\n{text}\n[subpopulations]\nkind = "cluster_match"\nlayer = "hidden"\n'
    assert parse(text, folder=tmp_path).dataset.path is not None


def _loans(folder: Path) -> None:
    """The README's own table: its scenario, and a file with such columns."""
    draw = np.random.default_rng(0)
    age, income = draw.integers(18, 80, 800), draw.normal(40, 10, 800).round(1)
    frame = pd.DataFrame({"district": draw.choice(["north", "south", "west"], 800), "age": age, "income": income})
    frame["repaid"] = np.where(age + income + draw.normal(0, 10, 800) > 85, "yes", "no")
    frame.to_csv(folder / "loans.csv", index=False)
    (folder / "loans.toml").write_text(next(text for text in TOML if "loans.csv" in text))


def _bert(folder: Path) -> Path:
    """A folder as one's own copy of an encoder is: its configuration, its words, its weights."""
    place = folder / "bert"
    if not place.exists():
        place.mkdir()
        shape = ARCHITECTURES["bert-tiny"]
        words = [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *"abcdefghijklmnopqrstuvwxyz",
            *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
        ]
        (place / "vocab.txt").write_text("\n".join(words))
        whole = Bert(BertSource(shape, None, "random"), 2, 16)
        tensors = dict(zip(whole.names, whole.init(torch.Generator().manual_seed(0)), strict=True))
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, place / "model.safetensors")
        sizes = {"hidden_size": shape.width, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads}
        sizes |= {"intermediate_size": shape.inner, "vocab_size": shape.vocabulary, "max_position_embeddings": shape.positions}
        (place / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    return place
