"""Loads of several kinds at once, and their numbers as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from simulation.load.engine import Load
from simulation.load.meter import Meter


class Running(Protocol):
    """What the live views show: a load, or several."""

    @property
    def elapsed_s(self) -> float: ...
    @property
    def meter(self) -> Meter: ...
    @property
    def waiting(self) -> int: ...
    @property
    def settling(self) -> bool: ...


class Fleet:
    """Loads by the name of their kind. They begin together, and each ends when its own traffic does."""

    def __init__(self, loads: Mapping[str, Load]) -> None:
        self.loads = loads

    @property
    def elapsed_s(self) -> float:
        """Of the one that takes longest."""
        return max(load.elapsed_s for load in self.loads.values())

    @property
    def meter(self) -> Meter:
        """All counts, added up."""
        return Meter.merged([load.meter for load in self.loads.values()])

    @property
    def waiting(self) -> int:
        """What is due and not sent or, on streams, not acknowledged."""
        return sum(load.waiting for load in self.loads.values())

    @property
    def settling(self) -> bool:
        """None of them sends anything new, and one still settles."""
        return any(load.settling for load in self.loads.values()) and all(
            load.settling or load.ended for load in self.loads.values()
        )

    async def run(self) -> None:
        """Run them all. The first error of one ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for load in self.loads.values():
                    group.create_task(load.run())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
