"""The data of a run, loaded once for all screens that look at its rows: one process of the engine holds them as long as the app runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.system.pace import Pace
from tui.services.processes import Answer, PreviewProcess

Answered = Callable[[Answer], None]


class RunData:
    """Of the run last looked at. Every follower hears how far loading is, each alone what it asked for.

    stage: "", loading, ready, failed. pace: how far loading is, and how long the rest takes.
    """

    def __init__(self) -> None:
        self.process = PreviewProcess(self._told)
        self.run_id, self.stage = "", ""
        self.pace = Pace()
        self.followers: list[Answered] = []
        self.asker: Answered | None = None

    @property
    def alive(self) -> bool:
        return self.process.alive

    async def load(self, run_id: str, store: Path, data: Path, follower: Answered) -> None:
        """Tell the follower when the run's data are there; loads them where they are not already, or being, loaded."""
        if follower not in self.followers:
            self.followers.append(follower)
        if self.run_id == run_id and self.alive and self.stage in ("loading", "ready"):
            follower({"ready": True} if self.stage == "ready" else {"progress": [self.pace.what or "loading the data", self.pace.share]})
            return
        self.process.close()
        self.followers = [follower]  # those of another run have no data any more: they ask again when they are looked at
        self.run_id, self.stage, self.pace = run_id, "loading", Pace()
        await self.process.ask({"run": run_id, "store": str(store), "data": str(data)})
        await self.process.listen()

    async def ask(self, question: dict[str, Any], follower: Answered) -> None:
        """Ask for rows; the answer is this follower's."""
        self.asker = follower
        await self.process.ask(question)

    def leave(self, follower: Answered) -> None:
        """Hear nothing any more; the data stay for the next."""
        self.followers = [each for each in self.followers if each != follower]
        self.asker = None if self.asker == follower else self.asker

    def close(self) -> None:
        """Let go of the data."""
        self.process.close()
        self.run_id, self.stage, self.followers = "", "", []

    def _told(self, answer: Answer) -> None:
        if "members" in answer or answer.get("asked"):
            if self.asker is not None:
                self.asker(answer)
            return
        if "progress" in answer:
            self.pace.at(str(answer["progress"][0]), float(answer["progress"][1]))
        elif "ready" in answer:
            self.stage = "ready"
        elif "error" in answer:
            self.stage = "failed"
        for follower in list(self.followers):
            follower(answer)
