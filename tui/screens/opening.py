"""Opening a file: a scenario as its form, a bundled run in Runs, data of one's own as a form that is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.drafting.looks import Draft
from engine.versions import UNVERIFIED
from tui.dialogs.open_file import OpenFile
from tui.dialogs.reading import ReadingDialog
from tui.services.file_columns import FileColumns

if TYPE_CHECKING:
    from tui.session import Session

SCENARIO, BUNDLE = ".toml", ".subpop"
SQLITE = b"SQLite format 3\0"  # how a store's file begins
WHAT = "open a file: data of your own, a scenario, or a run that somebody bundled"
REMEMBERED = "scenario_path"  # in the settings: what was opened last


def ask(host: Session) -> None:
    """Ask for a file, or a folder of pictures, and open it."""

    def named(path: str | None) -> None:
        if path:
            open_path(host, Path(path.strip()).expanduser())

    host.push_screen(OpenFile(host.settings.get(REMEMBERED, "")), named)


def open_path(host: Session, path: Path) -> None:
    """Open it; what cannot be opened is said."""
    path = path.absolute()
    host.settings.put(REMEMBERED, str(path))
    if path.suffix.lower() == BUNDLE or _is_store(path):
        _take_bundle(host, path)
    elif path.suffix.lower() == SCENARIO:
        _open_scenario(host, path)
    else:
        _draft(host, path)


def _open_scenario(host: Session, path: Path) -> None:
    from tui.screens.form import FormScreen

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        host.notify(f"{path}: {error}", severity="error", timeout=10)
        return
    host.switch_mode("plan")
    host.push_screen(FormScreen(text, path.stem, path=path))


def _is_store(path: Path) -> bool:
    """Whether a file under another name is a bundle all the same: one is a small store."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


def _take_bundle(host: Session, path: Path) -> None:
    """Take a bundle's run into the store, and show it in Runs."""

    def take() -> None:
        from engine.store import Store
        from engine.store.bundle import open_bundle as opened

        try:
            assert host.store is not None
            host.store.check_writable()
            with Store.open(host.store_file) as store:
                run_id = opened(store, path)
                unverified = store.run(run_id).unverified
        except Exception as error:  # whatever it is, it must be said here
            message = str(error)
            host.call_from_thread(lambda: host.notify(message, title="open a bundle", severity="error", timeout=10))
        else:
            host.call_from_thread(arrived, run_id, unverified)

    def arrived(run_id: str, unverified: bool) -> None:
        host.show_run(run_id)
        run = host.run_row(run_id)
        words = f"{run.name if run else run_id} is here; its tables are worked out again, the rest is taken at its word"
        host.notify(f"{words}. Unverified: {UNVERIFIED}" if unverified else words, timeout=6)

    host.run_worker(take, thread=True, exit_on_error=False)


def _draft(host: Session, path: Path) -> None:
    """A process beside the app reads it; the form opens with what was found."""
    file = FileColumns()

    def read(draft: Draft | None) -> None:
        from tui.screens.form import FormScreen

        if draft is None:
            file.close()
            return
        host.push_screen(FormScreen(draft.toml, draft.name, home=path.parent, drafted=draft, file=file))

    host.switch_mode("plan")
    host.push_screen(ReadingDialog(file, path), read)
