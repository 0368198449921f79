"""The command `subpop again`: some subpopulations of a run once more."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import DataOption, RunArgument, SetOption, StoreOption


def again(
    run: RunArgument,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="3,17,42",
            help="Subpopulations by their numbers in the tables; or worst:3, the three worst with enough test rows; or "
            "predicted:3, those that clean models foretell to be worst.",
        ),
    ],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Count fresh trials alone, with numbers of their own: none that was looked at.")
    ] = False,
    set_: SetOption = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name for the run. Default: the other's, and `again`.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it, print its id and return; it goes on without this terminal.")] = False,
    store: StoreOption = None,
    data: DataOption = None,
) -> None:
    """Attack some subpopulations of a run again.

    A new run of the same scenario with these subpopulations alone, and more trials or other alphas: --set evaluation.trials=6, --set
    attack.alphas=[0.5,1,2,4]. It takes over what is the same: the subpopulations, the clean victims, and the poisoned ones with the
    same trial, subpopulation and poison. The other run stays as it is.

    Subpopulations that were marked because they looked worst did so by chance in part, and their trials count again here, which is said
    in the run's deviations; of predicted:3 no trial had a part in the choice, which is said as well. With --fresh only trials count that
    nobody has seen.

    Exit status: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted or stopped.
    """
    from engine import datasets
    from engine.cli.runs import opened_store, with_tables
    from engine.cli.scenarios import fetch_missing, look_at_cluster
    from engine.cli.watch import follow
    from engine.runs import again as again_
    from engine.system import devices

    with opened_store(store) as opened:
        parent = with_tables(opened, [run])[0].id
        marked, overrides = again_.marked(opened, parent, only), set_ or []
        scenario = again_.scenario_of(opened, parent, marked, overrides, fresh=fresh, say=cli_text.note)
        if scenario.compute.device != "auto":
            devices.resolve_all(scenario.compute.device)
        place = data or opened.data_dir(parent)
        fetch_missing(scenario.dataset, datasets.data_dir(place))
        predicted = again_.by_prediction(only)
        look_at_cluster(scenario)
        row = again_.start(opened, parent, marked, overrides, fresh=fresh, name=name, data_dir=place, predicted=predicted)
        if detach:
            cli_text.line(row.id)
            cli_text.note(f"run {row.id} goes on by itself: subpop watch {row.id}")
            return
        follow(opened, row.id, stop_on_interrupt=True)
