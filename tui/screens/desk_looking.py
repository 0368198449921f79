"""The panes of a desk that show rows: members and poison of its subpopulation, asked of the process that holds the run's data."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from engine.system.pace import Pace
from tui.presenters import format as fmt
from tui.screens.looking import NO_MEMBERS, Looking

OF_ROWS = ("members", "poison")  # panes that need the data
SPLITS = ("aux", "train", "test")


@dataclass
class Data:
    """How far the process with the run's data is. stage: "", loading, ready, failed."""

    stage: str = ""
    status: str = ""
    pace: Pace = field(default_factory=Pace)
    since: float = field(default_factory=monotonic)


class DeskLooking(Looking):
    """The screen has a run, a subpopulation and a pane that is shown."""

    run_id: str
    index: int
    pane: str
    data: Data

    def focus_pane(self) -> None:
        raise NotImplementedError

    @property
    def looked_at(self) -> int | None:
        return self.index if self.data.stage == "ready" and self.pane in OF_ROWS else None

    def turn_rows(self) -> None:
        """Ask for the rows of the pane; the data are loaded when they are first needed."""
        self.look.split = "poison" if self.pane == "poison" else self.look.split if self.look.split in SPLITS else SPLITS[0]
        self.set_class(False, "-pictures")
        self.members.setup(self.pane.capitalize(), NO_MEMBERS)
        if self.data.stage in ("", "failed"):
            self.data = Data("loading", "loading the data")
            self.load_run(self.run_id)
        self.say_loading()
        self.ask_members()

    def say_loading(self) -> None:
        data = self.data
        if self.pane in OF_ROWS and data.stage in ("loading", "failed"):
            text = f"{data.status} · {fmt.duration(monotonic() - data.since)}" if data.stage == "loading" else f"✗ {data.status}"
            self.members.say_empty(fmt.clean(text, 2000))

    def _answered(self, answer: dict[str, Any]) -> None:
        if "progress" in answer:
            self.data.pace.at(str(answer["progress"][0]), float(answer["progress"][1]))
            eta_s = self.data.pace.eta_s
            self.data.status = str(self.data.pace) + (f", {fmt.duration(eta_s)} left of this step" if eta_s is not None else "")
        elif "ready" in answer:
            self.data.stage = "ready"
            self.members.say_empty("")
            self.ask_members()
        elif "members" in answer:
            self._show_answer(answer["members"])
        elif answer.get("asked"):  # a look that came to nothing; the data are there all the same
            self.members.say_empty(f"✗ {fmt.clean(answer['error'], 2000)}")
        elif "error" in answer and not (answer.get("ended") and self.data.stage == "failed"):
            self.data.stage, self.data.status = "failed", str(answer["error"])
        self.say_loading()
        self.refresh_bindings()

    def _show_answer(self, answer: dict[str, Any]) -> None:
        """Show an answer, if it is still what is looked at."""
        if answer["index"] != self.index or self.pane not in OF_ROWS:
            return
        if answer["split"] != "poison" and self.pane == "poison":  # asked before the alphas were known
            self.look.learn(answer)
            self.ask_members()
            return
        if answer["split"] == "poison" and self.pane == "members":
            return
        self.show_members(answer)
        self.focus_pane()

    def action_split(self) -> None:
        self.look.split = SPLITS[(SPLITS.index(self.look.split) + 1) % len(SPLITS)]
        self.host.settings.put("split", self.look.split)
        self.ask_members()
