"""`python -m engine.precheck.apart`: a scenario's TOML comes in, what must be refused goes out as JSON. Keeps NumPy out of the app.

{"toml": ..., "data": "/where"} -> {} or {"what": ..., "where": ..., "next": ...}
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.system import children

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

LONGEST_S = 20.0  # a look that takes longer is given up: the run itself will tell


def check_apart(scenario: Scenario, data_dir: Path) -> None:
    """As `precheck.check_here`, in a child process. A child that fails by itself refuses nothing."""
    from engine.scenario.identity import dump

    question = json.dumps({"toml": dump(scenario), "data": str(data_dir)})
    try:
        child = subprocess.run(
            children.command("engine.precheck.apart"),
            input=question.encode("utf-8", "surrogatepass"), capture_output=True, timeout=LONGEST_S, env=children.environment(),
        )  # fmt: skip
        answer = json.loads(child.stdout) if child.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return
    if answer:
        raise RequestError(answer["what"], where=answer["where"], next=answer["next"])


def main() -> None:
    from engine.precheck import check_here
    from engine.scenario.parse import stored

    question = json.loads(sys.stdin.buffer.read().decode("utf-8", "surrogatepass"))
    answer: dict[str, str] = {}
    try:
        check_here(stored(question["toml"]), Path(question["data"]))
    except RequestError as error:
        answer = {"what": error.what, "where": error.where, "next": error.next}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
