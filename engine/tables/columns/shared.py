"""Columns that several tables have. Plain data."""

from __future__ import annotations

from engine.rows import Column

SUBPOPULATION = Column("subpopulation", "int", "its index")
DESCRIPTION = Column("description", "text", "what its rows have in common")
ALPHA = Column("alpha", "float", "poison rate")
INTERVAL = (Column("low", "fraction", "lower end of the 95 % interval"), Column("high", "fraction", "upper end of the 95 % interval"))
PUBLISHED = (
    Column("published", "fraction", "the paper's value"),
    Column("published_as", "text", "its table, how sure its reading is; rerun: what others got, not the paper"),
)
PREDICTED = (
    Column(
        "predicted_low",
        "fraction",
        "95 % prediction interval of what another would show as published: the paper's number of trials, other subpopulations like these",
    ),
    Column("predicted_high", "fraction", "its upper end"),
    Column("outside", "text", "above or below, where the published value lies outside that interval"),
)
