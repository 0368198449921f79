"""Looking at a subpopulation's rows: its members of a split, or its poison; as a table or as pictures."""

from __future__ import annotations

from typing import Any

from textual import work

from engine.rows import Column, TableSpec
from tui.presenters import members
from tui.screens.base import ModeScreen
from tui.services.processes import PreviewProcess
from tui.widgets.members_pane import MembersPane
from tui.widgets.pictures.pane import PicturePane

NO_MEMBERS = TableSpec("members", (Column("row", "int"), Column("class", "text")), ("row",))


class Looking(ModeScreen):
    """The screen has a MembersPane `#members` and a PicturePane; its classes -members and -pictures say which of them is there."""

    process: PreviewProcess  # of a preview, which this screen alone looks at
    run_loaded: str = ""  # the run whose data are looked at; all screens share them
    look: members.Look
    members: MembersPane
    pictures: PicturePane

    @property
    def looked_at(self) -> int | None:
        """The subpopulation whose rows are wanted; None as long as the data are not there."""
        raise NotImplementedError

    def _answered(self, answer: dict[str, Any]) -> None:
        raise NotImplementedError

    def start_looking(self) -> None:
        """When the screen is mounted."""
        self.process = PreviewProcess(self._answered)
        self.look = members.Look.remembered(self.host.settings.get("split", "aux"), self.host.settings.get("pixels", members.SIZES[0]))
        self.members = self.query_one("#members", MembersPane)
        self.pictures = self.query_one(PicturePane)

    # ---- the process that holds the data ----

    def load_run(self, run_id: str) -> None:
        """Load a run's data, unless another screen did; `ready` is answered when they are there."""
        host, self.run_loaded = self.host, run_id
        # of the app: it goes on when this screen is left, for the next that wants the same
        host.run_worker(host.run_data.load(run_id, host.store_file, host.data_dir, self._answered), group="run data", exit_on_error=False)

    @work(exclusive=True, group="ask", exit_on_error=False)
    async def ask_members(self, first: int = 0) -> None:
        index, held = self.looked_at, self.host.run_data
        if index is None:
            return
        question = self.look.question(index, first)
        if not self.run_loaded:
            if self.process.alive:
                await self.process.ask(question)
        elif held.run_id != self.run_loaded:  # another run's were looked at since; rows are asked for when these are there again
            self.load_run(self.run_loaded)
        elif held.alive:
            await held.ask(question, self._answered)

    def leave_run(self) -> None:
        """This screen looks at no run's data any more."""
        self.run_loaded = ""
        self.host.run_data.leave(self._answered)

    def show_members(self, answer: dict[str, Any]) -> None:
        """Show an answer of the process that holds the data."""
        self.look.learn(answer)
        pictured = "pictures" in answer
        if self.look.split == "poison" and answer["split"] != "poison" and self.look.alphas:
            self.ask_members()  # which alphas there are is known from this answer on
        had_focus = self.members.table.has_focus or self.pictures.grid.has_focus
        self.set_class(True, "-members")
        self.set_class(pictured, "-pictures")
        if pictured:
            self.pictures.show(answer)
        else:
            self.members.show(answer)
        if had_focus:
            (self.pictures.grid if pictured else self.members.table).focus()

    def on_members_pane_read(self, event: MembersPane.Read) -> None:
        from tui.dialogs.reader import Reader

        self.host.push_screen(Reader(event.title, event.text))

    # ---- what can be done ----

    def can_look(self, action: str, parameters: tuple[object, ...], *, ready: bool) -> bool:
        """Whether split, rate or size does something, the data being `ready` or not."""
        if action == "rate":
            return ready and self.look.split == "poison" and (len(self.look.alphas) if parameters == ("alpha",) else self.look.trials) > 1
        return ready and (action != "size" or self.has_class("-pictures"))

    def action_split(self) -> None:
        self.look.next_split()
        self.host.settings.put("split", self.look.split)
        self.ask_members()
        self.refresh_bindings()

    def action_rate(self, what: str) -> None:
        """Another alpha, or another trial, of the poison."""
        self.look.next_alpha() if what == "alpha" else self.look.next_trial()
        self.ask_members()

    def action_size(self) -> None:
        self.look.next_size()
        self.host.settings.put("pixels", self.look.pixels)
        self.ask_members()

    def on_unmount(self) -> None:
        if hasattr(self, "process"):
            self.process.close()
            self.leave_run()
