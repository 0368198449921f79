"""TRIM (Jagielski et al., S&P 2018): fit on the rows that are kept, keep the rows of least loss among all, in turn.

A round is `loss_filter`'s step; the pipeline refits between rounds. The victim that is judged is the one fitted on the rows kept last.
"""

from __future__ import annotations

from engine.defenses.loss_filter import asks as asks
from engine.defenses.loss_filter import judge as judge
