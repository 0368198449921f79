"""What is known of a device's memory. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Room:
    """How many victims at a time were too many for a device, the least of them; None: none were yet. One for each run and device."""

    too_many: int | None = None

    def learn(self, victims: int) -> None:
        """So many were too many."""
        self.too_many = victims if self.too_many is None else min(victims, self.too_many)

    def holds(self, victims: int) -> bool:
        """Whether it is worth trying."""
        return victims == 1 or self.too_many is None or victims < self.too_many
