"""The command `subpop`: the command line, and the terminal app where no command is given."""

from __future__ import annotations

import sys

from engine.cli.main import main as command_line


def main() -> int:
    """Run this process's command line and return its exit status."""
    return command_line(open_app=open_app)


def open_app() -> int:
    """The app on this terminal; its exit status. Textual is loaded only now."""
    from tui.app import main as app_main

    return app_main()


if __name__ == "__main__":
    sys.exit(main())
