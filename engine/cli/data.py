"""Commands about data: list, fetch, path."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import DataOption, JsonOption


def dataset_names(incomplete: str) -> list[tuple[str, str]]:
    """For shell completion."""
    from engine.datasets import summaries

    return [(name, summary) for name, summary in summaries().items() if name.startswith(incomplete)]


app = typer.Typer(help="Datasets: which are here, fetch one, where they lie.", invoke_without_command=True)


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
