"""Every kind of traffic against a real local server that is busy, cuts connections and loses things: the books agree,
or say where they don't.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import pytest

from simulation.command.kinds import KINDS, Ledgers, messages
from simulation.command.options import Options
from simulation.command.run import fleet
from simulation.load.chaos import BROKEN, CUT, REPEAT, UNKEYED
from simulation.load.clients import LOG_MESSAGES, stride
from simulation.load.engine import Settings, Stop
from simulation.load.fleet import Fleet
from simulation.scenario.strategies import draw
from simulation.traffic.hits import HOUR_MS
from simulation.truth import verify as verification
from simulation.truth.client import connect
from simulation.truth.verdict import Verdict, differing
from tests.simulation.standin import Faults, Standin, serving

ALL = tuple(KINDS)
CLIENTS = 8


@dataclass
class Outcome:
    loads: Fleet
    standin: Standin
    verdicts: list[Verdict]
    said: list[str]


async def loaded(
    standin: Standin,
    *kinds: str,
    count: int = 600,
    rate: float = 2000.0,
    speed: float = 600.0,
    settle_s: float = 20.0,
    run: str = "run",
    chaos: bool = False,
    meanwhile: Callable[[Standin, Stop], Awaitable[None]] | None = None,
) -> Outcome:
    """Send, and compare. The high speed makes networks fail every second or so."""
    said: list[str] = []
    async with serving(standin), connect() as http:
        settings = Settings(url=standin.url, connections=4, settle_s=settle_s, rotate_lines=100, chaos=chaos)
        options = Options(draw(1), 1, run, settings, kinds, speed, rate, duration_s=None, count=count, clients=CLIENTS)
        ledgers, stop = Ledgers(options), Stop()
        await ledgers.look(http)
        loads = fleet(http, options, ledgers, stop)
        running = asyncio.create_task(loads.run())
        if meanwhile is not None:
            await meanwhile(standin, stop)
        await running
        return Outcome(loads, standin, await verification.verify(http, standin.url, ledgers.saved(), said.append), said)


def balanced(outcome: Outcome) -> bool:
    meters = [outcome.loads.meter, *(load.meter for load in outcome.loads.loads.values())]
    return all(meter.balanced for meter in meters)


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("none", Faults()),
        ("busy", Faults(busy=10)),
        ("cut", Faults(cut_before=10, cut_after=10, cut_streams=6, cut_lines=20)),
        ("slow queue", Faults(queue_s=1.0)),
    ],
)
@pytest.mark.parametrize("kinds", [*((kind,) for kind in ALL), ALL], ids="-".join)
def test_the_ledger_agrees_with_the_server(name: str, faults: Faults, kinds: tuple[str, ...]) -> None:
    # A copy, since the server counts them down.
    outcome = asyncio.run(loaded(Standin(Faults(**vars(faults))), *kinds))
    standin, meter = outcome.standin, outcome.loads.meter
    assert not differing(outcome.verdicts)
    assert meter.acknowledged + meter.repeated == meter.scheduled == 600
    assert balanced(outcome)
    assert len(standin.stored) + len(standin.hits) + len(standin.messages) == meter.acknowledged
    assert sum(verdict.acknowledged for verdict in outcome.verdicts) == meter.acknowledged
    expected = {"stats", "analytics", "sessions"} if len(kinds) == 4 else {*kinds} - {"payloads"} or {"stats"}
    assert {verdict.kind for verdict in outcome.verdicts} == expected
    if name == "none":
        assert (meter.errors, meter.retries) == ({}, 0)


@pytest.mark.parametrize("kinds", [*((kind,) for kind in ALL), ALL], ids="-".join)
def test_with_chaos_the_ledger_still_agrees(kinds: tuple[str, ...]) -> None:
    outcome = asyncio.run(loaded(Standin(), *kinds, count=1500, rate=500.0, chaos=True))
    standin, meter = outcome.standin, outcome.loads.meter
    assert not differing(outcome.verdicts)
    assert balanced(outcome)
    assert meter.errors == {}, "what goes wrong on purpose is no error"
    assert meter.unknown == 0
    assert all(meter.chaos[what] for what in (CUT, REPEAT, UNKEYED, BROKEN)), meter.chaos
    assert meter.copies > 0
    assert standin.refused > 0
    assert len(standin.stored) + len(standin.hits) + len(standin.messages) == meter.acknowledged + meter.copies
    assert "junk" not in {payload.customer for payload in standin.stored}


def test_chaos_finds_a_collector_that_loses_repeats() -> None:
    """What is sent again without a key has to be there again: one that thinks it knows better differs."""

    async def forgetful(standin: Standin, stop: Stop) -> None:
        standin.faults.drops_copies = True

    outcome = asyncio.run(loaded(Standin(), "stats", count=1500, rate=500.0, chaos=True, meanwhile=forgetful))
    assert differing(outcome.verdicts)


def test_a_collector_that_shows_another_window_is_found() -> None:
    outcome = asyncio.run(loaded(Standin(Faults(window_off=1)), "stats"))
    rows = {difference.row[0] for verdict in outcome.verdicts for difference in verdict.differences}
    assert len(rows) >= 2
    assert "all" not in rows


def test_clients_upload_what_they_could_not_stream_and_what_they_did() -> None:
    outcome = asyncio.run(loaded(Standin(), "sessions", rate=400.0, count=1200))
    standin = outcome.standin
    sessions = {message.session for message in standin.messages}
    assert standin.uploads > len(sessions) / 5
    streamed = sum(len(stream.lines) - stream.preamble for stream in standin.streams.values())
    assert 0 < streamed < 1200, "what was not streamed came by upload"
    assert all(stream.preamble for stream in standin.streams.values())
    assert CLIENTS <= len(standin.streams) <= len(sessions), "a stream stays the same however often it is cut"
    assert len(standin.messages) == outcome.loads.meter.acknowledged == 1200
    assert not differing(outcome.verdicts)


def test_clients_measure_less_often_while_their_stream_stalls() -> None:
    outcome = asyncio.run(loaded(Standin(Faults(slow_s=4.0)), "sessions", rate=200.0, count=1200, speed=60.0))
    meter, told = outcome.loads.meter, outcome.standin.messages
    assert meter.skipped > 50
    assert meter.acknowledged == len(told) == 1200 - meter.skipped
    assert balanced(outcome)
    assert not differing(outcome.verdicts), "what was not measured is not missed"
    assert {message.event for message in told} >= {"login", "indexing"}, "events are told all the same"


def test_how_much_less_they_measure() -> None:
    assert [stride(waited_s) for waited_s in (0, 1.9, 2, 3.9, 4, 8, 60, 1e6)] == [1, 1, 2, 2, 4, 8, 32, 32]


def test_the_oldest_of_a_full_log_are_dropped_if_they_were_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOG_MESSAGES > 100
    monkeypatch.setattr("simulation.load.clients.LOG_MESSAGES", 2)
    outcome = asyncio.run(loaded(Standin(), "sessions", rate=400.0, count=1200))
    assert outcome.loads.meter.dropped > 0
    assert balanced(outcome)
    assert not differing(outcome.verdicts)


@pytest.mark.parametrize("kind", ALL)
def test_a_second_stop_gives_up_at_once_and_every_message_is_booked(kind: str) -> None:
    async def press_twice(standin: Standin, stop: Stop) -> None:
        await asyncio.wait_for(standin.progress.wait(), 10)
        standin.faults.silent = True
        standin.faults.busy = 10**6
        stop.press()
        stop.press()

    outcome = asyncio.run(loaded(Standin(), kind, count=10**6, settle_s=3600, meanwhile=press_twice))
    assert balanced(outcome)
    assert not differing(outcome.verdicts)


def test_one_kind_that_is_done_does_not_stop_the_others() -> None:
    async def scenario() -> Fleet:
        async with serving(Standin()) as standin, connect() as http:
            settings = Settings(url=standin.url)
            options = Options(draw(1), 1, "run", settings, ("stats", "analytics"), rate=200.0, duration_s=1.0)
            loads = fleet(http, options, Ledgers(options), Stop())
            await loads.run()
            return loads

    loads = asyncio.run(scenario())
    assert all(load.meter.acknowledged > 50 for load in loads.loads.values())


def test_what_the_queue_loses_is_missed_after_a_bounded_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "QUEUE_S", 1.2)
    monkeypatch.setattr(verification, "SAY_AFTER_S", 0.1)
    outcome = asyncio.run(loaded(Standin(Faults(queue_loses=3)), "payloads"))
    assert differing(outcome.verdicts)
    assert "until the queue is consumed" in outcome.said[0]


def test_what_the_queue_applies_twice_is_found_though_nothing_is_missing_before() -> None:
    outcome = asyncio.run(loaded(Standin(Faults(queue_s=1.0, queue_repeats=20)), "payloads"))
    assert differing(outcome.verdicts)


def test_a_queue_that_stores_too_much_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "QUEUE_S", 3600.0)
    standin = Standin()
    standin.plants = True
    assert differing(asyncio.run(loaded(standin, "payloads")).verdicts)


def test_times_that_are_off_are_found() -> None:
    outcome = asyncio.run(loaded(Standin(Faults(off_ms=60_000)), "sessions"))
    fields = {difference.field for verdict in outcome.verdicts for difference in verdict.differences}
    assert fields == {"milliseconds off"}


def test_hours_that_others_wrote_to_before_are_told_apart() -> None:
    async def twice() -> list[Verdict]:
        standin = Standin()
        return [(await loaded(standin, "analytics", run=name)).verdicts[0] for name in ("first", "second")]

    for verdict in asyncio.run(twice()):
        assert verdict.differences == []
        assert verdict.acknowledged > 550


def test_a_run_with_customers_as_they_are_shares_them_between_stats_and_the_queue() -> None:
    async def scenario() -> list[Verdict]:
        async with serving(Standin()) as standin, connect() as http:
            settings = Settings(url=standin.url)
            options = Options(draw(1), 1, "run", settings, ("stats", "payloads"), rate=2000.0, count=600)
            options = msgspec.structs.replace(options, own_customers=False)
            ledgers = Ledgers(options)
            assert set(ledgers.stats.customers) == set(draw(1).customers)
            await fleet(http, options, ledgers, Stop()).run()
            return await verification.verify(http, standin.url, ledgers.saved())

    [verdict] = asyncio.run(scenario())
    assert verdict.differences == []
    assert verdict.acknowledged > 550


def test_parts_of_the_rate_and_of_the_count_add_up() -> None:
    options = Options(draw(1), 1, "run", Settings(url=""), ALL, rate=100.0, count=10, start_ms=HOUR_MS)
    parts = [options.of(kind) for kind in ALL]
    assert [part.count for part in parts] == [3, 3, 2, 2]
    assert [part.rate for part in parts] == [25.0] * 4
    assert {part.start_ms for part in parts} == {HOUR_MS}


def test_the_queue_has_viewers_of_its_own_the_same_ones_each_time() -> None:
    """Twice the same viewers would make every number of `stats` even, as if all were counted twice."""
    options = Options(draw(1), 1, "run", Settings(url=""), ("stats", "payloads"), count=400, start_ms=HOUR_MS)

    def sent(kind: str) -> list[bytes]:
        return [message.body for message in messages(options.of(kind))]

    def measured(kind: str) -> list[tuple[int, int, int]]:
        return [(m.payload.cdn, m.payload.p2p, m.payload.session_duration) for m in messages(options.of(kind))]

    assert sent("payloads") == sent("payloads")
    assert sent("stats") == sent("stats")
    assert len({*measured("stats")} & {*measured("payloads")}) < 20
