"""A program in a pseudo-terminal: what it writes, keys typed at it, its size changed, its terminal taken away."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.cells import cell_len

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\")


TOKEN = re.compile(r"\x1b\[([0-?]*)[ -/]*([@-~])|" + ESCAPES.pattern + r"|[\r\n\b]|[^\x1b\r\n\b]+", re.DOTALL)


class Picture:
    """What stands on the screen, from what was written: as much of a terminal as Textual asks for."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.cells = [[" "] * self.width for _ in range(self.height)]
        self.x = self.y = 0
        self._rest = ""

    @property
    def lines(self) -> list[str]:
        return ["".join(row) for row in self.cells]

    def feed(self, raw: bytes) -> None:
        text = self._rest + raw.decode("utf-8", errors="ignore")
        cut = text.rfind("\x1b")
        self._rest = ""
        if cut >= 0 and len(text) - cut < 40 and not ESCAPES.match(text, cut):
            text, self._rest = text[:cut], text[cut:]
        for found in TOKEN.finditer(text):
            token, numbers, final = found[0], found[1], found[2]
            if final == "H":
                y, _, x = (numbers or "1;1").partition(";")
                self.y, self.x = int(y or 1) - 1, int(x or 1) - 1
            elif final == "C":
                self.x += int(numbers or 1)
            elif final == "J":
                self.cells = [[" "] * self.width for _ in range(self.height)]
            elif token == "\r":
                self.x = 0
            elif token == "\n":
                self.y += 1
            elif token[0] not in "\x1b\b":
                for char in token:
                    for cell in (char, "")[: cell_len(char)]:  # a double-width character takes its neighbour's place too
                        if 0 <= self.y < self.height and 0 <= self.x < self.width:
                            self.cells[self.y][self.x] = cell
                        self.x += 1


class Terminal:
    """Runs `command` in a terminal of `size` (columns, rows). `text`: all it wrote, without escape sequences."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (120, 36),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.raw = b""
        self.master, slave = pty.openpty()
        self._set_size(size)
        env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})}
        for name in {"NO_COLOR", "COLUMNS", "LINES"} - set(environment or {}):  # a test runner's, not this terminal's
            env.pop(name, None)
        # where the tests run under nohup, the program would inherit that a hang-up means nothing
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder, start_new_session=True, close_fds=True
            )
        finally:
            signal.signal(signal.SIGHUP, before)
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw.decode(errors="replace"))

    def read(self, seconds: float) -> bytes:
        """What comes within so many seconds."""
        end, got = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.master], [], [], left)
            if not ready:
                break
            try:
                chunk = os.read(self.master, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            got += chunk
            self.raw += chunk
        return got

    def until(self, wanted: str, seconds: float) -> float:
        """Read until `wanted` has been written; the seconds it took. Looks only at what is new since the call."""
        start, at = time.monotonic(), len(self.raw)
        while time.monotonic() - start < seconds:
            self.read_some(0.5)
            if wanted in ESCAPES.sub("", self.raw[at:].decode(errors="replace")):
                return time.monotonic() - start
            if self.process.poll() is not None and not self.read(0.1):
                break
        raise AssertionError(f"{wanted!r} never came; the last of what did: {self.text[-600:]!r}")

    def read_some(self, seconds: float) -> None:
        """One read, at most so many seconds away."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            try:
                self.raw += os.read(self.master, 1 << 16)
            except OSError:
                return

    def type(self, keys: str) -> None:
        """Send keys as a terminal would."""
        data = keys.encode()
        while data:
            _, ready, _ = select.select([], [self.master], [], 5)
            if not ready:
                raise AssertionError("the program takes no input")
            data = data[os.write(self.master, data[:1024]) :]
            if len(data) > 1024:
                self.read(0.0)

    def resize(self, size: tuple[int, int]) -> None:
        self._set_size(size)
        os.kill(self.process.pid, signal.SIGWINCH)

    def _set_size(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
