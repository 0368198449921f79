"""Attack again: a new run of some subpopulations of a run, marked by a person, with more trials or other alphas.

It reuses from that run what is the same (see `reuse.py`). Who marks what looked worst and counts the trials that were looked at measures
their own choosing, so the run says in its deviations what was marked by looking at; `fresh` trials had no part in it. Imports no numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RequestError, UnknownName
from engine.printable import name_of
from engine.rows import RunRow, Subpopulation
from engine.runs.start import WORKER
from engine.store import Store

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

WORST, PREDICTED = "worst:", "predicted:"


def scenario_of(
    store: Store,
    run_id: str,
    subpopulations: Sequence[int],
    overrides: Sequence[str] = (),
    *,
    fresh: bool = False,
    say: Callable[[str], None] | None = None,
) -> Scenario:
    """The run's own scenario with these subpopulations alone, and overrides as of `--set` on top.

    fresh: its trials are numbered on from those of the run, and of the runs that it attacks again, so that none that was looked at counts.
    RequestError where the run has no discovery yet, a subpopulation is none of its own or cannot be attacked, or an override would make
    other subpopulations, whose numbers would mean others.
    """
    from engine.scenario.identity import dump
    from engine.scenario.parse import parse, stored

    subpopulations_of_run = store.subpopulations(run_id)
    if not subpopulations_of_run:
        raise RequestError("its subpopulations are not discovered yet", where=f"run {run_id}", next="wait, or: subpop resume " + run_id)
    marked = sorted(set(subpopulations))
    if not marked:
        raise RequestError("no subpopulation is marked", where=f"run {run_id}", next=f"give some of 0 to {len(subpopulations_of_run) - 1}")
    if beyond := [index for index in marked if not 0 <= index < len(subpopulations_of_run)]:
        raise RequestError(
            f"there is no subpopulation {_listed(beyond)}",
            where=f"run {run_id}",
            next=f"there are {len(subpopulations_of_run)}, numbered 0 to {len(subpopulations_of_run) - 1}",
        )
    row = store.run(run_id)
    where = f"the scenario of run {run_id}"
    parent = stored(row.scenario_toml, where=where, say=say)
    wanted = [f"subpopulations.only={marked}", 'subpopulations.select="all"']  # a person chose: no rule chooses among those
    if fresh:
        wanted.append(f"evaluation.first_trial={1 + max(_looked_at(store, run_id))}")
    text = dump(parent.model_copy(update={"smoke": {}}))  # its sliver may not have the marked subpopulations, and is not asked for
    scenario = parse(text, where=where, overrides=[*wanted, *overrides], say=say)
    _check_same_subpopulations(parent, scenario, run_id)
    if list(scenario.subpopulations.only) != marked:
        raise RequestError("are given twice", where="subpopulations.only", next="mark them once, with --only")
    section = scenario.subpopulations
    kept_out = {
        s.index: why for s in subpopulations_of_run if s.index in marked and (why := _kept_out(s, section.min_size, section.max_size))
    }
    if kept_out:
        reasons = "; ".join(f"{index} ({why})" for index, why in kept_out.items())
        could = _listed([s.index for s in subpopulations_of_run if not _kept_out(s, section.min_size, section.max_size)]) or "none"
        raise RequestError(f"cannot be attacked: subpopulation {reasons}", where=f"run {run_id}", next=f"these can be: {could}")
    return scenario


def start(
    store: Store,
    run_id: str,
    subpopulations: Sequence[int],
    overrides: Sequence[str] = (),
    *,
    fresh: bool = False,
    name: str | None = None,
    data_dir: Path | None = None,
    spawn: bool = True,
    worker: Sequence[str] = WORKER,
    predicted: bool = False,
) -> RunRow:
    """A new run that attacks these subpopulations of `run_id` again; see `scenario_of` and, for the rest, `run.start`.

    predicted: they were chosen by what clean models foretold, not by looking at damages.
    data_dir: None: where the run's own data was said to be.
    """
    from engine.runs import finding
    from engine.runs import start as runs

    scenario = scenario_of(store, run_id, subpopulations, overrides, fresh=fresh)
    finding.check(scenario)
    row = store.run(run_id)
    return runs.start(
        store,
        scenario,
        name=name or name_of(f"{row.name.removesuffix(' again')} again"),
        data_dir=data_dir or store.data_dir(run_id),
        spawn=spawn,
        worker=worker,
        parent=run_id,
        deviations=(
            _choice_in_words(store, run_id, len(scenario.subpopulations.only)) if predicted else _trials_in_words(store, run_id, scenario),
        ),
    )


def by_prediction(text: str) -> bool:
    """Whether what `--only` says chooses by what clean models foretold."""
    return text.strip().startswith(PREDICTED)


def marked(store: Store, run_id: str, text: str) -> list[int]:
    """The subpopulations of `--only`: "3,17,42"; or "worst:3", the three of largest damage at the largest alpha (see
    `_worst`); or "predicted:3", the three of largest damage foretold."""
    if text.strip().startswith(WORST):
        many = text.strip().removeprefix(WORST)
        if not many.isdecimal() or int(many) == 0:
            raise RequestError(f"{text!r} is not a number of subpopulations", where="--only", next="as worst:3")
        return _worst(store, run_id, int(many))
    if by_prediction(text):
        many = text.strip().removeprefix(PREDICTED)
        if not many.isdecimal() or int(many) == 0:
            raise RequestError(f"{text!r} is not a number of subpopulations", where="--only", next="as predicted:3")
        return _foretold(store, run_id, int(many))
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise RequestError(
            f"{text!r} does not name subpopulations",
            where="--only",
            next="give their numbers as in the tables, as 3,17,42, or worst:3, or predicted:3",
        )
    return [int(part) for part in parts]


def _worst(store: Store, run_id: str, many: int) -> list[int]:
    """Of those with enough test rows for the corrected worst-k; of all, where there are none."""
    from engine.scenario.parse import scenario_of

    rows = store.table(run_id, "damage").records() if "damage" in store.tables(run_id) else []
    damages = [(row["alpha"], row["damage"], row["subpopulation"]) for row in rows if row["damage"] is not None]
    if not damages:
        raise RequestError("it has no damages yet", where=f"run {run_id}", next="give numbers with --only, or wait for its victims")
    least = scenario_of(store.run(run_id)).evaluation.min_test_rows
    enough = {s.index for s in store.subpopulations(run_id) if s.test_rows >= least}
    damages = [each for each in damages if each[2] in enough] or damages
    largest = max(alpha for alpha, _, _ in damages)
    order = sorted((-damage, s) for alpha, damage, s in damages if alpha == largest)
    return [int(s) for _, s in order[:many]]


def _foretold(store: Store, run_id: str, many: int) -> list[int]:
    """Of those that can be attacked."""
    from engine.scenario.parse import scenario_of

    section = scenario_of(store.run(run_id)).subpopulations
    able = [s for s in store.subpopulations(run_id) if s.predicted is not None and not _kept_out(s, section.min_size, section.max_size)]
    if not able:
        raise RequestError("foretold no damage", where=f"run {run_id}", next="run it with --set triage.predict=true")
    return [s.index for s in sorted(able, key=lambda s: (-(s.predicted or 0.0), s.index))[:many]]


def _kept_out(s: Subpopulation, least: int, most: int | None) -> str:
    """Why it cannot be attacked, as `subpopulations.selection` has it; "" where it can."""
    if s.aux_rows < least:
        return f"{s.aux_rows} aux rows, fewer than min_size {least}"
    if most is not None and s.aux_rows > most:
        return f"{s.aux_rows} aux rows, more than max_size {most}"
    return "" if s.test_rows else "no test rows"


def _check_same_subpopulations(parent: Scenario, new: Scenario, run_id: str) -> None:
    """Refuse what would form other subpopulations, for the marked numbers would mean others."""
    from engine.runs.reuse import same_subpopulations

    changed = [name for name in ("seed", "dataset", "adversary") if getattr(parent, name) != getattr(new, name)]
    changed += [] if same_subpopulations(parent.subpopulations, new.subpopulations) else ["subpopulations"]
    of_model = parent.subpopulations.kind == "cluster_match" and parent.subpopulations.layer != "input" and parent.adversary.model is None
    changed += ["model"] if of_model and parent.model != new.model else []
    changed += ["precision"] if of_model and parent.compute.precision != new.compute.precision else []
    if changed:
        raise RequestError(
            f"with {' and '.join(changed)} changed there would be other subpopulations than those marked",
            where=f"run {run_id}",
            next="take that out, or start a run of its own: subpop run",
        )


def _looked_at(store: Store, run_id: str) -> set[int]:
    """The numbers of the trials of a run and of those that it attacks again, as far as they are still there; a search's too."""
    from engine.scenario.parse import scenario_of

    trials: set[int] = set()
    for row in _line(store, run_id):
        evaluation = scenario_of(row).evaluation
        trials |= {*evaluation.trial_numbers, *(stack.trial for stack in store.plan(row.id) or ())}
    return trials


def _line(store: Store, run_id: str) -> Iterator[RunRow]:
    """A run, the run it attacks again, and so on."""
    seen: set[str] = set()
    while run_id and run_id not in seen:
        seen.add(run_id)
        try:
            row = store.run(run_id)
        except UnknownName:
            return
        yield row
        run_id = row.parent


def _trials_in_words(store: Store, run_id: str, scenario: Scenario) -> str:
    """What must stand beside every number of the run."""
    many = len(scenario.subpopulations.only)
    head = f"attacked again: {many} subpopulation{'s were' if many != 1 else ' was'} marked by looking at run {run_id}"
    new_trials = scenario.evaluation.trial_numbers
    searched = len(new_trials) if scenario.evaluation.find is not None else 0  # a search's fresh trials follow its own
    both = sorted(_looked_at(store, run_id) & set(range(new_trials.start, new_trials.stop + searched)))
    if not both:
        return f"{head}; fresh trials alone count here"
    several = both == list(range(both[0], both[-1] + 1)) and len(both) > 1
    counting = f"trials {both[0]}-{both[-1]} count" if several else f"trial {_listed(both)} counts"
    return f"{head}, whose {counting} here too"


def _choice_in_words(store: Store, run_id: str, many: int) -> str:
    from engine.scenario.parse import scenario_of

    on = scenario_of(store.run(run_id)).triage.rows
    what = f"the {many} subpopulations" if many != 1 else "the subpopulation"
    judged = " (but the test rows, on which damage is measured, had)" if on == "test" else ""
    head = f"attacked again: {what} that clean models foretold to be worst on {on} rows, in run {run_id}"
    return f"{head}; no trial had a part in the choice{judged}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")


__all__ = ["by_prediction", "marked", "scenario_of", "start"]
