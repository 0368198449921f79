"""What dialogs that write a file or a folder share: the default place, the outcome, and a notification of it if the dialog was closed."""

from __future__ import annotations

from pathlib import Path

from engine.rows import RunRow
from tui.dialogs.base import Dialog
from tui.widgets.plain import Static


class WritingDialog(Dialog[None]):
    """Its body has a Static `#outcome`, of class -bad after a failure and -written once all is there."""

    def folder_and_name(self, run: RunRow) -> tuple[Path, str]:
        """The folder of the last export, and the run's name as a file may be called."""
        folder = Path(self.host.settings.get("export_folder", "") or ".")
        name = "".join(char if char.isalnum() or char in "-_." else "-" for char in run.name)[:40].strip("-.")
        return folder, name or "run"

    def path_given(self, value: str, what: str) -> Path | None:
        """The path that was typed; where there is none, None, and a message that asks for it. what: "a file to write"."""
        if text := value.strip():
            return Path(text).expanduser().absolute()
        self.say(f"name {what}", good=False)
        return None

    def action_close(self) -> None:
        self.dismiss(None)

    def done(self, outcome: str, good: bool) -> None:
        """Show how the writing ended."""
        if self.is_attached:
            self.say(outcome, good)
        else:
            self.app.notify(outcome, severity="information" if good else "error", timeout=10)

    def say(self, outcome: str, good: bool | None) -> None:
        """good: None while it is going on."""
        shown = self.query_one("#outcome", Static)
        shown.update(outcome)
        shown.set_class(good is False, "-bad")
        shown.set_class(good is True, "-written")
