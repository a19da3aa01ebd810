"""What desktop clients write: a fast, seeded, endless iterator of CPU samples and app events with their bodies encoded.

Each client lives one session, in states: what the app is doing begins and ends with an event, and decides how much CPU
it burns. In parts of its life a client has no network; its messages then only go to its log. A client's clock is off by
its skew, in all that it says about time. Pure: the same arguments give byte-equal traffic.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from simulation.scenario.model import Client, Scenario
from simulation.traffic.message import Message

MESSAGES_PER_S = 2.0  # of a client, in real time
ONLINE_S = 600.0  # of device time, on average, until a client that loses its network at all loses it
FIRST_S = 0.5  # of real time: clients come up one after another, not in the same instant


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
    """A message and by how much its client's clock is ahead."""

    message: SessionMessage
    skew_ms: int

    @property
    def origin(self) -> str:
        """The session."""
        return self.message.session

    @property
    def true_ms(self) -> int:
        """When it happened, epoch milliseconds."""
        assert self.message.time is not None
        return self.message.time - self.skew_ms


class State(Struct, frozen=True):
    """Something the app does, for `mean_s` of device time on average, with `cpu` percent of a core; then `next`."""

    mean_s: float
    cpu: float
    next: tuple[str, ...]


STATES = {
    "login": State(20, 60, ("indexing",)),
    "indexing": State(240, 90, ("idle",)),
    "idle": State(400, 2, ("incoming_file", "outgoing_file", "indexing")),
    "incoming_file": State(60, 35, ("idle", "incoming_file")),
    "outgoing_file": State(60, 25, ("idle",)),
}


class _Desktop:
    """A client with its session."""

    def __init__(self, number: int, profile: Client, run: str, speed: float, random: Random) -> None:
        self.number = number
        self.profile = profile
        self.session = f"{profile.name}-{number}-{run}"
        self.seq = 0
        self.online = True
        self.pending: deque[tuple[str, Literal["begin", "end"], dict[str, Any] | None]] = deque()
        self._speed = speed
        self._random = random
        self._state = ""
        self._state_ends_s = 0.0
        self._network_changes_s = self._online_s()

    def _online_s(self) -> float:
        return self._random.expovariate(1 / ONLINE_S) / self._speed

    def live(self, now_s: float) -> None:
        """Go on to what the client does at this moment."""
        share = self.profile.offline_permille / 1000
        if share and now_s >= self._network_changes_s:
            self.online = not self.online
            length_s = self._online_s()
            self._network_changes_s = now_s + (length_s if self.online else length_s * share / (1 - share))
        if now_s >= self._state_ends_s and not self.pending:
            if self._state:
                self.pending.append((self._state, "end", None))
            self._state = self._random.choice(STATES[self._state].next) if self._state else "login"
            self._state_ends_s = now_s + self._random.expovariate(1 / STATES[self._state].mean_s) / self._speed
            self.pending.append((self._state, "begin", self._properties()))

    def _properties(self) -> dict[str, Any] | None:
        if not self._state.endswith("_file"):
            return None
        return {"filename_length": self._random.randint(5, 250), "size": int(self._random.lognormvariate(12, 2))}

    def cpu(self) -> float:
        """A sample, in percent of one machine."""
        level = STATES[self._state].cpu * (0.5 + self._random.random())
        return round(min(level, 100.0 * self.profile.cores), 1)


def messages_per_s(clients: int, rate: float | None = None) -> float:
    """Expected messages in a second of real time."""
    return rate if rate is not None else clients * MESSAGES_PER_S


def messages(
    scenario: Scenario,
    *,
    seed: int,
    run: str,
    clients: int,
    start_ms: int,
    speed: float = 60.0,
    rate: float | None = None,
) -> Iterator[Message[Moment]]:
    """Messages in the order of their `offset_s`, for ever. Sessions end with `run`, and so are unique to it.

    `start_ms`: the moment of offset 0, epoch milliseconds. Not `streamed`: the client has no network. `session` is the
    client's number, from 0.
    """
    random = Random(f"desktops {seed}")
    interval_s = clients / messages_per_s(clients, rate)
    weights = [profile.weight for profile in scenario.clients]
    profiles = random.choices(scenario.clients, weights, k=clients)
    desktops = [_Desktop(number, profile, run, speed, random) for number, profile in enumerate(profiles)]
    heap = [(random.random() * min(interval_s, FIRST_S), desktop.number) for desktop in desktops]
    heapq.heapify(heap)
    encode = msgspec.json.Encoder().encode
    while True:
        now_s, number = heap[0]
        desktop = desktops[number]
        desktop.live(now_s)
        skew_ms = desktop.profile.skew_s * 1000
        message = SessionMessage(desktop.session, desktop.seq, start_ms + int(now_s * 1000) + skew_ms)
        message.version = desktop.profile.version
        if desktop.pending:
            message.event, message.phase, message.properties = desktop.pending.popleft()
        else:
            message.cpu = desktop.cpu()
        yield Message(now_s, Moment(message, skew_ms), encode(message), number, desktop.seq, desktop.online)
        desktop.seq += 1
        heapq.heapreplace(heap, (now_s + interval_s * (0.9 + random.random() / 5), number))
