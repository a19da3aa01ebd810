"""What an audience does: a fast, seeded, endless iterator of clicks and impressions with their bodies encoded.

Hits come as a Poisson process. Most are of the moment at which they are sent, the others of hours before it. A few
users make most of the hits, so that a user comes many times in an hour. Pure: the same arguments give byte-equal
traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from simulation.scenario.model import Scenario
from simulation.traffic.message import Message

HOUR_MS = 3_600_000
HITS_PER_USER_S = 1 / 1200  # of device time: three an hour


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


def hits_per_s(scenario: Scenario, speed: float, rate: float | None = None) -> float:
    """Expected hits in a second of real time."""
    return rate if rate is not None else scenario.audience.users * HITS_PER_USER_S * speed


def hours_touched(scenario: Scenario, start_ms: int, length_s: float) -> list[int]:
    """All hours that traffic of this length can touch, as epoch milliseconds of their beginnings."""
    first = start_ms // HOUR_MS - scenario.audience.hours_back
    last = int(start_ms + length_s * 1000) // HOUR_MS
    return [hour * HOUR_MS for hour in range(first, last + 1)]


def hits(
    scenario: Scenario, *, seed: int, run: str, start_ms: int, speed: float = 60.0, rate: float | None = None
) -> Iterator[Message[Hit]]:
    """Messages in the order of their `offset_s`, for ever. Users end with `run`, and so are unique to it.

    `start_ms`: the moment of offset 0, epoch milliseconds.
    """
    random = Random(f"hits {seed}")
    audience = scenario.audience
    per_s = hits_per_s(scenario, speed, rate)
    encode = msgspec.json.Encoder().encode
    offset_s, sequence = 0.0, 0
    while True:
        offset_s += random.expovariate(per_s)
        user = int(audience.users * random.random() ** 3)  # half of all hits are by an eighth of them
        moment_ms = start_ms + int(offset_s * 1000)
        if random.random() * 1000 < audience.historic_permille:
            # By whole hours: the first hour that can be touched is then that of the start, less `hours_back`.
            moment_ms -= random.randint(1, audience.hours_back) * HOUR_MS
        kind: Literal["click", "impression"]
        kind = "click" if random.random() * 1000 < audience.click_permille else "impression"
        hit = Hit(moment_ms, f"user {user} of {run}", kind)
        streamed = random.random() * 1000 < audience.stream_permille
        yield Message(offset_s, hit, encode(hit), user, sequence, streamed)
        sequence += 1
