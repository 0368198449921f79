"""The paragraph of a report that says what no poison of so many points can do, whatever it is, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.export.heads import count, fraction, number, share

Records = Sequence[Mapping[str, Any]]


def certified(parts: int, rows: Records, rounded: str = "") -> Iterator[str]:
    """Markdown lines. parts: the scenario's evaluation.certificates; rows: of the table `certificates`. rounded: what may move last bits
    of another part's model; "" where nothing does.
    """
    yield "**What is proven.**"
    yield ""
    yield (
        f"Beside the attacked models, train was divided into {count(parts)} parts by a hash of each row and a model trained on each; they "
        f"vote (deep partition aggregation). One inserted row changes one vote at most, so with {count(parts)} parts no prediction can be "
        f"proven against more than {count(parts // 2)} points."
    )
    every = next((row for row in rows if row["group"] == "test set"), None)
    if every is None:
        yield "The models are not all trained yet."
        return
    right = (
        "fewer than half are right at all"
        if every["withstood_right"] is None
        else f"{count(every['withstood_right'])} if it is to be right too"
    )
    yield (
        f"The vote is right on {fraction(every['ensemble_accuracy'])} of all test rows, one model trained on everything, without poison, "
        f"on {fraction(every['clean_accuracy'])}: that is the price. Half of the test rows keep their vote whatever "
        f"{count(every['withstood'])} inserted points are ({right}); the smallest part has {count(every['smallest_part'])} rows."
    )
    yield ""
    for alpha in dict.fromkeys(row["alpha"] for row in rows):
        yield from _at(alpha, [row for row in rows if row["alpha"] == alpha])
    yield ""
    yield (
        "This holds against every poison of so many points, of any label, not this attack's alone, and for the vote only: the models "
        "attacked above are not certified. An inserted point is a row as the model reads it; a row taken out or given another label counts "
        "as one, a row with other features as two." + (f" It holds up to rounding: {rounded}." if rounded else "")
    )


def _at(alpha: float, rows: Records) -> Iterator[str]:
    mean = next((row for row in rows if row["group"] == "all"), None)
    one = [row for row in rows if row["group"] == "one" and row["attacked"]]
    if mean is None or not one:
        return
    ordered = sorted(one, key=lambda row: (row["certified_right"], row["certified"], -row["subpopulation"]))
    worst, best = ordered[0], ordered[-1]
    beyond = sum(bool(row["out_of_reach"]) for row in one)
    out = f"; {beyond} of {len(one)} get more points than any row can withstand" if beyond else ""
    spread = "none of any"
    if best["certified_right"]:
        spread = (
            f"from {share(worst['certified_right'])} (#{worst['subpopulation']}, {count(worst['points'])} points) to "
            f"{share(best['certified_right'])} (#{best['subpopulation']}, {count(best['points'])} points)"
        )
    yield (
        f"- At alpha {alpha:g} ({number(mean['points'])} points on average) {share(mean['certified'])} of a subpopulation's test rows are "
        f"certified on average, {share(mean['certified_right'])} certified and right: {spread}{out}."
    )
