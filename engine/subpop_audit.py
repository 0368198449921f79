"""The command `subpop`, and `python -m subpop_audit`: puts our own `engine` and `tui` first, then runs the command line.

These two names are common ones: a project's own engine.py, in the working directory or on PYTHONPATH, would be imported in our place.
This file's name is the distribution's and nobody else's. A wheel and an editable install have a copy of it at the top: beside the packages,
or beside the .pth file that says where they lie. Nothing of ours is imported before the path is set.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

# What tells our package from another of its name. (This very file is not in a wheel's package: it was moved to the top.)
OURS = os.path.join("engine", "scenario", "sections.py")


def root() -> str:
    """The folder that holds our packages: this file's, the one above it (in a checkout), else of the path the first below this file's."""
    beside = os.path.dirname(os.path.abspath(__file__))
    below = sys.path[sys.path.index(beside) :] if beside in sys.path else []
    for folder in (beside, os.path.dirname(beside), *below, *sys.path):
        if os.path.isfile(os.path.join(folder, OURS)):
            return os.path.abspath(folder)
    raise SystemExit(f"subpop: its own files are gone from where they were installed ({beside}); install it again")


def main() -> int:
    """Run this process's command line, the terminal app behind it; its exit status."""
    sys.path.insert(0, root())
    return int(import_module("tui.main").main())


if __name__ == "__main__":
    sys.exit(main())
