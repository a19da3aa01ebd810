"""The open model: every payload has its moment, and is sent then, however slow the answers are.

Latency counts from that moment, so that a server that stalls cannot hide it by slowing the client down (coordinated
omission). What cannot be sent in time is counted: late, or dropped where too much waits already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from time import monotonic
from typing import Any, Protocol

import aiohttp
from msgspec import Struct

from simulation.load.books import Books, Scheduled, Truth
from simulation.load.chaos import Chaos
from simulation.load.clients import ClientLane, Clients
from simulation.load.meter import Meter
from simulation.load.reception import ServerClock
from simulation.load.singles import Request, Singles, as_body
from simulation.load.streams import StreamLane
from simulation.traffic.message import Message

NAP_S = 0.1  # the longest sleep of the scheduler, so that a stop is heeded soon
BREATH = 128  # messages handed over in a row before the senders get their turn, when the schedule is behind


class Settings(Struct, frozen=True):
    """How to send. `connections` or `streams` may be 0, but not both: then everything goes the other way. Desktop
    clients have a stream each, and upload over `connections` connections. `chaos`: things go wrong on purpose.
    """

    url: str
    connections: int = 16
    streams: int = 2
    settle_s: float = 30.0  # after the last payload: how long unanswered ones are retried before they are unknown
    rotate_lines: int = 20_000  # a stream ends after so many lines …
    rotate_s: float = 15.0  # … or seconds, so that summaries and new keys are exercised too
    headers: Mapping[str, str] = {}
    chaos: bool = False


class Lane(Protocol):
    """A way to send messages."""

    @property
    def waiting(self) -> int: ...
    def offer(self, item: Scheduled) -> None: ...
    async def run(self) -> None: ...
    async def close(self) -> None: ...


class Lanes(Struct):
    """Where messages go: `single` takes those that aren't streamed, `streams` each the sessions that are theirs."""

    single: Lane | None
    streams: Sequence[Lane]


MakeLanes = Callable[[aiohttp.ClientSession, Settings, Books], Lanes]


def endpoint_lanes(path: str, request: Request = as_body) -> MakeLanes:
    """Connections that post one by one, and streams of JSON lines, both to one endpoint."""

    def make(http: aiohttp.ClientSession, settings: Settings, books: Books) -> Lanes:
        if settings.connections + settings.streams < 1:
            raise ValueError("no connections and no streams: nothing can be sent")
        name = f"{books.ledger.run}{path.replace('/', '-')}"
        single = Singles(
            http,
            settings.url,
            books,
            settings.connections,
            path=path,
            request=request,
            chaos=_chaos(settings, books, f"{name}-singles"),
        )
        streams = [
            StreamLane(
                http,
                settings.url,
                books,
                f"{name}-{number}",
                path=path,
                rotate_lines=settings.rotate_lines,
                rotate_s=settings.rotate_s,
                chaos=_chaos(settings, books, f"{name}-{number}"),
            )
            for number in range(settings.streams)
        ]
        return Lanes(single if settings.connections else None, streams)

    return make


def client_lanes(http: aiohttp.ClientSession, settings: Settings, books: Books) -> Lanes:
    """Desktop clients."""
    uploads = asyncio.Semaphore(max(1, settings.connections))

    def client(number: int) -> ClientLane:
        name = f"{books.ledger.run}-client{number}"
        return ClientLane(http, settings.url, books, name, uploads, _chaos(settings, books, name))

    return Lanes(None, [Clients(client)])


def _chaos(settings: Settings, books: Books, name: str) -> Chaos | None:
    """The faults of a lane; the same ones for the same run."""
    return Chaos(Random(f"chaos {name}"), books.meter.chaos) if settings.chaos else None


STATS_LANES = endpoint_lanes("/stats")


class Stop:
    """`soft`: no new payloads, settle what is under way. `hard`: give up at once. Set from the event loop."""

    def __init__(self) -> None:
        self.soft = asyncio.Event()
        self.hard = asyncio.Event()

    def press(self) -> None:
        """Ctrl-C: the first time soft, then hard."""
        (self.hard if self.soft.is_set() else self.soft).set()


class Load:
    """One run of the load generator. `messages` come in the order of their offset, and end it when they end."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        settings: Settings,
        messages: Iterator[Message[Any]],
        ledger: Truth,
        stop: Stop,
        clock: Callable[[], float] = monotonic,
        make_lanes: MakeLanes = STATS_LANES,
        server: ServerClock | None = None,
    ) -> None:
        self.settings = settings
        self.meter = Meter()
        self.ledger = ledger
        self._clock = clock
        self._books = Books(ledger, self.meter, clock, server)
        self._messages = messages
        self._stop = stop
        self._started_s: float | None = None
        self._ended_s: float | None = None
        self._settling = False
        self._lanes = make_lanes(http, settings, self._books)

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first payload until now, or until everything was settled."""
        if self._started_s is None:
            return 0.0
        return (self._ended_s if self._ended_s is not None else self._clock()) - self._started_s

    @property
    def waiting(self) -> int:
        """Payloads that are due and not sent or, on streams, not acknowledged."""
        return sum(lane.waiting for lane in self._all)

    @property
    def ended(self) -> bool:
        """Everything is settled."""
        return self._ended_s is not None

    @property
    def settling(self) -> bool:
        """No more payloads are coming; the last are being settled."""
        return self._settling and self._ended_s is None

    @property
    def _all(self) -> list[Lane]:
        return [*([] if self._lanes.single is None else [self._lanes.single]), *self._lanes.streams]

    async def run(self) -> None:
        """Send everything, settle it, and leave nothing running. Afterwards every payload is in the books, once."""
        self._started_s = self._clock()
        running = [asyncio.create_task(lane.run()) for lane in self._all]
        schedule = asyncio.create_task(self._schedule(self._started_s))
        giving_up = asyncio.create_task(self._stop.hard.wait())
        closing: list[asyncio.Task[None]] = []
        try:
            # A lane ends before it is closed only by an error, which then ends the run.
            first: list[asyncio.Future[Any]] = [schedule, giving_up, *running]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            self._settling = True
            schedule.cancel()
            closing = [asyncio.create_task(lane.close()) for lane in self._all]
            settled = asyncio.gather(*closing, *running, return_exceptions=True)
            last: list[asyncio.Future[Any]] = [settled, giving_up]
            await asyncio.wait(last, timeout=self.settings.settle_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks: list[asyncio.Task[None]] = [*running, *closing, schedule]
            for task in (*tasks, giving_up):
                task.cancel()
            results = await asyncio.gather(*tasks, giving_up, return_exceptions=True)
            self._ended_s = self._clock()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _schedule(self, start_s: float) -> None:
        """Hand each message to its lane at its moment."""
        for handed, message in enumerate(self._messages, 1):
            due_s = start_s + message.offset_s
            while (wait_s := due_s - self._clock()) > 0:
                if self._stop.soft.is_set():
                    return
                await asyncio.sleep(min(wait_s, NAP_S))
            if handed % BREATH == 0:
                await asyncio.sleep(0)
                if self._stop.soft.is_set():
                    return
            self.meter.scheduled += 1
            lane = self._lane(message)
            message.twice = message.twice and lane is self._lanes.single  # a line of a stream has no key: it counts
            lane.offer(Scheduled(due_s, message))

    def _lane(self, message: Message[Any]) -> Lane:
        """A device sends as its profile says; a session stays on one stream."""
        single, streams = self._lanes.single, self._lanes.streams
        if single is not None and (not message.streamed or not streams):
            return single
        return streams[message.session % len(streams)]
