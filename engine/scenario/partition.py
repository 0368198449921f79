"""What evaluation.certificates may say of so many rows. Plain Python: it is asked before anything heavy is loaded."""

from __future__ import annotations

from engine.errors import RequestError


def check_parts(k: int | None, train_rows: int) -> None:
    """RequestError where train has fewer rows than it is to have parts."""
    if k is not None and k > train_rows:
        what = f"is {k:,}, more parts than train has rows ({train_rows:,})"
        raise RequestError(
            what, where="evaluation.certificates", next=f"use fewer than {train_rows:,}, and so few that each can be learnt from"
        )
