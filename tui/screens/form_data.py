"""What the form knows of a scenario's data: whether they are here, the columns of one's own file, what is wrong with a path or a name.

Question of the disk in a thread, and of a process beside the app; nothing here waits. Mixed into the form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.worker import get_current_worker

from engine.drafting.looks import Draft
from tui.presenters import catalogue, launching
from tui.presenters.edited import PATHS, Edited, Judgement
from tui.screens.verdict import Looked, Verdict
from tui.services import devices, places
from tui.services.file_columns import FileColumns
from tui.widgets.field_row import FieldRow

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario
    from tui.screens.base import ModeScreen
    from tui.screens.columns import ColumnsScreen

    Base = ModeScreen
else:
    Base = object

OF_COLUMNS = ("table", "text_table")  # kinds whose file is a table
SECTIONS = ("dataset", "subpopulations")  # what a catalogue depends on


class FormData(Base):
    edited: Edited
    judged: Judgement
    rows: Mapping[str, FieldRow]
    drafted: Draft | None
    cost: str

    def say(self) -> None:
        raise NotImplementedError

    def show_values(self) -> None:
        raise NotImplementedError

    @property
    def verdict(self) -> Verdict:
        raise NotImplementedError

    def action_launch(self) -> None:
        raise NotImplementedError

    def start_with(self, file: FileColumns) -> None:
        """When the screen is made."""
        self.file = file
        self.file.changed = self._columns_changed
        self.looked = Looked()
        self.wrong_paths: dict[str, str] = {}
        self.columns_screen: ColumnsScreen | None = None

    def complete_names(self) -> None:
        """When the screen is mounted: what a line names, it completes."""
        for row in self.rows.values():
            if row.field.names == "columns":
                row.completes(self._columns_that_begin)
            elif row.field.names == "file":
                row.completes(self._paths_that_begin)

    async def _columns_that_begin(self, start: str) -> Sequence[str]:
        columns = self.file.catalog.columns if self.file.catalog else ()
        return [column.name for column in columns if column.name.lower().startswith(start.lower())]

    async def _paths_that_begin(self, start: str) -> Sequence[str]:
        return await self.file.complete(start, self.edited.folder)

    # ---- what is wrong, and what there is to say ----

    @property
    def wrong_of_data(self) -> dict[str, str]:
        """Key of a field -> what is wrong with the path or the column that it names."""
        catalog = self.file.catalog
        unknown = catalogue.unknown_columns(self.edited.values, self.edited.questions, catalog) if catalog else {}
        unread = {"dataset.path": self.file.error} if self.file.error else {}
        return {**unread, **unknown, **self.wrong_paths}

    @property
    def others(self) -> Sequence[str]:
        """What is wrong beside no field: what the loader would refuse the file for."""
        catalog = self.file.catalog
        refused = catalog.wrong if catalog is not None and not self.wrong_of_data and not self.judged.complaints else ()
        return (*self.judged.others, *refused)

    @property
    def about_data(self) -> Sequence[str]:
        leaks = [f"{name} tells the label: {leak.why}" for name, leak in self.file.leaks.items()]
        drafted = [self.drafted.label_why, *self.drafted.notes] if self.drafted else []
        return [note for note in dict.fromkeys([*leaks, *drafted, *(self.file.catalog.notes if self.file.catalog else ())]) if note]

    @property
    def groups(self) -> int | None:
        """How many subpopulations FeatureMatch may form at most, as far as the columns tell."""
        return catalogue.groups(self.edited.values, self.file.catalog) if self.file.catalog else None

    # ---- the disk ----

    def look(self) -> None:
        """Ask the disk and the store, in a thread."""
        edited = self.edited
        path_keys = [key for key in PATHS if edited.questions[key].field_in(edited.values)]
        named = {key: path_text for key in path_keys if isinstance(path_text := edited.get(key), str)}
        self._look(named, self.edited.folder, self.judged.scenario, "" if self.edited.changed else self.cost)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, named: dict[str, str], folder: Path | None, scenario: Scenario | None, cost: str) -> None:
        worker = get_current_worker()
        wrong = {key: complaint for key, path in named.items() if (complaint := places.trouble(path, folder))}
        looked = Looked()
        if scenario is not None and not wrong:
            total, counted = launching.victims(scenario, launching.most_subpopulations(scenario, self.groups))
            lines = [("Victims", counted), ("Takes", launching.cost(scenario, total, self.host.runs, cost))]
            lines.append(("Queue", launching.queue(scenario.device, self.host.runs, devices.has_gpu())))
            looked = Looked(places.places_of(scenario, self.host.data_dir, folder), tuple(lines))
        if not worker.is_cancelled and self.is_running:
            self.app.call_from_thread(self._looked, wrong, looked)

    def _looked(self, wrong: dict[str, str], looked: Looked) -> None:
        self.wrong_paths, self.looked = wrong, looked
        path, kind = self.edited.get("dataset.path"), self.edited.get("dataset.kind")
        if kind in OF_COLUMNS and isinstance(path, str) and path and "dataset.path" not in wrong:
            self._ask_columns(path, self._toml())
        else:
            self.file.forget()
        self.say()

    def _toml(self) -> str:
        from engine.scenario import toml as toml_text

        return toml_text.write({name: self.edited.values[name] for name in SECTIONS if name in self.edited.values})

    @work(group="columns", exit_on_error=False)
    async def _ask_columns(self, path: str, toml: str) -> None:
        await self.file.look(path, toml, self.edited.folder)

    # ---- the columns ----

    def _columns_changed(self) -> None:
        if self.is_running and self.is_mounted:
            self.say()

    def say_to_columns(self) -> None:
        """The screen of columns, where it is open, shows what is known by now."""
        if self.columns_screen is not None:
            self.columns_screen.show()

    def action_columns(self) -> None:
        """The columns of the file, and what each is used as."""
        from tui.screens.columns import ColumnsScreen

        screen = ColumnsScreen(self.edited, self.file, lambda: self.verdict, self.drafted)

        def closed(_: Any) -> None:
            self.columns_screen = None
            if screen.then == "launch":
                self.action_launch()

        self.columns_screen = screen
        screen.changed = self.show_values
        self.host.push_screen(screen, closed)

    def on_unmount(self) -> None:
        self.file.close()
