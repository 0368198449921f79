"""The columns of the table of certificates. Plain data."""

from __future__ import annotations

from engine.rows import Column, TableSpec
from engine.tables.columns.shared import ALPHA, DESCRIPTION, SUBPOPULATION

CERTIFICATES = TableSpec(
    "certificates",
    (
        ALPHA,
        Column("group", "text", "the whole test set; all that are attacked; those of them with enough test rows; or one subpopulation"),
        SUBPOPULATION,
        DESCRIPTION,
        Column("subpopulations", "int", "how many the row is the mean of"),
        Column("points", "float", "points inserted: floor(alpha times its size), as the attack's `per` says"),
        Column("certified", "fraction", "share of its test rows whose vote no so many inserted points can change, wherever they are put"),
        Column("certified_right", "fraction", "share of them that the vote is right on as well"),
        Column("ensemble_accuracy", "fraction", "the vote's accuracy without any such point: what the certificate is paid with"),
        Column("clean_accuracy", "fraction", "the clean victims' accuracy, trained on the whole of train, mean over trials"),
        Column(
            "withstood",
            "int",
            "the largest number of points that the votes of half of its test rows withstand; of a group: of all its rows",
        ),
        Column("withstood_right", "int", "the same of rows that the vote is right on; empty where fewer than half are right"),
        Column("most_points", "int", "what no row can withstand more of with so many parts: half of them"),
        Column("out_of_reach", "fraction", "share of the subpopulations that get more points than that"),
        Column("parts", "int", "disjoint parts of train, each with a model of its own"),
        Column("smallest_part", "int", "rows of the smallest"),
        Column("attacked", "bool"),
        Column("train_rows", "int"),
        Column("aux_rows", "int"),
        Column("test_rows", "int"),
        Column("note", "text", "why nothing is certified"),
    ),
    ("alpha", "group", "subpopulation"),
    "what the vote of models on disjoint parts of train is proven to withstand (deep partition aggregation, Levine and Feizi 2021)",
)
