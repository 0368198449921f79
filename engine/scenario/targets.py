"""What attack.target_label may say of given classes. Plain Python: it is asked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from engine.errors import RequestError, UnknownName


class Known(Protocol):
    """For each class whether it may be a target: bool [classes], a list or an array."""

    def __getitem__(self, at: int, /) -> object: ...
    def __iter__(self) -> Iterator[object]: ...


RULES = ("rarest", "least_likely", "flip")
LEAST_ROWS = 10


def check_target(rule: str, classes: Sequence[str], known: Known | None = None) -> None:
    """Raises UnknownName where it is neither a rule nor a class, RequestError where it is a class of which train has too few rows."""
    if rule not in (*RULES, *classes):
        raise UnknownName("class or rule", rule, (*RULES, *classes), next="(in attack.target_label)")
    if known is not None and rule not in RULES and not known[classes.index(rule)]:
        present = [name for name, has in zip(classes, known, strict=True) if has]
        raise RequestError(
            f"train has no row of class {rule!r}, or too few for a clean victim to know it (attack.target_min_rows)",
            where="attack.target_label",
            next=f"use one of {', '.join((*RULES, *present[:10]))}{' …' if len(present) > 10 else ''}, or correct the data's labels",
        )


def least_rows(train_rows: int, classes: int) -> int:
    """Fewer train rows than this and a class is no target: max(10, 1 % of train), but never more than half of an even share, which
    with very many classes or very few rows is less."""
    return max(1, min(max(LEAST_ROWS, train_rows // 100), train_rows // (2 * max(1, classes))))
