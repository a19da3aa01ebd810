"""The load engine against a real local server that is busy, cuts connections, stalls and refuses: the books agree."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import islice

import pytest

from simulation.load.engine import Load, Settings, Stop
from simulation.scenario.strategies import draw
from simulation.traffic.pace import Timing
from simulation.traffic.payloads import traffic
from simulation.traffic.viewers import customer_name
from simulation.truth.client import connect
from simulation.truth.ledger import Ledger
from simulation.truth.verdict import Verdict
from simulation.truth.verify import verify
from tests.simulation.standin import Faults, Standin, serving

COUNT = 1500
RATE = 5000.0


@dataclass
class Outcome:
    load: Load
    standin: Standin
    verdict: Verdict


async def loaded(
    faults: Faults,
    *,
    connections: int = 8,
    streams: int = 2,
    count: int = COUNT,
    settle_s: float = 20.0,
    rotate_lines: int = 200,
    meanwhile: Callable[[Load, Standin, Stop], Awaitable[None]] | None = None,
) -> Outcome:
    """Send `count` payloads, and compare."""
    scenario, stop = draw(1), Stop()
    ledger = Ledger("run", [customer_name(customer, "run") for customer in scenario.customers])
    async with serving(Standin(faults)) as standin, connect() as http:
        messages = islice(traffic(scenario, seed=1, run="run", timing=Timing(rate=RATE)), count)
        settings = Settings(
            url=standin.url,
            connections=connections,
            streams=streams,
            settle_s=settle_s,
            rotate_lines=rotate_lines,
        )
        load = Load(http, settings, messages, ledger, stop)
        running = asyncio.create_task(load.run())
        if meanwhile is not None:
            await meanwhile(load, standin, stop)
        await running
        [verdict] = await verify(http, standin.url, ledger.saved())
        return Outcome(load, standin, verdict)


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("none", Faults()),
        ("busy", Faults(busy=20)),
        ("too many", Faults(busy=20, busy_status=429)),
        ("cut before the commit", Faults(cut_before=20)),
        ("cut after the commit", Faults(cut_after=20)),
        ("streams cut", Faults(cut_streams=6)),
        ("all of it", Faults(busy=10, cut_before=10, cut_after=10, cut_streams=6, cut_lines=20)),
    ],
)
@pytest.mark.parametrize(("connections", "streams"), [(8, 2), (8, 0), (0, 3)])
def test_the_ledger_agrees_with_the_server(name: str, faults: Faults, connections: int, streams: int) -> None:
    # A copy, since the server counts them down.
    outcome = asyncio.run(loaded(replace(faults), connections=connections, streams=streams))
    meter = outcome.load.meter
    assert outcome.verdict.differences == []
    assert meter.acknowledged == COUNT - meter.repeated == len(outcome.standin.stored)
    assert (meter.repeated > 0) == (connections > 0)
    assert outcome.load.meter.balanced
    if name == "none":
        assert (meter.errors, meter.retries) == ({}, 0)
    if faults.busy:
        assert meter.errors[str(faults.busy_status)] == faults.busy
    if streams and name in ("streams cut", "all of it"):
        assert outcome.standin.faults.cut_streams < faults.cut_streams
        assert meter.retries > 0
    if connections and name == "cut after the commit":
        assert meter.retries == faults.cut_after
        assert 0 < meter.replayed <= faults.cut_after, "a repeat is told from a first post"
    assert bool(outcome.standin.streams) == (streams > 0)
    assert bool(outcome.standin.single_keys) == (connections > 0)


def test_streams_are_rotated_and_complete() -> None:
    outcome = asyncio.run(loaded(Faults(), connections=0, streams=2, rotate_lines=100))
    streams = outcome.standin.streams.values()
    assert len(streams) >= COUNT / 100
    assert all(stream.complete and 1 <= len(stream.lines) <= 100 for stream in streams)


def test_rejected_lines_and_payloads_are_not_taken_for_stored() -> None:
    outcome = asyncio.run(loaded(Faults(reject_every=7), connections=0))
    meter = outcome.load.meter
    assert outcome.verdict.differences == []
    assert meter.acknowledged == len(outcome.standin.stored)
    assert meter.rejected == COUNT - meter.acknowledged > 100
    refused = asyncio.run(loaded(Faults(refuse=422), streams=0, count=50))
    assert refused.load.meter.rejected == 50
    assert refused.load.meter.errors["422"] == 50
    assert "refused on request" in refused.load.meter.examples[0]


def test_a_refused_stream_is_unknown_and_the_run_ends() -> None:
    outcome = asyncio.run(loaded(Faults(refuse=422), connections=0, count=50))
    assert outcome.load.meter.unknown == 50
    assert outcome.load.meter.balanced


def test_payloads_without_an_answer_are_unknown_and_widen_the_comparison() -> None:
    async def server_stores_them_after_all(load: Load, standin: Standin, _stop: Stop) -> None:
        await asyncio.wait_for(standin.progress.wait(), 10)
        standin.faults.silent = True

    outcome = asyncio.run(loaded(Faults(), streams=0, settle_s=0.2, meanwhile=server_stores_them_after_all))
    meter = outcome.load.meter
    assert meter.unknown == 8, "one a connection"
    assert meter.dropped > 0, "what waited for a connection was never sent"
    assert outcome.load.meter.balanced
    assert outcome.verdict.differences == []
    assert outcome.verdict.unknown == 8


def test_a_stop_settles_what_was_sent() -> None:
    async def stop_soon(load: Load, standin: Standin, stop: Stop) -> None:
        await asyncio.wait_for(standin.progress.wait(), 10)
        stop.press()

    outcome = asyncio.run(loaded(Faults(), count=10**6, meanwhile=stop_soon))
    meter = outcome.load.meter
    assert 0 < meter.acknowledged + meter.repeated == meter.scheduled < 10**6
    assert outcome.verdict.differences == []


def test_a_second_stop_gives_up_at_once() -> None:
    async def press_twice(load: Load, standin: Standin, stop: Stop) -> None:
        await asyncio.wait_for(standin.progress.wait(), 10)
        standin.faults.silent = True
        stop.press()
        stop.press()

    outcome = asyncio.run(loaded(Faults(), count=10**6, settle_s=3600, meanwhile=press_twice))
    assert outcome.load.meter.balanced
    assert outcome.verdict.differences == []


def test_a_server_that_is_gone_ends_the_run_within_its_bound() -> None:
    async def scenario() -> Load:
        async with serving(Standin()) as standin:
            url = standin.url
        async with connect() as http:
            messages = islice(traffic(draw(1), seed=1, run="run", timing=Timing(rate=RATE)), 100)
            load = Load(http, Settings(url=url, settle_s=0.3), messages, Ledger("run", []), Stop())
            await load.run()
            return load

    load = asyncio.run(scenario())
    assert load.meter.acknowledged == 0
    assert load.meter.balanced
    assert load.meter.errors


def test_latency_counts_from_the_scheduled_moment() -> None:
    """One connection and a server that takes its time: the wait for the connection is part of the latency."""

    async def free_it_later(load: Load, standin: Standin, _stop: Stop) -> None:
        await asyncio.sleep(0.5)  # the stall itself is what is tested
        standin.faults.busy = 0

    outcome = asyncio.run(loaded(Faults(busy=10**6), connections=1, streams=0, count=50, meanwhile=free_it_later))
    latency = outcome.load.meter.latency("single")
    assert latency.count == 50
    assert latency.p50 >= 400, "fifty payloads were due within the first ten milliseconds"
    assert outcome.load.meter.late >= 45
