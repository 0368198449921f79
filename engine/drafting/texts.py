"""Which column of a table holds texts for a model to read, and the model of such a draft."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import Numbers, Words, why_left_out
from engine.datasets.tables.roles import array_of
from engine.drafting.sizes import Sizes
from engine.drafting.words import DraftSection, Key

if TYPE_CHECKING:
    from engine.datasets.tables.columns import Unreadable
    from engine.datasets.tables.file import RawTable

CALLED_TEXT = re.compile(
    r"(text|texts|review|reviews|comment|comments|message|messages|body|content|tweet|sentence|sms|document|post|abstract|email|utterance|query|question|v2)"
)
LEAST_WORDS = 4  # of a text on average; of a column that is called text 2
LEAST_DIFFERENT = 0.5  # share of the rows
MOST_OTHERS = 3  # columns that a model of numbers could read beside the texts; with more it is a table that has a remark in it
LOOKED_AT = 2_000
LENGTHS = (32, 64, 128)  # tokens
TOKENS = 1.4  # a word
MODEL_ROWS = 600  # of train that a draft uses: an encoder whose layers are all trained takes seconds a victim on two cores


def text_column(raw: RawTable, columns: dict[str, Numbers | Words | Unreadable], label: str | None) -> str | None:
    """The one column of free text, where there is one and little else to learn from; None for any other table."""
    candidates = [
        (name, words) for name, column in columns.items() if name != label and isinstance(column, Words) and (words := _words(column))
    ]
    sure = [name for name, _ in candidates if CALLED_TEXT.fullmatch(name.lower())]
    candidates = [(name, words) for name, words in candidates if words >= LEAST_WORDS or name in sure]
    if len(sure) == 1:
        text = sure[0]
    elif len(candidates) == 1:
        text = candidates[0][0]
    else:
        return None
    others = [column for name, column in columns.items() if name not in (text, label) and isinstance(column, Numbers | Words)]
    fed = sum(why_left_out(column, 50) is None for column in others) - (label is None)
    return text if fed <= MOST_OTHERS * (2 if text in sure else 1) else None


def _words(column: Words) -> float:
    """Words of a value on average, where nearly every row has its own; else 0."""
    present = int((~column.missing).sum())
    if column.dates or len(column.levels) < max(2, LEAST_DIFFERENT * present):
        return 0.0
    some = column.levels[:: max(1, len(column.levels) // LOOKED_AT)]
    words = sum(len(value.split()) for value in some) / len(some)
    return words if words >= 2 else 0.0


def sizes(usable: int) -> Sizes:
    train = int(usable * 0.4)
    rows = MODEL_ROWS if train > MODEL_ROWS else None
    used = min(train, MODEL_ROWS)
    return Sizes(used, used, rows, 3, 16, 3e-4, 3)


def model(raw: RawTable, text: str) -> DraftSection:
    """A small encoder from random weights, which runs anywhere; what would read better is said."""
    texts = [value for value in array_of(raw, text).slice(0, LOOKED_AT).to_pylist() if value]
    words = sorted(len(value.split()) if isinstance(value, str) else 64 for value in texts)
    wanted = TOKENS * words[int(0.9 * len(words))] if words else LENGTHS[-1]
    length = next((each for each in LENGTHS if each >= wanted), LENGTHS[-1])
    return DraftSection(
        "model",
        [
            Key("kind", "bert"),
            Key("weights", "random", 'better: a folder of a pretrained encoder, or "hub" and its name, with tune = "last_layer"'),
            Key("architecture", "bert-tiny", "the smallest; with a GPU bert-mini or minilm. Its vocabulary is fetched once"),
            Key("length", length, "tokens of a text, up to 512; a draft takes few, for time grows with them"),
            Key("tune", "all"),
            Key("epochs", 3),
            Key("batch", 16),
            Key("lr", 3e-4),
        ],
    )
