"""What of a scenario can be refused before a run exists, from names, headers and labels alone: no worker, no queue, no torch.

data      the dataset: its file or folder, columns, classes, target, features to match on
weights   what the model starts from: does the file fit the network that the scenario names
tensors   names and shapes of a file of weights, read from its header; nothing of it is ever unpickled
networks  which tensors the networks known here have, and what a file of others looks like
apart     the same in a child process, for the app, which loads no NumPy

Importing it is quick, and so is `check`: about a second for a table of 100,000 rows. What it lets pass can still fail in a run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario


def check(scenario: Scenario, data_dir: Path) -> None:
    """Raises the RequestError that a run of the scenario would end in, where that can be known without its rows. Writes nothing.

    Where NumPy is not loaded and a table must be looked into, a child process does that.
    """
    from engine.precheck import data, weights

    for section in dict.fromkeys((scenario.model, *([scenario.adversary.model] if scenario.adversary.model else []))):
        weights.check(section, data_dir)
    if data.reads_table(scenario.dataset) and "numpy" not in sys.modules:
        from engine.precheck.apart import check_apart

        check_apart(scenario, data_dir)
    else:
        data.check(scenario, data_dir)


def check_here(scenario: Scenario, data_dir: Path) -> None:
    """The same in this process, for one that may load NumPy."""
    from engine.precheck import data, weights

    for section in dict.fromkeys((scenario.model, *([scenario.adversary.model] if scenario.adversary.model else []))):
        weights.check(section, data_dir)
    data.check(scenario, data_dir)
