"""What the devices of a scenario send: a fast, seeded, endless iterator of stats payloads with their bodies encoded.

Sessions arrive as a Poisson process. The traffic starts in the steady state: at its first moment as many sessions are
under way as there are viewers, of all ages, so that the rate does not climb for an hour. A session sends a payload
every `interval_s` of device time, and a shorter last one at its end. Pure: the same arguments give byte-equal traffic.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import accumulate
from random import Random

import msgspec
from msgspec import Struct

from simulation.scenario.model import Profile, Scenario
from simulation.traffic.message import Message

MAX_SESSION_S = 12 * 3600  # a log-normal has a long tail; nobody watches for a week


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


class _Session:
    __slots__ = ("born_s", "content", "customer", "length_s", "number", "profile", "sent_ms", "sequence", "token")

    def __init__(self, number: int, token: str, profile: Profile, customer: str, content: str) -> None:
        self.number = number
        self.token = token
        self.profile = profile
        self.customer = customer
        self.content = content
        self.born_s = 0.0
        self.length_s = 0.0
        self.sequence = 0
        self.sent_ms = 0  # sessionDuration of the payload before

    def due_s(self) -> float:
        """Device time of the next payload."""
        return self.born_s + min((self.sequence + 1) * self.profile.interval_s, self.length_s)


def mean_length_s(profile: Profile) -> float:
    """Mean of the log-normal: median * exp(sigma² / 2)."""
    return profile.session_median_s * math.exp(profile.session_sigma**2 / 2)


def payloads_per_session(scenario: Scenario) -> float:
    """Expected payloads of an arriving session; the half is the last, shorter one."""
    total = sum(profile.weight for profile in scenario.profiles)
    return sum(p.weight * (mean_length_s(p) / p.interval_s + 0.5) for p in scenario.profiles) / total


def arrivals_per_s(scenario: Scenario, speed: float, rate: float | None) -> float:
    """Sessions arriving in a second of device time: what keeps `viewers` watching, or sends `rate` payloads/s."""
    if rate is not None:
        return rate / speed / payloads_per_session(scenario)
    total = sum(profile.weight for profile in scenario.profiles)
    mean_s = sum(p.weight * mean_length_s(p) for p in scenario.profiles) / total
    return scenario.viewers / mean_s


def payloads_per_s(scenario: Scenario, speed: float, rate: float | None = None) -> float:
    """Expected payloads in a second of real time."""
    return arrivals_per_s(scenario, speed, rate) * payloads_per_session(scenario) * speed


def customer_name(customer: str, run: str | None) -> str:
    """A customer's name on the wire: a run has customers of its own, so that its sums stand alone in the database."""
    return customer if run is None else f"{customer}-{run}"


class _Arrivals:
    """Draws sessions: which device, which title, how long."""

    def __init__(self, scenario: Scenario, random: Random, run: str, own_customers: bool, tokens: str) -> None:
        self.random = random
        self.tokens = tokens
        self.suffix = run if own_customers else None
        self.count = 0
        self.profiles = scenario.profiles
        self.weights = list(accumulate(p.weight for p in scenario.profiles))
        # Of the sessions that are under way at a moment, long ones are seen more often, in proportion to their length.
        self.running_weights = list(accumulate(p.weight * mean_length_s(p) for p in scenario.profiles))
        self.titles = {p.name: list(accumulate(title.weight for title in p.titles)) for p in scenario.profiles}

    def _session(self, profile: Profile) -> _Session:
        [title] = self.random.choices(profile.titles, cum_weights=self.titles[profile.name])
        self.count += 1
        customer = customer_name(title.customer, self.suffix)
        return _Session(self.count, f"{self.tokens}-{self.count:x}", profile, customer, title.content)

    def _length_s(self, profile: Profile, shift: float) -> float:
        mu = math.log(profile.session_median_s) + shift
        return max(1.0, min(self.random.lognormvariate(mu, profile.session_sigma), MAX_SESSION_S))

    def fresh(self, now_s: float) -> _Session:
        """A session that starts now."""
        [profile] = self.random.choices(self.profiles, cum_weights=self.weights)
        session = self._session(profile)
        session.born_s = now_s
        session.length_s = self._length_s(profile, 0.0)
        return session

    def running(self) -> _Session:
        """A session that is under way at device time 0. A log-normal biased by length is one with mu + sigma²."""
        [profile] = self.random.choices(self.profiles, cum_weights=self.running_weights)
        session = self._session(profile)
        session.length_s = self._length_s(profile, profile.session_sigma**2)
        age_s = self.random.random() * session.length_s
        session.born_s = -age_s
        session.sequence = int(age_s // profile.interval_s)
        session.sent_ms = session.sequence * profile.interval_s * 1000
        return session


def traffic(
    scenario: Scenario,
    *,
    seed: int,
    run: str,
    speed: float = 60.0,
    rate: float | None = None,
    own_customers: bool = True,
    tokens: str | None = None,
) -> Iterator[Message[StatsPayload]]:
    """Messages in the order of their `offset_s`, for ever. Tokens start with `run`, and so are unique to it; `tokens`
    tells apart two traffics of one run.

    `speed`: seconds of device time in a second. `rate`: mean payloads a second of real time, instead of what the
    scenario's viewers come to.
    """
    random = Random(f"traffic {seed}")  # a text is hashed whole, so that neighbouring seeds have nothing in common
    arrivals = _Arrivals(scenario, random, run, own_customers, tokens or run)
    per_s = arrivals_per_s(scenario, speed, rate)
    total = sum(p.weight for p in scenario.profiles)
    watching = per_s * sum(p.weight * mean_length_s(p) for p in scenario.profiles) / total
    heap: list[tuple[float, int, _Session]] = []
    for _ in range(max(0, round(random.gauss(watching, math.sqrt(watching))))):
        session = arrivals.running()
        heap.append((session.due_s(), session.number, session))
    heapq.heapify(heap)
    encode = msgspec.json.Encoder().encode
    arrival_s = random.expovariate(per_s)
    while True:
        if not heap or arrival_s <= heap[0][0]:
            session = arrivals.fresh(arrival_s)
            heapq.heappush(heap, (session.due_s(), session.number, session))
            arrival_s += random.expovariate(per_s)
            continue
        due_s, number, session = heap[0]
        sequence = session.sequence
        payload = _payload(session, random)
        if session.sent_ms >= int(session.length_s * 1000):
            heapq.heappop(heap)
        else:
            session.sequence += 1
            heapq.heapreplace(heap, (session.due_s(), number, session))
        streamed = session.profile.transport == "stream"
        yield Message(due_s / speed, payload, encode(payload), number, sequence, streamed)


def _payload(session: _Session, random: Random) -> StatsPayload:
    """The session's next payload, for the time since the one before."""
    profile = session.profile
    elapsed_ms = int(min((session.sequence + 1) * profile.interval_s, session.length_s) * 1000)
    timespan_ms = elapsed_ms - session.sent_ms
    session.sent_ms = elapsed_ms
    if random.random() * 1000 < profile.pause_permille:
        cdn = p2p = 0
    else:
        size = int(profile.bitrate_kbps * timespan_ms / 8 * (0.75 + random.random() / 2))  # kbit/s * ms = bit
        share = profile.p2p_permille / 1000 * (0.5 + random.random() / 2)
        p2p = int(size * (share / 2 if session.sequence == 0 else share))  # peers are still being looked for
        cdn = size - p2p
    return StatsPayload(session.token, session.customer, session.content, timespan_ms, p2p, cdn, elapsed_ms)
