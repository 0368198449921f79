"""The first page of a report: who is at risk and how sure that is, at which cost, who else is hit, and what to do next.

For a colleague who has never seen the tool. A function of stored tables, and of what the worst attack did to annotated groups.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from engine.account import words
from engine.account.data import DataAccount
from engine.export.heads import count, fraction, share, with_interval
from engine.rows import RunRow

Records = list[dict[str, Any]]
NAMED = 5
CLASSES = 6  # of the data that are named; the others are counted
LEVELS = (0.1, 0.2)  # damages whose price in points is given
SURE_TRIALS = 10
WIDE = 0.2  # of an interval: more trials would tell more
FEW = 30  # test rows: of a smaller subpopulation one row more or less makes a damage of .03, and it is named as the cheapest last

_ATTACKS = {
    "label_flip": "copies of its own rows of the subpopulation with another label",
    "gradient": "copies of its own rows of the subpopulation with another label, their pixels moved to agree with the attack's gradient",
    "influence": "rows of the subpopulation with another label, chosen by influence functions",
}


def in_short(run: RunRow, tables: Mapping[str, Records], groups: Records, account: DataAccount | None = None) -> Iterator[str]:
    """Markdown lines. groups: rows of the table `groups` for the run's worst attack; empty where nothing is annotated.

    account: of the run's data; None where an older version made the run.
    """
    damage, worst = tables.get("damage", []), tables.get("worst", [])
    yield from _against_whom(run)
    if account is not None:
        yield ""
        yield _data(account)
    if not damage:
        yield "No victim is trained yet."
        return
    alpha = max(row["alpha"] for row in damage)
    yield ""
    yield from _who(run, [row for row in damage if row["alpha"] == alpha], [row for row in worst if row["alpha"] == alpha], alpha)
    yield ""
    yield from _price(tables.get("dose", []))
    yield ""
    yield from _who_else(tables.get("collateral", []), groups, alpha)
    yield ""
    yield from _cannot(run, damage, worst, alpha)
    yield ""
    yield from _next(run, damage, worst, alpha)


def _against_whom(run: RunRow) -> Iterator[str]:
    tree = _tree(run)
    attack, held = tree.get("attack", {}), tree.get("adversary", {}).get("rows", 1)
    data = tree.get("dataset", {})
    what = PurePath(str(data.get("path") or data.get("kind", "the data"))).name  # where it lies on this machine is nobody's business
    some = "all" if held == 1 else share(held)
    kind = tree.get("model", {}).get("kind", "model")
    how = _ATTACKS.get(str(attack.get("kind", "label_flip")), "poisoned rows")
    yield (
        f"**What was asked.** Somebody adds rows to the training data of a model ({kind}) on {_plain(what)}: {how}. They hold {some} of "
        "the auxiliary data, which is drawn like the training data but shares no row with it, and know neither weights nor training rows. "
        "Which parts of the population can they break, and with how many rows?"
    )


def _data(account: DataAccount) -> str:
    """Rows, classes, base rate, and which columns the model does not read, in a paragraph."""
    splits = {split.name: split for split in account.splits}
    train, test = splits["train"], splits["test"]
    ordered = sorted(range(len(account.classes)), key=lambda c: -train.classes[c])
    mix = ", ".join(f"{_plain(account.classes[c])} {share(train.classes[c] / max(1, train.rows))}" for c in ordered[:CLASSES])
    more = f" and {len(ordered) - CLASSES} more classes" if len(ordered) > CLASSES else ""
    most = ordered[0]
    always = share(test.classes[most] / test.rows) if test.rows else "–"
    sentences = [
        f"**The data.** Trained on {count(train.rows)} rows ({mix}{more}), judged on {count(test.rows)} others; "
        f"who always says {_plain(account.classes[most])} is right on {always} of these"
    ]
    fed = [column for column in account.columns if column.use in ("number", "one_hot", "text", "picture")]
    if fed:
        not_fed = [_plain(column.name) for column in account.columns if column.use in ("left_out", "annotation")]
        named = f"; it does not read {', '.join(not_fed)}" if not_fed else ""
        sentences.append(f"The model reads {len(fed)} of {len(account.columns)} columns{named}")
    leaks = [_plain(column.name) for column in fed if column.leak is not None]
    if leaks:
        sentences.append(f"**It reads what may tell the label by itself: {', '.join(leaks)}**, so accuracies may be too good")
    if odd := words.counted_notes(account):
        sentences.append(f"{odd} {'stands' if odd.startswith('1 ') and ' and ' not in odd else 'stand'} under {words.TITLE}")
    return ". ".join(sentences) + "."


def _who(run: RunRow, damage: Records, worst: Records, alpha: float) -> Iterator[str]:
    worst_row = next((row for row in worst if row["k"] == NAMED), None)
    attacked = len(damage)
    judged = [row for row in damage if row["vulnerable"] is not None]
    vulnerable = sum(row["vulnerable"] for row in judged)
    yield f"**Who is at risk**, at poison rate {alpha:g} (as many poison rows as {alpha:g} times the subpopulation's own):"
    yield ""
    picked = [int(index) for index in str((worst_row or {}).get("chosen_corrected") or "").split()]
    rows = {row["subpopulation"]: row for row in damage}
    named = [rows[index] for index in picked if index in rows] or sorted(damage, key=lambda row: -(row["damage"] or 0))[:NAMED]
    for row in named[:NAMED]:
        if row["damage"] is None:
            continue
        sure = {True: "vulnerable", False: "not sure", None: "not judged"}[row["vulnerable"]]
        yield (
            f"- {count(row['poison_points'])} rows, {share(row['poison_share'])} of train, cost **{_plain(row['description'])}** "
            f"{with_interval(row['damage'], row['low'], row['high'])} of its accuracy: right on {fraction(row['clean_accuracy'])} without "
            f"poison, {fraction(row['poisoned_accuracy'])} with it (of {count(row['test_rows'])} test rows; {sure})."
        )
    yield ""
    if worst_row and worst_row["corrected"] is not None:
        yield (
            "These look worst, and what looks worst is partly the unluckiest. Whoever picks five targets in advance, from past trials, can "
            f"count on {with_interval(worst_row['corrected'], worst_row['low'], worst_row['high'])} (corrected, 95 %)."
        )
    counts = [f"{attacked} subpopulations were attacked"]
    if worst_row and worst_row.get("eligible") is not None:
        counts.append(f"{worst_row['eligible']} of them have enough test rows to be picked for a corrected value (eligible)")
    if judged:
        sure = "poison aimed at them does damage, and more than poison aimed at others"
        counts.append(f"{vulnerable} of {len(judged)} are vulnerable: {sure}")
    else:
        counts.append("which are vulnerable cannot be said: that needs three trials")
    yield "; ".join(counts) + "."


def _price(dose: Records) -> Iterator[str]:
    curves = [(row, _curve(row["curve"])) for row in dose if row["curve"]]
    if not curves:
        return
    yield "**What it costs.**"
    for level in LEVELS:
        reached = [(alpha * _points_per_alpha(row), alpha, row) for row, curve in curves if (alpha := _at(curve, level)) is not None]
        if not reached:
            yield f"A damage of {level:g} is reached on none of {len(curves)} by the largest alpha tried."
            continue
        cheapest = min(reached, key=lambda each: (each[2]["test_rows"] < FEW, each[0], each[2]["subpopulation"]))
        yield (
            f"A damage of {level:g} is reached on {len(reached)} of {len(curves)}; the cheapest, {_plain(cheapest[2]['description'])}, "
            f"takes about {count(max(cheapest[0], 1))} rows (alpha {cheapest[1]:.2g})."
        )


def _points_per_alpha(row: Mapping[str, Any]) -> float:
    """Poison rows at alpha 1, from the row's own points at its largest alpha or at what it needs."""
    points = str(row["points_needed"] or row["points"] or "0").replace(",", "").lstrip("> ")
    at = row["alpha"] if row["alpha"] is not None else row["largest"]
    return float(points) / at if at else 0.0


def _curve(text: str) -> list[tuple[float, float]]:
    return [(float(alpha), float(damage)) for alpha, damage in (point.split(":") for point in text.split())]


def _at(curve: Sequence[tuple[float, float]], level: float) -> float | None:
    """The smallest alpha at which the curve, straight between its points, reaches the level; None where it does not."""
    for (a, low), (b, high) in pairwise(curve):
        if high >= level:
            return b if high <= low else a + (b - a) * max(level - low, 0.0) / (high - low)
    return None


def _who_else(collateral: Records, groups: Records, alpha: float) -> Iterator[str]:
    hit = [row for row in groups if row["hit_outside"]]
    everyone = next((row for row in collateral if row["group"] == "all" and row["alpha"] == alpha), None)
    yield "**Who else is hit.**"
    if everyone and everyone["collateral"] is not None:
        yield f"All other rows together lose {fraction(everyone['collateral'])} on the average of the attacks (collateral damage)."
    if not groups:
        yield "Nothing is annotated, so nothing is known of other groups."
        return
    aimed = f"#{groups[0]['subpopulation']}, {_plain(groups[0]['description'])}"
    looked = [row for row in groups if row["hit_outside"] is not None]
    if not looked:
        yield "Whether other annotated groups are damaged cannot be said: that needs three trials."
        return
    if not hit:
        yield (
            f"Outside the target none of {len(looked)} annotated groups is damaged for sure by the worst attack ({aimed}): "
            "others are spared, which hides it from whoever looks at averages."
        )
        return
    yield f"The worst attack ({aimed}) also damages rows that nobody aimed at; the target's own rows are not in these figures:"
    yield ""
    for row in sorted(hit, key=lambda row: -row["damage_outside"])[:NAMED]:
        yield (
            f"- {_plain(row['attribute'])} {_plain(row['group'])}: from {fraction(row['clean_outside'])} to "
            f"{fraction(row['poisoned_outside'])} (of {count(row['rows_outside'])} test rows outside the target)"
        )
    if len(hit) > NAMED:
        yield f"- and {len(hit) - NAMED} more: groups.csv"


def _cannot(run: RunRow, damage: Records, worst: Records, alpha: float) -> Iterator[str]:
    """What no reader may take from this page."""
    yield "**What this cannot say.**"
    kind = _tree(run).get("attack", {}).get("kind", "label_flip")
    stronger = "" if kind != "label_flip" else "optimised poison rows, "
    yield f"- That nothing does more damage: {stronger}another model, other subpopulations or more rows may do more."
    test_rows = [row["test_rows"] for row in damage if row["alpha"] == alpha]
    few = sum(rows < FEW for rows in test_rows)
    if few:
        yield (
            f"- Much of single small subpopulations: {few} of {len(test_rows)} have fewer than {FEW} test rows, "
            f"where one row moves a damage by more than {1 / FEW:.2f}."
        )
    judged = [row for row in damage if row["alpha"] == alpha and row["vulnerable"] is False]
    if judged:
        yield f"- That the {len(judged)} not called vulnerable are safe: so few trials and rows cannot tell their damage from chance."
    yield "- Whether anybody would notice, or a defence would help: none was in place."


def _next(run: RunRow, damage: Records, worst: Records, alpha: float) -> Iterator[str]:
    yield "**What next.**"
    trials = max((row["trials"] for row in damage), default=0)
    worst_row = next((row for row in worst if row["alpha"] == alpha and row["k"] == NAMED), None)
    wide = worst_row is not None and worst_row["low"] is not None and worst_row["high"] - worst_row["low"] > WIDE
    picked = ",".join(str((worst_row or {}).get("chosen_corrected") or "").split()[:NAMED])
    if trials < SURE_TRIALS or wide:
        how = f": `subpop again {run.id} --only {picked} --fresh` measures the worst in trials that nobody has looked at" if picked else ""
        yield f"- More trials, for {trials} leave much open{how}."
    if not any(row["alpha"] == alpha and row["vulnerable"] for row in damage):
        yield "- More poison, to see where it begins: larger `attack.alphas`, or `subpop run ... --find 0.2`."
    yield "- Before the model goes into use: check what arrives for the groups named above, and who may add rows to the training data."
    yield "- A defence: filter the training data (by loss, by neighbours), train again, and hold the two runs side by side."


def _plain(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def _tree(run: RunRow) -> dict[str, Any]:
    try:
        return tomllib.loads(run.scenario_toml)
    except tomllib.TOMLDecodeError:  # of a stranger's bundle
        return {}
