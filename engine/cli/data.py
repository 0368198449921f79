"""Commands about data: list, fetch, path; and what is kept of it in the cache: clean."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import DataOption, JsonOption


def dataset_names(incomplete: str) -> list[tuple[str, str]]:
    """For shell completion."""
    from engine.datasets import summaries

    return [(name, summary) for name, summary in summaries().items() if name.startswith(incomplete)]


app = typer.Typer(help="Datasets: which are here, fetch one, where they lie; and the cache.", invoke_without_command=True)


@app.callback(invoke_without_command=True)
def default(context: typer.Context, data: DataOption = None, json: JsonOption = False) -> None:
    """Datasets: which are here, fetch one, where they lie. Alone it lists."""
    if context.invoked_subcommand is None:
        list_(data, json)


@app.command("list")
def list_(data: DataOption = None, json: JsonOption = False) -> None:
    """List every dataset this version can load, and whether its files are on this machine."""
    from engine import datasets

    root = datasets.data_dir(data)
    rows = []
    for name, summary in datasets.summaries().items():
        state = datasets.state(name, root)
        rows.append(
            {"name": name, "here": state.present, "detail": state.detail, "summary": summary, "files": [str(f) for f in state.files]}
        )
    if json:
        cli_text.data(rows)
        return
    columns = ("name", "here", "detail", "summary")
    cli_text.table(columns, [[row[column] for column in columns] for row in rows])
    from engine.system import cache
    from engine.system.filesystem import cache_dir

    entries, most = cache.entries(), cache.bound()
    size = sum(entry.size for entry in entries)
    cli_text.note(
        f"cache: {_bytes(size)} in {_counted(len(entries))} in {cache_dir()}, kept below {_bytes(most)} (${cache.VARIABLE}); "
        "subpop data clean makes room"
    )


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset of `subpop data list`.", autocompletion=dataset_names)],
    data: DataOption = None,
) -> None:
    """Download a dataset's official files where they are missing, and verify all of their checksums."""
    from engine import datasets

    root = datasets.data_dir(data)
    with cli_text.progress() as report:
        files = datasets.fetch(name, root, report)
    if not files:
        cli_text.note(f"{name} needs no download: {datasets.state(name, root).detail}")
    for file in files:
        cli_text.line(str(file))


@app.command()
def path(data: DataOption = None) -> None:
    """Print the folder that datasets are looked for in."""
    from engine import datasets

    cli_text.line(str(datasets.data_dir(data)))


@app.command()
def clean(
    everything: Annotated[bool, typer.Option("--all", help="All of it, but for what a run is using now.")] = False,
) -> None:
    """Remove from the cache what was not used for 30 days, and what killed runs left unfinished. No data set is touched.

    The cache holds what can be made again: decoded pictures, read texts, tokens, frozen features and hidden states. It keeps itself below
    20 GB or a fifth of its disk, whichever is less, or below $SUBPOP_CACHE_GB: what was not used for longest goes first.
    """
    from engine.system import cache

    cache.bound()  # a bound that is none is said before anything is removed
    removed = cache.clean(everything)
    for entry in removed.entries:
        cli_text.line(f"removed {entry.kind}/{entry.stem} ({_bytes(entry.size)}, last used {cli_text.ago(entry.used)})")
    left = sum(entry.size for entry in cache.entries())
    kept = f"; {_counted(removed.in_use)} kept: in use, or not yours to remove" if removed.in_use else ""
    cli_text.note(f"removed {_counted(len(removed.entries))}, {_bytes(removed.size)}; {_bytes(left)} left{kept}")


def _bytes(size: int) -> str:
    """As "1.2 GB"."""
    unit, name = next(((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= unit), (1.0, "bytes"))
    return f"{size / unit:.0f} {name}" if name == "bytes" else f"{size / unit:.1f} {name}"


def _counted(entries: int) -> str:
    return f"{entries:,} {'entry' if entries == 1 else 'entries'}"
