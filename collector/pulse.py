"""The last minutes of the metrics, kept so that rates can be told: a counter alone has none.

It reads what /metrics reads, so with several worker processes each of them knows about all.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import msgspec
from prometheus_client import CollectorRegistry

from collector import background
from collector.metrics import registry
from collector.queue import ENDPOINT as QUEUE

EVERY_S = 5.0
"""Between two looks: often enough for a curve of a quarter of an hour, and a millisecond each."""
KEPT = 180
"""Looks that are kept: a quarter of an hour."""
RATE_S = 60.0
"""The time that a rate is told of: a few requests more or less make no difference in it."""

_SUMMED = {
    "collector_received_total": "received",
    "collector_stored_total": "stored",
    "collector_rejected_total": "rejected",
    "collector_repeated_total": "repeated",
}


class Look(msgspec.Struct):
    """What the metrics said at a moment (of a clock that only goes forward); counters by endpoint."""

    at_s: float
    received: dict[str, float] = {}
    stored: dict[str, float] = {}
    rejected: dict[str, float] = {}
    repeated: dict[str, float] = {}
    commits: dict[float, float] = {}
    """Transactions that took at most so many seconds, as the histogram has them."""
    backlog_rows: float = 0.0
    queue_waiting: float = 0.0
    queue_oldest_s: float = 0.0
    open_streams: float = 0.0


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint's messages: in a second, lately, and since the start."""

    path: str
    per_s: float
    received: int
    stored: int
    rejected: int
    repeated: int


class Vitals(msgspec.Struct, frozen=True):
    """How the collector does. `per_s`: messages taken in a second, of the last minute; `curve`: from one look to the
    next, oldest first.
    """

    per_s: float
    curve: list[float]
    curve_s: float
    endpoints: list[Endpoint]
    backlog_rows: int
    queue_waiting: int
    queue_oldest_s: float
    open_streams: int
    commit_p95_s: float | None
    """What 95 of 100 transactions of the last minute took at most; None where there was none."""


class Pulse:
    """Looks at the metrics again and again, from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looks: deque[Look] = deque(maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; to be called in the event loop."""
        self._task = background.run(self._run(), "the look at the metrics")

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()

    def vitals(self) -> Vitals:
        """As of now."""
        return vitals([*self._looks, look(registry(), self._clock())])

    async def _run(self) -> None:
        while True:
            self._looks.append(look(registry(), self._clock()))
            await asyncio.sleep(EVERY_S)


def look(metrics: CollectorRegistry, at_s: float) -> Look:
    """What the metrics say."""
    found = Look(at_s)
    for family in metrics.collect():
        for sample in family.samples:
            if (field := _SUMMED.get(sample.name)) is not None:
                counts: dict[str, float] = getattr(found, field)
                endpoint = sample.labels["endpoint"]
                counts[endpoint] = counts.get(endpoint, 0.0) + sample.value
            elif sample.name == "collector_commit_seconds_bucket":
                bound = float(sample.labels["le"])
                found.commits[bound] = found.commits.get(bound, 0.0) + sample.value
            elif sample.name == "collector_backlog_rows":
                found.backlog_rows += sample.value
            elif sample.name == "collector_queue_waiting":
                found.queue_waiting += sample.value
            elif sample.name == "collector_queue_oldest_seconds":
                found.queue_oldest_s = max(found.queue_oldest_s, sample.value)
            elif sample.name == "collector_open_streams":
                found.open_streams += sample.value
    return found


def vitals(looks: list[Look]) -> Vitals:
    """What looks, oldest first, come to. Pure."""
    last = looks[-1]
    # The nearest look that is a minute old, or the oldest one.
    before = next((each for each in reversed(looks[:-1]) if last.at_s - each.at_s >= RATE_S), looks[0])
    return Vitals(
        per_s=_per_s(before, last),
        curve=[_per_s(one, two) for one, two in pairwise(looks)],
        curve_s=last.at_s - looks[0].at_s,
        endpoints=[_endpoint(path, before, last) for path in sorted(last.received)],
        backlog_rows=int(last.backlog_rows),
        queue_waiting=int(last.queue_waiting),
        queue_oldest_s=last.queue_oldest_s,
        open_streams=int(last.open_streams),
        commit_p95_s=_quantile(before.commits, last.commits, 0.95),
    )


def _endpoint(path: str, before: Look, last: Look) -> Endpoint:
    gained = last.received[path] - before.received.get(path, 0.0)
    counts = (int(each.get(path, 0)) for each in (last.received, last.stored, last.rejected, last.repeated))
    return Endpoint(path, _over(gained, before, last), *counts)


def _per_s(before: Look, last: Look) -> float:
    return _over(_taken_in(last) - _taken_in(before), before, last)


def _taken_in(at: Look) -> float:
    """What came from outside: what the queue hands on was counted at /payloads already."""
    return sum(count for endpoint, count in at.received.items() if endpoint != QUEUE)


def _over(gain: float, before: Look, last: Look) -> float:
    """A gain by the time it took. Workers that end take their part of a counter with them: never below 0."""
    seconds = last.at_s - before.at_s
    return max(0.0, gain) / seconds if seconds > 0 else 0.0


def _quantile(before: dict[float, float], last: dict[float, float], share: float) -> float | None:
    """The bound of the bucket that has the quantile, of what was counted from one look to the other."""
    counts = {bound: last[bound] - before.get(bound, 0.0) for bound in sorted(last)}
    total = max(counts.values(), default=0.0)
    if total <= 0:
        return None
    return next(bound for bound, counted in counts.items() if counted >= share * total)
