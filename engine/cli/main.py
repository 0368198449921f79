"""The command line: `subpop`. Thin: it turns words into calls and errors into one message and an exit status."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from engine.cli import again as cli_again
from engine.cli import data as cli_data
from engine.cli import drafts as cli_drafts
from engine.cli import export as cli_export
from engine.cli import plots as cli_plots
from engine.cli import results as cli_results
from engine.cli import runs as cli_runs
from engine.cli import scenarios as cli_scenarios
from engine.cli import shards as cli_shards
from engine.cli import text as cli_text
from engine.cli.text import DataOption, StoreOption
from engine.errors import RequestError, SubpopError, nearest


class Commands(typer.core.TyperGroup):
    """The commands, and in a command's place a file to open: `subpop loans.csv`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if self.get_command(ctx, word) is None:
            if _is_there(word):
                return OPEN, self.get_command(ctx, OPEN), args
            raise _no_such(word, [name for name in self.list_commands(ctx) if name != OPEN])
        return super().resolve_command(ctx, args)


COMPLETE = "_SUBPOP_COMPLETE"  # set by the shell when it asks for completions
OPEN = "open-file"  # what stands for a file in a command's place

app = typer.Typer(
    name="subpop",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    cls=Commands,
)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    store: StoreOption = None,
    data: DataOption = None,
) -> None:
    """Which slices of a population could a data poisoner quietly break, and how much poison does it take?

    Alone, `subpop` opens the terminal app; `subpop FILE` with a table, a text file, a folder of pictures or a scenario of your own.
    Start with: subpop run quickstart

    Exit status: 0 done; 1 the run failed; 2 the request was wrong, with one message that says what, where and what to do;
    130 interrupted.
    """
    # The same fallbacks that every command and a run's own process already read.
    if store is not None:
        os.environ["SUBPOP_STORE"] = str(store.expanduser().absolute())
    if data is not None:
        os.environ["SUBPOP_DATA"] = str(data.expanduser().absolute())
    if version:
        from engine.system.installed import DISTRIBUTION, library_version

        cli_text.line(f"subpop {library_version(DISTRIBUTION)}")
    elif context.invoked_subcommand is None:
        raise typer.Exit(context.obj(None))


for command in (
    cli_drafts.init,
    cli_drafts.columns,
    cli_scenarios.presets,
    cli_scenarios.show,
    cli_scenarios.discover,
    cli_runs.run,
    cli_again.again,
    cli_runs.runs,
    cli_runs.watch,
    cli_runs.pause,
    cli_runs.resume,
    cli_runs.stop,
    cli_runs.delete,
    cli_export.export,
    cli_plots.plot,
    cli_results.compare,
    cli_results.check,
    cli_results.bundle,
    cli_results.rename,
    cli_results.note,
    cli_shards.plan,
    cli_shards.work,
    cli_shards.slurm,
    cli_shards.merge,
    cli_scenarios.bench,
):
    app.command()(command)
app.command("open")(cli_results.open_)


@app.command(OPEN, hidden=True)
def open_file(context: typer.Context, file: str) -> None:
    """Open the app with a file: a scenario, a table, a folder of pictures."""
    raise typer.Exit(context.obj(_opened(file)))


app.add_typer(cli_data.app, name="data")


@cache
def command_line() -> Any:
    """The commands, put together once a process."""
    return typer.main.get_command(app)


def no_app(path: Path | None = None) -> int:
    """Where the command line is run without the terminal app behind it."""
    raise RequestError("no command was given", next="see subpop --help; `subpop` alone opens the terminal app")


def main(arguments: Sequence[str] | None = None, *, open_app: Callable[[Path | None], int] = no_app) -> int:
    """Run one command line (None: this process's) and return its exit status. Never lets an exception through.

    open_app: what runs where no command is given, or a file in its place; it stands above this package and so is handed down.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # started with its output closed: what is printed goes nowhere
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a dash must not fail where the terminal knows only ASCII
    environment = {name: os.environ.get(name) for name in ("SUBPOP_STORE", "SUBPOP_DATA")}
    try:
        if not words and COMPLETE not in os.environ:
            return open_app(None)  # without typer's start-up
        if len(words) == 1 and COMPLETE not in os.environ and words[0] not in _names() and _is_there(words[0]):
            return open_app(_opened(words[0]))
        status = command_line().main(args=words, prog_name="subpop", standalone_mode=False, obj=open_app)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:  # `subpop runs | head`: the reader has what it wanted
        _drop_stdout()
        return 0
    except SystemExit as left:  # typer turns a broken pipe into one
        if isinstance(left.__context__, BrokenPipeError):
            _drop_stdout()
            return 0
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except SubpopError as error:
        return _fail(str(error), error.exit_status)
    except Exception as error:
        return _other(error, words)
    finally:
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@cache
def _names() -> frozenset[str]:
    """The commands' names."""
    named = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    return frozenset([*named, *(str(group.name) for group in app.registered_groups)])


def _is_there(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # longer than a name may be, a character no name may have, no such user
        return False


def _opened(word: str) -> Path:
    """The file to open, looked at: what the app could make nothing of is refused here, without it."""
    from engine.drafting.sniffing import sniff

    path = Path(word).expanduser()
    sniff(path)
    return path


def _no_such(word: str, commands: Sequence[str]) -> RequestError:
    """That a word is neither a command nor a file, with the nearest of both."""
    folder, name = os.path.split(word)
    try:
        files = [each for each in os.listdir(folder or ".") if not each.startswith(".")]
    except OSError:
        files = []
    near = nearest(word, commands) or ((beside := nearest(name, files)) and os.path.join(folder, beside))
    if word in ("list", "fetch", "path"):
        return RequestError(f"no such command {word!r}, and no file of that name", next=f"it is: subpop data {word}")
    hint = f"did you mean {near!r}? " if near else ""
    return RequestError(f"no such command {word!r}, and no file of that name", next=f"{hint}see subpop --help")


def _other(error: Exception, words: Sequence[str]) -> int:
    """What is no error of ours: a usage error of typer's, the system's refusal, or a bug."""
    if hasattr(error, "format_message"):  # typer's usage errors, whichever click they come from
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "subpop"
        message = " ".join(error.format_message().rstrip(".").split())
        return _fail(f"{path}: {message[:1].lower()}{message[1:]}; see {path} --help", 2)
    if type(error).__name__ == "Abort":
        return _fail("interrupted", 130)
    if isinstance(error, FileNotFoundError) and not error.filename and not _stands_somewhere():
        return _fail("the folder that this shell stands in was deleted; cd to one that exists", 2)
    if isinstance(error, OSError) and (error.filename or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _fail(
            f"{error.filename or 'the output'}: {error.strerror}; {'free some space' if full else 'check the path and its permissions'}",
            1 if full else 2,
        )
    log = _log_bug(words)
    detail = " ".join(f"{type(error).__name__}: {error}".split())
    return _fail(f"this is a bug in subpop ({detail[:200]}); please report it with the details in {log}", 1)


def _stands_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _fail(message: str, status: int) -> int:
    try:
        sys.stdout.flush()
        cli_text.failure(f"subpop: {message}" if not message.startswith("subpop") else message)
    except (OSError, ValueError):
        _drop_stdout()
    return status


def _drop_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush does not fail on a closed pipe."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass  # a stdout that is no file


def _log_bug(words: Sequence[str]) -> str:
    """Writes the current traceback beside the store, else in the temporary folder; where it is, in words."""
    from engine.store import default_path

    text = f"subpop {' '.join(map(repr, words))}\n\n{traceback.format_exc()}"
    name = time.strftime(f"subpop-bug-%Y%m%d-%H%M%S-{secrets.token_hex(3)}.log")
    for folder in (_given_store(words) or default_path().parent, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A new file, or none: in a folder that others write to, one of this name may be their link to a file of ours.
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
        except OSError:
            continue
        return str(folder / name)
    return "no file: none could be written"


def _given_store(words: Sequence[str]) -> Path | None:
    for at, word in enumerate(words):
        if word.startswith("--store="):
            return Path(word.removeprefix("--store=")).expanduser().parent
        if word == "--store" and at + 1 < len(words):
            return Path(words[at + 1]).expanduser().parent
    return None


if __name__ == "__main__":
    sys.exit(main())
