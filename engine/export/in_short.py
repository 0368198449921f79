"""The first page of a report: who is at risk and how sure that is, at which cost, who else is hit, and what to do next.

For a colleague who has never seen the tool. A function of stored tables, and of what the worst attack did to annotated groups.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from engine.account import words
from engine.account.data import DataAccount
from engine.export.certified import certified
from engine.export.defended import defended
from engine.export.heads import count, fraction, share, with_interval
from engine.rows import RunRow

Records = list[dict[str, Any]]
NAMED = 5
CLASSES = 6  # of the data that are named; the others are counted
LEVELS = (0.1, 0.2)  # damages whose price in points is given
SURE_TRIALS = 10
NO_BETTER = 0.02  # than the base rate: such a model's accuracy says little
WIDE = 0.2  # of an interval: more trials would tell more
FEW = 30  # test rows: of a smaller subpopulation one row more or less makes a damage of .03, and it is named as the cheapest last

_ATTACKS = {
    "label_flip": "They copy their rows of one subpopulation and give the copies {label}, so that the model takes others there for it",
    "gradient": "They copy their rows of one subpopulation, give the copies {label} and move their pixels along the attack's gradient",
    "influence": "They take rows of one subpopulation, give them {label} and keep those that influence functions choose",
}
_NAMES = {
    "mlp": "a small neural network",
    "logistic": "a logistic regression",
    "gradient_boosting": "boosted trees",
    "random_forest": "a random forest",
    "conv": "a convolutional network",
    "vgg": "a convolutional network",
    "torchvision": "a network of torchvision",
    "bert": "a transformer",
}


def in_short(run: RunRow, tables: Mapping[str, Records], groups: Records, account: DataAccount | None = None) -> Iterator[str]:
    """Markdown lines. groups: rows of the table `groups` for the run's worst attack; empty where nothing is annotated.

    account: of the run's data; None where an older version made the run.
    """
    damage, worst = tables.get("damage", []), tables.get("worst", [])
    yield _against_whom(run, tables.get("subpopulations", []), account)
    if account is not None:
        yield ""
        yield _data(account, tables.get("victims", []))
    if not damage:
        yield "No victim is trained yet."
        return
    alpha = max(row["alpha"] for row in damage)
    worst_row = next((row for row in worst if row["alpha"] == alpha and row["k"] == NAMED), None)
    at_risk, cheapest = _at_risk([row for row in damage if row["alpha"] == alpha], worst_row), _cheapest(tables.get("dose", []))
    yield ""
    yield from _who(run, [row for row in damage if row["alpha"] == alpha], at_risk, worst_row, alpha)
    if foretold := _foretold([row for row in tables.get("susceptibility", []) if row["alpha"] == alpha]):
        yield ""
        yield foretold
    yield ""
    yield from _price(tables.get("dose", []), cheapest, at_risk, tables.get("subpopulations", []), account)
    yield ""
    yield from _who_else(tables.get("collateral", []), tables.get("victims", []), groups, alpha)
    if section := _defense(run):
        yield ""
        yield from defended(section, tables.get("defenses", []), alpha)
    if parts := _tree(run).get("evaluation", {}).get("certificates"):
        yield ""
        yield from certified(parts, tables.get("certificates", []), _rounded(run))
    yield ""
    yield from _cannot(run, damage, alpha)
    yield ""
    named = [row["subpopulation"] for row in at_risk] + [row["subpopulation"] for _, _, _, row in cheapest.values()]
    yield from _next(run, damage, worst_row, alpha, list(dict.fromkeys(named)))


def _against_whom(run: RunRow, subpopulations: Records, account: DataAccount | None) -> str:
    tree = _tree(run)
    attack, held = tree.get("attack", {}), tree.get("adversary", {}).get("rows", 1)
    data = tree.get("dataset", {})
    what = PurePath(str(data.get("path") or data.get("kind", "the data"))).name  # where it lies on this machine is nobody's business
    aux = next((split.rows for split in account.splits if split.name == "aux"), None) if account is not None else None
    some = f"{count(aux * held)} rows" if aux is not None else "rows" if held == 1 else f"{share(held)} of the auxiliary rows"
    kind = str(tree.get("model", {}).get("kind", "model"))
    targets = Counter(_plain(row["target_label"]) for row in subpopulations if row.get("attacked") and row.get("target_label") is not None)
    label = "another label"
    if len(targets) == 1:
        label = f"the label {next(iter(targets))}"
    elif targets:
        named = ", ".join(f"{name} for {rows}" for name, rows in targets.most_common(NAMED))
        label = f"another label ({named}{' and so on' if len(targets) > NAMED else ''})"
    how = _ATTACKS.get(str(attack.get("kind", "label_flip")), "They poison rows with {label}").format(label=label)
    return (
        f"**What was asked.** An attacker adds rows to the data that {_NAMES.get(kind, 'a model')} ({_plain(kind)}) is trained on, "
        f"{_plain(what)}. They hold {some} of their own (auxiliary data: drawn like the training data, none of "
        f"its rows) and know neither the training rows nor the model's weights. {how}. How much accuracy does that subpopulation lose (its "
        "damage), and for how many rows?"
    )


def _data(account: DataAccount, victims: Records) -> str:
    """Rows, classes, base rate, clean accuracy, and which columns the model does not read, in a paragraph."""
    splits = {split.name: split for split in account.splits}
    train, test = splits["train"], splits["test"]
    ordered = sorted(range(len(account.classes)), key=lambda c: -train.classes[c])
    mix = ", ".join(f"{_plain(account.classes[c])} {share(train.classes[c] / max(1, train.rows))}" for c in ordered[:CLASSES])
    more = f" and {len(ordered) - CLASSES} more classes" if len(ordered) > CLASSES else ""
    most = ordered[0]
    always = fraction(test.classes[most] / test.rows) if test.rows else "–"
    clean = _right_overall(row for row in victims if row["arm"] == "clean")
    model = "" if clean is None else f"; without poison the model is right on {fraction(clean)}"
    if clean is not None and test.rows and clean < test.classes[most] / test.rows + NO_BETTER:
        model += ", hardly or no better, so mind how far accuracy falls and not where it stands"
    sentences = [
        f"**The data.** Trained on {count(train.rows)} rows ({mix}{more}), judged on {count(test.rows)} others; "
        f"who always says {_plain(account.classes[most])} is right on {always} of these{model}"
    ]
    fed = [column for column in account.columns if column.use in ("number", "one_hot", "text", "picture")]
    if fed and account.pictures is None:
        not_fed = [_plain(column.name) for column in account.columns if column.use in ("left_out", "annotation")]
        named = f"; it does not read {', '.join(not_fed)}" if not_fed else ""
        sentences.append(f"Beside the label there are {len(fed) + len(not_fed)} columns, of which the model reads {len(fed)}{named}")
    leaks = [_plain(column.name) for column in fed if column.leak is not None]
    if leaks:
        sentences.append(f"**It reads what may tell the label by itself: {', '.join(leaks)}**, so accuracies may be too good")
    if odd := words.counted_notes(account):
        sentences.append(f"{odd} {'stands' if odd.startswith('1 ') and ' and ' not in odd else 'stand'} under {words.TITLE}")
    return ". ".join(sentences) + "."


def _right_overall(victims: Iterable[Mapping[str, Any]]) -> float | None:
    """Share of all test rows that these victims are right on, mean over them; None of no victims."""
    each = [
        ((row["target_right"] or 0) + row["rest_right"]) / total
        for row in victims
        if row["rest_right"] is not None and (total := (row["target_total"] or 0) + (row["rest_total"] or 0))
    ]
    return sum(each) / len(each) if each else None


def _at_risk(damage: Records, worst_row: Mapping[str, Any] | None) -> Records:
    """The five that the corrected worst five would pick, else those of largest damage. damage: at one alpha."""
    rows = {row["subpopulation"]: row for row in damage if row["damage"] is not None}
    picked = [int(index) for index in str((worst_row or {}).get("chosen_corrected") or "").split()]
    return [rows[index] for index in picked if index in rows][:NAMED] or sorted(rows.values(), key=lambda row: -row["damage"])[:NAMED]


def _who(run: RunRow, damage: Records, at_risk: Records, worst_row: Mapping[str, Any] | None, alpha: float) -> Iterator[str]:
    of = "train has" if _tree(run).get("attack", {}).get("per") == "train" else "the attacker holds"
    yield f"**Who is at risk**, where {alpha:g} poison rows are added for each row that {of} of the subpopulation (alpha {alpha:g})."
    luck = "Those of largest damage in this run"
    if worst_row and worst_row["corrected"] is not None:
        yield (
            "An attacker who picks five targets beforehand, by trials of their own, does a damage of "
            f"{with_interval(worst_row['corrected'], worst_row['low'], worst_row['high'])} on the average of the five (corrected)."
        )
        luck = "The five they would pick look worse in this run, in part by bad luck"
    yield f"{luck} (in brackets 95 % intervals over trials and test rows):"
    yield ""
    for row in at_risk:
        sure = {True: "; vulnerable", False: "; not told from chance", None: ""}[row["vulnerable"]]
        yield (
            f"- **{_plain(row['description'])}** (#{row['subpopulation']}): accuracy falls by "
            f"{with_interval(row['damage'], row['low'], row['high'])}, from {fraction(row['clean_accuracy'])} to "
            f"{fraction(row['poisoned_accuracy'])}, for {count(row['poison_points'])} rows, {share(row['poison_share'])} of train "
            f"({count(row['test_rows'])} test rows{sure})."
        )
    yield ""
    counts = [f"{len(damage)} subpopulations were attacked"]
    if worst_row and worst_row.get("eligible") is not None:
        counts.append(f"{worst_row['eligible']} of them have enough test rows to be counted in the corrected damage (eligible)")
    judged = [row["vulnerable"] for row in damage if row["vulnerable"] is not None]
    if judged:
        sure = "poison aimed at them damages them more than poison aimed at others does, beyond chance (at q = 0.05)"
        counts.append(f"{sum(judged)} of {len(judged)} are vulnerable: {sure}")
    else:
        counts.append("which are vulnerable cannot be said: that needs three trials")
    yield "; ".join(counts) + "."


def _foretold(rows: Records) -> str:
    """How well clean models foretold it; rows: of `susceptibility` at one alpha. "" where they foretold nothing, or too few to say."""
    by_group = {row["group"]: row for row in rows if row["group"] != "one"}
    told, halves = by_group.get("predicted"), by_group.get("trial_halves")
    if told is None or told["spearman"] is None:
        return ""
    agree = f" (two halves of the trials agree to {halves['spearman']:.2f})" if halves and halves["spearman"] is not None else ""
    on_test = (by_group.get("predicted_on_test") or {}).get("spearman")
    owner = f", on the test rows {on_test:.2f}" if on_test is not None else ""
    return (
        f"**Clean models alone** ranked these {told['subpopulations']} beforehand: on auxiliary rows their ranking goes with the damage by "
        f"{told['spearman']:.2f} (rank correlation){owner}{agree}. The half they foretold to be worst held {share(told['recall_50'])} of "
        f"the worst {told['worst']}."
    )


def _curves(dose: Records) -> list[tuple[Mapping[str, Any], list[tuple[float, float]]]]:
    return [(row, _curve(row["curve"])) for row in dose if row["curve"]]


def _cheapest(dose: Records) -> dict[float, tuple[int, float, float, Mapping[str, Any]]]:
    """Damage -> (how many reach it, points and alpha of the cheapest, its row), of those that any reaches."""
    cheapest = {}
    for level in LEVELS:
        reached = [(alpha * _points_per_alpha(row), alpha, row) for row, curve in _curves(dose) if (alpha := _at(curve, level)) is not None]
        if reached:
            points, alpha, row = min(reached, key=lambda each: (each[2]["test_rows"] < FEW, each[0], each[2]["subpopulation"]))
            cheapest[level] = (len(reached), max(points, 1.0), alpha, row)
    return cheapest


def _price(
    dose: Records,
    cheapest: Mapping[float, tuple[int, float, float, Mapping[str, Any]]],
    at_risk: Records,
    subpopulations: Records,
    account: DataAccount | None,
) -> Iterator[str]:
    curves = _curves(dose)
    if not curves:
        return
    train = next((split for split in account.splits if split.name == "train"), None) if account is not None else None
    yield "**What it costs.**"
    for level in LEVELS:
        if level not in cheapest:
            yield f"A damage of {level:g} is reached on none of {len(curves)} by the largest alpha tried."
            continue
        many, points, alpha, row = cheapest[level]
        part = f", {share(points / train.rows)} of train" if train is not None and train.rows else ""
        yield (
            f"A damage of {level:g} is reached on {many} of {len(curves)}; the cheapest, {_plain(row['description'])} "
            f"(#{row['subpopulation']}), takes about {count(points)} rows{part} (alpha {alpha:.2g}, read off between the rates tried)."
        )
    target = next(
        (row.get("target_label") for row in subpopulations if at_risk and row["subpopulation"] == at_risk[0]["subpopulation"]), None
    )
    if account is not None and train is not None and target in account.classes:
        have = train.classes[account.classes.index(str(target))]
        yield (
            f"The attack on {_plain(at_risk[0]['description'])} adds {count(at_risk[0]['poison_points'])} rows of {_plain(target)} "
            f"to the {count(have)} of train: who counts classes may see it."
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


def _who_else(collateral: Records, victims: Records, groups: Records, alpha: float) -> Iterator[str]:
    hit = [row for row in groups if row["hit_of_others"]]
    looked = [row for row in groups if row["hit_of_others"] is not None]
    everyone = next((row for row in collateral if row["group"] == "all" and row["alpha"] == alpha), None)
    yield "**Who else is hit.**"
    if everyone and everyone["collateral"] is not None:
        yield f"Rows outside the target lose {fraction(everyone['collateral'])} on the average of all attacks (collateral damage)."
    if not groups:
        yield "Nothing is annotated, so nothing is known of other groups."
        return
    attacked = groups[0]["subpopulation"]
    aimed = f"#{attacked}, {_plain(groups[0]['description'])}"
    clean = _right_overall(row for row in victims if row["arm"] == "clean")
    poisoned = _right_overall(
        row for row in victims if (row["arm"], row["subpopulation"], row["alpha"]) == ("poisoned", attacked, groups[0].get("alpha", alpha))
    )
    if clean is not None and poisoned is not None:
        yield (
            f"Under the worst attack ({aimed}) the model is right on {fraction(poisoned)} of all test rows, "
            f"without poison on {fraction(clean)}."
        )
    if not looked:
        yield "Whether other annotated groups are damaged cannot be said: that needs three trials."
    elif not hit:
        yield (
            f"Of {len(looked)} groups of rows equal in one column, each without the rows of its target ({aimed}), none is damaged "
            "beyond chance. That does not show that they are spared: most are small."
        )
    else:
        yield f"The worst attack ({aimed}) also damages groups that nobody aimed at, the target's own rows not counted:"
        yield ""
        for row in sorted(hit, key=lambda row: -row["damage_of_others"])[:NAMED]:
            yield (
                f"- {_plain(row['attribute'])} {_plain(row['group'])}: from {fraction(row['clean_of_others'])} to "
                f"{fraction(row['poisoned_of_others'])} (of {count(row['rows_of_others'])} test rows outside the target)"
            )
        if len(hit) > NAMED:
            yield f"- and {len(hit) - NAMED} more: groups.csv"


def _cannot(run: RunRow, damage: Records, alpha: float) -> Iterator[str]:
    """What no reader may take from this page."""
    yield "**What this cannot say.**"
    yield ""
    kind = _tree(run).get("attack", {}).get("kind", "label_flip")
    stronger = "" if kind != "label_flip" else "optimised poison rows, "
    yield f"- That nothing does more damage: {stronger}another model, other subpopulations or more rows may do more."
    test_rows = [row["test_rows"] for row in damage if row["alpha"] == alpha]
    few = sum(rows < FEW for rows in test_rows)
    if few:
        yield (
            f"- How large the damage to one small subpopulation is: {few} of {len(test_rows)} have fewer than {FEW} test rows, where one "
            f"row is more than {1 / FEW:.2f}. That they are damaged is tested; the size is in the width of the brackets."
        )
    judged = [row for row in damage if row["alpha"] == alpha and row["vulnerable"] is False]
    if judged:
        yield f"- That the {len(judged)} not called vulnerable are safe: so few trials and rows cannot tell their damage from chance."
    if _defense(run):
        yield "- What another defence would do, or an adversary who shapes the poison to pass this one."
    else:
        yield "- Whether anybody would notice in your pipeline, or a defence would help: none was in place."


def _next(run: RunRow, damage: Records, worst_row: Mapping[str, Any] | None, alpha: float, named: Sequence[int]) -> Iterator[str]:
    yield "**What next.**"
    yield ""
    trials = max((row["trials"] for row in damage), default=0)
    wide = worst_row is not None and worst_row["low"] is not None and worst_row["high"] - worst_row["low"] > WIDE
    if trials < SURE_TRIALS or wide:
        command = f"`subpop again {run.id} --only {','.join(map(str, named))} --fresh`"
        yield f"- More trials; this run has {trials}. {command} measures those named above in trials that nobody has looked at."
    if not any(row["alpha"] == alpha and row["vulnerable"] for row in damage):
        yield "- More poison, to see where it begins: larger `attack.alphas`, or `subpop run ... --find 0.2`."
    yield "- Who may add rows to the training data? Check what arrives for the subpopulations named above before the model is used."
    other = "another" if _defense(run) else "a"
    yield f"- Try {other} defence: `--set defense.kind=trim`, `knn` or `spectral`, each beside as many rows removed at random."


def _plain(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def _rounded(run: RunRow) -> str:
    """What an inserted row may move of another part's model, in its last bits; "" where nothing does."""
    if _tree(run).get("model", {}).get("tune") == "last_layer":
        return "frozen layers read rows in batches, and an inserted row moves which rows are batched together"
    return "a GPU's products may add in another order in other company" if run.device.startswith("cuda") else ""


def _defense(run: RunRow) -> dict[str, Any]:
    """The scenario's section of the run's defence; empty where it has none."""
    section = _tree(run).get("defense", {})
    return section if section.get("kind", "none") != "none" else {}


def _tree(run: RunRow) -> dict[str, Any]:
    try:
        return tomllib.loads(run.scenario_toml)
    except tomllib.TOMLDecodeError:  # of a stranger's bundle
        return {}
