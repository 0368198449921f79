"""The app over a store of its own, with nothing on screen that depends on the machine, the day or chance."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import datasets
from engine.runs import start as engine_run
from engine.scenario.presets import Preset
from engine.store import Store
from engine.system.processes import identity
from tests.worlds import app as worlds
from tui.app import SubpopApp
from tui.presenters import presets
from tui.services import devices
from tui.services import devices as services_devices

NOW = 1_790_000_000.0  # a Monday in September 2026
QUICK = """# A first look at the whole path in seconds: small pictures of digits, nothing to download.
# cost: 15 s on two cores
title = "Handwritten digits, ClusterMatch, label flipping"

[dataset]
kind = "digits"
scale = "standard"

[model]
kind = "mlp"
hidden = [32]
epochs = 30

[subpopulations]
kind = "cluster_match"
clusters = 16

[attack]
alphas = [0.5, 1, 2]

[evaluation]
trials = 3
min_test_rows = 10

[smoke]
model.epochs = 5
"""
ADULT = """# Table 4, UCI Adult: label flipping against clusters of the census, a one-layer network, the paper's protocol.
# cost: 10 min on two cores
title = "UCI Adult, ClusterMatch, label flipping"
reproduces = "Table 4, UCI Adult"

[dataset]
kind = "adult"

[model]
kind = "mlp"
hidden = [10]
epochs = 3000

[subpopulations]
kind = "cluster_match"
clusters = 100
min_size = 11
max_size = 99

[attack]
alphas = [0.5, 1, 2]
target_label = "flip"
per = "train"
"""


@pytest.fixture(autouse=True)
def still_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The same clock, ids, presets and machine everywhere."""
    from engine.scenario import presets as catalog

    monkeypatch.setenv("COLORTERM", "truecolor")  # pictures need colours, wherever the tests run
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    numbers = itertools.count(0xA1B2C3, 0x1357)
    monkeypatch.setattr("engine.store.runs.secrets.token_hex", lambda count: f"{next(numbers) % 0xFFFFFF:06x}")
    folder = tmp_path / "presets"
    folder.mkdir()
    made = []
    for name, text in (("quickstart", QUICK), ("adult-clustermatch", ADULT)):
        path = folder / f"{name}.toml"
        path.write_text(text)
        made.append(catalog.describe(name, path))
    listing: tuple[Preset, ...] = tuple(made)
    monkeypatch.setattr(presets, "catalog", lambda: listing)
    monkeypatch.setattr(catalog, "catalog", lambda: listing)
    monkeypatch.setattr(
        presets,
        "data_state",
        lambda kind, folder: (kind != "adult", "ships with scikit-learn" if kind != "adult" else "adult.data is missing: d fetches it"),
    )
    monkeypatch.setattr("textual.widgets.Input._toggle_cursor", lambda self: None)  # no blinking in pictures
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    monkeypatch.setattr(services_devices, "machine", lambda: "2 cores, no GPU")
    monkeypatch.setattr(devices.Meter, "read", lambda self, pid, gpu="": devices.Use(1.6, 412_000_000, 4_100_000_000, 16_000_000_000, gpu))
    monkeypatch.setenv("SUBPOP_CONFIG", str(tmp_path / "config"))
    gc.freeze()  # of torch and pandas there are a million objects, and an app makes garbage enough to look through them every second
    yield
    gc.unfreeze()
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The worker's side of the store that the app reads."""
    with Store.open(tmp_path / "runs.db", clock=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def app(tmp_path: Path, store: Store) -> SubpopApp:
    return another_app(tmp_path)


def another_app(tmp_path: Path, config: str = "config") -> SubpopApp:
    """An app on the same store; with the same `config` it remembers what one before it did."""
    return SubpopApp(tmp_path / "runs.db", tmp_path / "data", config=tmp_path / config, clock=lambda: NOW)


def running(store: Store, **options: object) -> str:
    """A run at work: its worker is this very process."""
    return worlds.make_run(store, state="running", pid=os.getpid(), **options)  # type: ignore[arg-type]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs are made but no worker is started; the list says for which runs one would have been."""
    spawned: list[str] = []

    def spawn(store: Store, run_id: str, *_: object) -> None:
        spawned.append(run_id)
        store.assign(run_id, identity())

    monkeypatch.setattr(engine_run, "_spawn", spawn)
    return spawned


@pytest.fixture
def every_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every dataset is on this machine, as far as anybody asks."""
    monkeypatch.setattr(datasets, "state", lambda dataset, folder: datasets.DataState(True, "here"))
