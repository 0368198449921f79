"""The same from Python, as in a notebook: scenario, run, tables as DataFrames.

from engine import notebook
scenario = notebook.scenario("quickstart", "evaluation.trials=3")
run = notebook.run(scenario)      # in a process of its own, as `subpop run`; waits for it
run["worst"]                      # a pandas DataFrame; run.tables names them all
run.plot("dose_response")         # a matplotlib Figure; run.plots() has them all as data
run.export("report/")             # what `subpop export RUN --table all` writes
notebook.compare([run, another])  # differences of damages, the first is the baseline
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.cli import text as cli_text
from engine.errors import RequestError, RunFailed
from engine.rows import RunRow
from engine.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from engine.plots.data import Plot
    from engine.scenario.sections import Scenario
    from engine.tables.groups import Choice

POLL_S = 0.2
KINDS = {"text": "string", "int": "Int64", "fraction": "float64", "float": "float64", "bool": "boolean"}


@dataclass(frozen=True)
class Run:
    """A run of a store: `run["damage"]` is its table as a DataFrame, at any moment of the run."""

    id: str
    store: Path | None = None

    @property
    def row(self) -> RunRow:
        """The run's row in the store: state, victims, deviations."""
        with Store.open(self.store, create=False, to_read=True) as opened:
            return opened.run(self.id)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables it has now, and of those made when asked for."""
        from engine.tables.columns import MADE_AT_EXPORT, SPECS

        with Store.open(self.store, create=False, to_read=True) as opened:
            stored = opened.tables(self.id)
        return tuple(name for name in SPECS if name in stored or name in MADE_AT_EXPORT)

    def __getitem__(self, table: str) -> pd.DataFrame:
        return self.table(table)

    def table(self, table: str, choice: Choice | None = None) -> pd.DataFrame:
        """A table as a DataFrame of its columns' kinds; `attrs` has the provenance. choice: for `groups`, which attack."""
        return together([self], table, choice)

    def wait(self) -> Run:
        """Until it is done. RunFailed where it failed, was stopped, or its engine is gone. Says how far it is on standard error."""
        with Store.open(self.store, create=False, to_read=True) as opened, cli_text.progress() as report:
            while True:
                row = opened.run(self.id)
                at_work = row.phase and row.state in ("queued", "running")
                report(f"run {row.id}, {row.phase}" if at_work else f"run {row.id}", row.progress if row.victims_total else 0.0)
                if row.state == "done":
                    return self
                if row.state in ("failed", "stopped") or (row.lost and not row.may_live):
                    why = row.error or ("its engine is gone" if row.lost else f"it is {row.state}")
                    raise RunFailed(why, where=f"run {row.id}", next=f"go on with: subpop resume {row.id}")
                time.sleep(POLL_S)

    def plots(self, subpopulations: Sequence[int] | None = None) -> dict[str, Plot]:
        """Its plots as data, by name, without those that have none yet. subpopulations: whose dose and response; None: all."""
        from engine.plots import plots_of_run

        with _with_tables([self]) as opened:
            return plots_of_run(opened, opened.run(self.id), subpopulations=subpopulations)

    def plot(self, name: str, subpopulations: Sequence[int] | None = None) -> Figure:
        """One plot as a matplotlib figure, which a notebook shows. UnknownName; RequestError before it has data or without matplotlib."""
        from engine.errors import UnknownName
        from engine.plots import EVERY, plots_of_run
        from engine.plots.files import figure

        if name not in EVERY:
            raise UnknownName("plot", name, EVERY)
        with _with_tables([self]) as opened:
            drawing = plots_of_run(opened, opened.run(self.id), (name,), subpopulations=subpopulations).get(name)
        if drawing is None:
            raise RequestError("it has nothing to draw yet", where=f"run {self.id}, {name}", next="wait for its first victims")
        return figure(drawing)

    def again(self, subpopulations: Sequence[int], *overrides: str, fresh: bool = False, name: str | None = None, wait: bool = True) -> Run:
        """Attack these alone in a new run, which reuses victims of this one: run.again([3, 17], "evaluation.trials=6")."""
        from engine.runs import again

        with Store.open(self.store, create=False) as opened:
            started = Run(again.start(opened, self.id, subpopulations, overrides, fresh=fresh, name=name).id, self.store)
        return started.wait() if wait else started

    def export(self, folder: str | Path) -> list[Path]:
        """Every table, the scenario, the provenance and a report into a folder."""
        from engine.export.everything import export_all

        with _with_tables([self]) as opened:
            return export_all(opened, [self.id], Path(folder))


def scenario(name_or_path: str | Path, *overrides: str, smoke: bool = False) -> Scenario:
    """A preset by name or a scenario file by path, with overrides as of `--set`: scenario("quickstart", "model.epochs=5")."""
    from engine.scenario.parse import load

    return load(name_or_path, overrides, smoke, say=lambda why: warnings.warn(why, stacklevel=6))


def run(scenario: Scenario, *, name: str | None = None, data: Path | None = None, store: Path | None = None, wait: bool = True) -> Run:
    """Run a scenario in a process of its own, and wait for it. It outlives this one; without `wait`, look at it whenever you like."""
    from engine.runs import finding
    from engine.runs import start as runs

    finding.check(scenario)
    with Store.open(store) as opened:
        started = Run(runs.start(opened, scenario, name=name, data_dir=data).id, store)
    return started.wait() if wait else started


def find(text: str = "latest", *, store: Path | None = None) -> Run:
    """A run of the store, by id, a unique prefix, or "latest"."""
    with Store.open(store, create=False, to_read=True) as opened:
        return Run(opened.find(text).id, store)


def compare(runs: Sequence[Run], table: Literal["compare", "compare_worst"] = "compare") -> pd.DataFrame:
    """Runs of a store held against the first of them: other minus baseline, paired where trials match; or each run's own worst k.

    `attrs["provenance"]["notes"]` says in what the scenarios differ and what cannot be paired. RequestError for fewer than two runs.
    """
    if not runs:
        raise RequestError("a comparison needs two runs or more", where="compare", next="give the baseline first, then the others")
    return together(runs, table)


def together(runs: Sequence[Run], table: str, choice: Choice | None = None) -> pd.DataFrame:
    """One table of several runs of a store: systems as rows."""
    import pandas as pd

    from engine.errors import UnknownName
    from engine.export.export import prepared
    from engine.tables.columns import SPECS
    from engine.tables.compare import COMPARISONS

    if table not in SPECS and table not in COMPARISONS:
        raise UnknownName("table", table, (*SPECS, *COMPARISONS))
    with _with_tables(runs) as opened:
        spec, rows, provenance = prepared(opened, [each.id for each in runs], table, choice=choice)
        cells = list(rows)
    frame = pd.DataFrame(cells, columns=[column.name for column in spec.columns])
    frame = frame.astype({column.name: KINDS[column.kind] for column in spec.columns})
    frame.attrs["provenance"] = provenance
    return frame


@contextmanager
def _with_tables(runs: Sequence[Run]) -> Iterator[Store]:
    """The runs' store; tables that older statistics made are made anew first."""
    from engine.runs.rebuild import rebuild

    with Store.open(runs[0].store, create=False, to_read=True) as opened:
        rebuild(opened, [each.id for each in runs])
        yield opened
