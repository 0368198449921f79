"""Clusters of all tokens of a text: rows wider than memory, read a part at a time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import subpopulations
from engine.errors import RequestError
from engine.features.texts import representation
from engine.rows import Dataset, Rows, States
from engine.scenario.sections import ClusterMatchSection, SubpopulationsSection
from engine.subpopulations import cluster_match, principal
from engine.subpopulations.blocks import AT_ONCE, InBlocks

COLUMNS = 60


def features() -> np.ndarray:
    """float32 [300 rows, columns] in three clouds far from the origin, of few directions."""
    draw = np.random.default_rng(3)
    clouds = 4 * draw.standard_normal((3, 12))[np.arange(300) % 3]
    return ((clouds + draw.standard_normal((300, 12)) * 0.7 ** np.arange(12)) @ draw.standard_normal((12, COLUMNS)) + 5).astype(np.float32)


FEATURES = features()


def texts() -> Dataset:
    def rows(first: int, count: int) -> Rows:
        at = np.arange(first, first + count)
        said = np.array([f"said {i % 3} of {i % 7}" for i in at], object)
        return Rows(at[:, None], at % 2, at, pd.DataFrame({"label": at % 2}), texts=said)

    return Dataset("imdb", ("neg", "pos"), (), rows(100, 100), rows(0, 100), rows(200, 100))


def section(pca: int | None) -> SubpopulationsSection:
    return ClusterMatchSection(clusters=3, pca=pca, layer="tokens")


class Model:
    """A representation that is made by parts, and how many rows were asked for at a time."""

    def __init__(self) -> None:
        self.most, self.told = 0, [0.0]
        self.in_blocks = InBlocks(self.represent, self.report)

    def represent(self, rows: Rows) -> np.ndarray:
        self.most = max(self.most, len(rows))
        return FEATURES[rows.x[:, 0]]

    def report(self, what: str, share: float) -> None:
        assert what == "representing the texts"
        assert 0 <= share < 1
        self.told.append(share)


def test_by_parts_the_components_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.decomposition import PCA

    monkeypatch.setattr(principal, "BLOCK_CELLS", 17 * COLUMNS)
    data, model = texts(), Model()
    aux = model.in_blocks.of(data.aux, COLUMNS)
    found = principal.fit(aux, 6, np.random.default_rng(0))
    exact = PCA(6, svd_solver="full").fit(FEATURES[:100].astype(np.float64))
    np.testing.assert_allclose(np.abs((found.axes * exact.components_.T).sum(axis=0)), 1, atol=1e-4)
    for rows in (data.aux, data.test):
        theirs = exact.transform(FEATURES[rows.x[:, 0]].astype(np.float64))
        np.testing.assert_allclose(np.abs(found.project(model.in_blocks.of(rows, COLUMNS))), np.abs(theirs), atol=2e-2)
    assert model.most == 17
    assert max(model.told) == 85 / 100
    # to the bit as from a matrix that is held
    assert np.array_equal(principal.fit(FEATURES[:100], 6, np.random.default_rng(0)).axes, found.axes)


def test_large_and_small_are_clustered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = texts(), Model()
    few, words, near = subpopulations.assign(section(5), data, model.in_blocks, 0)
    assert model.most == 100 < AT_ONCE
    monkeypatch.setattr(cluster_match, "HELD_CELLS", 0)
    monkeypatch.setattr(principal, "BLOCK_CELLS", 17 * COLUMNS)
    model = Model()
    many, again, far = subpopulations.assign(section(5), data, model.in_blocks, 0)
    assert model.most == 17
    for split in ("train", "aux", "test"):
        pairs = set(zip(getattr(few, split).tolist(), getattr(many, split).tolist(), strict=True))
        assert len(pairs) == 3
    assert sorted(words) == sorted(again)
    assert near is not None
    assert far is not None
    np.testing.assert_allclose(near, far, rtol=1e-3)


def test_without_principal_components_what_would_not_fit_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_match, "_free_bytes", lambda: 10_000)
    model = Model()
    what = r"100 rows of 60 columns take 0\.0 GB to cluster, .* set subpopulations.pca \(10, say\), or .* model.length"
    with pytest.raises(RequestError, match=what):
        subpopulations.assign(section(None), texts(), model.in_blocks, 0)
    assert model.most == 1  # its width was asked for, and nothing else
    subpopulations.assign(section(5), texts(), model.in_blocks, 0)


def test_numbers_that_are_not_finite_are_refused_in_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_match, "HELD_CELLS", 0)
    wrong = FEATURES.copy()
    wrong[3, 5] = np.nan
    in_blocks = InBlocks(lambda rows: wrong[rows.x[:, 0]], lambda what, share: None)
    with pytest.raises(RequestError, match="at least 1 rows have features that are not finite"):
        subpopulations.assign(section(5), texts(), in_blocks, 0)


# ---- memory ---------------------------------------------------------------------------------------------------------

ROWS, TOKENS, WIDTH = 1200, 128, 384
KEPT = 40  # rows of the file, each of many texts: its mapped pages count as memory too, though the system can take them back


def memory(line: str) -> int:
    """Bytes, of a line of what Linux says of this process: VmRSS now, VmHWM at most since `forget`."""
    [found] = [said for said in Path("/proc/self/status").read_text().splitlines() if said.startswith(line)]
    return int(found.split()[1]) * 1024


def test_memory_stays_far_below_the_whole_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the states on disk to the clusters."""
    forget = Path("/proc/self/clear_refs")
    if not os.access(forget, os.W_OK):
        pytest.skip("this system does not say how much memory a process had at most")
    monkeypatch.setattr(principal, "BLOCK_CELLS", 2**20)
    monkeypatch.setattr(principal, "PASSES", 2)
    draw = np.random.default_rng(0)
    draw.standard_normal((KEPT, TOKENS * WIDTH), np.float32).tofile(tmp_path / "states")
    states = States(tmp_path / "states", (KEPT, TOKENS, WIDTH), "float32", draw.integers(2, TOKENS + 1, KEPT).astype(np.int32))

    def rows(count: int) -> Rows:
        at = np.arange(count)
        return Rows((at % KEPT)[:, None], at % 2, at, pd.DataFrame({"label": at % 2}), texts=np.array(["said"] * count, object))

    def quiet(what: str, share: float) -> None:
        assert 0 <= share < 1

    data = Dataset("imdb", ("neg", "pos"), (), rows(40), rows(ROWS), rows(40))
    tokens = InBlocks(lambda some: representation(states, some.x[:, 0], "tokens", quiet), quiet)
    before = memory("VmRSS")
    forget.write_text("5")
    membership, _, _ = subpopulations.assign(section(3), data, tokens, 0)
    taken = memory("VmHWM") - before
    assert len(np.unique(membership.aux)) == 3
    assert {len(np.unique(membership.aux[kept::KEPT])) for kept in range(KEPT)} == {1}
    whole = 4 * ROWS * TOKENS * WIDTH
    assert taken < 0.6 * whole, f"{taken / 1e6:.0f} MB of {whole / 1e6:.0f} MB"
