"""The command `subpop`: the command line, and the terminal app where no command is given."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.cli.main import main as command_line


def main() -> int:
    """Run this process's command line and return its exit status."""
    return command_line(open_app=open_app)


def open_app(path: Path | None = None) -> int:
    """The app on this terminal, with a file or a folder of pictures opened; its exit status. Textual is loaded only now."""
    from tui.app import main as app_main

    return app_main(path)


if __name__ == "__main__":
    sys.exit(main())
