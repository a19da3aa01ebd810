"""Databases with some hours of simulated traffic, as the role sees them that may only read."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import msgspec
import psycopg
import pytest

from collector.store.cpu import Refresh
from collector.store.pool import make_pool
from simulation.scenario.model import Scenario
from simulation.scenario.strategies import draw
from simulation.traffic.desktops import messages
from simulation.traffic.hits import hits
from simulation.traffic.pace import Timing
from simulation.traffic.payloads import traffic
from tests.contract.driver import running
from tests.dashboards.grafana import Range, last
from tests.harness.engines import Engine

SEED = 5
HOURS = 3
WINDOW_S = 300
PAYLOADS = 40
"""Of a window."""
HITS = 200
"""Of an hour."""
CLIENTS, SAMPLES = 12, 1_000
"""And how many messages they send in an hour."""
ADD_UP_S = 600.0
READER = "collector_read"

Connection = psycopg.Connection[tuple[object, ...]]


class Filled(msgspec.Struct, frozen=True):
    """A database with traffic, and the time range of it."""

    engine: Engine
    times: Range
    reader: Connection
    """As the role that may only read."""
    truth: Connection
    """As one that sees everything."""


@pytest.fixture(scope="session")
def filled(engine: Engine) -> Iterator[Filled]:
    with engine.database() as url:
        times = last(timedelta(hours=HOURS))
        _fill(url, times)
        with psycopg.connect(url, autocommit=True) as truth, psycopg.connect(url, autocommit=True) as reader:
            refresh(truth, engine)
            add_up_cpu(url)
            become_reader(reader)
            yield Filled(engine, times, reader, truth)


def become_reader(connection: Connection) -> None:
    """Go on as `collector_read`, without the right to write anything."""
    connection.execute(f"SET ROLE {READER}".encode())
    connection.execute("SET default_transaction_read_only = on")


def refresh(connection: Connection, engine: Engine) -> None:
    """What the policies of the aggregates do: the newest window stays out."""
    if engine.has_timescaledb:
        connection.execute("CALL refresh_continuous_aggregate('stats_5m', NULL, now() - INTERVAL '6 minutes')")


def add_up_cpu(url: str) -> None:
    """What the collector does every now and then: samples by session and event."""

    async def refresh() -> None:
        pool = make_pool(url, "ingest", "SET timezone = 'UTC'")
        await pool.open()
        try:
            assert await Refresh(pool).catch_up(time.monotonic() + ADD_UP_S) == 0
        finally:
            await pool.close()

    asyncio.run(refresh())


def _fill(url: str, times: Range) -> None:
    """Traffic of each window, received in it."""
    scenario = draw(SEED)
    with running(url) as app:
        app.clock.now = times.since.timestamp()
        start_ms = int(app.clock.now * 1000)
        payloads = traffic(scenario, seed=SEED, run="grafana", timing=_past(start_ms, 1.0))
        for _ in range(HOURS * 3600 // WINDOW_S):
            lines = [message.body for message in islice(payloads, PAYLOADS)]
            assert app.stream(lines).summary()[0] == PAYLOADS
            app.clock.advance(WINDOW_S - 1)
        seen = hits(scenario, seed=SEED, run="grafana", timing=_past(start_ms, HITS / 3600))
        answer = app.stream([message.body for message in islice(seen, HOURS * HITS)], path="/analytics")
        assert answer.summary()[0] == HOURS * HITS
        samples = list(islice(_samples(scenario, start_ms), HOURS * SAMPLES))
        assert app.stream(samples, path="/sessions").summary()[0] == HOURS * SAMPLES


def _past(start_ms: int, rate: float) -> Timing:
    return Timing(speed=1, rate=rate, start_ms=start_ms, past=True)


def _samples(scenario: Scenario, start_ms: int) -> Iterator[bytes]:
    """What clients measure, as their clocks would have it if they were right."""
    timing = _past(start_ms, SAMPLES / 3600)
    for each in messages(scenario, seed=SEED, run="grafana", clients=CLIENTS, timing=timing):
        moment = each.payload
        yield msgspec.json.encode(msgspec.structs.replace(moment.message, time=moment.true_ms))
