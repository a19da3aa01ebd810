"""What an audience does: a fast, seeded, endless iterator of clicks and impressions with their bodies encoded.

Hits come as a Poisson process, more of them in the evening. Most are of the moment at which they are sent, the others
of hours before it; some are sent twice. A few users make most of the hits, so that a user comes many times in an hour.
Pure: the same arguments give byte-equal traffic.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from simulation.scenario.model import Scenario
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing

HOUR_MS = 3_600_000
HITS_PER_USER_S = 1 / 1200  # of device time: three an hour
REPEAT_S = 10.0  # of device time, until a hit that is sent twice is sent again, on average


class Hit(Struct):
    """A line of POST /analytics, defined here a second time on purpose: the devices don't import the server."""

    timestamp: int
    user: str
    kind: Literal["click", "impression"]

    @property
    def origin(self) -> str:
        """The user, as far as a header can say it."""
        return self.user.replace(" ", "-")

    @property
    def hour_ms(self) -> int:
        """Beginning of its UTC hour, epoch milliseconds."""
        return self.timestamp - self.timestamp % HOUR_MS

    @property
    def query(self) -> str:
        """The same as a query string, for a post of its own."""
        return f"?timestamp={self.timestamp}&user={quote(self.user, safe='')}&{self.kind}"


def hits_per_s(scenario: Scenario, timing: Timing) -> float:
    """Expected hits in a second of real time, at the start."""
    return _per_s(scenario, timing) * timing.speed * timing.level(scenario.day)


def hours_touched(scenario: Scenario, timing: Timing, length_s: float) -> list[int]:
    """All hours that traffic of this length can touch, as epoch milliseconds of their beginnings."""
    first = timing.start_ms // HOUR_MS - scenario.audience.hours_back
    last = timing.time_ms(length_s) // HOUR_MS
    return [hour * HOUR_MS for hour in range(first, last + 1)]


def hits(
    scenario: Scenario,
    *,
    seed: int,
    run: str,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
) -> Iterator[Message[Hit]]:
    """Messages in the order of their `offset_s`, for ever. Users end with `run`, and so are unique to it."""
    random = Random(f"hits {seed}")
    audience = scenario.audience
    arrivals = timing.arrivals(random, _per_s(scenario, timing), scenario.day)
    encode = msgspec.json.Encoder().encode
    again: list[tuple[float, int, Message[Hit]]] = []
    device_s, sequence = 0.0, 0
    while True:
        device_s = arrivals.after(device_s)
        while again and again[0][0] <= device_s:
            at_s, _, message = heapq.heappop(again)
            message.offset_s = timing.offset_s(at_s)
            yield message
        offset_s = timing.offset_s(device_s)
        user = int(audience.users * random.random() ** 3)  # half of all hits are by an eighth of them
        moment_ms = timing.time_ms(offset_s)
        if random.random() * 1000 < audience.historic_permille:
            # By whole hours: the first hour that can be touched is then that of the start, less `hours_back`.
            moment_ms -= random.randint(1, audience.hours_back) * HOUR_MS
        kind: Literal["click", "impression"]
        kind = "click" if random.random() * 1000 < audience.click_permille else "impression"
        hit = Hit(moment_ms, f"user {user} of run {run}", kind)
        streamed = random.random() * 1000 < audience.stream_permille
        twice = random.random() * 1000 < audience.twice_permille
        message = Message(offset_s, hit, encode(hit), user, sequence, streamed, twice=twice)
        sequence += 1
        if twice:
            again_s = device_s + random.expovariate(1 / REPEAT_S)
            heapq.heappush(again, (again_s, sequence, msgspec.structs.replace(message)))
        yield message


def _per_s(scenario: Scenario, timing: Timing) -> float:
    """Hits that are made in a second of device time, the repeats left out, over a day on average."""
    repeats = 1 + scenario.audience.twice_permille / 1000
    if timing.rate is not None:
        return timing.rate / timing.speed / repeats
    return scenario.audience.users * HITS_PER_USER_S
