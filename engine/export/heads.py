"""What a table's document shows: its columns in words, and how their cells are written. Plain data and small functions.

Numbers have three digits; a value and its interval stand in one cell; counts are whole, shares of rows per cents, damages never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Head:
    """One column of a document: its head, the table's columns that it is made of, and how."""

    text: str
    of: tuple[str, ...]
    form: Callable[..., str]
    left: bool = False


# ---- cells ----------------------------------------------------------------------------------------------------------


def fraction(value: object) -> str:
    """Three decimals; never a percentage."""
    if not isinstance(value, (int, float)):
        return NOTHING
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text


def with_interval(value: object, low: object, high: object) -> str:
    """0.285 [0.180, 0.390]; the value alone where it has no interval."""
    if value is None or low is None or high is None:
        return fraction(value)
    return f"{fraction(value)} [{fraction(low)}, {fraction(high)}]"


def interval(low: object, high: object) -> str:
    return NOTHING if low is None or high is None else f"{fraction(low)} to {fraction(high)}"


def count(value: object) -> str:
    """A whole number: poison points are never given in parts, though a mean over trials may be one."""
    return f"{round(value):,}" if isinstance(value, (int, float)) and not isinstance(value, bool) else NOTHING


def number(value: object) -> str:
    """A poison rate, a rank correlation: three digits at most, no zeros behind."""
    return f"{value:.3g}" if isinstance(value, (int, float)) else NOTHING


def share(value: object) -> str:
    """A share of rows, in per cent (a damage is none)."""
    if not isinstance(value, (int, float)):
        return NOTHING
    return f"{100 * value:.1f} %" if value < 0.0995 else f"{100 * value:.0f} %"


def chance(value: object) -> str:
    if not isinstance(value, (int, float)):
        return NOTHING
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOTHING if value is None or value == "" else str(value)


def words(value: object) -> str:
    """A text of the program's own, as people write it."""
    return text(value).replace("_", " ")


def out_of(some: object, every: object) -> str:
    return NOTHING if some is None else count(some) if every is None else f"{count(some)} of {count(every)}"


def on_rows(value: object, fewest: object) -> str:
    """A value as published and how few test rows the smallest of those behind it has."""
    return fraction(value) if value is None or fewest is None else f"{fraction(value)} (≥ {count(fewest)} rows)"


def reruns(source: object) -> str:
    """What others got who ran it again: the part of a published value's source that differs from row to row."""
    _, rerun, values = str(source or "").partition("rerun ")
    return values if rerun else NOTHING


def would_show(low: object, high: object, outside: object) -> str:
    return interval(low, high) + (f"; the paper is {outside}" if outside else "")


# ---- what each table shows ------------------------------------------------------------------------------------------

_ALPHA = Head("alpha", ("alpha",), number)
_INDEX = Head("#", ("subpopulation",), count)
_WHAT = Head("subpopulation", ("description",), text, left=True)
_DAMAGE = Head("damage [95 %]", ("damage", "low", "high"), with_interval)
_PAPER = Head("paper", ("published",), fraction)
_SHOW = Head("this protocol would show", ("predicted_low", "predicted_high", "outside"), would_show, left=True)
_NOTE = Head("note", ("note",), text, left=True)
_TRIALS = Head("trials", ("trials",), count)
_TEST = Head("test rows", ("test_rows",), count)
_POINTS = Head("poison points", ("poison_points",), count)
_OF_TRAIN = Head("of train", ("poison_share",), share)

HEADS: dict[str, tuple[Head, ...]] = {
    "subpopulations": (
        _INDEX,
        _WHAT,
        Head("train rows", ("train_rows",), count),
        Head("aux rows", ("aux_rows",), count),
        _TEST,
        Head("classes", ("class_mix",), text, left=True),
        Head("confidence", ("confidence",), fraction),
        Head("clean accuracy", ("clean_accuracy",), fraction),
        Head("poison's label", ("target_label",), text, left=True),
        Head("attacked", ("attacked",), text, left=True),
        Head("why not", ("reason",), text, left=True),
    ),
    "victims": (
        Head("victim", ("victim",), count),
        Head("trial", ("trial",), count),
        Head("arm", ("arm",), text, left=True),
        Head("aimed at", ("subpopulation",), count),
        _ALPHA,
        Head("right on target", ("target_right", "target_total"), out_of),
        Head("right elsewhere", ("rest_right", "rest_total"), out_of),
        _POINTS,
        Head("epochs", ("epochs",), count),
    ),
    "damage": (
        _INDEX,
        _WHAT,
        _ALPHA,
        _DAMAGE,
        Head("vulnerable", ("vulnerable",), text, left=True),
        Head("q", ("q",), chance),
        Head("off-target", ("off_target",), fraction),
        Head("collateral", ("collateral",), fraction),
        Head("clean", ("clean_accuracy",), fraction),
        Head("poisoned", ("poisoned_accuracy",), fraction),
        _POINTS,
        _OF_TRAIN,
        _TEST,
        _TRIALS,
    ),
    "worst": (
        _ALPHA,
        Head("k", ("k",), count),
        Head("as published", ("as_published", "fewest_test_rows"), on_rows),
        Head("on the eligible", ("on_eligible",), fraction),
        Head("corrected [95 %]", ("corrected", "low", "high"), with_interval),
        Head("eligible", ("eligible", "attacked"), out_of),
        Head("clean accuracy", ("clean_accuracy",), fraction),
        _PAPER,
        Head("reruns", ("published_as",), reruns, left=True),
        _SHOW,
        Head("left out (test rows)", ("left_out",), text, left=True),
        _NOTE,
    ),
    "collateral": (
        _ALPHA,
        Head("group", ("group",), text, left=True),
        Head("subpopulations", ("subpopulations",), count),
        Head("collateral damage [95 %]", ("collateral", "low", "high"), with_interval),
        Head("largest", ("largest",), fraction),
        Head("target damage", ("damage",), fraction),
        _TRIALS,
        _PAPER,
        _SHOW,
    ),
    "confidence": (
        _ALPHA,
        Head("group", ("group",), text, left=True),
        Head("subpopulations", ("subpopulations",), count),
        Head("confidence", ("confidence",), fraction),
        Head("in sample", ("confidence_in_sample",), fraction),
        Head("target damage", ("damage",), fraction),
        Head("rank correlation [95 %]", ("spearman", "spearman_low", "spearman_high"), with_interval),
        _PAPER,
        _SHOW,
    ),
    "distribution": (
        _ALPHA,
        Head("of", ("group",), text, left=True),
        Head("at", ("at",), number),
        Head("as published", ("as_published",), fraction),
        Head("on the eligible", ("on_eligible",), fraction),
        Head("noise taken out [95 %]", ("corrected", "low", "high"), with_interval),
        Head("subpopulations", ("corrected_n", "attacked"), out_of),
        _PAPER,
        _SHOW,
        _NOTE,
    ),
    "dose": (
        _INDEX,
        _WHAT,
        Head("damage of", ("level",), fraction),
        Head("needs alpha", ("needed",), text),
        Head("95 %", ("interval",), text, left=True),
        Head("poison points", ("points_needed",), text),
        _OF_TRAIN,
        Head("damage at the largest alpha", ("damage_at_largest", "largest"), lambda at, alpha: f"{fraction(at)} (at {number(alpha)})"),
        Head("alpha found", ("found_alpha",), number),
        Head("its points", ("found_points",), count),
        Head("damage in fresh trials [95 %]", ("fresh_damage", "fresh_low", "fresh_high"), with_interval),
        _TEST,
        _NOTE,
    ),
    "attributes": (
        Head("attribute", ("attribute",), text, left=True),
        Head("levels", ("levels",), count),
        Head("test rows", ("rows",), count),
        Head("mutual information (by chance)", ("nmi", "nmi_by_chance"), lambda v, by: f"{fraction(v)} ({fraction(by)})"),
        Head("Cramér's V", ("cramers_v",), fraction),
        Head("p", ("p",), chance),
        Head("filled most by", ("strongest",), text, left=True),
        _PAPER,
    ),
    "groups": (
        Head("attacked", ("subpopulation", "description"), lambda index, words: f"#{count(index)}, {words}", left=True),
        Head("at alpha", ("alpha",), number, left=True),
        Head("attribute", ("attribute",), text, left=True),
        Head("group", ("group",), text, left=True),
        Head("rows", ("rows",), count),
        Head("target", ("inside",), share),
        Head("clean", ("clean_accuracy",), fraction),
        Head("poisoned", ("poisoned_accuracy",), fraction),
        Head("damage [95 %]", ("damage", "low", "high"), with_interval),
        Head("q", ("q",), chance),
        Head("hit", ("hit",), text, left=True),
        Head("others", ("rows_of_others",), count),
        Head("their damage [95 %]", ("damage_of_others", "low_of_others", "high_of_others"), with_interval),
        Head("hit", ("hit_of_others",), text, left=True),
        _PAPER,
    ),
    "matchers": (
        _ALPHA,
        Head("k", ("k",), count),
        Head("FeatureMatch, as published", ("feature_as_published",), fraction),
        Head("ClusterMatch", ("cluster_as_published",), fraction),
        Head("FeatureMatch, corrected", ("feature_corrected",), fraction),
        Head("ClusterMatch, corrected", ("cluster_corrected",), fraction),
        Head("difference [95 %]", ("difference", "low", "high"), with_interval),
        Head("vulnerable, FeatureMatch", ("feature_vulnerable", "feature_attacked"), out_of),
        Head("ClusterMatch", ("cluster_vulnerable", "cluster_attacked"), out_of),
        _PAPER,
        _NOTE,
    ),
    "optimization": (
        _ALPHA,
        Head("group", ("group",), text, left=True),
        _INDEX,
        _WHAT,
        Head("subpopulations", ("subpopulations",), count),
        Head("label flipping", ("label_flip",), fraction),
        Head("optimised", ("optimized",), fraction),
        Head("difference [95 %]", ("difference", "low", "high"), with_interval),
        _TRIALS,
        Head("points improved", ("improved",), share),
        _POINTS,
        _PAPER,
        _NOTE,
    ),
    "defenses": (
        _ALPHA,
        Head("group", ("group",), text, left=True),
        _INDEX,
        _WHAT,
        Head("without", ("damage_without",), fraction),
        Head("with the defence", ("damage_defended",), fraction),
        Head("as many at random", ("damage_random",), fraction),
        Head("with − without [95 %]", ("difference", "difference_low", "difference_high"), with_interval),
        Head("with − random [95 %]", ("beyond_random", "beyond_low", "beyond_high"), with_interval),
        _TRIALS,
        Head("poison caught", ("poison_recall",), share),
        Head("of its own clean rows", ("removed_own",), share),
        Head("of others'", ("removed_others",), share),
        Head("cost, no poison", ("cost",), fraction),
        Head("elsewhere", ("cost_elsewhere",), fraction),
        _NOTE,
    ),
    "certificates": (
        _ALPHA,
        Head("group", ("group",), text, left=True),
        _INDEX,
        _WHAT,
        Head("points", ("points",), number),
        Head("certified", ("certified",), fraction),
        Head("and right", ("certified_right",), fraction),
        Head("accuracy of the vote", ("ensemble_accuracy",), fraction),
        Head("of a clean model", ("clean_accuracy",), fraction),
        Head("half withstand", ("withstood",), count),
        Head("and are right", ("withstood_right",), count),
        Head("at most", ("most_points",), count),
        Head("parts", ("parts",), count),
        _TEST,
        _NOTE,
    ),
    "susceptibility": (
        _ALPHA,
        Head("group", ("group",), words, left=True),
        _INDEX,
        _WHAT,
        Head("rank", ("rank",), count),
        Head("predicted", ("predicted",), fraction),
        Head("on test rows", ("predicted_on_test",), fraction),
        Head("damage [95 %]", ("damage", "low", "high"), with_interval),
        _TRIALS,
        Head("rank correlation [95 %]", ("spearman", "spearman_low", "spearman_high"), with_interval),
        Head("of", ("subpopulations",), count),
        Head("worst found at 20 %", ("recall_20",), share),
        Head("30 %", ("recall_30",), share),
        Head("half", ("recall_50",), share),
        Head("mean error", ("mae",), fraction),
        Head("of a constant", ("mae_constant",), fraction),
        _NOTE,
    ),
    "compare": (
        Head("runs", ("baseline", "other"), lambda a, b: f"{b} − {a}", left=True),
        _INDEX,
        _WHAT,
        _ALPHA,
        Head("baseline", ("baseline_damage",), fraction),
        Head("other", ("other_damage",), fraction),
        Head("difference [95 %]", ("difference", "low", "high"), with_interval),
        Head("differs", ("differs",), text, left=True),
        Head("q", ("q",), chance),
        Head("paired trials", ("matched",), count),
        _NOTE,
    ),
    "compare_worst": (
        Head("runs", ("baseline", "other"), lambda a, b: f"{b} − {a}", left=True),
        _ALPHA,
        Head("k", ("k",), count),
        Head("baseline, as published", ("baseline_as_published",), fraction),
        Head("other", ("other_as_published",), fraction),
        Head("baseline, corrected", ("baseline_corrected",), fraction),
        Head("other, corrected", ("other_corrected",), fraction),
        Head("difference [95 %]", ("difference", "low", "high"), with_interval),
        _NOTE,
    ),
}
