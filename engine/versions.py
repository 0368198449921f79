"""The versions of what decides a number, apart from the code's own: raise one where the same scenario would come to other numbers.

A run keeps the versions it was made under. Victims of another schedule are never paired with or reused; an unfinished run of another
schedule, or of one's own data under other rules of reading, is not gone on with. Tables of older statistics are made anew from the
stored predictions.
"""

from __future__ import annotations

from engine.errors import RequestError

SCHEDULE = 3  # which rows a step of training sees: `engine/training/schedule.py`
STATISTICS = 4  # how tables come from predictions: `engine/evaluation/`, `engine/tables/`
READING = 3  # how one's own tables, texts and pictures become rows: `engine/datasets/`
READ_BY_RULES = ("table", "text_table", "image_folder")  # the other kinds have one published form, read alike under every version

# what is said of a run that an older version stored
UNVERIFIED = "stored by a version that kept no digests: damage to what is stored would not be noticed"

SCHEDULES = {
    1: "1: poison spread evenly over steps, so that a short last batch held more than its share of it",
    2: "2: poison placed by rows, as where train and poison are shuffled together; a last batch of a row or two was a step of its own",
    3: "3: poison placed by rows, as where train and poison are shuffled together; a last batch of less than an eighth joins another",
}

READINGS = {
    1: "1: a label called None or NA was none, one cell decided what its column is, money and units were text",
    2: "2: the file as a whole decides",
    3: "3: columns of names are left out in German, French and Spanish too, and a column Name where it holds persons",
}


def reading_in_words(version: int) -> str:
    """By which rules one's own data were read, for exports and messages."""
    return READINGS.get(version, f"{version}: of a newer subpop")


def refuse_other_reading(run_id: str, version: int, kind: str) -> None:
    """RequestError where an unfinished run over one's own data began under other rules: its rows, classes or features may be others now.

    kind: of the dataset.
    """
    if version != READING and kind in READ_BY_RULES:
        raise RequestError(
            f"it began when data were read by other rules ({reading_in_words(version)}); this version reads by rules {READING}",
            where=f"run {run_id}",
            next="start its scenario again; what it has can still be exported",
        )


def schedule_in_words(version: int) -> str:
    """What a schedule did, for exports and messages; of one that this version does not know, its number."""
    return SCHEDULES.get(version, f"{version}: of a newer subpop")


def other_schedule(version: int) -> str:
    """What must be known of a run of another schedule than today's; "" for today's."""
    if version == SCHEDULE:
        return ""
    if version == 1:
        return (
            "trained under schedule 1, which gave a short last batch too much poison: damages may be up to twice too high "
            "(run it again to measure them)"
        )
    if version == 2:
        return (
            "trained under schedule 2, which differs where the last batch of an epoch held less than an eighth of one: "
            "there damages may be off by a few hundredths"
        )
    return f"trained under schedule {version}, which this version does not know"


def refuse_other_schedule(run_id: str, version: int) -> None:
    """RequestError where an unfinished run began under another schedule: half its victims would not be comparable with the other half."""
    if version != SCHEDULE:
        raise RequestError(
            f"it began under schedule {schedule_in_words(version)}; this version trains under schedule {SCHEDULE} alone",
            where=f"run {run_id}",
            next="start its scenario again; what it has can still be exported",
        )
