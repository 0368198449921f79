"""How far two ways of dividing the same rows agree: subpopulations and an annotated attribute (paper, section 5.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc


@dataclass(frozen=True)
class Association:
    """nmi: mutual information over the mean of the two entropies, 0..1; nmi_by_chance: about what independence would show, for many
    small cells always agree a little. cramers_v: bias-corrected (Bergsma 2013), 0..1. p: of independence, by chi squared.
    """

    rows: int
    nmi: float | None
    nmi_by_chance: float | None
    cramers_v: float | None
    p: float | None


def association(table_SL: np.ndarray) -> Association:
    """From counts: int64 [subpopulations, levels]. Empty rows and columns do not count; None where one side does not vary."""
    table = table_SL[table_SL.sum(axis=1) > 0][:, table_SL.sum(axis=0) > 0].astype(float)
    n = float(table.sum())
    if min(table.shape, default=0) < 2 or n < 2:
        return Association(int(n), None, None, None, None)
    row_S, column_L = table.sum(axis=1), table.sum(axis=0)
    expected_SL = np.outer(row_S, column_L) / n
    r, c = table.shape
    df = (r - 1) * (c - 1)
    filled = table > 0
    mutual = float((table[filled] / n * np.log(table[filled] / expected_SL[filled])).sum())
    entropy = float(-(row_S / n * np.log(row_S / n)).sum() - (column_L / n * np.log(column_L / n)).sum()) / 2
    chi2 = float(((table - expected_SL) ** 2 / expected_SL).sum())
    phi2 = max(0.0, chi2 / n - df / (n - 1))
    r_left, c_left = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    least = min(r_left, c_left) - 1
    return Association(
        rows=int(n),
        nmi=min(max(mutual / entropy, 0.0), 1.0),
        nmi_by_chance=min(df / (2 * n) / entropy, 1.0),
        cramers_v=min(float(np.sqrt(phi2 / least)), 1.0) if least > 0 else None,
        p=float(chdtrc(df, chi2)),
    )
