"""ClusterMatch (paper, section 4.3): PCA, then k-means, fitted on aux alone; every other row goes to the nearest centre."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from engine.errors import RequestError
from engine.rows import Dataset, Membership, Rows
from engine.scenario import SubpopulationsSection
from engine.seeds import generator, seed_for
from engine.subpopulations.describe import describe

STARTS = 10  # k-means restarts, the best kept: scikit-learn's default when the paper was written
FEW_ROWS = 30_000  # beyond so many rows one start: ten would cost minutes
FIT_ROWS = 100_000  # beyond so many rows the centres come from a random part of them
FLOAT64_CELLS = 2**26  # up to 512 MB the distances are taken in float64


def assign(
    section: SubpopulationsSection, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, seed: int
) -> tuple[Membership, tuple[str, ...], np.ndarray]:
    """Cluster aux, assign the rest; indices run from the largest cluster (in aux rows) to the smallest.

    represent: rows -> [rows, ...]; None: the model's own input, `Rows.x`. Clusters that end up without an aux row are dropped
    before anything is assigned to them. The third: float32 [aux rows], the distance to the own centre, in the clustered space.
    """
    train, aux, test = (_matrix(rows, represent) for rows in (dataset.train, dataset.aux, dataset.test))
    # One thread: scikit-learn adds up the threads' partial centres in whatever order they finish, which moves last bits and with them rows
    with _one_thread():
        train, aux, test = reduce(section.pca, seed, train, aux, test)
        centres = fit(aux, section.clusters, seed)
        membership = Membership(nearest(train, centres), nearest(aux, centres), nearest(test, centres))
        distance_A = distance(aux, centres, membership.aux)
    return membership, describe(dataset, membership.aux, len(centres)), distance_A


def _matrix(rows: Rows, represent: Callable[[Rows], np.ndarray] | None) -> np.ndarray:
    values = rows.x if represent is None else represent(rows)
    values = np.asarray(values).reshape(len(rows), -1)
    values = values.astype(np.float64 if values.size <= FLOAT64_CELLS else np.float32, copy=False)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise RequestError(
            f"{bad:,} rows have features that are not finite numbers",
            where="subpopulations",
            next="clean the data, or lower model.lr if the hidden layer diverged",
        )
    return values


def reduce(
    components: int | None, seed: int, train: np.ndarray, aux: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project all three [rows, features] onto the first principal components of aux; None leaves them as they are."""
    if components is None:
        return train, aux, test
    if not 1 <= components <= min(aux.shape):
        raise RequestError(
            f"{components} principal components of {aux.shape[0]:,} auxiliary rows with {aux.shape[1]:,} features",
            where="subpopulations.pca",
            next=f"ask for 1 to {min(aux.shape)}",
        )
    from sklearn.decomposition import PCA

    pca = PCA(components, random_state=seed_for(seed, "pca") % 2**32).fit(aux)
    return pca.transform(train), pca.transform(aux), pca.transform(test)


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
    with warnings.catch_warnings():
        # fewer distinct rows than clusters: the surplus clusters are empty and dropped below
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(clusters, n_init=STARTS if len(some) <= FEW_ROWS else 1, random_state=seed_for(seed, "k-means") % 2**32).fit(some)
    centres = np.asarray(found.cluster_centers_, dtype=np.float64)
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
    found = np.empty(len(rows), dtype=np.int32)
    origin = centres.mean(axis=0)
    shifted = centres - origin  # far from the origin, |x|² - 2xc + |c|² loses digits
    half_squares = 0.5 * (shifted**2).sum(axis=1)
    step = max(1, 2**24 // max(len(centres), rows.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step] - origin
        found[start : start + step] = np.argmin(half_squares - block @ shifted.T, axis=1)
    return found


def distance(rows: np.ndarray, centres: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """float32 [rows]: the Euclidean distance of each row to the centre that of_row names."""
    found = np.empty(len(rows), dtype=np.float32)
    step = max(1, 2**24 // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        found[block] = np.sqrt(((rows[block] - centres[of_row[block]]) ** 2).sum(axis=1))
    return found
