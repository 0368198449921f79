"""A run in words, as Markdown, to hand to a colleague: what was measured, what it found at which cost, and what it cannot say.

A function of the stored tables alone. Damages are fractions of the target's test rows, as everywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine import paper
from engine.export.about_data import about_data
from engine.export.documents import document
from engine.export.in_short import FEW, in_short
from engine.paper import system_of
from engine.printable import clean
from engine.rows import RunRow
from engine.scenario.claim import claim_of
from engine.tables.columns import ESTIMAND, SPECS
from engine.tables.source import TableSource
from engine.versions import UNVERIFIED

Records = list[dict[str, Any]]
CHEAPEST = 5
LEFT_OUT = 30  # named in a report


def report(
    store: TableSource,
    runs: Sequence[RunRow],
    plots: Mapping[str, Sequence[str]] | None = None,
    groups: Mapping[str, Records] | None = None,
) -> str:
    """Markdown, one chapter a run. By run id: plots, lines that show each run's; groups, what its worst attack did to annotated groups."""
    chapters = (_chapter(store, run, (plots or {}).get(run.id, ()), (groups or {}).get(run.id, [])) for run in runs)
    return "\n".join(clean(line) for chapter in chapters for line in (*chapter, ""))


def _chapter(store: TableSource, run: RunRow, plots: Sequence[str], groups: Records) -> Iterator[str]:
    tables: dict[str, Records] = {name: store.table(run.id, name).records() for name in store.tables(run.id)}
    damage, worst = tables.get("damage", []), tables.get("worst", [])
    subpopulations = tables.get("subpopulations", [])
    yield f"# {run.title}"
    yield ""
    yield f"Run {run.id} ({system_of(run)}), {run.state}: {run.victims_done} of {run.victims_total} models (victims) trained."
    if run.note:
        yield f"Note: {run.note}"
    if run.deviations:
        yield ""
        head = "These are not the paper's numbers" if claim_of(run.scenario_toml) else "To be known"
        yield f"**{head}:** " + "; ".join(run.deviations) + "."
    if run.unverified:
        yield ""
        yield f"**Unverified:** {UNVERIFIED}."
    yield ""
    account = store.account(run.id)
    yield from in_short(run, tables, groups, account)
    yield ""
    yield "## What was measured"
    yield ""
    yield from _measured(run, store.provenance(run.id), subpopulations, damage)
    yield ""
    yield "## How many subpopulations are vulnerable, at which cost"
    yield ""
    yield from _vulnerable(run, damage, worst)
    if tables.get("dose"):
        yield ""
        yield "## How much poison it takes"
        yield ""
        yield from _dose(tables["dose"], FEW)
    if tables.get("distribution"):
        yield ""
        yield "## How damage is spread"
        yield ""
        yield from _spread(tables["distribution"])
    yield ""
    yield "## What it does to everyone else, and what foretells it"
    yield ""
    yield from _beside(tables)
    if plots:
        yield ""
        yield "## Plots"
        yield ""
        yield from plots
    yield ""
    yield from about_data(account)
    yield ""
    yield "## What this run cannot say"
    yield ""
    yield from _cannot(run, subpopulations, damage, worst)


def _measured(run: RunRow, provenance: Mapping[str, Any], subpopulations: Records, damage: Records) -> Iterator[str]:
    attacked = [s for s in subpopulations if s["attacked"]]
    alphas = ", ".join(f"{alpha:g}" for alpha in sorted({row["alpha"] for row in damage}))
    yield (
        f"{len(subpopulations)} subpopulations were formed and {len(attacked)} attacked, at poison rates {alphas}. "
        "Target damage is the clean victims' accuracy on a subpopulation's test rows "
        "minus the poisoned victims', paired within a trial (same initial weights, batch "
        "order and draws)."
    )
    if run.parent:
        how = "by what clean models foretold in" if any("foretold to be worst" in said for said in run.deviations) else "by looking at"
        yield f"Those attacked were chosen {how} run {run.parent}: they are no sample of all, and their worst not the worst of all."
    facts = [f"{key} {provenance[key]}" for key in ("device", "precision", "seed", "trials", "first trial", "code") if key in provenance]
    if facts:
        yield "Made with " + ", ".join(facts) + "."


def _vulnerable(run: RunRow, damage: Records, worst: Records) -> Iterator[str]:
    for alpha in sorted({row["alpha"] for row in damage}):
        measured = [row for row in damage if row["alpha"] == alpha and row["damage"] is not None]
        tested = [row for row in measured if row["vulnerable"] is not None]
        hit = [row for row in tested if row["vulnerable"]]
        if tested:
            cost = [row["poison_share"] for row in hit if row["poison_share"] is not None]
            paid = f", for {min(cost):.2%} to {max(cost):.2%} of the training rows each" if cost else ""
            yield f"- At alpha {alpha:g}, {len(hit)} of {len(tested)} attacked subpopulations are vulnerable (q = 0.05){paid}."
        else:
            yield f"- At alpha {alpha:g}, vulnerability is withheld: it needs three trials."
    if judged := [row for row in damage if row["vulnerable"] is not None]:
        yield ""
        yield _how_judged(judged)
    yield ""
    yield from _table("worst", worst)
    yield ""
    yield (
        "As published: chosen and scored on the same trials, which overstates. Among the eligible: the same, picked only among those "
        "that the corrected value may pick; so the first step down is who may be picked, the second is luck. "
        f"{ESTIMAND[0].upper()}{ESTIMAND[1:]}. This protocol would show: where another's as-published value would fall."
    )
    yield ""
    yield from _eligible(run, worst, damage)
    if any("; rerun " in (row.get("published_as") or "") for row in worst):
        yield ""
        yield from _reruns(run)


def _table(name: str, rows: Records) -> Iterator[str]:
    """A table as its document has it."""
    doc = document(SPECS[name], [tuple(row.get(column.name) for column in SPECS[name].columns) for row in rows])
    yield "| " + " | ".join(map(_text, doc.heads)) + " |"
    yield "| " + " | ".join("---" if left else "---:" for left in doc.left) + " |"
    for row in doc.rows:
        yield "| " + " | ".join(map(_text, row)) + " |"
    for head, cell in doc.always:
        yield f"{_text(head)}: {_text(cell)}."


def _eligible(run: RunRow, worst: Records, damage: Records) -> Iterator[str]:
    """Which subpopulations the corrected values were picked among, and which were left out, by name."""
    last = next((row for row in reversed(worst) if row.get("attacked")), None)
    if last is None:  # of an older version
        return
    share = f", with {last['eligible_share']:.0%} of the attacked test rows" if last["eligible_share"] is not None else ""
    yield f"Eligible: {last['eligible']} of {last['attacked']} attacked subpopulations{share}."
    out = {int(part.split(" ")[0]): part for part in last["left_out"].rstrip(")").split(") ") if part}
    if out:
        rows = {row["subpopulation"]: row for row in damage if row["subpopulation"] in out}
        ordered = sorted(rows.values(), key=lambda row: (-row["test_rows"], row["subpopulation"]))
        named = "; ".join(f"{row['subpopulation']} {_text(row['description'])} ({row['test_rows']})" for row in ordered[:LEFT_OUT])
        more = f"; and {len(ordered) - LEFT_OUT} more" if len(ordered) > LEFT_OUT else ""
        yield f"Left out, with fewer than {_enough(run)} test rows or none in a fold (test rows): {named}{more}."


def _reruns(run: RunRow) -> Iterator[str]:
    """Who made the reruns that are shown after the paper's values and are not the paper's."""
    try:
        tree = tomllib.loads(run.scenario_toml)
    except tomllib.TOMLDecodeError:
        return
    record = paper.published(tree.get("reproduces"), paper.System.of(tree))
    if record is not None and record.reruns:
        sources = "; ".join(f"({at}) {each.source}" for at, each in enumerate(record.reruns, 1))
        yield f"Rerun: what the released protocol gave others, in this order, and not the paper's numbers: {sources}. {record.reruns_say}."


def _how_judged(rows: Records) -> str:
    alone = [row for row in rows if row.get("p_from") != "off_target"]  # a run of an older version says nothing
    sentence = "Vulnerable: poison aimed at it does damage"
    if len(alone) < len(rows):
        sentence += ", and more than as much aimed at others did in the same trials"
    if not alone:
        return sentence + "."
    if len(alone) == len(rows):
        return sentence + "; judged by the damages of its own trials alone (a moderated t), for lack of victims aimed at others."
    few = ", ".join(f"{row['subpopulation']} (alpha {row['alpha']:g})" for row in alone)
    return sentence + f"; judged by the damages of its own trials alone (a moderated t), for lack of victims aimed at others: {few}."


def _enough(run: RunRow) -> int:
    """How many test rows a subpopulation needs for the corrected worst k."""
    try:
        return int(tomllib.loads(run.scenario_toml)["evaluation"]["min_test_rows"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
        return 8


def _dose(rows: Records, enough: int) -> Iterator[str]:
    """The cheapest, those with enough test rows first: of the smallest subpopulations one row more or less makes the damage."""
    known = [row for row in rows if row["needed"] is not None]
    reached = sorted(
        (row for row in known if row["alpha"] is not None),
        key=lambda row: (row["test_rows"] < enough, row["poison_share"] or 0, row["subpopulation"]),
    )
    if not known:
        yield "No victims yet."
        return
    largest = max(row["largest"] for row in known)
    yield f"Damage {known[0]['level']:g} is reached on {len(reached)} of {len(known)} attacked subpopulations by alpha {largest:g} at most."
    if reached:
        middle = sorted(row["alpha"] for row in reached)[len(reached) // 2]
        yield f"Where it is, the median alpha is {middle:.2g}. The cheapest, in poison points, those of at least {enough} test rows first:"
        yield ""
    for row in reached[:CHEAPEST]:
        between = f", interval {row['interval']}" if row["interval"] else ""
        fresh = f"; fresh trials there: {_f(row['fresh_damage'])}" if row["fresh_damage"] is not None else ""
        share = f" ({row['poison_share']:.2%} of train)" if row["poison_share"] is not None else ""
        sentence = f"{_text(row['description'])}: {row['points']} points{share}, alpha {row['needed']}{between}{fresh}"
        yield f"- {sentence}; of {row['test_rows']} test rows"


def _spread(rows: Records) -> Iterator[str]:
    yield "| alpha | share with damage of at least | as published | among the eligible | corrected | the paper |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        if row["group"] == "share":
            at = "more than 0" if row["at"] == 0 else f"{row['at']:g}"
            cells = (_f(row["as_published"]), _f(row.get("on_eligible")), _f(row["corrected"]), _f(row["published"]))
            yield f"| {row['alpha']:g} | {at} | {' | '.join(cells)} |"
    yield ""
    over = next((f" ({row['corrected_n']} of {row['attacked']})" for row in rows if row.get("attacked")), "")
    yield (
        "As published: of those that the published size filter leaves. Corrected: with the noise of trials and of test rows taken out, "
        f"over subpopulations with enough test rows{over}; among the eligible: those, with the noise."
    )


def _beside(tables: Mapping[str, Records]) -> Iterator[str]:
    for row in tables.get("collateral", []):
        if row["group"] in ("worst 5", "all") and row["collateral"] is not None:
            paper = f" (the paper: {row['published']:.4f})" if row["published"] is not None else ""
            yield f"- Collateral at alpha {row['alpha']:g}, {row['group']}: {row['collateral']:z.4f} of the other test rows{paper}."
    for row in tables.get("confidence", []):
        if row["group"] == "all" and row["spearman"] is not None:
            low, high = row.get("spearman_low"), row.get("spearman_high")
            between = f" ({low:z.2f} to {high:z.2f})" if low is not None and high is not None else ""
            yield f"- Confidence against damage at alpha {row['alpha']:g}: rank correlation {row['spearman']:z.2f}{between}."
    for row in tables.get("attributes", [])[:3]:
        if row["nmi"] is not None:
            yield (
                f"- Subpopulations and {_text(row['attribute'])}: normalised mutual information {row['nmi']:.3f} (by chance about "
                f"{row['nmi_by_chance']:.3f}), Cramér's V {_f(row['cramers_v'])}."
            )


def _cannot(run: RunRow, subpopulations: Records, damage: Records, worst: Records) -> Iterator[str]:
    if run.state != "done":
        yield f"- It is {run.state}: {run.victims_total - run.victims_done} victims are still to come, and every number may move."
    for deviation in run.deviations if claim_of(run.scenario_toml) else ():
        yield f"- Whether the paper's numbers hold: {deviation}."
    trials = max((row["trials"] for row in damage), default=0)
    if trials < 3:
        many = "one trial" if trials == 1 else f"{trials} trials"
        yield f"- How sure it is: {many}; vulnerability and the interval of the corrected value need three."
    few = [s for s in subpopulations if s["attacked"] and s["test_rows"] < 30]
    if few:
        yield f"- Much of {len(few)} attacked subpopulations with fewer than 30 test rows: one row moves their damage by more than 0.03."
    for note in dict.fromkeys(row["note"] for row in worst if row["note"]):
        yield f"- A worst k is missing a value: {note}."
    yield "- What other splits, other clusters or another model would show: the intervals are for these."
    yield "- What a defence would have done: none was in place."


def _f(value: float | None) -> str:
    return "–" if value is None else f"{value:z.3f}"  # z: no minus before 0.000


def _text(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<")
