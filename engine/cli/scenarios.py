"""Commands about scenarios: presets, show, discover, bench."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import ClusterOption, DataOption, JsonOption, ScenarioArgument, SetOption, SmokeOption
from engine.errors import MissingData, RequestError

if TYPE_CHECKING:
    from engine.scenario.sections import DatasetSection, Scenario


def presets(data: DataOption = None, json: JsonOption = False) -> None:
    """List the scenarios that ship with subpop.

    For each: what it runs, what it reproduces, whether its data and weights are here (random weights need none), and its rough cost.
    """
    from engine import datasets
    from engine.scenario.presets import catalog

    root = datasets.data_dir(data)
    rows: list[dict[str, object]] = []
    for preset in catalog():
        try:
            state = datasets.state(preset.dataset, root)
            data_here, detail = state.present, state.detail
        except RequestError as error:  # a kind this version cannot load
            data_here, detail = False, error.what
        rows.append(
            {
                "name": preset.name,
                "title": preset.title,
                "dataset": preset.dataset,
                "model": preset.model,
                "subpopulations": preset.subpopulations,
                "reproduces": preset.reproduces or None,
                "data_here": data_here,
                "data": detail,
                "weights": preset.weights,
                "weights_here": preset.weights_state.present,
                "weights_detail": preset.weights_state.detail,
                "cost": preset.cost,
                "path": str(preset.path),
            }
        )
    if json:
        cli_text.data(rows)
        return
    columns = ("name", "dataset", "model", "reproduces", "here", "cost")
    cli_text.table(columns, [[{**row, "here": _here(row)}[name] for name in columns] for row in rows])


def _here(row: dict[str, object]) -> str:
    lacks = [what for what in ("data", "weights") if not row[f"{what}_here"]]
    return f"{' and '.join(lacks)} to fetch" if lacks else "yes"


def show(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Print a scenario as TOML, defaults filled in.

    The output is itself a scenario file: a place to start your own from.
    """
    from engine.scenario.identity import dump
    from engine.scenario.parse import load

    cli_text.document(dump(load(scenario, set_ or (), smoke, cli_text.note)).rstrip("\n"))


def discover(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    smoke: SmokeOption = False,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N, for the adversary's model; of a list the first.")
    ] = None,
    data: DataOption = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Also foretell each one's damage, by clean models alone: says what that costs, and does it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find the subpopulations, without attacking any.

    Sizes are rows in train, aux and test. Confidence is the mean probability that the adversary's model gives the true class over
    the subpopulation's auxiliary rows, cross-fitted; accuracy is that model's on the subpopulation's test rows. All are fractions.

    With --predict a column more: the damage that poison at the largest alpha is foretold to do, on the auxiliary rows, by the last layers
    of a few clean models. It ranks, and is rough as a number: no poisoned victim is trained.

    What there is to know about the data goes to standard error: rows and classes of each split, every column and what became of it,
    what is odd.
    """
    from engine.scenario.claim import claimed, lead

    overrides = [*(set_ or ()), *(["triage.predict=true"] if predict else [])]
    loaded, root = ready(scenario, overrides, smoke, device, data)
    with cli_text.progress() as report:
        report("loading torch", 0.0)
        from engine.pipeline import order as pipeline

        discovery = pipeline.discover(loaded, root, device=plain_device(loaded), log=cli_text.note, progress=report, with_poison=False)
    for deviation in pipeline.deviations(loaded, discovery.dataset):
        if deviation not in discovery.dataset.deviations:  # those were said with the rest about the data
            cli_text.note(f"{lead(claimed(loaded.model_dump()))}: {deviation}")
    if json:
        cli_text.data(discovery.subpopulations)
        return
    foretold = ("predicted",) if loaded.predicts else ()
    columns = ("subpopulation", "train", "aux", "test", "confidence", "accuracy", *foretold, "target", "attacked", "description")
    rows = [
        (
            s.index,
            s.train_rows,
            s.aux_rows,
            s.test_rows,
            s.confidence,
            s.clean_accuracy,
            *((s.predicted,) if foretold else ()),
            s.target_label or ("each its own" if s.attacked else None),
            "yes" if s.attacked else f"no: {s.reason}",
            s.description,
        )
        for s in discovery.subpopulations
    ]
    cli_text.table(columns, rows, right=columns[: 6 + len(foretold)])


def bench(
    scenario: ScenarioArgument = "adult-clustermatch",
    set_: SetOption = None,
    smoke: SmokeOption = False,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N; of a list the first.")] = None,
    cluster: ClusterOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Measure victims per hour here, stacked and one by one.

    In one run, the same victims with the same poison, batch and epochs: one by one in a plain PyTorch loop, one by one with
    scikit-learn, and stacked. Also the ratios, and the share that training reaches of a limit of this machine, measured in the same run
    in the run's precision: dense layers, of its rate of a matrix product; networks of pictures, of the higher of its rates of a matrix
    product and a 3x3 convolution; the last layer of a BERT, of its copy bandwidth (bytes that a step must move, over time); texts'
    encoders trained whole, of its rate of a matrix product, padding not counted (MFU).

    With --cluster instead the first stacks of the scenario's plan, by all cores or GPUs of this host and by the cluster's nodes, and
    whether both came to the same predictions.
    """
    loaded, root = ready(scenario, set_, smoke, at_cluster(device, cluster), data)
    say = cli_text.note if json else cli_text.line
    if cluster is not None:
        from engine.runs import cluster_bench

        both = cluster_bench.run(loaded, root, cluster, report=cli_text.note)
        if json:
            cli_text.data({**dataclasses.asdict(both), "times": both.times})
        else:
            for said in both.lines():
                cli_text.line(said)
        return
    say("loading torch")
    from engine.pipeline import bench as bench_

    measured = bench_.run(loaded, root, device=plain_device(loaded), report=say)
    if json:
        cli_text.data({**dataclasses.asdict(measured), "limit_share": measured.limit.share})


# ---- shared ---------------------------------------------------------------------------------------------------------


def ready(name: str, overrides: list[str] | None, smoke: bool, device: str | None, data: Path | None) -> tuple[Scenario, Path]:
    """The scenario asked for, which can be carried out here, and the data folder with the data in it: fetched now where missing."""
    from engine import datasets, precheck
    from engine.scenario.parse import load
    from engine.system import devices

    settings = [*(overrides or ()), *([f"compute.device={device}"] if device is not None else [])]
    scenario = load(name, settings, smoke, cli_text.note)
    if scenario.compute.device != "auto":
        devices.resolve_all(scenario.compute.device)  # a GPU that is not here is a wrong request, not a failed run
    root = datasets.data_dir(data)
    precheck.check_here(scenario, root)
    fetch_missing(scenario.dataset, root)
    look_at_cluster(scenario)
    return scenario, root


def look_at_cluster(scenario: Scenario) -> None:
    """RequestError where a scenario's victims are to be trained by a cluster that is not there, or not as it must be."""
    from engine.system import devices

    address = scenario.compute.device
    if devices.is_cluster(address):
        from engine.runs.executors import nodes

        cli_text.note(f"looking at the nodes of {address}")
        found = nodes.apart(scenario, address)
        cli_text.note(f"it has {', '.join(f'{node.name} ({len(node.devices)} x {node.devices[0]})' for node in found)}")


def at_cluster(device: str | None, cluster: str | None) -> str | None:
    """What --device or --cluster say, of which a run has one: the address of a cluster stands in a device's place."""
    if cluster is None:
        return device
    if device is not None:
        raise RequestError("not with --cluster, whose nodes' devices train", where="--device", next="give one of the two")
    from engine.runs.executors import joining

    joining.check_address(cluster)
    return cluster


def fetch_missing(section: DatasetSection, root: Path) -> None:
    """Downloads what the dataset lacks. Raises MissingData where that cannot be done."""
    from engine import datasets

    state = datasets.state(section, root)
    if state.present:
        return
    with cli_text.progress() as report:
        fetched = datasets.fetch(section.kind, root, report)
    if not fetched:  # nothing to download: it is a file of the user's own
        raise MissingData(state.detail, where=f"dataset.{section.kind}", next="check dataset.path")


def plain_device(scenario: Scenario) -> str:
    """Where discovery and bench compute: `auto` means the CPU, on which small models are quick; of several, the first."""
    from engine.system import devices

    return "cpu" if scenario.compute.device == "auto" else devices.resolve_all(scenario.compute.device)[0]
