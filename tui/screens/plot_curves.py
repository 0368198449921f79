"""The plot that is of no stored table: the worst k over trials, worked out from every victim's predictions, in a thread."""

from __future__ import annotations

from time import monotonic

from textual import work
from textual.worker import get_current_worker

from engine.errors import SubpopError
from engine.rows import RunRow, Table
from tui.screens.base import ModeScreen
from tui.services.plots import CURVE, PlotFeed

WORKING = "working it out from every victim's predictions"
AGAIN_S = 10.0  # of a run at work it is worked out anew at most this often


class PlotCurves(ModeScreen):
    """alpha: of plots that show one alone; None: the largest."""

    feed: PlotFeed
    alpha: float | None

    @property
    def run_shown(self) -> RunRow | None:
        raise NotImplementedError

    def curve_came(self) -> None:
        """What was asked for is in the feed."""
        raise NotImplementedError

    def start_curves(self) -> None:
        """When another run is followed."""
        self.alpha, self._asked_at = None, -AGAIN_S
        self._asked: tuple[float, int] | None = None  # (alpha, revision) last asked for: it comes, or has been refused with a reason

    def want_curve(self) -> None:
        """Have it worked out where it is not there, or not true any more; of a run at work not all the time."""
        wanted, run = self.feed.curve_wanted(self.alpha), self.run_shown
        there = wanted is not None and bool(self.feed.plots([CURVE], wanted[0]))
        soon = monotonic() < self._asked_at + AGAIN_S
        under_way = self._asked is not None and wanted is not None and self._asked[0] == wanted[0]
        if run is None or wanted is None or wanted == self._asked or (soon and (there or under_way)):
            return
        self._asked, self._asked_at = wanted, monotonic()
        self._work_out(run, *wanted)

    @work(thread=True, group="curve", exit_on_error=False)
    def _work_out(self, run: RunRow, alpha: float, revision: int) -> None:
        """Over a connection of its own: a large array would hold up whoever shares it."""
        from engine.store import Store
        from engine.tables.worst_over_trials import of_run

        host, worker = self.host, get_current_worker()  # one that has begun is let end: what it works out is kept
        try:
            with Store.open(host.store_file, create=False, to_read=True) as store:
                table = of_run(store, run, alpha)
        except SubpopError as error:
            if not worker.is_cancelled:
                host.call_from_thread(host.notify, str(error), severity="error", timeout=8)
            return
        if not worker.is_cancelled and self.is_running:
            host.call_from_thread(self._take_curve, run.id, alpha, revision, table)

    def _take_curve(self, run_id: str, alpha: float, revision: int, table: Table) -> None:
        if self.feed.run_id == run_id:
            self.feed.take_curve(alpha, revision, table)
            self.curve_came()
