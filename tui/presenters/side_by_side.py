"""The damage table turned: a row a subpopulation, its alphas side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.rows import Column, Record, TableSpec

NAME = "side_by_side"
ALPHA = "alpha_"  # what the columns of the alphas begin with
OF_ALL = (  # of the damage table, the same at every alpha
    Column("clean_accuracy", "fraction", "of the clean victims on its test rows"),
    Column("aux_rows", "int", "its rows in the auxiliary data"),
    Column("test_rows", "int", "its rows in the test data"),
)


def spec_of(alphas: Sequence[float]) -> TableSpec:
    """The table's columns for these alphas, in ascending order."""
    largest = f"alpha {alphas[-1]:g}" if alphas else "the largest alpha"
    return TableSpec(
        NAME,
        (
            Column("subpopulation", "int", "its number"),
            Column("description", "text", "what it is, in words"),
            *(Column(column_of(alpha), "fraction", f"damage at alpha {alpha:g}") for alpha in alphas),
            Column("damage", "fraction", f"at {largest}"),
            Column("low", "fraction", f"95 % interval at {largest}"),
            Column("high", "fraction", f"95 % interval at {largest}"),
            Column("vulnerable_from", "float", "the least alpha at which it is vulnerable; empty where it is at none"),
            Column("poison_points", "float", f"at {largest}, mean over trials"),
            Column("poison_share", "fraction", f"at {largest}: poison points over train rows"),
            Column("trials", "int", f"at {largest}"),
            *OF_ALL,
        ),
        ("subpopulation",),
        "target damage of every attacked subpopulation, its poison rates side by side",
    )


def column_of(alpha: float) -> str:
    return f"{ALPHA}{alpha:g}"


def turned(damage: Iterable[Record]) -> tuple[TableSpec, list[tuple[object, ...]]]:
    """Rows of the damage table, by column, as this one: its spec, and its rows in order of subpopulations."""
    rows: dict[int, dict[float, Record]] = {}
    for row in damage:
        rows.setdefault(row["subpopulation"], {})[row["alpha"]] = row
    alphas = sorted({alpha for by_alpha in rows.values() for alpha in by_alpha})
    spec = spec_of(alphas)
    names = [column.name for column in spec.columns]
    return spec, [tuple(_cells(rows[index], alphas).get(name) for name in names) for index in sorted(rows)]


def _cells(by_alpha: Mapping[float, Record], alphas: Sequence[float]) -> Record:
    """A subpopulation's row. One that has not been attacked at the largest alpha, as in a search for its own, has nothing there."""
    any_of_them = by_alpha[max(by_alpha)]
    at_largest = by_alpha.get(alphas[-1], {})
    vulnerable = [alpha for alpha, row in by_alpha.items() if row["vulnerable"]]
    return {
        **{name: any_of_them[name] for name in ("subpopulation", "description", *(column.name for column in OF_ALL))},
        **{column_of(alpha): row["damage"] for alpha, row in by_alpha.items()},
        **{name: at_largest.get(name) for name in ("damage", "low", "high", "poison_points", "poison_share", "trials")},
        "vulnerable_from": min(vulnerable, default=None),
    }
