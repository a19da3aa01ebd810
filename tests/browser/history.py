"""A past for a fresh database: simulated traffic of some hours, taken in by the application itself with a clock that
runs ahead, so that charts have something to show.
"""

import math
import zlib
from collections.abc import Iterator

import msgspec

from simulation.scenario.strategies import draw
from simulation.traffic import desktops, hits, payloads
from simulation.traffic.pace import Timing
from tests.contract.driver import NDJSON, App, Clock

TURN_S = 300.0
"""Payloads of so long are sent at once: a window."""
DAY_S = 86_400.0
PER_S = 2.0
HITS_PER_S = 0.6
DESKTOPS_S = 6 * 3600.0
SAMPLE_EVERY_S = 20.0
SEED = 4

encode = msgspec.json.Encoder().encode


def fill(url: str, until_s: float, hours: float, *, clients: int = 300) -> None:
    """Store `hours` of stats and two days of hits that end at `until_s`, epoch seconds, and the desktops of 6 hours."""
    clock = Clock()
    clock.now = until_s - hours * 3600
    with App(url, clock) as app:
        for moment_s, lines in _turns(_payloads(clock.now, hours)):
            clock.now = max(clock.now, moment_s)
            assert app.post(lines, NDJSON).status == 200
        clock.now = until_s
        for path, messages in (("/analytics", _hits(until_s)), ("/sessions", _samples(until_s, clients))):
            for _, lines in _turns(messages):
                assert app.post(lines, NDJSON, path=path).status == 200


def _past(begin_s: float, rate: float) -> Timing:
    return Timing(speed=1, rate=rate, start_ms=int(begin_s * 1000), past=True)


def _turns(messages: Iterator[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Bodies of lines, each with the moment of its first one."""
    lines: list[bytes] = []
    begun_s = 0.0
    for moment_s, body in messages:
        if lines and moment_s >= begun_s + TURN_S:
            yield begun_s, b"\n".join(lines)
            lines = []
        begun_s = moment_s if not lines else begun_s
        lines.append(body)
    if lines:
        yield begun_s, b"\n".join(lines)


def busy(moment_s: float) -> float:
    """How much of the most there is at this time of the day: the evening has the most, the small hours a fifth."""
    return 0.6 - 0.4 * math.cos((moment_s % DAY_S / DAY_S - 0.84 + 0.5) * 2 * math.pi)


def _payloads(begin_s: float, hours: float) -> Iterator[tuple[float, bytes]]:
    """Whole sessions are left out where less is watched, so that each token has all of its payloads."""
    born: dict[str, bool] = {}
    timing = _past(begin_s, PER_S)
    for message in payloads.traffic(draw(SEED), seed=SEED, run="past", timing=timing, own_customers=False):
        moment_s = begin_s + message.offset_s
        if message.offset_s > hours * 3600:
            return
        token = message.payload.token
        if token not in born:
            born[token] = zlib.crc32(token.encode()) / 2**32 < busy(moment_s)
        if born[token]:
            yield moment_s, message.body


def _hits(until_s: float) -> Iterator[tuple[float, bytes]]:
    begin_s = until_s - 2 * DAY_S
    for message in hits.hits(draw(SEED), seed=SEED, run="past", timing=_past(begin_s, HITS_PER_S)):
        if message.offset_s > 2 * DAY_S:
            return
        if zlib.crc32(message.body) / 2**32 < busy(message.payload.timestamp / 1000):
            yield begin_s + message.offset_s, message.body


def _samples(until_s: float, clients: int) -> Iterator[tuple[float, bytes]]:
    """With their true times, as the collector would correct them: nothing is said here of when they were sent."""
    begin_s = until_s - DESKTOPS_S
    timing = _past(begin_s, clients / SAMPLE_EVERY_S)
    for message in desktops.messages(draw(SEED), seed=SEED, run="past", clients=clients, timing=timing):
        if message.offset_s > DESKTOPS_S:
            return
        yield (
            begin_s + message.offset_s,
            encode(msgspec.structs.replace(message.payload.message, time=message.payload.true_ms)),
        )
