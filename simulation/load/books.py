"""Where the outcome of a payload is written down: in the ledger of truth and in the meter, never in only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from simulation.load.meter import LATE_S, Lane, Meter
from simulation.load.reception import Reception, ServerClock
from simulation.traffic.message import Message


class Truth(Protocol):
    """A ledger of what became of the payloads of one kind."""

    @property
    def run(self) -> str:
        """Name of the run; keys begin with it."""

    def acknowledge(self, payload: Any, received: Reception, *, copy: bool = False) -> None:
        """The collector has said that the payload is stored; it was received at that time. `copy`: it is stored once
        more than before.
        """

    def lose(self, payload: Any, received: Reception, *, copy: bool = False) -> None:
        """The payload was sent, and whether it is stored will not be known."""


class Scheduled(Struct, gc=False):
    """A message and the moment, by the run's clock, at which it ought to be sent; and at which it first was."""

    due_s: float
    message: Message[Any]
    sent_s: float | None = None

    @property
    def body(self) -> bytes:
        """Of the message."""
        return self.message.body


class _Fate(Struct):
    """Of a message that is sent twice: since when it may be stored, and what is known of that."""

    sent_s: float
    told: bool = False
    lost: bool = False


class Books:
    """What became of each payload. `clock` is monotonic, in seconds."""

    def __init__(
        self, ledger: Truth, meter: Meter, clock: Callable[[], float], server: ServerClock | None = None
    ) -> None:
        self.ledger = ledger
        self.meter = meter
        self.clock = clock
        self.server = server or ServerClock()
        self._twice: dict[str, _Fate] = {}

    def started(self, item: Scheduled) -> None:
        """The payload is being sent for the first time."""
        now_s = item.sent_s = self.clock()
        self.meter.bytes_sent += len(item.message.body)
        if now_s - item.due_s >= LATE_S:
            self.meter.late += 1
        if item.message.twice:
            self._twice.setdefault(item.message.key, _Fate(now_s))

    def acknowledged(self, lane: Lane, item: Scheduled) -> None:
        """The collector has said that it is stored."""
        sent_s = item.sent_s
        if item.message.twice:
            fate = self._twice[item.message.key]
            sent_s, told, fate.told = fate.sent_s, fate.told, True
            if told:
                self.meter.repeated += 1
                return
        self.ledger.acknowledge(item.message.payload, self._reception(sent_s))
        self.meter.acknowledge(lane, self.clock() - item.due_s)

    def rejected(self, item: Scheduled) -> None:
        """The collector has said that it is not stored and won't be."""
        self.meter.rejected += 1

    def unknown(self, item: Scheduled) -> None:
        """Sent, and no answer will come."""
        self.meter.unknown += 1
        sent_s = item.sent_s
        if item.message.twice:
            fate = self._twice[item.message.key]
            if fate.told or fate.lost:
                return
            sent_s, fate.lost = fate.sent_s, True
        self.ledger.lose(item.message.payload, self._reception(sent_s, answered=False))

    def dropped(self, item: Scheduled) -> None:
        """Never sent."""
        self.meter.dropped += 1

    def skipped(self, item: Scheduled) -> None:
        """Not even measured, because the connection stalls."""
        self.meter.skipped += 1

    def retry(self, kind: str | None = None) -> None:
        """A request went wrong in a way that is safe to repeat; without a kind it is no error."""
        self.meter.retries += 1
        if kind is not None:
            self.meter.error(kind)

    def once_more(self, item: Scheduled, sent_s: float, *, stored: bool) -> None:
        """It was sent again without a key, on purpose: a copy that is stored, too, or whose fate is unknown."""
        received = self._reception(sent_s, answered=stored)
        if stored:
            self.ledger.acknowledge(item.message.payload, received, copy=True)
            self.meter.copies += 1
        else:
            self.ledger.lose(item.message.payload, received, copy=True)

    def _reception(self, sent_s: float | None, *, answered: bool = True) -> Reception:
        """Of what was sent then, and is answered now."""
        assert sent_s is not None
        return self.server.reception(sent_s, self.clock()) if answered else self.server.reception(sent_s)
