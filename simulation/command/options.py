"""What a run is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import time

import msgspec
from msgspec import Struct, field

from simulation.load.engine import Settings
from simulation.load.meter import Threshold
from simulation.scenario.model import Scenario
from simulation.traffic.pace import Stages, Timing, steady


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return int(time() * 1000)


class Options(Struct, frozen=True):
    """What to send. `duration_s` and `count` limit the traffic, whichever comes first; None: no limit.

    `rate` and `count` are those of all `kinds` together; with `stages`, `rate` is their mean. `start_ms`: the true time
    at which the traffic begins; `past`: it is a time gone by, and passes as fast as it does for the devices. `clients`:
    desktop clients at any moment, on average; by default as many as the scenario has. `read_headers`: sent along with
    what reads, in place of those of `settings` that have the same names.
    """

    scenario: Scenario
    seed: int
    run: str
    settings: Settings
    kinds: tuple[str, ...] = ("stats",)
    speed: float = 60.0
    rate: float | None = None
    stages: Stages | None = None
    duration_s: float | None = 60.0
    count: int | None = None
    clients: int | None = None
    start_ms: int = field(default_factory=now_ms)
    past: bool = False
    own_customers: bool = True
    read_headers: Mapping[str, str] = {}
    verify: bool = False
    thresholds: tuple[Threshold, ...] = ()
    ledger_path: Path | None = None
    picture_path: Path | None = None

    @property
    def timing(self) -> Timing:
        """For the traffic of one kind."""
        pace = self.stages or steady
        return Timing(self.speed, self.rate, pace, self.start_ms, self.past)

    def of(self, kind: str) -> Options:
        """The options of one kind: its part of the rate and of the count."""
        number, parts = self.kinds.index(kind), len(self.kinds)
        rate = None if self.rate is None else self.rate / parts
        count = None if self.count is None else self.count // parts + (number < self.count % parts)
        return msgspec.structs.replace(self, kinds=(kind,), rate=rate, count=count)

    @property
    def name(self) -> str:
        """The kind, or `all`."""
        return self.kinds[0] if len(self.kinds) == 1 else "all"
