"""The paper's published numbers as data, each with its table and how sure its reading is. Nothing here is computed.

"Subpopulation Data Poisoning Attacks", Jagielski, Severi, Pousette Harger, Oprea, ACM CCS 2021 (arXiv 2006.14026). All are of label
flipping, and of ClusterMatch but for section 5.5. "sure": read in the text or recomputed from the authors' result files; "reading": the
table's text layer was scrambled, and this is the order that fits the text and is monotone. Fractions, never percentages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.rows import RunRow

Certainty = Literal["sure", "reading"]
ALPHAS = (0.5, 1.0, 2.0)
KS = (10, 5, 1)  # the order in which the paper's tables give them


@dataclass(frozen=True)
class Reading:
    """One published number: its value, the table that it stands in, how sure its reading is, and what is to be known of it."""

    value: float
    table: str
    certainty: Certainty
    remark: str = ""


@dataclass(frozen=True)
class Published:
    """What was published of one system.

    worst        (alpha, k) -> mean target damage of the worst k
    size         k -> mean size of the worst k
    collateral   (alpha, k) -> mean collateral damage of the worst k
    confidence   ("low" | "high", alpha) -> mean target damage of the ten subpopulations of lowest or highest confidence. The paper does
                 not say at which alpha in what could be read; they are kept under None
    spearman     alpha -> rank correlation of confidence and damage
    shares       (share of subpopulations, damage that they reach at least), at alpha 2
    single       (description as FeatureMatch gives it, alpha) -> target damage of that one subpopulation
    trials       over how many trials its damages were averaged
    """

    key: str
    system: str
    clean_accuracy: Reading | None
    worst: Mapping[tuple[float, int], Reading] = field(default_factory=dict)
    size: Mapping[int, Reading] = field(default_factory=dict)
    collateral: Mapping[tuple[float, int], Reading] = field(default_factory=dict)
    confidence: Mapping[str, Reading] = field(default_factory=dict)
    spearman: Mapping[float, Reading] = field(default_factory=dict)
    shares: tuple[tuple[float, Reading], ...] = ()
    single: Mapping[tuple[str, float], Reading] = field(default_factory=dict)
    trials: int = 3


def published(reproduces: str | None) -> Published | None:
    """What was published of what a scenario reproduces ("Table 4, UCI Adult"), or None where nothing was or it could not be recovered.

    The system may follow ("Table 5, CIFAR-10 VGG-FT"); upper and lower case are the same.
    """
    if reproduces is None:
        return None
    return PUBLISHED.get(_NAMES.get(" ".join(reproduces.casefold().split()), ""))


def _table(
    table: str,
    system: str,
    clean: float | None,
    rows: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]],
    size: tuple[float, float, float],
    certainty: Certainty,
    remarks: Mapping[tuple[float, int], str] | None = None,
    *,
    trials: int = 3,
    **more: Mapping[tuple[float, int], Reading] | Mapping[str, Reading] | Mapping[float, Reading] | tuple[tuple[float, Reading], ...],
) -> Published:
    worst = {
        (alpha, k): Reading(value, table, certainty, (remarks or {}).get((alpha, k), ""))
        for alpha, row in zip(ALPHAS, rows, strict=True)
        for k, value in zip(KS, row, strict=True)
    }
    dataset = system.rpartition(" ")[0] if system != "UCI Adult" else system
    return Published(
        key=f"{table}, {dataset}",
        system=system,
        clean_accuracy=None if clean is None else Reading(clean, table, certainty),
        worst=worst,
        size={k: Reading(value, table, certainty) for k, value in zip(KS, size, strict=True)},
        trials=trials,
        **more,  # type: ignore[arg-type]
    )


def _collateral(value: float, certainty: Certainty) -> dict[tuple[float, int], Reading]:
    return {(1.0, 5): Reading(value, "Table 6", certainty)}


def _confidence(low: float, high: float, certainty: Certainty) -> dict[str, Reading]:
    return {"low": Reading(low, "Table 7", certainty), "high": Reading(high, "Table 7", certainty)}


def _spearman(*values: float) -> dict[float, Reading]:
    source = "the authors' result files"
    return {alpha: Reading(value, source, "sure") for alpha, value in zip(ALPHAS, values, strict=True)}


def _shares(*pairs: tuple[float, float]) -> tuple[tuple[float, Reading], ...]:
    return tuple((share, Reading(damage, "Section 5.4", "sure")) for share, damage in pairs)


_BERT_LL_FILE = "the authors' result file gives {}"


def _section_55_utkface(system: str) -> Published:
    """The same numbers beside either system, for of which of them they are is not known."""
    unsaid = "system and alpha not told; here at alpha 2"
    return Published(
        key=f"Section 5.5, {system}",
        system=system,
        clean_accuracy=None,
        single={
            ("race Other, age 60+", 2.0): Reading(0.40, "Section 5.5", "sure", f"from 1.00 to .60, {unsaid}"),
            ("White, age 30–44", 2.0): Reading(0.152, "Section 5.5", "sure", unsaid),
        },
    )


_ALL = (
    _table(
        "Table 4",
        "UTKFace VGG-LL",
        None,
        ((0.073, 0.094, 0.222), (0.128, 0.132, 0.222), (0.294, 0.335, 0.556)),
        (60.7, 47.8, 40.3),
        "sure",
        collateral=_collateral(0.003, "sure"),
        confidence=_confidence(0.064, 0.010, "sure"),
        shares=_shares((0.35, 0.0496), (0.69, 0.0)),
    ),
    _table(
        "Table 4",
        "IMDB BERT-LL",
        0.888,
        ((0.010, 0.014, 0.038), (0.018, 0.029, 0.049), (0.036, 0.061, 0.203)),
        (158.4, 171.3, 207.3),
        "sure",
        {(0.5, 10): _BERT_LL_FILE.format(".008"), (2.0, 1): _BERT_LL_FILE.format(".130")},
        trials=1,
        collateral=_collateral(-0.0029, "sure"),
        confidence=_confidence(0.011, 0.002, "reading"),
        spearman=_spearman(0.08, -0.27, -0.40),
    ),
    _table(
        "Table 4",
        "CIFAR-10 Conv",
        None,
        ((0.136, 0.163, 0.236), (0.297, 0.327, 0.348), (0.418, 0.480, 0.535)),
        (111.5, 120.9, 126.8),
        "sure",
        collateral=_collateral(0.014, "reading"),
        confidence=_confidence(0.046, 0.008, "reading"),
        shares=_shares((0.25, 0.249), (0.65, 0.141)),
    ),
    _table(
        "Table 4",
        "UCI Adult",
        0.837,
        ((0.121, 0.191, 0.224), (0.240, 0.343, 0.375), (0.333, 0.367, 0.667)),
        (41.1, 45.1, 48.3),
        "reading",
        collateral=_collateral(0.014, "reading"),
    ),
    _table(
        "Table 5",
        "UTKFace VGG-FT",
        0.963,
        ((0.218, 0.244, 0.286), (0.329, 0.385, 0.500), (0.405, 0.432, 0.455)),
        (57.3, 38.1, 29.0),
        "sure",
        collateral=_collateral(0.029, "sure"),
        confidence=_confidence(0.101, 0.214, "sure"),
        shares=_shares((0.50, 0.25), (0.90, 0.147)),
    ),
    _table(
        "Table 5",
        "IMDB BERT-FT",
        0.913,
        ((0.024, 0.035, 0.051), (0.080, 0.129, 0.204), (0.206, 0.303, 0.506)),
        (148.5, 136.2, 129.0),
        "sure",
        trials=1,
        collateral=_collateral(0.0053, "sure"),
        confidence=_confidence(0.030, 0.142, "reading"),
        spearman=_spearman(-0.60, -0.22, 0.30),
    ),
    _table(
        "Table 5",
        "CIFAR-10 VGG-FT",
        0.863,
        ((0.206, 0.294, 0.426), (0.518, 0.616, 0.738), (0.511, 0.627, 0.742)),
        (175.6, 180.9, 144.0),
        "sure",
        collateral=_collateral(0.013, "reading"),
        confidence=_confidence(0.108, 0.218, "reading"),
        shares=_shares((0.55, 0.144)),
    ),
    Published(  # FeatureMatch's worst k could not be recovered
        key="Section 5.5, UCI Adult",
        system="UCI Adult",
        clean_accuracy=None,
        single={("education-num 9, Black, Female", 2.0): Reading(0.147, "Section 5.5", "sure", "from .914 to .767")},
    ),
    *(_section_55_utkface(system) for system in ("UTKFace", "UTKFace VGG-LL", "UTKFace VGG-FT")),
    # Table 8 sets optimised poison points beside label flipping; its numbers could not be recovered
    Published(key="Table 8, UTKFace VGG-LL", system="UTKFace VGG-LL", clean_accuracy=None),
    Published(key="Table 8, UTKFace VGG-FT", system="UTKFace VGG-FT", clean_accuracy=None),
)

PUBLISHED: dict[str, Published] = {entry.key: entry for entry in _ALL}
_NAMES = {name.casefold(): entry.key for entry in _ALL for name in (entry.key, f"{entry.key.split(',')[0]}, {entry.system}")}


def system_of(run: RunRow) -> str:
    """What a run is called in a table of several: the paper's name of its system, else its own."""
    import tomllib

    try:
        reproduces = tomllib.loads(run.scenario_toml).get("reproduces")
    except tomllib.TOMLDecodeError:
        return run.name
    paper = published(reproduces)
    return paper.system if paper is not None else run.name
