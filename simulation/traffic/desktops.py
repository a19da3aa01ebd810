"""What desktop clients write: a fast, seeded, endless iterator of CPU samples and app events with their bodies encoded.

Sessions of the app arrive as a Poisson process, more of them in the evening. A session begins with a message that
describes it; what the app does begins and ends with an event, and decides how much CPU it burns
(`simulation.traffic.life`). In parts of its life a client has no network, or never has one; its messages then only go
to its log. A client's clock is off by its skew, in all that it says about time. Pure: the same arguments give
byte-equal traffic.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from simulation.scenario.model import Profile, Scenario
from simulation.traffic.life import APP_SIGMA, Doing, Life, World
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing

ONLINE_S = 400.0  # of device time, on average, until a client that loses its network at all loses it
FIRST_S = 0.5  # of real time: those that are there at the start come up one after another, not in the same instant
UPLOADS_PERMILLE = 250  # of the sessions upload their log at their end, though all of it was streamed


class SessionMessage(Struct, omit_defaults=True):
    """A line of POST /sessions, defined here a second time on purpose: the devices don't import the server."""

    session: str
    seq: int
    time: int | None = None
    elapsed: int | None = None
    version: str | None = None
    cpu: float | None = None
    event: str | None = None
    phase: Literal["begin", "end"] | None = None
    properties: dict[str, Any] | None = None


class Moment(Struct):
    """A message and by how much its client's clock is ahead. `uploads`: how often the session's log is sent at its
    end.
    """

    message: SessionMessage
    skew_ms: int
    uploads: int = 0

    @property
    def origin(self) -> str:
        """The session."""
        return self.message.session

    @property
    def true_ms(self) -> int:
        """When it happened, epoch milliseconds."""
        assert self.message.time is not None
        return self.message.time - self.skew_ms

    @property
    def sample(self) -> bool:
        """It measures, and tells nothing else."""
        return self.message.event is None and self.message.cpu is not None


def app_mean_s(scenario: Scenario) -> float:
    """Mean length of a session of the app, in device time."""
    total = sum(profile.weight for profile in scenario.profiles)
    return sum(p.weight * p.app_median_s for p in scenario.profiles) / total * math.exp(APP_SIGMA**2 / 2)


def messages_per_s(scenario: Scenario, clients: int, timing: Timing) -> float:
    """Expected messages in a second of real time, at the start."""
    if timing.rate is not None:
        return timing.rate
    # Of the clients that are there at a moment: by how long their sessions last, and how often they measure.
    weights = [p.weight * p.app_median_s for p in scenario.profiles]
    each = sum(w / p.sample_s for w, p in zip(weights, scenario.profiles, strict=True)) / sum(weights)
    return clients * timing.level(scenario.day) * each * timing.speed


class _Desktop:
    """A client with its session. Device time throughout."""

    def __init__(self, life: Life, profile: Profile, session: str, number: int, born_s: float, random: Random) -> None:
        self.number = number
        self.profile = profile
        self.session = session
        self.skew_ms = profile.skew_s * 1000
        self.seq = 0
        self.ends_s = born_s + life.length_s
        self.online = random.random() * 1000 >= profile.late_permille  # else never: its log comes late
        self.uploads = int(random.random() * 1000 < UPLOADS_PERMILLE) + int(
            random.random() * 1000 < profile.twice_permille
        )
        self.life = life
        self._random = random
        self._late = not self.online
        self._doing: Doing | None = None
        self._sampled = False
        self._state_ends_s = born_s
        self._network_changes_s = born_s + random.expovariate(1 / ONLINE_S)
        self._pending: deque[tuple[str, Literal["begin", "end"], dict[str, Any] | None]] = deque()

    def speak(self, now_s: float, message: SessionMessage) -> bool:
        """Fill in what the client says now; True if it is its last word."""
        self._connect(now_s)
        if self.seq == 0:
            message.properties = self.life.properties
            return False
        if not self._pending and now_s >= self._state_ends_s and (self._sampled or self._doing is None):
            self._go_on(now_s)
        if self._pending:
            message.event, message.phase, message.properties = self._pending.popleft()
            return self._doing is None and not self._pending
        assert self._doing is not None
        message.cpu = self.life.cpu(self._doing)
        self._sampled = True
        return False

    def _go_on(self, now_s: float) -> None:
        """To the next thing that the app does, or to the end."""
        if self._doing is not None:
            self._pending.append((self._doing.event, "end", None))
            if now_s >= self.ends_s:
                self._doing = None
                return
        self._doing, self._sampled = self.life.next(), False
        self._state_ends_s = now_s + self._doing.length_s
        self._pending.append((self._doing.event, "begin", self._doing.properties or None))

    def _connect(self, now_s: float) -> None:
        """The network comes and goes."""
        share = self.profile.offline_permille / 1000
        if share and not self._late and now_s >= self._network_changes_s:
            self.online = not self.online
            length_s = self._random.expovariate(1 / ONLINE_S)
            self._network_changes_s = now_s + (length_s if self.online else length_s * share / (1 - share))


def messages(
    scenario: Scenario,
    *,
    seed: int,
    run: str,
    clients: int,
    timing: Timing = Timing(),  # noqa: B008 (frozen)
) -> Iterator[Message[Moment]]:
    """Messages in the order of their `offset_s`, for ever, of about so many clients at any moment. Sessions end with
    `run`, and so are unique to it.

    Not `streamed`: the client has no network. `session` is the session's number, from 0.
    """
    random = Random(f"desktops {seed}")
    world = World(scenario.plant)
    weights = list(accumulate(profile.weight for profile in scenario.profiles))
    # Those that are there at the start: long sessions are seen more often, and any part of them is left.
    running_weights = list(accumulate(p.weight * p.app_median_s for p in scenario.profiles))
    arrivals = timing.arrivals(random, clients / app_mean_s(scenario), scenario.day)
    # At a given rate every client speaks equally often, whatever its profile says.
    every_s = None if timing.rate is None else clients / timing.rate * timing.speed
    encode = msgspec.json.Encoder().encode
    heap: list[tuple[float, int, _Desktop]] = []
    count = 0

    def arrive(at_s: float, running: bool) -> None:
        nonlocal count
        [profile] = random.choices(scenario.profiles, cum_weights=running_weights if running else weights)
        life = Life(world, profile, count, random)
        if running:
            life.length_s *= random.random()
        desktop = _Desktop(life, profile, f"{profile.name}-{count:x}-{run}", count, at_s, random)
        heapq.heappush(heap, (at_s, count, desktop))
        count += 1

    for _ in range(max(1, round(clients * timing.level(scenario.day)))):
        arrive(random.random() * FIRST_S * timing.speed, running=True)
    arrival_s = arrivals.after(0.0)
    while True:
        while not heap or arrival_s <= heap[0][0]:
            arrive(arrival_s, running=False)
            arrival_s = arrivals.after(arrival_s)
        now_s, number, desktop = heap[0]
        offset_s = timing.offset_s(now_s)
        message = SessionMessage(desktop.session, desktop.seq, timing.time_ms(offset_s) + desktop.skew_ms)
        message.version = desktop.profile.version
        last = desktop.speak(now_s, message)
        moment = Moment(message, desktop.skew_ms, desktop.uploads)
        yield Message(offset_s, moment, encode(message), number, desktop.seq, desktop.online, last)
        desktop.seq += 1
        if last:
            heapq.heappop(heap)
        else:
            step_s = every_s or desktop.profile.sample_s
            heapq.heapreplace(heap, (now_s + step_s * (0.9 + random.random() / 5), number, desktop))
