"""What each stored value must be: its type, range, choices and the shape of its JSON. Rules for who reads a stranger's rows.

A rule takes a value as SQLite gives it and says what is needed instead, or "" where it will do. Imports neither numpy nor torch.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, get_args

from engine.account.data import USES
from engine.printable import fault
from engine.rows import Arm, RunState

Rule = Callable[[Any], str]

DTYPES = frozenset(["uint8", "int8", "int32", "int64", "float32", "float64"])  # all arrays that are ever stored
LATEST = 1e11  # Unix seconds, in the year 5138: what a calendar can still show
MOST = 1 << 40  # no count is larger
NAME, WORDS, DOCUMENT = 1000, 100_000, 1 << 24  # characters
ID = re.compile(r"[0-9A-Za-z]{1,40}")
DIGEST_BYTES = 16
SCALARS = {"text": (str,), "int": (int, float), "fraction": (int, float), "float": (int, float), "bool": (bool,)}


class NotJson(ValueError):
    """Text that is no JSON of ours."""


def load(text: object) -> Any:
    """JSON in which every number is finite and every text can be written down. NotJson in all other cases."""
    try:
        if not isinstance(text, str):
            raise NotJson("it is no text")
        value = json.loads(text, parse_constant=_refused, parse_float=_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair of surrogates is no character
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error
    return value


def _refused(name: str) -> float:
    raise NotJson(f"{name} is no number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise NotJson(f"{text} is no finite number")
    return value


# ---- rules ----------------------------------------------------------------------------------------------------------


def text(most: int = NAME) -> Rule:
    return lambda value: "" if type(value) is str and len(value) <= most else f"a text of at most {most:,} characters is needed"


def line(most: int = NAME) -> Rule:
    """A text that a terminal can be shown as it is."""
    return lambda value: text(most)(value) or (fault(value) and f"one clean line of text is needed: it {fault(value)}")


def whole(least: int = 0, most: int = MOST) -> Rule:
    return lambda value: "" if type(value) is int and least <= value <= most else f"a whole number from {least} to {most} is needed"


def number(least: float = 0.0, most: float = LATEST, what: str = "a number") -> Rule:
    def rule(value: object) -> str:
        good = type(value) in (int, float) and least <= value <= most  # type: ignore[operator]
        return "" if good else f"{what} from {least:g} to {most:g} is needed"

    return rule


def choice(*values: str) -> Rule:
    return lambda value: "" if type(value) is str and value in values else f"one of {', '.join(values)} is needed"


def matching(pattern: str, what: str) -> Rule:
    whole_of = re.compile(pattern)
    return lambda value: "" if type(value) is str and whole_of.fullmatch(value) else f"{what} is needed"


def optional(rule: Rule) -> Rule:
    return lambda value: "" if value is None else rule(value)


def blob(value: object) -> str:
    return "" if type(value) is bytes else "bytes are needed"


def digest(value: object) -> str:
    return "" if value is None or (type(value) is bytes and len(value) == DIGEST_BYTES) else f"{DIGEST_BYTES} bytes, or none, are needed"


def of_json(rule: Rule, most: int = DOCUMENT) -> Rule:
    """A text that is JSON, and what it holds goes by the rule."""

    def checked(value: object) -> str:
        if wrong := text(most)(value):
            return wrong
        try:
            return rule(load(value))
        except NotJson as error:
            return f"JSON is needed ({error})"

    return checked


def a_list(rule: Rule, least: int = 0) -> Rule:
    def checked(value: object) -> str:
        if type(value) is not list or len(value) < least:
            return f"a list is needed{f' of at least {least}' if least else ''}"
        return next((f"of each of its entries: {wrong}" for entry in value if (wrong := rule(entry))), "")

    return checked


def a_dict(rule: Rule) -> Rule:
    def checked(value: object) -> str:
        if type(value) is not dict:
            return "an object of names and values is needed"
        return next((f"of each of its values: {wrong}" for entry in value.values() if (wrong := rule(entry))), "")

    return checked


def fields(rules: Mapping[str, Rule], may_lack: frozenset[str] = frozenset()) -> Rule:
    """An object of exactly these fields."""

    def checked(value: object) -> str:
        if type(value) is not dict or not rules.keys() - may_lack <= value.keys() <= rules.keys():
            return f"an object of the fields {', '.join(rules)} is needed"
        return next((f"of its field {name}: {wrong}" for name, entry in value.items() if (wrong := rules[name](entry))), "")

    return checked


def record(*rules: Rule) -> Rule:
    """A list of exactly so many entries, each by its own rule."""

    def checked(value: object) -> str:
        if type(value) is not list or len(value) != len(rules):
            return f"a list of {len(rules)} entries is needed"
        return next((f"of its entry {at}: {wrong}" for at, rule in enumerate(rules) if (wrong := rule(value[at]))), "")

    return checked


def boolean(value: object) -> str:
    return "" if type(value) is bool else "true or false is needed"


def anything(value: object) -> str:
    return ""


def cell(kind: str, value: object) -> bool:
    """Whether a cell may stand in a column of this kind."""
    return value is None or (type(value) in SCALARS[kind] and (type(value) is str or abs(value) <= 1e300))  # type: ignore[arg-type]


# ---- the values of each table ---------------------------------------------------------------------------------------

TIME, SHARE = number(what="a time in seconds"), number(0.0, 1.001, "a share")  # float32 rounds a little above 1
SIZE, WORD = whole(0, 1 << 31), text(WORDS)
SPEC = record(whole(), SIZE, choice(*get_args(Arm)), optional(SIZE), optional(number(0.0, 1e9)))
SUBPOPULATION = fields(
    {
        "index": SIZE,
        "description": text(WORDS),
        "train_rows": SIZE,
        "aux_rows": SIZE,
        "test_rows": SIZE,
        "class_mix": a_dict(SHARE),
        "confidence": optional(SHARE),
        "confidence_in_sample": optional(SHARE),
        "clean_accuracy": optional(SHARE),
        "target_label": optional(WORD),
        "attacked": boolean,
        "reason": text(WORDS),
        "predicted": optional(number(-1.001, 1.001, "a damage")),
    },
    may_lack=frozenset(["reason", "predicted"]),
)
TABLE_SPEC = fields(
    {
        "name": WORD,
        "columns": a_list(record(WORD, choice(*SCALARS), text(WORDS)), least=1),
        "key": a_list(WORD),
        "help": text(WORDS),
    }
)

LINE, LONG_LINE = line(), line(WORDS)
ACCOUNT = fields(
    {
        "kind": LINE,
        "classes": a_list(LONG_LINE, least=1),
        "splits": a_list(fields({"name": choice("train", "aux", "test"), "rows": SIZE, "classes": a_list(SIZE, least=1)}), least=3),
        "files": a_list(fields({"name": LONG_LINE, "checksum": LINE})),
        "features": SIZE,
        "columns": a_list(
            fields(
                {
                    "name": LONG_LINE,
                    "use": choice(*USES),
                    "features": SIZE,
                    "levels": SIZE,
                    "missing": SIZE,
                    "leak": optional(number(0.0, 1.001, "a share")),
                    "why": LONG_LINE,
                }
            )
        ),
        "reading": whole(1, 1 << 15),
        "source_rows": whole(),
        "repeated": optional(fields({"what": LINE, "test_in_train": SIZE, "relabelled": SIZE, "aux_in_train": SIZE, "test_in_aux": SIZE})),
        "pictures": optional(fields(dict.fromkeys(("pictures", "height", "width", "bits"), SIZE))),
        "texts": optional(
            fields(dict.fromkeys(("texts", "fewest_words", "median_words", "most_words", "most_characters", "length", "cut"), SIZE))
        ),
        "notes": a_list(LONG_LINE),
        "deviations": a_list(LONG_LINE),
    }
)

COLUMNS: dict[str, dict[str, Rule]] = {
    "runs": {
        "id": matching(ID.pattern, "a name of letters and digits"),
        "name": WORD,
        "title": text(WORDS),
        "state": choice(*get_args(RunState)),
        "phase": text(WORDS),
        "scenario_toml": text(DOCUMENT),
        "scenario_hash": matching("[0-9a-f]{1,64}", "a digest in hexadecimal"),
        "created_at": TIME,
        "started_at": optional(TIME),
        "finished_at": optional(TIME),
        "host": WORD,
        "pid": optional(whole(0, 1 << 31)),
        "pid_start": WORD,
        "device": WORD,
        "victims_done": whole(),
        "victims_total": whole(),
        "progress": SHARE,
        "eta_s": optional(number(0.0, 1e308)),
        "victims_per_minute": optional(number(0.0, 1e308)),
        "error": text(DOCUMENT),
        "deviations": of_json(a_list(text(WORDS))),
        "note": text(WORDS),
        "data_dir": text(WORDS),
        "parent": matching(f"({ID.pattern})?", "a name of letters and digits"),
        "schedule": whole(1, 1 << 15),
        "statistics": whole(0, 1 << 15),
        "reading": whole(1, 1 << 15),
        "boot": WORD,
        "pid_namespace": WORD,
        "claim": WORD,
        "digest": digest,
    },
    "discoveries": {
        "classes": of_json(a_list(WORD, least=1)),
        "provenance": of_json(a_dict(anything)),
        "at": TIME,
        "account": optional(of_json(ACCOUNT)),
        "digest": digest,
    },
    "subpopulations": {"number": SIZE, "fields": of_json(SUBPOPULATION), "digest": digest},
    "arrays": {
        "name": WORD,
        "dtype": choice(*sorted(DTYPES)),
        "shape": of_json(a_list(whole()), most=NAME),
        "data": blob,
        "digest": digest,
    },
    "array_parts": {"name": WORD, "number": whole(1), "data": blob, "digest": digest},
    "stacks": {
        "number": SIZE,
        "trial": SIZE,
        "victims": of_json(a_list(SPEC, least=1)),
        "done_at": optional(TIME),
        "duration_s": optional(number()),
        "too_many": optional(whole(2)),
        "digest": digest,
    },
    "plans": {
        "parts": whole(1, 1 << 15),
        "threads": whole(1, 1 << 15),
        "discovery": matching("[0-9a-f]{0,64}", "a digest in hexadecimal"),
        "shard": optional(whole(1, 1 << 20)),
        "shards": optional(whole(1, 1 << 20)),
        "digest": digest,
    },
    "victims": {
        "number": whole(),
        "stack": SIZE,
        "trial": SIZE,
        "arm": choice(*get_args(Arm)),
        "subpopulation": optional(SIZE),
        "alpha": optional(number(0.0, 1e9)),
        "poison_points": whole(),
        "already_target": whole(),
        "epochs": SIZE,
        "train_loss": optional(number(-math.inf, math.inf)),  # a diverged one is kept
        "test_rows": SIZE,
        "predictions": blob,
        "judged": optional(blob),
        "digest": digest,
    },
    "parts": {
        "number": SIZE,
        "rows": SIZE,
        "epochs": SIZE,
        "train_loss": optional(number(-math.inf, math.inf)),
        "duration_s": optional(number()),
        "test_rows": SIZE,
        "predictions": blob,
        "digest": digest,
    },
    "result_tables": {"name": WORD, "spec": of_json(TABLE_SPEC), "revision": whole(), "order_revision": whole(), "digest": digest},
    "result_rows": {
        "name": WORD,
        "key": of_json(a_list(anything)),
        "position": whole(),
        "cells": optional(of_json(a_list(anything))),
        "revision": whole(),
        "digest": digest,
    },
    "log": {"at": TIME, "level": choice("info", "warning", "error"), "message": text(DOCUMENT), "digest": digest},
}


def mistake(table: str, row: Mapping[str, object] | sqlite3.Row) -> tuple[str, str]:
    """The first column of a row that does not go by its rule, and what is wrong with it in words; ("", "") where there is none."""
    for name, rule in COLUMNS[table].items():
        if wrong := rule(row[name]):
            return name, f"{name} is {shown(row[name])}: {wrong}"
    return "", ""


def shown(value: object) -> str:
    """A value that may be anything, short and harmless in a message."""
    literal = ascii(value)
    return literal if len(literal) <= 40 else f"{literal[:37]}..."
