"""What can be asked of the run that is shown: pause, resume, stop, why it failed. It only writes requests; the engine carries them out."""

from __future__ import annotations

from engine.rows import RunRow
from tui.presenters import runs as run_words
from tui.screens.run_keep import RunKeeping
from tui.themes import tones


class RunActions(RunKeeping):
    """Mixed into screens that show a run which may be at work."""

    @property
    def run_shown(self) -> RunRow | None:
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are offered only where they do something."""
        run = self.run_shown
        if run is not None and run.damaged and (action in ("pause", "resume") or (action == "stop" and not run.may_live)):
            return False
        if action == "pause":
            return bool(run and run.alive and run.state in ("running", "queued"))
        if action == "resume":
            return bool(run and (run.lost or run.state in ("paused", "stopped", "failed")))
        if action == "stop":
            return bool(run and (run.alive or run.lost))
        if action == "failure":
            return bool(run and (run.error or run.lost or run.state == "failed"))
        if action in ("results", "freeze", "other_run", "plots"):
            return run is not None
        return super().check_action(action, parameters)

    def styles_by_name(self) -> dict[str, str]:
        return tones(self.app.theme_variables)

    def _request(self, what: str, confirmation: str) -> None:
        run, store = self.run_shown, self.host.store
        if run is None or store is None:
            return
        from engine.runs import start as engine_run

        call = getattr(engine_run, what)
        self._ask(what, run.id, lambda: call(store, run.id), confirmation.format(name=run.name))

    def action_pause(self) -> None:
        self._request("pause", "asked {name} to pause")

    def action_resume(self) -> None:
        self._request("resume", "{name} goes on")

    def action_stop(self) -> None:
        run = self.run_shown
        if run is None:
            return
        from tui.dialogs.confirm import Confirm

        self.host.push_screen(
            Confirm("Stop the run", run_words.stop_question(run), "Stop"),
            lambda yes: self._request("stop", "asked {name} to stop") if yes else None,
        )

    def action_failure(self) -> None:
        """Why a run failed: the engine's whole message and the end of its log."""
        run, store = self.run_shown, self.host.store
        if run is None:
            return
        from tui.dialogs.reader import Reader

        log = store.log_rows(run.id)[-60:] if store is not None else []
        reason = run.error.strip() or (
            "its engine is gone; r resumes the run from what was committed" if run.lost else "no reason was recorded"
        )
        lines = [reason, "", "The end of its log:", *(f"{row.level:8}{row.message}" for row in log)]
        self.host.push_screen(Reader(f"{run_words.state_word(run)}: {run.name} ({run.id})", "\n".join(lines)))

    def action_launch_new(self) -> None:
        self.host.switch_mode("plan")
