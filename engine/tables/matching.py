"""Runs held against each other: `compare` (paired differences where trials match) and `compare_worst`. The first run is the baseline.

Two subpopulations of two runs are the same where they have one index and the same test rows, or where both runs cross the same features and
describe them alike. A trial matches where seed and number are the same, and the test rows are. Other clusters have other rows: of such
runs only `compare_worst` says something, each run's own worst k.

The damages of a run with a defence are those under it, so that defences stand side by side and beside a run without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import RequestError
from engine.paper import system_of
from engine.rows import RunRow, Table, TableSpec
from engine.scenario.claim import claim_of
from engine.tables.cells import Row
from engine.tables.columns import SPECS
from engine.tables.compare import COMPARISONS, Both, compare_rows, worst_rows
from engine.tables.source import Source

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario
    from engine.tables.figures import Figures
    from engine.tables.world import Discovered

Compared = tuple[TableSpec, tuple[Row, ...], tuple[str, ...]]
DECIDES_NOTHING = ("title", "reproduces", "smoke", "compute.nice", "compute.threads")
MOVES_NO_VICTIM = ("evaluation.", "attack.alphas", "subpopulations.only", "subpopulations.select", "triage.")
LONGEST = 40  # characters of a value in words
OTHER_SEED = "not paired: another seed, so other trials"
OTHER_SCHEDULE = "not paired: trained under another schedule"
OTHER_ROWS = "not paired: other test rows of the same description"


def compared(store: Source, run_ids: Sequence[str]) -> Compared:
    """(spec, rows, what must be known of them in words): one row per other run, alpha and subpopulation that both attack.

    Raises RequestError for fewer than two runs, or before the subpopulations of one are known.
    """
    runs = _runs(store, run_ids)
    works = {run.id: _figures(store, run) for run in runs}
    rows: list[Row] = []
    notes = [*_deviations(runs), *_defences(runs)]
    for other in runs[1:]:
        notes += _different(runs[0], other)
        both, notes_of_pair = _both(runs[0], other, *(works[run.id] for run in (runs[0], other)))
        notes += notes_of_pair
        rows += compare_rows(both)
    return COMPARISONS["compare"], tuple(rows), tuple(notes)


def compared_worst(store: Source, run_ids: Sequence[str]) -> Compared:
    """(spec, rows, words) of the worst k of each run, its own. RequestError for fewer than two runs, or before one's first tables."""
    runs = _runs(store, run_ids)
    for run in runs:
        if "worst" not in store.tables(run.id):
            raise RequestError(
                f"it has no tables yet ({run.state})", where=f"run {run.id}", next="wait for its first victims, or resume it"
            )
    rows: list[Row] = []
    notes = [*_deviations(runs), *_defences(runs)]
    tables = {run.id: _worst(store, run) for run in runs}
    for other in runs[1:]:
        notes += _different(runs[0], other)
        rows += worst_rows(runs[0].id, other.id, tables[runs[0].id], tables[other.id])
    return COMPARISONS["compare_worst"], tuple(rows), tuple(notes)


MADE = {"compare": compared, "compare_worst": compared_worst}


def differences(one: Scenario, other: Scenario) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> the two values, of every key that may move a number and is not the same in both.

    Of a section that is of two kinds, a key that only one of them has is among them where it is not at its default.
    """
    left, right = (dict(_leaves(each.model_dump(mode="json"))) for each in (one, other))
    keys = [key for key in {**left, **right} if key.split(".")[0] not in DECIDES_NOTHING and key not in DECIDES_NOTHING]
    turned = [name for name in ("dataset", "model", "subpopulations", "attack", "defense") if left[f"{name}.kind"] != right[f"{name}.kind"]]
    set_keys = {
        f"{name}.{key}" for name in turned for each in (one, other) for key in getattr(each, name).model_dump(exclude_defaults=True)
    }
    keys = [
        key for key in keys if key.split(".")[0] not in turned or (key in left and key in right) or ".".join(key.split(".")[:2]) in set_keys
    ]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def _leaves(tree: Mapping[str, Any], head: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{head}{key}.") if isinstance(value, Mapping) and value else [(f"{head}{key}", value)]
    return leaves


def _runs(store: Source, run_ids: Sequence[str]) -> list[RunRow]:
    runs = [store.run(run_id) for run_id in dict.fromkeys(run_ids)]
    if len(runs) < 2:
        raise RequestError("a comparison needs two runs or more", where="compare", next="give the baseline first, then the others")
    return runs


def _figures(store: Source, run: RunRow) -> tuple[Scenario, Discovered, Figures]:
    from engine.scenario.parse import scenario_of
    from engine.tables.figures import Figures
    from engine.tables.world import World

    stored = store.discovery(run.id)
    if stored is None:
        raise RequestError("its subpopulations are not known yet", where=f"run {run.id}", next="wait for its discovery, or resume it")
    scenario = scenario_of(run)
    world = World.start(scenario, stored, store.victims(run.id))
    return scenario, stored, Figures(world, "poisoned" if scenario.defense.kind == "none" else "defended")


def _worst(store: Source, run: RunRow) -> Table:
    """The run's table `worst`; where it has a defence, as the table would be of the victims under it."""
    from engine.scenario.parse import scenario_of
    from engine.tables import worst

    if scenario_of(run).defense.kind == "none":
        return store.table(run.id, "worst")
    return Table(SPECS["worst"], tuple(worst.rows(_figures(store, run)[2])))


def _defences(runs: Sequence[RunRow]) -> list[str]:
    """Of which victims the damages of each run with a defence are."""
    from engine.scenario.parse import scenario_of

    kinds = {run.id: scenario_of(run).defense.kind for run in runs}
    return [f"{run_id}: the damages of its victims with the defence, {kind}" for run_id, kind in kinds.items() if kind != "none"]


Known = tuple["Scenario", "Discovered", "Figures"]


def _both(baseline: RunRow, other: RunRow, known: Known, others: Known) -> tuple[Both, list[str]]:
    """The two runs with what is the same in them, and in words what is not."""
    from engine.evaluation.between import Side, between

    (scenario, stored, work), (scenario2, found2, work2) = known, others
    rows_alike = _same_rows(known, others)
    alike = _same_members(work, work2, rows_alike)
    not_paired = OTHER_SEED if scenario.seed != scenario2.seed else OTHER_SCHEDULE if baseline.schedule != other.schedule else ""
    why, places = {}, []
    for place, (_, _, same) in enumerate(alike):
        if same and not not_paired:
            places.append(place)
        else:
            why[place] = not_paired if same else OTHER_ROWS
    at, others_at = tuple(s for s, _, _ in alike), tuple(s for _, s, _ in alike)
    between_runs = None
    if places:
        one = Side(work.world.counts, work.layout, [at[place] for place in places])
        two = Side(work2.world.counts, work2.layout, [others_at[place] for place in places])
        between_runs = between(one, two)
    pair, notes = f"{other.id} against {baseline.id}", []
    alone = [len(w.attacked) - len(alike) for w in (work, work2)]
    if not alike:
        where = "they attack no subpopulation in common" if rows_alike else "the test rows are not the same"
        if rows_alike and stored.membership.test.tolist() != found2.membership.test.tolist():
            where = "their subpopulations hold other test rows"
        notes.append(f"{pair}: no subpopulation can be matched, for {where}; only the worst k of each can be compared")
    elif any(alone):
        many = "1 subpopulation is" if len(alike) == 1 else f"{len(alike)} subpopulations are"
        notes.append(f"{pair}: {many} attacked by both; {alone[0]} by {baseline.id} alone, {alone[1]} by {other.id} alone")
    if places and between_runs is not None and not between_runs.trials_AM.any():
        notes.append(f"{pair}: no trial is in both, so differences are not paired")
    if why:
        notes.append(f"{pair}: {len(why)} of {len(alike)} subpopulations are {'; '.join(sorted(set(why.values())))}")
    if places and (scenario.model != scenario2.model or scenario.dataset != scenario2.dataset):
        notes.append(f"{pair}: model or dataset differ, so two victims of a trial need not share initial weights or batches")
    changed = differences(scenario, scenario2)  # an optimised attack's points are its run's own: for its alphas, trials and targets
    same = not changed or (scenario.attack.kind == "label_flip" and all(key.startswith(MOVES_NO_VICTIM) for key in changed))
    same = same and baseline.schedule == other.schedule
    if places and same and between_runs is not None and between_runs.trials_AM.any():
        notes.append(f"{pair}: nothing differs that moves a victim, so a matched trial's victims are the same and its difference is 0")
    if why or (between_runs is not None and not between_runs.trials_AM.all()):
        notes.append(f"{pair}: intervals of differences that are not paired take the two runs as independent")
    return Both(baseline.id, other.id, work, work2, at, others_at, between_runs, why, tuple(places), same), notes


def _same_rows(known: Known, others: Known) -> bool:
    """Whether both runs have the same test rows, as far as the store can tell: one source, and the same true classes row by row."""
    import numpy as np

    from engine.scenario.sections import FileKeys

    one, two = (each[0].dataset for each in (known, others))
    files = [section.path if isinstance(section, FileKeys) else None for section in (one, two)]
    alike = (one.kind, files[0], known[1].classes) == (two.kind, files[1], others[1].classes)
    return alike and np.array_equal(known[1].y_test, others[1].y_test)


def _same_members(one: Figures, two: Figures, rows_alike: bool) -> list[tuple[int, int, bool]]:
    """(index in the one, in the other, with the same test rows?) of each subpopulation that both attack, by the first.

    By index and test rows, else (features alone) by description.
    """
    import numpy as np

    of_two = {s.index: s for s in two.attacked}
    features = [work.world.facts.features for work in (one, two)]
    named = {s.description: s for s in two.attacked} if features[0] and features[0] == features[1] else {}
    matches = []
    for s in one.attacked:
        candidates = [other for other in (named.get(s.description), of_two.get(s.index)) if other is not None]
        rows_of_one = np.sort(one.world.counts.rows_of(s.index))
        alike = [
            other.index
            for other in candidates
            if rows_alike and len(rows_of_one) and np.array_equal(rows_of_one, np.sort(two.world.counts.rows_of(other.index)))
        ]
        if alike:
            matches.append((s.index, alike[0], True))
        elif s.description in named:
            matches.append((s.index, named[s.description].index, False))
    return matches


def _different(baseline: RunRow, other: RunRow) -> list[str]:
    """What differs between two scenarios, as one line; empty where nothing does."""
    from engine.scenario.parse import scenario_of

    keys = differences(scenario_of(baseline), scenario_of(other))
    changes = [f"{key} ({_value(one)} → {_value(two)})" for key, (one, two) in keys.items()]
    if baseline.schedule != other.schedule:
        changes.append(f"schedule of training ({baseline.schedule} → {other.schedule})")
    return [f"{other.id} against {baseline.id}: " + (f"differ in {', '.join(changes)}" if changes else "the same scenario")]


def _value(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _deviations(runs: Sequence[RunRow]) -> list[str]:
    """Each behind its run, which is not the paper's where it sets out to be."""
    leads = {run.id: "is not the paper's" if claim_of(run.scenario_toml) else "is to be read with this" for run in runs}
    return [f"{run.id} ({system_of(run)}) {leads[run.id]}: {deviation}" for run in runs for deviation in run.deviations]
