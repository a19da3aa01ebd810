"""What the viewers of a scenario send: a fast, seeded, endless iterator of stats payloads with their bodies encoded.

Sessions arrive as a Poisson process, more of them in the evening. The traffic starts in the steady state: at its first
moment as many sessions are under way as there are viewers, of all ages, so that the rate does not climb for an hour. A
session makes a payload every `interval_s` of device time, and a shorter last one at its end. Without a network its
payloads wait, and go out in a burst when it is back; some come late, behind others; some are sent twice. Pure: the same
arguments give byte-equal traffic.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from random import Random

import msgspec
from msgspec import Struct

from simulation.scenario.model import Scenario
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing
from simulation.traffic.viewers import (
    LATE_S,
    OFFLINE_S,
    Session,
    Viewers,
    arrivals_per_s,
    fails_permille,
    mean_length_s,
    payloads_per_session,
)

REPEAT_S = 10.0  # of device time, until a payload that is sent twice is sent again, on average


class StatsPayload(Struct, rename="camel"):
    """The body of POST /stats, defined here a second time on purpose: the devices don't import the server."""

    token: str
    customer: str
    content: str
    timespan: int
    p2p: int
    cdn: int
    session_duration: int

    @property
    def origin(self) -> str:
        """The session's token."""
        return self.token


def payloads_per_s(scenario: Scenario, timing: Timing) -> float:
    """Expected payloads in a second of real time, at the start."""
    per_s = arrivals_per_s(scenario, timing.speed, timing.rate) * payloads_per_session(scenario)
    return per_s * timing.speed * timing.level(scenario.day)


def traffic(
    scenario: Scenario,
    *,
    seed: int,
    run: str,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
    own_customers: bool = True,
    apart: str = "",
) -> Iterator[Message[StatsPayload]]:
    """Messages in the order of their `offset_s`, for ever. Tokens start with `run`, and so are unique to it; `apart`
    tells apart two traffics of one run and seed, in their tokens and in all that is drawn.
    """
    # A text is hashed whole, so that neighbouring seeds have nothing in common.
    random = Random(f"traffic {seed}{apart}")
    viewers = Viewers(scenario, random, run + apart, run if own_customers else None)
    per_s = arrivals_per_s(scenario, timing.speed, timing.rate)
    arrivals = timing.arrivals(random, per_s, scenario.day)
    sessions = _Sessions(random, scenario)
    for _ in range(_watching(scenario, per_s * timing.level(scenario.day), random)):
        sessions.add(viewers.running())
    arrival_s = arrivals.after(0.0)
    while True:
        while sessions.next_s() < arrival_s:
            if (sent := sessions.advance()) is not None:
                sent.offset_s = timing.offset_s(sent.offset_s)
                yield sent
        sessions.add(viewers.fresh(arrival_s))
        arrival_s = arrivals.after(arrival_s)


def _watching(scenario: Scenario, per_s: float, random: Random) -> int:
    """How many sessions are under way when `per_s` arrive: Poisson, as normal as it is at this size."""
    total = sum(p.weight for p in scenario.profiles)
    mean = per_s * sum(p.weight * mean_length_s(p) for p in scenario.profiles) / total
    return max(0, round(random.gauss(mean, math.sqrt(mean))))


class _Sessions:
    """Sessions by the moment of their next payload, and messages that are made and wait, by theirs. Device time."""

    def __init__(self, random: Random, scenario: Scenario) -> None:
        self._random = random
        self._fails = {profile.name: fails_permille(profile) for profile in scenario.profiles}
        self._heap: list[tuple[float, int, Session | Message[StatsPayload]]] = []
        self._count = 0
        self._encode = msgspec.json.Encoder().encode

    def add(self, session: Session) -> None:
        """It makes payloads from now on."""
        self._push(session.due_s(), session)

    def next_s(self) -> float:
        """When something happens."""
        return self._heap[0][0] if self._heap else math.inf

    def advance(self) -> Message[StatsPayload] | None:
        """Let the next thing happen; a message if one is sent then, with device time for its offset."""
        now_s, _, next_ = heapq.heappop(self._heap)
        if isinstance(next_, Message):
            next_.offset_s = now_s
            return next_
        message = self._made(next_, now_s)
        if not next_.over:
            next_.sequence += 1
            self._push(next_.due_s(), next_)
        sent_s = self._sent_s(next_, now_s)
        if message.twice:
            again = sent_s + self._random.expovariate(1 / REPEAT_S)
            self._push(again, msgspec.structs.replace(message))
        if sent_s <= now_s:
            return message
        self._push(sent_s, message)
        return None

    def _push(self, at_s: float, item: Session | Message[StatsPayload]) -> None:
        self._count += 1  # what is due at the same moment goes out in the order in which it was made
        heapq.heappush(self._heap, (at_s, self._count, item))

    def _made(self, session: Session, now_s: float) -> Message[StatsPayload]:
        """The session's next payload, for the time since the one before."""
        profile, random, sequence = session.profile, self._random, session.sequence
        elapsed_ms = int(min((sequence + 1) * profile.interval_s, session.length_s) * 1000)
        timespan_ms = elapsed_ms - session.sent_ms
        session.sent_ms = elapsed_ms
        if random.random() * 1000 < profile.pause_permille:
            cdn = p2p = 0
        else:
            size = int(profile.bitrate_kbps * timespan_ms / 8 * (0.75 + random.random() / 2))  # kbit/s * ms = bit
            share = profile.p2p_permille / 1000 * (0.5 + random.random() / 2)
            p2p = int(size * (share / 2 if sequence == 0 else share))  # peers are still being looked for
            cdn = size - p2p
        payload = StatsPayload(session.token, session.customer, session.content, timespan_ms, p2p, cdn, elapsed_ms)
        streamed = profile.transport == "stream"
        twice = random.random() * 1000 < profile.twice_permille
        return Message(now_s, payload, self._encode(payload), session.number, sequence, streamed, twice=twice)

    def _sent_s(self, session: Session, now_s: float) -> float:
        """When a payload that is made now goes out."""
        random, profile = self._random, session.profile
        if now_s >= session.offline_until_s and random.random() * 1000 < self._fails[profile.name]:
            session.offline_until_s = now_s + random.expovariate(1 / OFFLINE_S)
        sent_s = max(now_s, session.offline_until_s)
        if random.random() * 1000 < profile.late_permille:
            sent_s += random.expovariate(1 / LATE_S)
        return sent_s
