"""The contact sheet: what is on it, and what it says where it cannot be drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from engine.arrays import DiscoveryArrays
from engine.cli.main import app
from engine.errors import RequestError
from engine.pipeline import order as pipeline
from engine.preview import contact_sheet
from engine.rows import Membership
from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds import app_pictures as picture_world

HALF = (np.arange(24) % 2).astype(np.int32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A run on faces, two subpopulations of them."""
    monkeypatch.setattr(pipeline, "rows", lambda scenario, data, log, progress: picture_world.dataset())
    opened = Store.open(tmp_path / "runs.db")
    run = opened.create_run(
        name="faces",
        title="Faces, 12×12 of them",
        scenario_toml=worlds.SCENARIO,
        scenario_hash="5b1e0c64f2a97d38",
        deviations=("random weights",),
    )
    found = [replace(one, target_label="cat", aux_rows=12, attacked=True, reason="") for one in worlds.subpopulations(2)]
    opened.save_discovery(
        run.id,
        subpopulations=found,
        membership=Membership(HALF, HALF, HALF),
        y_test=np.zeros(24, np.int64),
        classes=picture_world.CLASSES,
        provenance={},
        arrays=DiscoveryArrays(np.full((24, 3), 1 / 3, np.float32), np.arange(24, 0, -1, dtype=np.float32)),
    )
    return opened


def test_a_row_for_each_subpopulation_the_most_typical_first(store: Store, tmp_path: Path):
    run, out = store.runs()[0], tmp_path / "sheet.png"
    assert contact_sheet.write(run, store.discovery(run.id, bulk=True), tmp_path, out, pictures=4, points=3) == 2
    sheet = np.asarray(Image.open(out))
    side, step = contact_sheet.SIDE, contact_sheet.SIDE + contact_sheet.LINE + 3 * contact_sheet.GAP
    top = contact_sheet.HEAD + contact_sheet.LINE + contact_sheet.GAP
    nearest = picture_world.dataset().aux.images
    assert nearest is not None
    for row, member in ((0, 22), (1, 23)):
        shown = sheet[top + row * step :, contact_sheet.WORDS :][:side, :side]
        assert np.array_equal(shown, contact_sheet.showing.thumbnails(nearest[[member]], side)[0])
    store.close()


def test_the_command_writes_it_and_says_what_is_wrong(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store.close()
    out = tmp_path / "sheet.png"
    said = CliRunner().invoke(app, ["export", "latest", "--contact-sheet", "-o", str(out), "--store", str(tmp_path / "runs.db")])
    assert said.exit_code == 0, said.output
    assert "2 subpopulations" in said.output
    assert out.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, out = store.runs()[0], tmp_path / "sheet.png"
    with pytest.raises(RequestError, match="not known yet"):
        contact_sheet.write(run, None, tmp_path, out)
    data = picture_world.dataset()
    monkeypatch.setattr(pipeline, "rows", lambda scenario, data_dir, log, progress: replace(data, aux=replace(data.aux, images=None)))
    with pytest.raises(RequestError, match="have no pictures"):
        contact_sheet.write(run, store.discovery(run.id), tmp_path, out)
    monkeypatch.setattr(pipeline, "rows", lambda scenario, data_dir, log, progress: picture_world.dataset(12))
    with pytest.raises(RequestError, match="the data here are not the run's"):
        contact_sheet.write(run, store.discovery(run.id), tmp_path, out)
    store.close()
    assert not out.exists()
