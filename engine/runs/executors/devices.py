"""Several devices: a child process each, a stack at a time, handed out as they are done. This process alone writes.

A child is started (`subprocess`, never forked: CUDA survives no fork) when the first stacks are trained, and kept. Where one is gone, or
says that its stack failed, the stack is trained again, in another child and in the same company; one that fails twice ends the run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from engine.errors import RunFailed
from engine.rows import StackPlan
from engine.runs.executors import Job, TrainedStack, Watch
from engine.runs.executors.dealing import Dealing, Waiting
from engine.runs.executors.messages import Done, Failed, Hold, Ready, Said, Step, Train
from engine.system import children
from engine.training.room import Room

CHILD = children.command("engine.runs.executors.child")
POLL_S = 0.1  # how often a stop is looked for
STARTS = 5  # of a device's child, in a row; whoever kills them may strike one that has only begun to load its libraries


@dataclass
class _Child:
    """One device's process, and what it is at; nothing where it is free."""

    process: subprocess.Popen[bytes]
    conn: Connection
    ready: bool = False
    at: Waiting | None = None
    begun_s: float = 0.0


class Devices:
    """See `engine.runs.executors.Executor`. devices: as `devices.resolve_all` has them, one named twice has two children.

    command: what starts a child, its device and the number of its socket added to it; tests have their own.
    """

    def __init__(self, devices: Sequence[str], command: Sequence[str] = CHILD) -> None:
        self._devices, self._command = tuple(devices), command
        self._children: dict[int, _Child] = {}  # by the device's place
        self._room = Room()
        self._starts: Counter[int] = Counter()  # of a device's children, since one of them was ready

    def name(self, place: int) -> str:
        """A device as the log has it: two of the same are told apart."""
        device = self._devices[place]
        return f"{device} ({place + 1})" if self._devices.count(device) > 1 else device

    def train(self, stacks: Sequence[StackPlan], job: Job, watch: Watch) -> Iterator[TrainedStack]:
        if job.too_many is not None:
            self._room.learn(job.too_many)
        dealing = Dealing(stacks, self._room)
        told = pickle.dumps(job) if stacks else b""
        for child in self._children.values():  # of an earlier call
            self._tell(child, told)
        watch.tell_of_pauses(self._hold)
        while dealing.left:
            watch.check()
            self._hand_out(dealing, watch)
            for place, message in self._heard():
                child = self._children[place]
                stack = child.at.stack if child.at else None
                if isinstance(message, Ready):
                    child.ready, self._starts[place] = True, 0
                    self._tell(child, told)
                elif isinstance(message, Said):
                    watch.log(message.message)
                elif isinstance(message, Step) and stack is not None:
                    watch.step(stack, message.done, message.total)
                elif isinstance(message, Done) and stack is not None:
                    dealing.done(message.too_many)
                    child.at, duration_s = None, watch.at_work_s() - child.begun_s
                    self._hand_out(dealing, watch)  # it is at work while this stack is committed
                    yield TrainedStack(stack, message.victims, duration_s, self._room.too_many)
                elif isinstance(message, (Failed, int)):
                    self._end(place)
                    why = self._why(place, message)
                    if child.at is None or stack is None:
                        if self._starts[place] >= STARTS:
                            raise RunFailed(f"{why} before it had begun", next="the log file of the run may say why; then resume it")
                        continue
                    failed = message if isinstance(message, Failed) else None
                    dealing.lose(child.at, failed.what if failed else why, failed)
                    watch.lose(stack, why)

    def _hand_out(self, dealing: Dealing, watch: Watch) -> None:
        """Give each child that is free a stack, and start those that are missing, no more than there is work for."""
        for place in range(len(self._devices)):
            child = self._children.get(place)
            if child is None and dealing.waits:
                self._start(place)
            elif child is not None and child.ready and child.at is None and dealing.waits:
                one = dealing.next()
                child.at, child.begun_s = one, watch.at_work_s()
                watch.begin(one.stack, self.name(place))
                self._send(child, Train(one.stack, one.too_many))

    def close(self) -> None:
        for place in list(self._children):
            self._end(place)

    # ---- children -------------------------------------------------------------------------------------------------------

    def _start(self, place: int) -> None:
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [*self._command, self._devices[place], str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=children.environment(),
                start_new_session=True,  # a group of its own, so that it ends with the parts of its stack
            )
        except OSError as error:
            ours.close()
            raise RunFailed(f"the process for {self.name(place)} could not be started ({error})", next="resume the run") from error
        finally:
            theirs.close()
        self._starts[place] += 1
        self._children[place] = _Child(process, Connection(ours.detach()))

    def _tell(self, child: _Child, job: bytes) -> None:
        """Pickled once for all of them: it holds the data."""
        if child.ready and job:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is gone: the next look tells
                child.conn.send_bytes(job)

    def _send(self, child: _Child, message: object) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            child.conn.send(message)

    def _heard(self) -> list[tuple[int, object]]:
        """A message of each child that has one; of one that is gone, and has said all, its exit status: an int."""
        conns = {place: child.conn for place, child in self._children.items()}
        speaking = wait(list(conns.values()), POLL_S)
        heard: list[tuple[int, object]] = []
        for place, conn in conns.items():
            if conn not in speaking:
                continue
            try:
                heard.append((place, conn.recv()))
            except (EOFError, OSError, pickle.UnpicklingError):  # killed, perhaps in the middle of a word
                heard.append((place, self._status(place)))
        silent = self._children.keys() - {place for place, _ in heard}
        # a part of its stack may hold the socket open a little longer than it lives
        return [
            *heard,
            *((place, self._status(place)) for place in silent if self._is_gone(place) and not self._children[place].conn.poll()),
        ]

    def _is_gone(self, place: int) -> bool:
        """A look that leaves its number taken: its group is still to be ended."""
        pid = self._children[place].process.pid
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _status(self, place: int) -> int:
        process = self._children[place].process
        self._kill(process)
        return process.wait()

    def _end(self, place: int) -> None:
        child = self._children.pop(place)
        self._kill(child.process)
        child.process.wait()
        child.conn.close()

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _hold(self, holds: bool) -> None:
        for child in self._children.values():
            self._send(child, Hold(holds))

    # ---- in words -------------------------------------------------------------------------------------------------------

    def _why(self, place: int, message: Failed | int) -> str:
        if isinstance(message, Failed):
            return f"the process on {self.name(place)} failed: {message.what}"
        how = f"killed by signal {-message}" if message < 0 else f"exit status {message}"
        return f"the process on {self.name(place)} ended without a word ({how})"
