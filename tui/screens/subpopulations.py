"""Subpopulations: of a run, or of a scenario before any run; the members of the one under the cursor; attack all or the marked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from engine.account.data import DataAccount, of_json
from engine.errors import StoreError
from engine.system.pace import Pace
from engine.tables.columns import SPECS
from tui.messages import StoreMoved
from tui.presenters import about, members
from tui.presenters import format as fmt
from tui.presenters import runs as run_words
from tui.screens.looking import NO_MEMBERS, Looking
from tui.services.store import TableFeed
from tui.themes import tones
from tui.widgets.lines import Lines
from tui.widgets.members_pane import MembersPane
from tui.widgets.pictures.grid import PictureGrid
from tui.widgets.pictures.pane import PicturePane
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import Key
from tui.widgets.table.pane import TablePane


@dataclass
class Subject:
    """What is looked at: a run (by id), or a scenario's text under a name. stage: loading, ready, failed."""

    name: str = ""
    run_id: str | None = None
    text: str = ""
    folder: Path | None = None
    predict: bool = False  # its damage is foretold as well
    by_prediction: bool = False  # the predicted worst were marked
    stage: str = ""
    status: str = ""
    pace: Pace = field(default_factory=Pace)  # of the step that loading is at
    since: float = field(default_factory=monotonic)
    deviations: tuple[str, ...] = ()
    account: DataAccount | None = None  # of its data, once it is known
    no_account: str = ""  # why it cannot be read


class SubpopulationsScreen(Looking):
    """A scenario is discovered in a process of its own; a run's subpopulations come from the store, its members from the data."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,enter", "attack", "Attack", id="subpopulations.attack"),
        Binding("d", "about", "Data", tooltip="About the data", id="subpopulations.about"),
        Binding("m", "members", "Members", id="subpopulations.members"),
        Binding("p", "predict", "Predict", tooltip="Foretell the damage by clean models", id="subpopulations.predict"),
        Binding("p", "mark_predicted", "Mark worst", tooltip="Mark the predicted worst", id="subpopulations.mark-predicted"),
        Binding("v", "split", "Which rows", id="subpopulations.split"),
        Binding("n", "rate('alpha')", "Alpha", id="subpopulations.alpha"),
        Binding("N", "rate('trial')", "Trial", id="subpopulations.trial"),
        Binding("z", "size", "Size", id="subpopulations.size"),
        Binding("w", "wide", "Wide", id="subpopulations.wide"),
        Binding("c", "cancel", "Cancel", id="subpopulations.cancel"),
    ]

    def body(self) -> ComposeResult:
        yield Lines(id="subject")
        with Container(id="halves"):
            yield TablePane(
                "Subpopulations",
                SPECS["subpopulations"],
                view=self.host.settings.view("subpopulations"),
                markable=True,
                id="subpopulations",
            )
            yield MembersPane("Members", NO_MEMBERS, empty="m loads the data", id="members")
            yield PicturePane(id="pictures")

    def on_mount(self) -> None:
        self.subject = Subject()
        self.start_looking()
        self.pane = self.query_one("#subpopulations", TablePane)
        self.feed = TableFeed(self.pane.table, "subpopulations")
        self.pane.table.focus()
        self.set_interval(0.5, self._head)
        self.call_after_refresh(self._resume)

    def on_screen_resume(self) -> None:
        if hasattr(self, "feed"):
            self._resume()

    def _resume(self) -> None:
        """Take up a preview that was asked for, else the run that Runs shows."""
        wanted, self.host.preview_wanted = self.host.preview_wanted, None
        if wanted is not None:
            self._open(Subject(wanted.name, text=wanted.text, folder=wanted.folder, stage="loading", status="starting the engine"))
            self._discover()
        elif not self.subject.text and (run := self.host.run_chosen) and self.subject.run_id != run.id:
            self._open(Subject(run.name, run_id=run.id, text="", deviations=run.deviations))
        self._update()

    def _open(self, subject: Subject) -> None:
        self.process.close()
        self.leave_run()
        self.subject = subject
        self.set_class(False, "-members", "-pictures", "-wide-members")
        self.feed.follow(None)
        self.feed.follow(subject.run_id)
        self._learn_account()
        self.pane.table.load(())
        self.pane.table.model.marks.clear()
        self.members.setup("Members", NO_MEMBERS)
        self.members.say_empty("m loads the data" if subject.run_id else "")

    def on_store_moved(self, event: StoreMoved) -> None:
        if hasattr(self, "feed"):
            self._update()

    def _update(self) -> None:
        if self.subject.run_id and self.host.store is not None:
            self.feed.update(self.host.store)
            self._learn_account()
        self.pane.say_empty(self._why_empty())
        self.pane.caption()
        self._head()
        self.say_state()

    def _why_empty(self) -> str:
        subject = self.subject
        if subject.stage == "failed":
            return subject.status
        if subject.run_id or subject.stage == "loading":
            return "they come when the engine has found them"
        return "none yet: press 1 for the plan, and p there to look at a preset's subpopulations before any attack"

    def _head(self) -> None:
        """What is looked at, and how far the engine is with it."""
        subject, styles = self.subject, tones(self.app.theme_variables)
        quiet = styles["quiet"]
        if not subject.name:
            self.query_one("#subject", Lines).show([Text(" nothing chosen", style=quiet)])
            return
        kind = f"run {subject.run_id}" if subject.run_id else "preview, nothing attacked yet"
        lines = [Text.assemble((f" {fmt.clean(subject.name)}", styles["title"]), (f"  {kind}", quiet))]
        if subject.deviations:
            of_run = self.host.run_row(subject.run_id)
            text = of_run.scenario_toml if of_run is not None else subject.text
            warning = fmt.wrapped(run_words.warning(subject.deviations, text), self.size.width, 2)
            lines += [Text(line, style=styles["warn"]) for line in warning]
        if line := about.count_line(subject.account, styles):
            lines.append(line)
        run = self.host.run_row(subject.run_id)
        if run is not None and run.alive and not self.pane.table.model.rows:
            share = run_words.phase_share(run.phase)
            lines.append(Text(f" {fmt.bar(share, 30)} the engine is at work: {fmt.clean(run.phase)}"))
        elif subject.stage == "loading":
            spent = monotonic() - subject.since
            eta_s, share = subject.pace.eta_s, subject.pace.share
            left = f", {fmt.duration(eta_s)} left of this step" if eta_s is not None else ""
            lines.append(Text(f" {fmt.bar(share, 30)} {int(share * 100):3d} %  {fmt.clean(subject.status)} · {fmt.duration(spent)}{left}"))
        elif subject.stage == "failed":
            wrapped = fmt.wrapped(f"✗ {fmt.clean(subject.status, 2000)}", self.size.width)
            lines += [Text(line, style=styles["bad"]) for line in wrapped]
        self.query_one("#subject", Lines).show(lines)

    # ---- the process that holds the data ----

    @work(exclusive=True, group="preview", exit_on_error=False)
    async def _discover(self) -> None:
        subject = self.subject
        folder = str(subject.folder) if subject.folder else None
        asked = {"discover": subject.text, "data": str(self.host.data_dir), "folder": folder}
        await self.process.ask({**asked, "predict": True} if subject.predict else asked)
        await self.process.listen()

    def _answered(self, answer: dict[str, Any]) -> None:
        subject = self.subject
        if "progress" in answer:
            subject.status = str(answer["progress"][0])
            subject.pace.at(subject.status, float(answer["progress"][1]))
        elif "found" in answer:
            subject.stage, subject.deviations = "ready", tuple(answer["deviations"])
            subject.account = of_json(answer["about"])
            self.pane.table.load([members.discovered_cells(one) for one in answer["found"]])
            if subject.predict:
                self.pane.table.rank_by("predicted")
            self.pane.caption()
            self.ask_members()
        elif "ready" in answer:
            subject.stage = "ready"
            self.ask_members()
        elif "members" in answer:
            self.show_members(answer["members"])
        elif answer.get("asked"):  # a look that came to nothing; the data are there all the same
            self.notify(str(answer["error"]), severity="error", timeout=8)
        elif "error" in answer and not (answer.get("ended") and subject.stage == "failed"):
            subject.stage, subject.status = "failed", str(answer["error"])
        self._head()
        self.refresh_bindings()

    @on(LiveTable.Highlighted, "#subpopulations LiveTable")
    def _another(self) -> None:
        self.ask_members()

    @property
    def looked_at(self) -> int | None:
        key = self.pane.table.cursor_key
        return int(str(key[0])) if key is not None and self.subject.stage == "ready" else None

    @on(PictureGrid.Wanted)
    def _more_pictures(self, event: PictureGrid.Wanted) -> None:
        self.ask_members(event.first)

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not hasattr(self, "feed"):
            return False
        has_rows = bool(self.pane.table.model.rows)
        if action == "cancel":
            return self.subject.stage == "loading"
        if action == "about":
            return bool(self.subject.account or (self.subject.run_id and has_rows))
        if action == "members":
            return bool(self.subject.run_id) and has_rows and self.subject.stage in ("", "failed")
        if action in ("split", "rate", "size", "wide"):
            return self.can_look(action, parameters, ready=self.subject.stage == "ready")
        if action == "predict":
            return has_rows and bool(self.subject.text) and self.subject.stage == "ready" and not self._foretold
        if action == "mark_predicted":
            return bool(self._foretold)
        return has_rows if action == "attack" else True

    @property
    def _foretold(self) -> dict[Key, float]:
        """What is foretold of those that can be attacked, by the rows' keys."""
        at = {column.name: place for place, column in enumerate(SPECS["subpopulations"].columns)}
        able = self._able
        known = {key: row for key, row in self.pane.table.model.rows.items() if key in able and isinstance(row[at["predicted"]], float)}
        return {key: float(str(row[at["predicted"]])) for key, row in known.items()}

    @property
    def _able(self) -> set[Key]:
        """Those that can be attacked: of a size that the scenario attacks, and with test rows."""
        at = {column.name: place for place, column in enumerate(SPECS["subpopulations"].columns)}
        least, most = members.sizes_attacked(self._scenario_text)
        rows = self.pane.table.model.rows
        return {key for key, row in rows.items() if row[at["test_rows"]] and least <= float(str(row[at["aux_rows"]])) <= most}

    @property
    def _scenario_text(self) -> str:
        run = None if self.subject.text else self.host.run_row(self.subject.run_id)
        return run.scenario_toml if run else self.subject.text

    def action_predict(self) -> None:
        """Foretell the damage of what is looked at, once its price was said."""
        from tui.dialogs.confirm import Confirm

        subject = self.subject
        price = members.price_of_prediction(subject.text, len(self._able))

        def answered(yes: bool | None) -> None:
            if yes and subject is self.subject:
                self.process.close()
                subject.predict, subject.stage, subject.status = True, "loading", "starting the engine"
                subject.pace, subject.since = Pace(), monotonic()
                self.pane.table.load(())
                self._discover()
                self._update()

        self.host.push_screen(Confirm("Foretell damage", price, "Train them"), answered)

    def action_mark_predicted(self) -> None:
        """Mark as many of the predicted worst as the scenario would attack by prediction, nothing else."""
        table = self.pane.table
        worst = self._predicted_worst(members.how_many_predicted(self._scenario_text))
        table.model.mark_only(set(worst))
        self.subject.by_prediction = True
        table.refresh()
        self.pane.caption()
        self.notify(f"the {len(worst)} of largest predicted damage are marked; a attacks them", timeout=4)

    def _predicted_worst(self, many: int) -> list[Key]:
        foretold = self._foretold
        return sorted(foretold, key=lambda key: (-foretold[key], int(str(key[0]))))[:many]

    def action_members(self) -> None:
        subject = self.subject
        subject.stage, subject.status, subject.pace, subject.since = "loading", "loading the data", Pace(), monotonic()
        if subject.run_id:
            self.load_run(subject.run_id)

    def action_wide(self) -> None:
        """The members alone, or beside the subpopulations again."""
        self.toggle_class("-wide-members")
        beside = self.pictures.grid if self.has_class("-pictures") else self.members.table
        (beside if self.has_class("-wide-members") else self.pane.table).focus()

    def action_about(self) -> None:
        """What there is to know about the data, to read."""
        from tui.dialogs.reader import Reader

        subject = self.subject
        self.host.push_screen(Reader(about.TITLE, subject.no_account or about.reading(subject.account)))

    def _learn_account(self) -> None:
        """A run's account lies in the store from its discovery on."""
        subject, store = self.subject, self.host.store
        if subject.run_id and subject.account is None and store is not None and not subject.no_account:
            try:
                subject.account = store.account(subject.run_id)
            except StoreError as error:
                subject.no_account = str(error)

    def action_cancel(self) -> None:
        self.process.close()
        if self.run_loaded:
            self.leave_run()
            self.host.run_data.close()
        self.subject.stage, self.subject.status = "failed", "cancelled; p in the plan starts it again"
        self._head()
        self.refresh_bindings()

    def action_attack(self) -> None:
        """Launch on the marked subpopulations, or on all that the scenario chooses where none is marked."""
        from tui.dialogs.launch import LaunchDialog

        subject, run = self.subject, self.host.run_row(self.subject.run_id)
        stored = not subject.text
        text = (run.scenario_toml if run else "") if stored else subject.text
        marks = self.pane.table.model.marks
        marked = tuple(sorted(int(str(key[0])) for key in marks))
        name = f"{subject.name} {'marked' if marked else 'again'}"[:60] if subject.run_id else subject.name
        # as `p` marked them: the run chooses the same by itself, and says so
        worst = len(marks) if marks and subject.by_prediction and not members.attacks_some(text) else 0
        worst = worst if marks == set(self._predicted_worst(worst)) else 0
        dialog = LaunchDialog(
            text, name, only=() if worst else marked, predicted=worst, folder=subject.folder, stored=stored, predict=subject.predict
        )
        self.host.push_screen(dialog, self.host.show_run)
