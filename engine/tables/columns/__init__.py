"""The columns of every table, in words. Plain data: screens and exports need no more, and no numpy."""

from __future__ import annotations

from engine.rows import Column, TableSpec
from engine.tables.columns.analyses import ANALYSES
from engine.tables.columns.certificates import CERTIFICATES
from engine.tables.columns.shared import ALPHA as _ALPHA
from engine.tables.columns.shared import DESCRIPTION as _DESCRIPTION
from engine.tables.columns.shared import INTERVAL as _INTERVAL
from engine.tables.columns.shared import PREDICTED as _PREDICTED
from engine.tables.columns.shared import PUBLISHED as _PUBLISHED
from engine.tables.columns.shared import SUBPOPULATION as _SUBPOPULATION

KS = (1, 5, 10)

ESTIMAND = (
    "corrected: each (trial, fifth of the test rows) is scored on subpopulations chosen by the other trials and fifths; it estimates the "
    "expected damage of an adversary who picks targets from past trials, given this split and clustering"
)

VULNERABLE = "poison aimed at it damages it, and more than as much aimed at others does: q at most 0.05; withheld below three trials"

_OBJECTIVE = (
    "mean agreement of the points' gradients with the attacker's (influence: fall of the attacker's loss that a point foretells, nats)"
)
SPECS: dict[str, TableSpec] = {
    "subpopulations": TableSpec(
        "subpopulations",
        (
            _SUBPOPULATION,
            _DESCRIPTION,
            Column("train_rows", "int"),
            Column("aux_rows", "int"),
            Column("test_rows", "int"),
            Column("class_mix", "text", "share of each class among its aux rows"),
            Column("confidence", "fraction", "mean probability of the true class, cross-fitted within aux"),
            Column("confidence_in_sample", "fraction", "the same on rows that the model was trained on, as published"),
            Column("adversary_accuracy", "fraction", "accuracy of the adversary's model on its test rows"),
            Column("clean_accuracy", "fraction", "accuracy of the clean victims on its test rows, mean over trials"),
            Column("target_label", "text", "the label its poison is given; empty where every point gets its own"),
            Column("attacked", "bool"),
            Column("reason", "text", "why it is not attacked"),
            Column("predicted", "fraction", "damage at the largest alpha that clean models alone foretell; empty without triage"),
        ),
        ("subpopulation",),
        "the subpopulations that were discovered",
    ),
    "victims": TableSpec(
        "victims",
        (
            Column("victim", "int", "its number in the plan"),
            Column("trial", "int"),
            Column("arm", "text"),
            _SUBPOPULATION,
            _ALPHA,
            Column("target_right", "int", "test rows of its subpopulation that it got right"),
            Column("target_total", "int"),
            Column("rest_right", "int", "test rows outside that it got right (of a clean victim: of all)"),
            Column("rest_total", "int"),
            Column("poison_points", "int"),
            Column("already_target", "int", "poison points whose label was the given one already"),
            Column("epochs", "int", "passes over train; of an estimator its boosting rounds or trees"),
            Column("train_loss", "float", "nats, mean over the last epoch"),
        ),
        ("victim",),
        "what each trained model got right",
    ),
    "damage": TableSpec(
        "damage",
        (
            _SUBPOPULATION,
            _DESCRIPTION,
            _ALPHA,
            Column("damage", "fraction", "target damage: clean minus poisoned accuracy on its test rows, mean over trials"),
            *_INTERVAL,
            Column("trials", "int", "trials with both arms"),
            Column("vulnerable", "bool", VULNERABLE),
            Column("p", "float", "one-sided: how often chance would do as much; p_from says which chance"),
            Column("q", "float", "p adjusted over the subpopulations of the alpha (Benjamini-Hochberg)"),
            Column(
                "p_from",
                "text",
                "off_target: which of a trial's victims of the alpha is aimed at it, and which two make its damage (the larger p); t: a "
                "moderated t, where victims aimed at others are too few",
            ),
            Column("off_target_victims", "int", "how many of them p rests on, all trials together"),
            Column("clean_accuracy", "fraction", "of the clean victims on its test rows"),
            Column("poisoned_accuracy", "fraction", "of the poisoned victims on its test rows"),
            Column("collateral", "fraction", "the same difference on the test rows outside"),
            Column(
                "off_target",
                "fraction",
                "what poison of the same trial and alpha, aimed at others, did to it",
            ),
            Column("true_label", "fraction", "what the same extra points with their true labels did to it"),
            Column("target_given", "fraction", "share of its test rows given the target label"),
            Column("target_given_clean", "fraction", "the same by the clean victims"),
            Column("poison_points", "float", "mean over trials"),
            Column("poison_share", "fraction", "poison points over train rows"),
            Column("already_target", "float", "poison points whose label was the given one already, mean over trials"),
            Column("aux_rows", "int"),
            Column("test_rows", "int"),
            *_PUBLISHED,
            *_PREDICTED,
        ),
        ("alpha", "subpopulation"),
        "target damage of every attacked subpopulation at every poison rate",
    ),
    "worst": TableSpec(
        "worst",
        (
            _ALPHA,
            Column("k", "int"),
            Column("as_published", "fraction", "chosen and scored on the same trials, with the published size filter"),
            Column("as_published_k", "int", "how many there really were"),
            Column("test_rows", "int", "of those chosen as published, together"),
            Column("fewest_test_rows", "int", "of the one of them that has fewest"),
            Column(
                "on_eligible",
                "fraction",
                "chosen and scored on the same trials too, but among the eligible alone: as_published less this is who may be picked, "
                "this less corrected is luck",
            ),
            Column("corrected", "fraction", ESTIMAND),
            *_INTERVAL,
            Column("k_used", "int", "how many there really were, of those with enough test rows"),
            Column("eligible", "int", "attacked subpopulations with enough test rows"),
            Column("attacked", "int", "attacked subpopulations"),
            Column("eligible_share", "fraction", "test rows of the eligible over those of the attacked; a row counts in each it is of"),
            Column("trials", "int", "complete trials that the corrected value rests on"),
            Column("clean_accuracy", "fraction", "of the clean victims on the test rows of those chosen as published"),
            Column("size", "float", "mean aux rows of those chosen as published"),
            *_PUBLISHED,
            Column("published_size", "float"),
            Column("chosen", "text", "those chosen as published, worst first"),
            Column("chosen_corrected", "text", "those of enough test rows, by all trials, worst first"),
            Column("left_out", "text", "attacked subpopulations that are not eligible, each with its test rows"),
            Column("note", "text", "why a value is missing, or that all the eligible are the worst k"),
            *_PREDICTED,
        ),
        ("alpha", "k"),
        "mean target damage of the worst k, as published and corrected",
    ),
    "collateral": TableSpec(
        "collateral",
        (
            _ALPHA,
            Column("group", "text", "the worst k as published, or all that are attacked"),
            Column("subpopulations", "int"),
            Column("collateral", "fraction", "clean minus poisoned accuracy outside the subpopulation, mean over the group and trials"),
            *_INTERVAL,
            Column("largest", "fraction", "of one subpopulation, mean over trials"),
            Column("damage", "fraction", "target damage of the same"),
            Column("trials", "int"),
            *_PUBLISHED,
            *_PREDICTED,
        ),
        ("alpha", "group"),
        "what the attack does to everyone else",
    ),
    "confidence": TableSpec(
        "confidence",
        (
            _ALPHA,
            Column("group", "text", "the ten of lowest, middle and highest confidence, or all"),
            Column("subpopulations", "int"),
            Column("confidence", "fraction", "mean, cross-fitted within aux"),
            Column("confidence_in_sample", "fraction", "mean, on the model's own training rows, as published"),
            Column("damage", "fraction", "mean target damage"),
            Column("spearman", "float", "rank correlation of confidence and damage within the group"),
            Column("published", "fraction", "the paper's mean damage; its alpha could not be read"),
            Column("published_as", "text", "its table, and how sure its reading is"),
            Column("published_spearman", "float"),
            Column("spearman_low", "float", "lower end of its 95 % interval"),
            Column("spearman_high", "float", "upper end"),
            *_PREDICTED,
            Column("spearman_outside", "text", "above or below, where the published one lies outside what as many others would show"),
        ),
        ("alpha", "group"),
        "whether confidence foretells damage",
    ),
    **ANALYSES,
    "optimization": TableSpec(
        "optimization",
        (
            _ALPHA,
            Column("group", "text", "one subpopulation; or all; those with enough test rows; the worst k, each attack's own"),
            _SUBPOPULATION,
            _DESCRIPTION,
            Column("subpopulations", "int", "how many the row is the mean of"),
            Column("label_flip", "fraction", "target damage by label flipping with as many points, over the trials that have both"),
            Column("optimized", "fraction", "target damage by the optimised points, over the same trials"),
            Column("difference", "fraction", "optimised minus label flipping, paired within a trial; of the worst k, of two rankings"),
            *_INTERVAL,
            Column("trials", "int", "trials with both"),
            Column("objective_before", "float", _OBJECTIVE + ": as label-flipped copies (influence: of a random draw)"),
            Column("objective_after", "float", _OBJECTIVE + ": as victims see them (influence: of those chosen)"),
            Column("gain", "float", "the one minus the other"),
            Column("relative_gain", "float", "gain over the size of what it was before"),
            Column("improved", "fraction", "share of the moved points whose objective rose"),
            Column("moved", "fraction", "how far their pixels were moved: mean over pixels, over the bound"),
            Column("poison_points", "float", "mean over trials"),
            Column("test_rows", "int"),
            Column("published", "fraction", "the paper's value: none, for what could be read of its Table 8 holds no numbers"),
            Column("published_as", "text", "its table, and how sure its reading is"),
            Column("note", "text", "why a value is missing"),
        ),
        ("alpha", "group", "subpopulation"),
        "optimised poison points against label flipping on the same subpopulations, alphas and trials",
    ),
    "defenses": TableSpec(
        "defenses",
        (
            _ALPHA,
            Column(
                "group",
                "text",
                "one subpopulation; all; those with enough test rows; the worst k, each arm's own; all, were the most suspect rows removed",
            ),
            _SUBPOPULATION,
            _DESCRIPTION,
            Column("subpopulations", "int", "how many the row is the mean of"),
            Column("damage_without", "fraction", "target damage without a defence"),
            Column("damage_defended", "fraction", "with it, by the same poison in the same trials, against the same clean victims"),
            Column("damage_random", "fraction", "with as many rows removed at random, and as many labels changed"),
            Column("difference", "fraction", "with the defence minus without, paired within a trial: below 0 it helped"),
            Column("difference_low", "fraction", "lower end of its 95 % interval"),
            Column("difference_high", "fraction", "upper end"),
            Column("beyond_random", "fraction", "with the defence minus as many at random: below 0 it is what it removed that helped"),
            Column("beyond_low", "fraction", "lower end of its 95 % interval"),
            Column("beyond_high", "fraction", "upper end"),
            Column("trials", "int", "trials with all of them"),
            Column("poison_recall", "fraction", "share of the poison that was removed or relabelled"),
            Column("precision", "fraction", "share of what was removed or relabelled that is poison"),
            Column("removed_own", "fraction", "share of the target's own clean rows that was removed or relabelled"),
            Column("removed_others", "fraction", "the same of all other clean rows"),
            Column("removed_rows", "float", "how many rows that is in all, mean over trials"),
            Column("poison_points", "float", "mean over trials"),
            Column("cost", "fraction", "without poison: clean accuracy on its test rows that the defence costs"),
            Column("cost_elsewhere", "fraction", "the same on all other test rows"),
            Column("random_cost", "fraction", "what as many rows removed at random cost on its test rows"),
            Column("random_cost_elsewhere", "fraction", "on all others"),
            Column("train_rows", "int"),
            Column("test_rows", "int"),
            Column("note", "text", "why a value is missing"),
        ),
        ("alpha", "group", "subpopulation"),
        "what a defence took and whether it helped, beside as many rows removed at random",
    ),
    "certificates": CERTIFICATES,
    "predictions": TableSpec(
        "predictions",
        (
            Column("victim", "int"),
            Column("trial", "int"),
            Column("arm", "text"),
            Column("target", "int", "the subpopulation that its poison aims at"),
            _ALPHA,
            Column("row", "int", "test row"),
            Column("subpopulation", "int", "the row's own"),
            Column("true_class", "text"),
            Column("predicted_class", "text"),
        ),
        ("victim", "row"),
        "what every victim predicts for every test row; made at export, never stored",
    ),
}

MADE_AT_EXPORT = ("predictions", "groups", "matchers")
OPTIONAL = (
    "optimization",
    "defenses",
    "certificates",
    "susceptibility",
    "attributes",
)  # of some runs only: see `build.materialised` and `world.World`
MATERIALISED = tuple(name for name in SPECS if name not in (*MADE_AT_EXPORT, *OPTIONAL))  # of every run
