"""The paragraph of a report that says whether the run's defence helped, whom it hurt, and what it cost where there was no poison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.export.heads import count, fraction, share, with_interval

Records = Sequence[Mapping[str, Any]]
NAMES = {
    "oracle": "Exactly the poison was removed, which no defence can know",
    "random": "Rows were removed at random",
    "loss_filter": "The rows of largest training loss were removed and the model fitted once more",
    "trim": "The model was fitted to the rows of least training loss, which were chosen anew {rounds} times (TRIM)",
    "knn": "Rows whose {neighbors} nearest neighbours mostly have another label were {action} and the model fitted once more",
    "spectral": "Rows that stand out in their class's hidden states were removed and the model fitted once more (spectral signatures)",
}
ACTIONS = {"relabel": "relabelled", "remove": "removed"}
NAMED = 3


def defended(section: Mapping[str, Any], rows: Records, alpha: float) -> Iterator[str]:
    """Markdown lines. section: the scenario's [defense]; rows: of the table `defenses`."""
    at = [row for row in rows if row["alpha"] == alpha]
    every = next((row for row in at if row["group"] == "all"), None)
    yield "**Whether the defence helped.**"
    yield ""
    if every is None or every["damage_defended"] is None:
        yield "No defended victim is trained yet."
        return
    words = {
        "rounds": section.get("rounds", 5),
        "neighbors": section.get("neighbors", 10),
        "action": ACTIONS.get(str(section.get("action")), "relabelled"),
    }
    budget = section.get("budget")
    how_many = {None: "", "oracle": ", as many as there was poison (which no defender knows)"}.get(budget, f", {share(budget)} of train")
    what = NAMES.get(str(section.get("kind")), "A defence was in place").format(**words)
    difference = with_interval(every["difference"], every["difference_low"], every["difference_high"])
    beyond = with_interval(every["beyond_random"], every["beyond_low"], every["beyond_high"])
    yield (
        f"{what}{how_many}. At alpha {alpha:g} the {count(every['subpopulations'])} subpopulations lost "
        f"{fraction(every['damage_without'])} on average without it, {fraction(every['damage_defended'])} with it, and "
        f"{fraction(every['damage_random'])} where as many rows were removed at random. "
        f"With minus without: {difference}; with minus random: {beyond}. {_verdict(every)}"
    )
    yield ""
    yield (
        f"It caught {share(every['poison_recall'])} of the poison, and took {share(every['removed_own'])} of the targets' own clean "
        f"rows and {share(every['removed_others'])} of the others'; {share(every['precision'])} of what it took was poison. Without any "
        f"poison it costs a subpopulation {fraction(every['cost'])} of its accuracy on average (below 0: it gains), and everyone else "
        f"{fraction(every['cost_elsewhere'])}."
    )
    one = [row for row in at if row["group"] == "one" and row["difference_low"] is not None]
    for word, chosen in (
        ("helped", sorted((row for row in one if row["difference_high"] < 0), key=lambda row: row["difference"])),
        ("hurt", sorted((row for row in one if row["difference_low"] > 0), key=lambda row: -row["difference"])),
    ):
        yield ""
        yield f"- It {word} {_named(chosen, len(one))}"


def _verdict(every: Mapping[str, Any]) -> str:
    """Whether the mean shows anything, in a sentence."""
    if every["difference_low"] is None or every["beyond_low"] is None:
        return "Two trials or more are needed to say whether that is more than chance."
    if every["difference_high"] < 0:
        if every["beyond_high"] < 0:
            return "On average it helped, and more than removing as many at random."
        return "On average it helped, but removing as many at random is not shown to help less."
    if every["difference_low"] > 0:
        return "On average it made the damage larger."
    return "On average neither help nor harm is shown."


def _named(rows: Records, known: int) -> str:
    if not rows:
        return f"none of {known} beyond chance (by its own interval, not corrected for how many were looked at)."
    names = "; ".join(f"#{row['subpopulation']} by {fraction(abs(row['difference']))}" for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f"{len(rows)} of {known} beyond chance (each by its own interval, not corrected for how many were looked at): {names}{more}."
