"""Where the outcome of a payload is written down: in the ledger of truth and in the meter, never in only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from simulation.load.meter import LATE_S, Lane, Meter
from simulation.traffic.message import Message


class Truth(Protocol):
    """A ledger of what became of the payloads of one kind."""

    @property
    def run(self) -> str:
        """Name of the run; keys begin with it."""

    def acknowledge(self, payload: Any) -> None:
        """The collector has said that the payload is stored."""

    def lose(self, payload: Any) -> None:
        """The payload was sent, and whether it is stored will not be known."""


class Scheduled(Struct, gc=False):
    """A message and the moment, by the run's clock, at which it ought to be sent."""

    due_s: float
    message: Message[Any]


class Books:
    """What became of each payload. `clock` is monotonic, in seconds."""

    def __init__(self, ledger: Truth, meter: Meter, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.meter = meter
        self.clock = clock

    def started(self, item: Scheduled) -> None:
        """The payload is being sent for the first time."""
        self.meter.bytes_sent += len(item.message.body)
        if self.clock() - item.due_s >= LATE_S:
            self.meter.late += 1

    def acknowledged(self, lane: Lane, item: Scheduled) -> None:
        """The collector has said that it is stored."""
        self.ledger.acknowledge(item.message.payload)
        self.meter.acknowledge(lane, self.clock() - item.due_s)

    def rejected(self, item: Scheduled) -> None:
        """The collector has said that it is not stored and won't be."""
        self.meter.rejected += 1

    def unknown(self, item: Scheduled) -> None:
        """Sent, and no answer will come."""
        self.ledger.lose(item.message.payload)
        self.meter.unknown += 1

    def dropped(self, item: Scheduled) -> None:
        """Never sent."""
        self.meter.dropped += 1

    def retry(self, kind: str) -> None:
        """A request went wrong in a way that is safe to repeat."""
        self.meter.retries += 1
        self.meter.error(kind)
