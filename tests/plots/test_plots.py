"""Plots against the tables they are made of, half filled and empty ones, and their files."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from engine import notebook
from engine.cli import main as cli
from engine.errors import RequestError, UnknownName
from engine.evaluation.dose import isotonic
from engine.export.everything import export_all
from engine.plots import PLOTS, Plot, Series, alphas_of, dose_response, plots_of, plots_of_run
from engine.plots import files as plots_files
from engine.plots.data import alt
from engine.plots.dose import at, quantile
from engine.plots.files import DPI, figure, png, svg, write
from engine.rows import StackPlan, Table
from engine.store import Store
from engine.tables import worst_over_trials
from engine.tables.build import build
from engine.tables.columns import SPECS
from engine.tables.figures import Figures
from engine.tables.world import World
from tests.worlds.evaluation import CLASSES, FACTS, discovered, foretold, victims

Tables = dict[str, Table]
OF_THE_RUN = tuple(name for name in PLOTS if name != "removals")  # which has predictions, and no defence
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tables() -> Tables:
    found = foretold(discovered())
    return dict(build(World.start(FACTS, found, victims(found))))


@pytest.fixture(scope="module")
def plots(tables: Tables) -> dict[str, Plot]:
    return plots_of(tables, notes=("random weights",), run="tiny")


def records(table: Table) -> list[dict[str, object]]:
    return [dict(zip([column.name for column in table.spec.columns], row, strict=True)) for row in table.rows]


def named(plot: Plot, name: str) -> Series:
    return next(each for each in plot.series if each.name == name)


def changed(table: Table, **cells: object) -> Table:
    """The table with those columns set in every row."""
    names = [column.name for column in table.spec.columns]
    return Table(table.spec, tuple(tuple(cells.get(name, cell) for name, cell in zip(names, row, strict=True)) for row in table.rows))


def test_what_a_defence_takes_is_drawn_from_the_rows_of_its_curve_alone(tables: Tables) -> None:
    def row(alpha: float, group: str, rows: float | None, gone: tuple[float | None, ...]) -> tuple[object, ...]:
        cells: dict[str, object] = dict.fromkeys(column.name for column in SPECS["defenses"].columns)
        shares = dict(zip(("poison_recall", "removed_own", "removed_others"), gone, strict=True))
        return tuple({**cells, "alpha": alpha, "group": group, "removed_rows": rows, **shares}.values())

    curve = (row(1, "most suspect 1 %", 10.0, (0.5, 0.25, 0.125)), row(1, "most suspect 0.1 %", 1.0, (0.0, None, 0.0)))
    other = (row(0.5, "most suspect 1 %", 9.0, (0.75, 0.0, 0.0)), row(1, "all", 50.0, (0.5, 0.5, 0.5)))
    made = {**tables, "defenses": Table(SPECS["defenses"], (*curve, *other))}
    plot = plots_of(made, ("removals",))["removals"]
    assert plot.title.endswith("alpha 1")
    assert {each.name: (each.x, each.y) for each in plot.series} == {
        "poison": ((1.0, 10.0), (0.0, 0.5)),
        "the target's own clean rows": ((10.0,), (0.25,)),
        "others' clean rows": ((1.0, 10.0), (0.0, 0.125)),
    }
    assert alphas_of(made, "removals") == (0.5, 1)
    assert named(plots_of(made, ("removals",), alpha=0.5)["removals"], "poison").y == (0.75,)
    assert png(plot)


# ---- values ---------------------------------------------------------------------------------------------------------


def test_all_are_there_and_say_what_the_run_is_not(plots: dict[str, Plot]) -> None:
    assert tuple(plots) == OF_THE_RUN
    for name, plot in plots.items():
        assert plot.name == name
        assert plot.title.endswith(": tiny")
        assert plot.notes[0] == "random weights"
        for each in plot.series:
            assert len(each.x) == len(each.y) > 0
            assert len(each.low) in (0, len(each.x))
            assert len(each.low) == len(each.high)
            assert len(each.keys) in (0, len(each.x))
            assert list(each.x) == sorted(each.x)
            assert not each.of or named(plot, each.of)
    assert plots_of({}) == {}
    with pytest.raises(KeyError):
        plots_of({}, ("dose",))


def test_dose_and_response_of_chosen_ones(tables: Tables) -> None:
    plot = dose_response(tables, [3, 1, 3])
    assert plot is not None
    assert [each.name for each in plot.series] == ["3: group 3", "3: fitted", "1: group 1", "1: fitted"]
    own = [row for row in records(tables["damage"]) if row["subpopulation"] == 3]
    seen, fitted = plot.series[0], plot.series[1]
    assert list(zip(seen.x, seen.y, seen.low, seen.high, strict=True)) == [(r["alpha"], r["damage"], r["low"], r["high"]) for r in own]
    assert seen.keys == (3,) * len(own)
    assert (fitted.x[0], fitted.y[0], fitted.of) == (0.0, 0.0, seen.name)
    expected = isotonic(np.array([[r["damage"] for r in own]], dtype=float), np.array([r["trials"] for r in own], dtype=float))[0]
    assert fitted.y[1:] == pytest.approx(expected, rel=1e-5)  # the table tells six digits
    assert plot.level == FACTS.dose_level
    assert any(note.startswith("3: reaches 0.2 at alpha 0.") for note in plot.notes)
    beyond = next(r["subpopulation"] for r in records(tables["dose"]) if r["alpha"] is None)
    told = dose_response(tables, [beyond])
    assert told is not None
    assert f"{beyond}: does not reach 0.2 by the largest alpha tried (> 1)" in told.notes
    assert dose_response(tables, [99]) is None


def test_dose_and_response_of_all(tables: Tables, plots: dict[str, Plot]) -> None:
    plot = plots["dose_response"]
    seen = named(plot, "each subpopulation")
    rows = {(r["alpha"], r["subpopulation"]): r["damage"] for r in records(tables["damage"])}
    assert {(x, key): y for x, y, key in zip(seen.x, seen.y, seen.keys, strict=True)} == rows
    curves = [dict(tuple(map(float, part.split(":"))) for part in str(r["curve"]).split()) for r in records(tables["dose"])]
    middle, half = named(plot, "median"), named(plot, "middle half")
    assert middle.x == (0.0, 0.5, 1.0)
    for alpha, *told in zip(middle.x, half.low, middle.y, half.high, strict=True):
        assert told == pytest.approx(np.quantile([curve[alpha] for curve in curves], (0.25, 0.5, 0.75)))
    reach = sum(r["alpha"] is not None for r in records(tables["dose"]))
    assert f"{reach} of 6 subpopulations reach damage 0.2 by alpha 1; of the others the alpha is censored (> 1)" in plot.notes


def test_a_curve_between_its_points_and_quantiles() -> None:
    curve = ((0.0, 0.0), (0.5, 0.1), (1.0, 0.3))
    assert [at(curve, alpha) for alpha in (0, 0.25, 0.5, 0.75, 1.0, 1.5)] == [0.0, 0.05, 0.1, pytest.approx(0.2), 0.3, None]
    values = [0.3, -0.1, 0.2, 0.25]
    assert [quantile(values, q) for q in (0, 0.25, 0.5, 0.9, 1)] == pytest.approx(np.quantile(values, (0, 0.25, 0.5, 0.9, 1)))
    assert quantile([0.3], 0.5) == 0.3


def test_clouds_against_confidence_and_size(tables: Tables, plots: dict[str, Plot]) -> None:
    confidence = {r["subpopulation"]: r["confidence"] for r in records(tables["subpopulations"])}
    own = {r["subpopulation"]: r for r in records(tables["damage"]) if r["alpha"] == 1.0}
    for name, x in (("damage_confidence", lambda s: confidence[s]), ("damage_size", lambda s: own[s]["aux_rows"])):
        seen = named(plots[name], "alpha 1")
        assert sorted(zip(seen.keys, seen.x, seen.y, strict=True)) == sorted((s, x(s), row["damage"]) for s, row in own.items())
    assert plots["damage_size"].x_log
    (told,) = [r for r in records(tables["confidence"]) if r["alpha"] == 1.0 and r["group"] == "all"]
    assert any(note.startswith(f"alpha 1: rank correlation {told['spearman']:.2f}") for note in plots["damage_confidence"].notes)


def test_of_many_alphas_the_largest_are_drawn_and_the_others_named(tables: Tables) -> None:
    rows = tuple(row for alpha in (0.25, 0.5, 1.0, 2.0, 4.0) for row in changed(tables["damage"], alpha=alpha).rows[:6])
    plot = plots_of({"damage": Table(SPECS["damage"], rows)}, ("damage_size",))["damage_size"]
    assert [each.name for each in plot.series] == ["alpha 1", "alpha 2", "alpha 4"]
    assert plot.notes == ("not drawn: alpha 0.25, 0.5",)


def test_distribution_is_the_share_above(tables: Tables, plots: dict[str, Plot]) -> None:
    plot = plots["distribution"]
    damages = [r["damage"] for r in records(tables["damage"]) if r["alpha"] == 1.0]
    steps = named(plot, "alpha 1, as published")
    assert steps.style == "steps"
    for x, y in zip(steps.x, steps.y, strict=True):
        assert y == sum(each > x for each in damages) / len(damages)
    assert steps.y[-1] == 0
    shares = [r for r in records(tables["distribution"]) if r["alpha"] == 1.0 and r["group"] == "share"]
    corrected = named(plot, "alpha 1, corrected")
    got = list(zip(corrected.x, corrected.y, corrected.low, corrected.high, strict=True))
    assert got == [(r["at"], r["corrected"], r["low"], r["high"]) for r in shares]
    kept = [damage for r, damage in zip(records(tables["damage"]), damages, strict=False) if 10 <= r["aux_rows"] <= 60]
    assert any(f"the steps are of all {len(damages)} subpopulations, the table's of {len(kept)}" in note for note in plot.notes)


def test_one_alpha_of_the_distribution_alone(tables: Tables, plots: dict[str, Plot]) -> None:
    assert alphas_of(tables, "distribution") == (0.5, 1.0)
    for alpha in (0.5, 1.0):
        alone = plots_of(tables, ("distribution",), run="tiny", alpha=alpha)["distribution"]
        assert alone.title == f"How damage is spread, alpha {alpha:g}: tiny"
        assert list(alone.series) == [each for each in plots["distribution"].series if each.name.startswith(f"alpha {alpha:g},")]
        assert not [note for note in alone.notes if f"alpha {1.5 - alpha:g}:" in note]


def test_the_worst_over_trials_is_what_runs_of_fewer_trials_say(tables: Tables) -> None:
    found, alpha, trials = discovered(), 1.0, 5
    everything = victims(found, trials=trials)
    world = World.start(FACTS, found, everything)
    curve = worst_over_trials.over_trials(Figures(world), alpha).records()
    assert [(row["k"], row["trials"]) for row in curve] == [(k, t) for k in (1, 5, 10) for t in range(2, trials + 1)]
    for count in range(2, trials + 1):
        short = World.start(FACTS, found, [each for each in everything if each.spec.trial < count])
        expected = [row for row in build(short, ["worst"])["worst"].records() if row["alpha"] == alpha]
        got = [row for row in curve if row["trials"] == count]
        assert [[row[name] for name in ("k", "corrected", "low", "high")] for row in got] == [
            [row[name] for name in ("k", "corrected", "low", "high")] for row in expected
        ]
    plot = plots_of({worst_over_trials.NAME: Table(worst_over_trials.SPEC, tuple(tuple(row.values()) for row in curve))}, ("worst_trials",))
    drawn = plot["worst_trials"]
    assert drawn.ticks == ("2", "3", "4", "5")
    assert named(drawn, "worst 5").y == tuple(row["corrected"] for row in curve if row["k"] == 5)
    wide = [row["high"] - row["low"] for row in curve if row["k"] == 5 and row["trials"] > 2]
    after = f"{wide[-1]:.2f} wide after 5 trials, {wide[-2]:.2f} after 4; 10 would make it about {wide[-1] / 2**0.5:.2f}"
    assert any(note.startswith(f"worst 5: its interval is {after}") for note in drawn.notes)
    assert plots_of(tables, ("worst_trials",)) == {}  # nobody has made its table


def test_a_trial_under_way_is_left_out_and_of_many_trials_some_are_drawn() -> None:
    found = discovered()
    everything = victims(found, trials=3)
    last = [each for each in everything if each.spec.trial == 2]
    world = World.start(FACTS, found, [each for each in everything if each not in last[3:]])
    assert {row["trials"] for row in worst_over_trials.over_trials(Figures(world), 1.0).records()} == {2}
    assert worst_over_trials.over_trials(Figures(World.start(FACTS, found, victims(found, trials=1))), 1.0).rows == ()
    assert worst_over_trials.steps(1) == []
    for trials in (2, 13, 14, 50, 1000):
        steps = worst_over_trials.steps(trials)
        assert (steps[0], steps[-1], len(steps)) == (2, trials, min(trials - 1, worst_over_trials.MOST))


def test_as_published_against_corrected_and_the_paper(tables: Tables, plots: dict[str, Plot]) -> None:
    plot, rows = plots["published_corrected"], records(tables["worst"])
    assert plot.ticks == tuple(f"worst {r['k']}, alpha {r['alpha']:g}" for r in rows)
    for name, column in (("as published", "as_published"), ("corrected", "corrected"), ("the paper", "published")):
        assert named(plot, name).y == tuple(r[column] for r in rows)
        assert named(plot, name).x == tuple(range(len(rows)))
    assert (named(plot, "corrected").low, named(plot, "corrected").high) == tuple(tuple(r[end] for r in rows) for end in ("low", "high"))
    above = [r for r in rows if r["outside"]]
    assert sum("the paper's value lies" in note for note in plot.notes) == len({r["outside"] for r in above})


def test_predicted_against_measured_and_how_soon_the_worst_are_found(tables: Tables, plots: dict[str, Plot]) -> None:
    rows = [r for r in records(tables["susceptibility"]) if r["group"] == "one" and r["ranked"] and r["alpha"] == 1.0]
    cloud = named(plots["predicted_measured"], "alpha 1")
    assert {(x, y, key) for x, y, key in zip(cloud.x, cloud.y, cloud.keys, strict=True)} == {
        (r["predicted"], r["damage"], r["subpopulation"]) for r in rows
    }
    assert any("rank correlation" in note for note in plots["predicted_measured"].notes)
    curve = named(plots["predicted_recall"], "alpha 1")
    n, worst = len(rows), max(rows, key=lambda r: r["damage"])["subpopulation"]  # five: the worst third is one
    place = 1 + sorted(rows, key=lambda r: -r["predicted"]).index(next(r for r in rows if r["subpopulation"] == worst))
    assert curve.x == tuple(i / n for i in range(n + 1))
    assert curve.y == tuple(float(i >= place) for i in range(n + 1))
    by_test = named(plots["predicted_recall"], "alpha 1, on test rows")
    assert (by_test.x, by_test.y[0], by_test.y[-1]) == (curve.x, 0.0, 1.0)
    assert not any(each.name == "alpha 0.5, on test rows" for each in plots["predicted_recall"].series)


# ---- half filled ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5])
def test_a_run_at_work_has_the_plots_that_it_can(share: float) -> None:
    found = foretold(discovered())
    everything = victims(found)
    half = dict(build(World.start(FACTS, found, everything[: int(share * len(everything))])))
    made = plots_of(half)
    assert set(made) == (set() if share <= 0.02 else set(OF_THE_RUN))
    for plot in (*made.values(), *filter(None, [dose_response(half, [0, 3, 5])])):
        assert all(None not in (*each.x, *each.y) for each in plot.series)
        assert plot.name != "published_corrected" or png(plot)
    if share == 0.2:
        assert any("corrected needs two complete trials" in note for note in made["published_corrected"].notes)
        assert "corrected" not in {each.name for each in made["published_corrected"].series}
    one = dict(half)
    one.pop("dose")
    assert "dose_response" in plots_of(one) or share <= 0.02


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_are_what_they_say_and_the_same_each_time(plots: dict[str, Plot], tmp_path: Path) -> None:
    plot = replace(plots["dose_response"], title="Of $5 & <b>\x07more</b>", notes=("a long note " * 30, "x" * 300))
    for name in ("a.png", "A.SVG"):
        write(plot, tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert abs(picture.width - 3.5 * DPI) <= 1
        assert picture.height > 3 * DPI
        assert "Software" not in picture.info
        assert picture.info["Description"] == alt(plot, notes=True).replace("\x07", " ")
    text = (tmp_path / "A.SVG").read_text()
    root = ElementTree.fromstring(text)
    assert root.find(f"{SVG}title").text == "Of $5 & <b> more</b>"  # type: ignore[union-attr]
    assert "a long note" in (root.find(f"{SVG}desc").text or "")  # type: ignore[union-attr]
    assert root.get("role") == "img"
    assert "matplotlib v" not in text.casefold()
    assert "<dc:date>" not in text
    assert png(plot) == (tmp_path / "a.png").read_bytes()
    assert svg(plot) == (tmp_path / "A.SVG").read_bytes()
    with pytest.raises(RequestError, match=r"\.png or \.svg"):
        write(plot, tmp_path / "a.pdf")


def test_nothing_of_the_reader_s_settings_is_used_or_changed(plots: dict[str, Plot]) -> None:
    import matplotlib

    before = png(plots["damage_size"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "svg.fonttype": "none"}):
        mine = dict(matplotlib.rcParams)
        assert png(plots["damage_size"]) == before
        assert dict(matplotlib.rcParams) == mine


def test_nothing_overlaps_or_leaves_the_figure(plots: dict[str, Plot]) -> None:
    long = replace(plots["published_corrected"], notes=("word " * 60,), title="A title that is too long for one line of the column it has")
    for plot in (*plots.values(), long):
        drawn = figure(plot)
        drawn.canvas.draw()
        whole, axes = drawn.bbox, drawn.axes[0].get_tightbbox()
        boxes = [text.get_window_extent() for text in drawn.texts if text.get_text()] + [drawn.legends[0].get_window_extent()]
        for box in (*boxes, axes):
            assert box is not None
            assert whole.x0 - 1 <= box.x0 <= box.x1 <= whole.x1 + 1, plot.name
            assert whole.y0 - 1 <= box.y0 <= box.y1 <= whole.y1 + 1, plot.name
        for one, box in enumerate(boxes):
            assert not box.overlaps(axes), plot.name
            assert not any(box.overlaps(other) for other in boxes[one + 1 :]), plot.name


# ---- of a run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a finished run, and one that has not begun."""
    path = tmp_path_factory.mktemp("plots") / "runs.db"
    found = discovered()
    results = victims(found)
    with Store.open(path) as store:
        for name in ("tiny", "empty"):
            run = store.create_run(name=name, title=name, scenario_toml="", scenario_hash="ab12", deviations=("random weights",)).id
            store.save_discovery(
                run,
                subpopulations=found.subpopulations,
                membership=found.membership,
                y_test=found.y_test,
                classes=CLASSES,
                provenance={"seed": 3},
            )
            if name == "tiny":
                store.save_plan(run, [StackPlan(0, 0, tuple(r.spec for r in results))])
                store.commit_stack(run, 0, results, 1.0, tables)
                store.update_run(run, state="done")
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> str:
    return next(row.id for row in store.runs() if row.name == "tiny")


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refused(name: str, *rest: object, **more: object) -> object:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refused)


def test_the_command(path: Path, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(path))
    assert cli.main(["plot", run, "damage_size", "-o", str(tmp_path / "one.png")]) == 0
    assert cli.main(["plot", run, "--subpopulation", "3", "--subpopulation", "1", "-o", str(tmp_path / "some.svg")]) == 0
    assert "3: group 3 (2 values)" in (tmp_path / "some.svg").read_text()
    assert cli.main(["plot", run, "distribution", "-o", str(tmp_path / "new")]) == 0
    assert {each.name for each in (tmp_path / "new").iterdir()} == {f"{run}-distribution.png", f"{run}-distribution.svg"}
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plot", run, "distribution"]) == 0  # not among whatever lies here
    assert {each.name for each in (tmp_path / f"{run}-plots").iterdir()} == {f"{run}-distribution.png", f"{run}-distribution.svg"}
    capsys.readouterr()
    for words, says in (
        ([run, "damage_sise"], "did you mean 'damage_size'"),
        ([run, "-o", "x.png"], "one file is of one plot"),
        ([run, "distribution", "-o", "x.pdf"], "written as .png or .svg"),
        ([run, "distribution", "--subpopulation", "3"], "take it out"),
        ([run, "--subpopulation", "77"], "did not attack subpopulation 77; it attacked 0, 1, 2, 3, 4, 5"),
        (["latest"], "nothing to draw yet"),
    ):
        assert cli.main(["plot", *words]) == 2, words
        assert says in capsys.readouterr().err


def test_from_python(path: Path, run: str, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = notebook.Run(run, path)
    assert tuple(mine.plots()) == OF_THE_RUN
    plot = plots_of(tables, run="tiny")["damage_size"]
    assert mine.plots()["damage_size"] == replace(plot, notes=(*mine.plots()["damage_size"].notes[:2], *plot.notes))
    head = mine.plots()["damage_size"].notes[:2]
    assert head[0].startswith(f"run {run}, done: ")
    assert head[1] == "to be known: random weights"
    assert mine.plots([3])["dose_response"].series[0].name == "3: group 3"
    curve = worst_over_trials.over_trials(Figures(World.start(FACTS, discovered(), victims(discovered()))), 1.0)
    monkeypatch.setattr(worst_over_trials, "of_run", lambda store, row, alpha: curve)
    assert mine.plot("worst_trials").axes[0].get_xlabel() == "trials"
    assert mine.plot("distribution").axes[0].get_xlabel() == "target damage (fraction of accuracy)"
    with pytest.raises(UnknownName):
        mine.plot("dose")


def test_an_export_of_all_has_the_plots_and_its_report_shows_them(store: Store, run: str, tmp_path: Path) -> None:
    written = export_all(store, [run], tmp_path)
    assert {tmp_path / f"{name}{suffix}" for name in OF_THE_RUN for suffix in (".png", ".svg")} <= set(written)
    said = (tmp_path / "report.md").read_text()
    for name in OF_THE_RUN:
        assert f"]({name}.png)" in said
    assert "![How damage is spread: tiny. share of subpopulations" in said


def test_without_matplotlib_one_message_and_an_export_all_the_same(
    store: Store,
    path: Path,
    run: str,
    tmp_path: Path,
    no_matplotlib: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SUBPOP_STORE", str(path))
    assert plots_of_run(store, store.run(run))
    assert not plots_files.available()
    assert cli.main(["plot", run, "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "subpop: plots: drawing plots needs matplotlib, which is not installed; install it " + plots_files.INSTALL
    ]
    written = export_all(store, [run], tmp_path)
    assert not [each for each in written if each.suffix in (".png", ".svg")]
    assert plots_files.INSTALL in (tmp_path / "report.md").read_text()


def test_a_column_that_an_older_run_lacks_is_empty(tables: Tables) -> None:
    lacking = {
        "worst": ("outside",),
        "dose": ("curve", "interval"),
        "confidence": ("spearman_low", "spearman_high"),
        "damage": ("aux_rows",),
    }
    old = dict(tables)
    for name, columns in lacking.items():
        spec = tables[name].spec
        kept = [place for place, column in enumerate(spec.columns) if column.name not in columns]
        fewer = replace(spec, columns=tuple(spec.columns[place] for place in kept))
        old[name] = Table(fewer, tuple(tuple(row[place] for place in kept) for row in tables[name].rows))
    made = plots_of(old)
    assert set(OF_THE_RUN) - set(made) == {"damage_size"}
    assert [each.name for each in made["dose_response"].series] == ["each subpopulation"]
