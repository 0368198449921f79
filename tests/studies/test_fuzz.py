"""The fuzzing study in small, and that it sees what it looks for."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from engine.datasets.files.archives import Leftovers, tar_members
from engine.datasets.files.fetching import digest_of
from engine.datasets.pictures.depth import scales_of
from engine.drafting.draft import draft
from engine.errors import BadData
from engine.models.bert.folder import settings_of
from tests.studies import fuzz


def test_no_scenario_ends_in_an_internal_error(tmp_path: Path) -> None:
    with fuzz.private(tmp_path):
        tally = fuzz.scenarios(120, 1, tmp_path)
    assert not tally.internal + tally.hangs, str(tally)
    assert sum(tally.ended.values()) == 120
    assert {0, 2} == set(tally.ended)


def test_no_table_ends_in_an_internal_error(tmp_path: Path) -> None:
    """`columns` and `init` alone: `discover` would take seconds."""
    bases = [fuzz.Base(base.name, base.make, base.file, base.commands[:2]) for base in fuzz.BASES[:5]]
    with fuzz.private(tmp_path):
        tally = fuzz.files(25, 2, tmp_path, bases)
    assert not tally.internal + tally.hangs, str(tally)
    assert sum(tally.ended.values()) == 50


def test_it_sees_bugs_and_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> None:
        raise KeyError("boom")

    def hanging() -> None:
        time.sleep(5)

    monkeypatch.setattr(fuzz, "CLOCK_S", 0.1)
    with fuzz.private(tmp_path):
        for bad in (broken, hanging):
            monkeypatch.setattr("engine.scenario.presets.catalog", bad)
            tally = fuzz.Tally()
            tally.call("presets", ["presets"])
            assert (len(tally.internal), len(tally.hangs)) == ((1, 0) if bad is broken else (0, 1))


def test_every_kind_of_damage_can_be_done(tmp_path: Path) -> None:
    seen = set()
    for seed in range(400):
        file = tmp_path / str(seed) / "file"
        file.parent.mkdir()
        file.write_bytes(b"a,b\n1,2\n" * 20)
        seen.add(fuzz.damage(file, random.Random(seed)))
    assert len(seen) > 20
    assert {"pipe", "zero", "full", "socket", "circle", "unreadable"} <= seen


@pytest.mark.parametrize("what", ["pipe", "zero"])
def test_no_reader_waits_for_a_pipe_or_reads_a_device_to_its_end(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CLOCK_S", 5.0)
    place = tmp_path / "birds"
    for name in ("a/1.png", "a/2.tif", "b/1.png", "config.json"):
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(file) if what == "pipe" else file.symlink_to("/dev/zero")
    with fuzz._watched():
        with pytest.raises(BadData, match="not a file"):
            digest_of(place / "a/1.png", "md5")
        with pytest.raises(BadData, match="not a file"):
            next(tar_members(place / "a/1.png", lambda name: True, Leftovers()))
        with pytest.raises(BadData, match="not a file"):
            settings_of(place)
        assert "could not be read" in draft(place).toml
        assert scales_of([place / "a/2.tif"], ("TIFF",), 10**6) == ({}, ())
