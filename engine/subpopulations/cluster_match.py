"""ClusterMatch (paper, section 4.3): PCA, then k-means, fitted on aux alone; every other row goes to the nearest centre."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from engine.errors import RequestError
from engine.rows import Dataset, Membership, Rows
from engine.scenario.sections import ClusterMatchSection
from engine.seeds import generator, seed_for
from engine.subpopulations import principal
from engine.subpopulations.blocks import InBlocks, RowBlocks, not_finite
from engine.subpopulations.describing.describe import describe
from engine.subpopulations.describing.words import describe_texts

STARTS = 10  # k-means restarts, the best kept: scikit-learn's default when the paper was written
FEW_ROWS = 30_000  # beyond so many rows one start: ten would cost minutes (as they would on raw pixels)
FIT_ROWS = 100_000  # beyond so many rows the centres come from a random part of them
FLOAT64_CELLS = 2**26  # up to 512 MB the distances are taken in float64
HELD_CELLS = 2**24  # of what can be made by parts, at most so many are held where only their principal components are asked for


def assign(
    section: ClusterMatchSection, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, seed: int
) -> tuple[Membership, tuple[str, ...], np.ndarray]:
    """Cluster aux, assign the rest; indices run from the largest cluster (in aux rows) to the smallest.

    represent: rows -> [rows, ...]; None: the model's own input, `Rows.x`, of pictures their pixels, 0 to 1. Clusters that end up without
    an aux row are dropped before anything is assigned to them. The third: float32 [aux rows], the distance to the own centre, in the
    clustered space. What is represented `InBlocks` is never held as a whole where principal components are clustered and it is large.
    """
    width = _width(dataset, represent)
    _check_room(section.pca, dataset, represent, width)
    largest = max(len(rows) for rows in (dataset.train, dataset.aux, dataset.test))
    in_blocks = isinstance(represent, InBlocks) and section.pca is not None and largest * width > HELD_CELLS

    def read(rows: Rows) -> np.ndarray | RowBlocks:
        return represent.of(rows, width) if in_blocks and isinstance(represent, InBlocks) else _matrix(rows, represent)

    wide_aux = read(dataset.aux)
    # One thread: scikit-learn adds up the threads' partial centres in whatever order they finish, which moves last bits and with them rows
    with _one_thread():
        reduce = reducer(section.pca, seed, wide_aux)
        aux = reduce(wide_aux)
        del wide_aux
        centres = fit(aux, section.clusters, seed)
        of_aux = nearest(aux, centres)
        distance_A = distance(aux, centres, of_aux)
    of_rest = []
    for rows in (dataset.train, dataset.test):  # one after the other: the wide matrix of one is let go before the next is made
        wide = read(rows)
        with _one_thread():
            of_rest.append(nearest(reduce(wide), centres))
        del wide
    membership = Membership(of_rest[0], of_aux, of_rest[1])
    in_words = describe if dataset.aux.texts is None else describe_texts
    return membership, in_words(dataset, membership.aux, len(centres)), distance_A


def _matrix(rows: Rows, represent: Callable[[Rows], np.ndarray] | None) -> np.ndarray:
    """[rows, columns]: float64 where that is small, else float32, or the pixels as they are (uint8)."""
    values = rows.x if represent is None else represent(rows)
    values = np.asarray(values).reshape(len(rows), -1)
    if values.dtype == np.uint8:
        return values if values.size > FLOAT64_CELLS else values / 255
    values = values.astype(np.float64 if values.size <= FLOAT64_CELLS else np.float32, copy=False)
    bad = sum(int((~np.isfinite(values[start : start + 1024])).any(axis=1).sum()) for start in range(0, len(values), 1024))
    if bad:
        raise not_finite(bad)
    return values


def _width(dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None) -> int:
    """How many columns are clustered; asked of one row."""
    one = dataset.aux.take(np.arange(1))
    return int(np.asarray(one.x if represent is None else represent(one)).size)


def _check_room(components: int | None, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, width: int) -> None:
    """RequestError, before any work, where the rows as they are clustered would not fit into memory."""
    in_blocks = isinstance(represent, InBlocks)
    if in_blocks and components is not None:
        return
    largest = max(len(dataset.train), len(dataset.aux), len(dataset.test))
    # float32 [rows, width] of one split, unless pixels are read where they lie; without PCA k-means works on a copy
    there_already = represent is None and dataset.aux.x.dtype == np.uint8
    copies = int(not there_already) if components is not None else 2
    needed, free = 4 * largest * width * copies, _free_bytes()
    if free is not None and needed > 0.9 * free:
        advice = f"cluster on a later layer, a smaller {'model.length' if in_blocks else 'dataset.image_size'} or fewer dataset.rows"
        raise RequestError(
            f"{largest:,} rows of {width:,} columns take {needed / 1e9:.1f} GB to cluster, and {free / 1e9:.1f} GB are free",
            where="subpopulations.layer",
            next=advice if components is not None else f"set subpopulations.pca ({10 if in_blocks else 40}, say), or {advice}",
        )


def _free_bytes() -> int | None:
    """What the system can give without swapping; None where it does not say."""
    try:
        [line] = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def reducer(components: int | None, seed: int, aux: np.ndarray | RowBlocks) -> Callable[[np.ndarray | RowBlocks], np.ndarray]:
    """What brings [rows, columns] onto the first principal components of aux; None: to numbers, all of them.

    The paper's "PCA 100, the first 40" is 40 here: the first components do not depend on how many more are asked for.
    """
    if components is None:
        return _numbers
    if not 1 <= components <= min(aux.shape):
        raise RequestError(
            f"{components} principal components of {aux.shape[0]:,} auxiliary rows with {aux.shape[1]:,} features",
            where="subpopulations.pca",
            next=f"ask for 1 to {min(aux.shape)}",
        )
    if isinstance(aux, RowBlocks) or aux.size > FLOAT64_CELLS:
        return principal.fit(aux, components, generator(seed, "pca")).project
    from sklearn.decomposition import PCA

    pca = PCA(components, random_state=seed_for(seed, "pca") % 2**32).fit(aux)

    def exactly(wide: np.ndarray | RowBlocks) -> np.ndarray:
        assert isinstance(wide, np.ndarray)
        projected: np.ndarray = pca.transform(wide if wide.dtype != np.uint8 else wide / 255)
        return projected

    return exactly


def _numbers(wide: np.ndarray | RowBlocks) -> np.ndarray:
    assert isinstance(wide, np.ndarray)
    return wide * np.float32(1 / 255) if wide.dtype == np.uint8 else wide


def fit(aux: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The centres [clusters that have rows, features], largest first; of more than FIT_ROWS rows, those of a random FIT_ROWS."""
    if clusters > len(aux):
        raise RequestError(
            f"{clusters} clusters from {len(aux):,} auxiliary rows",
            where="subpopulations.clusters",
            next=f"ask for at most {len(aux):,}; a tenth of that is sensible",
        )
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    some = aux if len(aux) <= FIT_ROWS else aux[np.sort(generator(seed, "k-means rows").permutation(len(aux))[: max(FIT_ROWS, clusters)])]
    starts = STARTS if len(some) <= FEW_ROWS and some.size <= FLOAT64_CELLS else 1
    with warnings.catch_warnings():
        # fewer distinct rows than clusters: the surplus clusters are empty and dropped below
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(clusters, n_init=starts, random_state=seed_for(seed, "k-means") % 2**32).fit(some)
    centres = np.asarray(model.cluster_centers_, dtype=np.float64)
    for _ in range(10):  # renumbering can move a row that lies exactly between two centres, so look again until nothing changes
        sizes = np.bincount(nearest(aux, centres), minlength=len(centres))
        order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        if np.array_equal(order, np.arange(len(centres))):
            break
        centres = centres[order]
    return centres


def _one_thread() -> AbstractContextManager[object]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """int32 [rows]: the index of the nearest centre; ties go to the lower index."""
    cluster_R = np.empty(len(rows), dtype=np.int32)
    origin = centres.mean(axis=0)
    shifted = centres - origin  # far from the origin, |x|² - 2xc + |c|² loses digits
    half_squares = 0.5 * (shifted**2).sum(axis=1)
    step = max(1, 2**24 // max(len(centres), rows.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step] - origin
        cluster_R[start : start + step] = np.argmin(half_squares - block @ shifted.T, axis=1)
    return cluster_R


def distance(rows: np.ndarray, centres: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """float32 [rows]: the Euclidean distance of each row to the centre that of_row names."""
    distance_R = np.empty(len(rows), dtype=np.float32)
    step = max(1, 2**24 // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        distance_R[block] = np.sqrt(((rows[block] - centres[of_row[block]]) ** 2).sum(axis=1))
    return distance_R
