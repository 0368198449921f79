"""Which column of a table is the label, as far as its name, its place and its values tell; nothing is trained for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import INDEX_NAME, PERSON_NAME, STRICT_ID, Numbers, Words, unaccented, why_left_out
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.labels import MOST_CLASSES, MOST_NUMBERS
from engine.datasets.tables.suspects import ENTITY
from engine.datasets.wording import counted, listed
from engine.drafting.looks import Candidate
from engine.errors import UnknownName

if TYPE_CHECKING:
    from engine.datasets.tables.columns import Unreadable

# The whole name, with every sign in it taken for a blank: it says that the column is a label, or often is one.
CALLED_LABEL = re.compile(r"(label|labels|target|targets|y true|ground truth|gold|truth|outcome|outcomes|(target|dependent) variable)")
CALLED_Y = re.compile(r"(y|response|answer|actual)")
SOMETIMES_LABEL = re.compile(r"(class|classes|category)")
# A word of the name: what tables of persons, loans and patients are made to predict.
OUTCOMES = re.compile(
    r"\b(label$|target$|outcome$|class$|income|diagnosis|survived|survival|defaulted|default|churn|churned|attrition|exited|fraud|isfraud"
    r"|fraudulent|spam|recid|recidivism|recidivated|rearrest|reoffend|approved|approval|granted|repaid|paid back|readmitted|readmission"
    r"|subscribed|sentiment|stroke|cancer|disease|heartdisease|diabetes|diabetic|malignant|benign|died|death|deceased|mortality|hospitalized"
    r"|hired|admitted|admission|accepted|converted|conversion|clicked|purchased|purchase|bought|revenue|cancelled|canceled|no show"
    r"|delinquent|delinquency|delinq|bankrupt|bankruptcy|bad|good bad|credit risk|risk|toxic|toxicity|hate|polarity|species|quality"
    r"|won|winner|passed|graduated|dropout|failure|failed|fault|anomaly|attack|intrusion|is canceled|loan status|stars|verdict|decision)\b"
)
# The same of German, French and Spanish, without accents (an umlaut may be written as one letter or as two).
CALLED_ELSEWHERE = re.compile(
    r"(zielvariable|zielwert|zielgroe?sse|ziel|(variable )?cible|variable a predire|(variable )?objetivo|etiquettes?|etiquetas?)"
)
SOMETIMES_ELSEWHERE = re.compile(r"(klassen?|kategorie|classe|categorie|clase|categoria)")
OUTCOMES_ELSEWHERE = re.compile(
    r"\b((zahlungs|kredit)?ausfall|ausgefallen|kue?ndigung|gekue?ndigt|abgewandert|abwanderung|storno|storniert|betrug|betrugsfall"
    r"|betrugerisch|betruegerisch|verstorben|gestorben|tod|todesfall|ueberlebt|uberlebt|diagnose|erkrankt|erkrankung|krankheit|ruckfall"
    r"|rueckfall|ruckfallig|rueckfaellig|einkommen|zahlungsverzug|verzug|insolvenz|insolvent|kreditrisiko|risiko|bewilligt|genehmigt"
    r"|abgelehnt|angenommen|bestanden|durchgefallen|abbruch|abgebrochen|gekauft|geklickt|zuruckgezahlt|zurueckgezahlt|stimmung"
    r"|defaut|defaillance|impaye|fraude|frauduleux|desabonnement|desabonne|resiliation|resilie|deces|decede|survie|survecu|diagnostic"
    r"|maladie|malade|recidive|revenu|accepte|accorde|refuse|approuve|achat|achete|annule|annulation|risque|faillite|reussite|reussi|echec"
    r"|impago|moroso|morosidad|incumplimiento|fraudulento|abandono|baja|cancelacion|cancelado|fallecido|fallecimiento|muerte|supervivencia"
    r"|sobrevivio|diagnostico|enfermedad|enfermo|reincidencia|reincidente|ingresos|aprobado|aceptado|concedido|rechazado|compra|compro"
    r"|riesgo|quiebra|sentimiento)\b"
)
WEAKER_ELSEWHERE = re.compile(r"\b(ergebnis|stufe|gruppe|typ|zustand|resultat|groupe|etat|niveau|resultado|grupo|tipo|estado|nivel)\b")
WEAKER = re.compile(r"\b(status|result|rating|stars|score|grade|type|group|level|flag|event|state)\b")
HORIZON = re.compile(r"\b(next|within|(one|two|three|five|ten|[0-9]+) ?(years?|months?|days?))\b")
SURE = 55  # points from which on a column is taken: of its name, or of being the last and having two classes
LIKELY, AHEAD = 40, 15  # and fewer, where the next is so many behind
NUMBERS_AS_CLASSES = 12  # different whole numbers that may still be classes where no name says so
FEW = 10  # classes
WORST_GAPS = 0.5  # share of rows without a value


@dataclass(frozen=True)
class Rated:
    """A column that could be the label: points, what speaks for it, and its classes."""

    name: str
    points: int
    why: str
    classes: int


@dataclass(frozen=True)
class Guess:
    """label: None where nothing is sensible; why: of the guess or of there being none; candidates: the best first."""

    label: str | None
    why: str
    candidates: tuple[Candidate, ...]


def guess(raw: RawTable, columns: Mapping[str, Numbers | Words | Unreadable], *, beside_text: bool = False) -> Guess:
    """The label of a table whose columns were read. beside_text: of texts, where almost any other column of few values will do."""
    rated = sorted(_rated(raw, columns, beside_text), key=lambda each: -each.points)
    candidates = tuple(Candidate(each.name, f"{each.why}, {counted(each.classes, 'class').replace('classs', 'classes')}") for each in rated)
    best, second = (rated[0] if rated else None), (rated[1].points if len(rated) > 1 else 0)
    if best is not None and (best.points >= SURE or (best.points >= LIKELY and best.points - second >= AHEAD)):
        others = [repr(each.name) for each in rated[1:] if each.points >= SURE]
        rivals = f"; others that could be: {listed(others, 4)}" if others else ""
        return Guess(best.name, f"{candidates[0].why}{rivals}", candidates)
    if not rated:
        return Guess(None, f"no column has 2 to {MOST_CLASSES} classes that could be told apart", ())
    return Guess(None, "no column is called as a label is, and several could be one", candidates)


def require(name: str, raw: RawTable) -> str:
    """The name, where the file has such a column. UnknownName with the nearest where it has not."""
    if name not in raw.names:
        raise UnknownName("column", name, raw.names, next=f"(in {raw.path})")
    return name


def _rated(raw: RawTable, columns: Mapping[str, Numbers | Words | Unreadable], beside_text: bool) -> list[Rated]:
    rated = []
    for place, name in enumerate(raw.names):
        column = columns.get(name)
        if not isinstance(column, Numbers | Words) or name in raw.repeated or INDEX_NAME.search(name):
            continue
        classes = _classes(column)
        why_not = why_left_out(column, MOST_CLASSES) or ""
        if classes is None or "identif" in why_not or "numbers the rows" in why_not:
            continue
        points, why = _points(name, column, classes)
        if place == len(raw.names) - 1:
            points, why = points + 30, [*why, "the last column"]
        elif place == 0 and not isinstance(column, Numbers):
            points, why = points + 15, [*why, "the first column"]
        rated.append(Rated(name, points + (35 if beside_text else 0), " and ".join(why) or "few values", classes))
    return rated


def _classes(column: Numbers | Words) -> int | None:
    """How many classes the column would make, or None where it can be no label: the loader's own limits."""
    import numpy as np

    gaps = float(column.missing.mean())
    if isinstance(column, Words):
        if len(column.levels) > MOST_CLASSES or column.dates or (gaps > WORST_GAPS and len(column.levels) < 2):
            return None
        classes = len(column.levels) + len(column.gone)  # in a label "none" and "NA" are classes
        return classes if 2 <= classes <= MOST_CLASSES else None
    present = column.values[~column.missing]
    distinct = np.unique(present[:20_000])
    if len(distinct) > MOST_CLASSES:
        return None
    distinct = np.unique(present)
    decimals = bool((distinct % 1 != 0).any())
    if not 2 <= len(distinct) <= (MOST_NUMBERS if decimals else MOST_CLASSES) or gaps > WORST_GAPS or column.form not in ("number",):
        return None
    return len(distinct)


def _points(name: str, column: Numbers | Words, classes: int) -> tuple[int, list[str]]:
    """How much speaks for a column being the label, and what."""
    import numpy as np

    points, why = 0, []
    words = " ".join(
        re.sub(r"([a-z])([A-Z])", r"\1 \2", unaccented(name)).lower().replace("_", " ").replace(".", " ").replace("-", " ").split()
    )
    if CALLED_LABEL.fullmatch(words) or CALLED_ELSEWHERE.fullmatch(words):
        points, why = 100, ["called as a label is"]
    elif CALLED_Y.fullmatch(words):
        points, why = 90, ["called as a label often is"]
    elif SOMETIMES_LABEL.fullmatch(words) or SOMETIMES_ELSEWHERE.fullmatch(words):
        points, why = 65, ["called as a label often is"]
    elif OUTCOMES.search(words) or OUTCOMES_ELSEWHERE.search(words):
        points, why = 70, ["named like an outcome"]
    elif WEAKER.search(words) or WEAKER_ELSEWHERE.search(words):
        points, why = 15, ["named a little like an outcome"]
    if re.match(r"(is|has|was|will|did|ist|hat|wurde|war|est|a ete|es|ha) ", words):
        points, why = points + 15, [*why, "asks yes or no"]
    if why and HORIZON.search(words):
        points += 10
    if classes == 2:
        points += 25
    elif classes <= FEW:
        points += 10
    if isinstance(column, Numbers):
        present = column.values[~column.missing]
        if classes > NUMBERS_AS_CLASSES or (present % 1 != 0).any():
            points -= 50
        elif classes > 2 and not bool((np.diff(np.unique(present)) == 1).all()):
            points -= 20
    elif classes > 3 * FEW:
        points -= 30
    if column.missing.any():
        points -= 10
    if STRICT_ID.search(name) or PERSON_NAME.search(unaccented(name)) or ENTITY.search(name):
        points -= 60
    return points, why


def same_as(label: Words, columns: Sequence[Numbers | Words]) -> list[str]:
    """Columns that are the label in other words: one value for each class, in every row that has a label."""
    import numpy as np

    names = []
    rows = np.flatnonzero(~label.missing)
    y = label.codes[rows]
    for column in columns:
        values = column.codes[rows] if isinstance(column, Words) else column.values[rows]
        if column.missing[rows].any():
            continue
        distinct, codes = np.unique(values, return_inverse=True)
        if 2 <= len(distinct) <= MOST_CLASSES and len(np.unique(y.astype(np.int64) * len(distinct) + codes)) == len(distinct) == len(
            np.unique(y)
        ):
            names.append(column.name)
    return names
