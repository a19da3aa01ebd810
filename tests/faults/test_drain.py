"""SIGTERM while streams are open: each is told how far it is stored, the process ends in time, and resuming works."""

import asyncio
import signal
import socket
import time

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import random_of, tally
from tests.harness.client import NDJSON
from tests.harness.ledger import Ledger, stored_tokens
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.wire import Wire, line_of, lines_of

CUSTOMER = "drain"
OPEN = 100
LINES = 30
END_S = 10.0
"""However much is under way: the collector's own bound is 8 s and a little."""
PROMPT_S = 5.0
"""Over the bound where nothing can be stored."""
CLIENTS = 12


def receipts_of(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key, "Accept": NDJSON}


def await_receipt(wire: Wire, lines: int) -> None:
    while wire.line()["committed"] < lines:
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_open_streams_get_a_last_receipt_and_go_on_elsewhere(
    serve: Serve, best_database_url: str, workers: int
) -> None:
    server = serve(best_database_url, workers=workers)
    address = server.client.address
    wires = [Wire(address, receipts_of(f"r{number}")) for number in range(OPEN)]
    for number, wire in enumerate(wires):
        wire.send(lines_of(CUSTOMER, f"r{number}", 0, LINES))
        await_receipt(wire, LINES)
        wire.send(lines_of(CUSTOMER, f"r{number}", LINES, 2 * LINES) + b'{"token":"half a li')
    silent = Wire(address, {"Idempotency-Key": "silent"})
    silent.send(lines_of(CUSTOMER, "silent", 0, LINES))
    idle = Wire(address, receipts_of("idle"))
    idle.raw(b"")

    def all_taken() -> bool:
        return stored_tokens(best_database_url, CUSTOMER).total() == OPEN * 2 * LINES + LINES

    await_true(all_taken)
    began = time.monotonic()
    assert server.terminate() == 0
    assert time.monotonic() - began < END_S
    for wire in wires:
        assert wire.rest()[-1] == {"committed": 2 * LINES, "rejected": 0}
        assert wire.status == 200
    (problem,) = silent.rest()
    assert silent.status == problem["status"] == 503
    assert problem["committed"] == LINES
    assert silent.headers["retry-after"].isdigit()
    assert idle.rest() == [{"committed": 0, "rejected": 0}]

    server.start()
    for number in range(OPEN):
        assert server.client.stream(f"r{number}").json() == {"committed": 2 * LINES, "rejected": 0, "complete": False}
        answer = server.client.post_lines(
            lines_of(CUSTOMER, f"r{number}", 2 * LINES, 3 * LINES),
            {"Idempotency-Key": f"r{number}", "Stream-Offset": str(2 * LINES)},
        )
        assert answer.json() == {"accepted": 3 * LINES, "rejected": 0, "errors": []}
    everything = lines_of(CUSTOMER, "silent", 0, 2 * LINES)
    answer = server.client.post_lines(everything, {"Idempotency-Key": "silent"})
    assert answer.json() == {"accepted": 2 * LINES, "rejected": 0, "errors": []}
    ledger = Ledger(CUSTOMER)
    for name, lines in (*((f"r{number}", 3 * LINES) for number in range(OPEN)), ("silent", 2 * LINES)):
        ledger.sent.update(f"{name}:{line}" for line in range(lines))
    ledger.acknowledge(ledger.sent)
    tally("drain", ledger.check(best_database_url, at_end=True))


def test_the_end_comes_in_time_though_nothing_can_be_stored(serve: Serve, best_database_url: str) -> None:
    """The table is locked: what was taken in is given back, not acknowledged, and is not there afterwards."""
    server = serve(best_database_url, COLLECTOR_DRAIN_S="2")
    receipts = Wire(server.client.address, receipts_of("locked"))
    receipts.send(lines_of(CUSTOMER, "locked", 0, LINES))
    await_receipt(receipts, LINES)
    silent = Wire(server.client.address, {"Idempotency-Key": "locked too"})
    single = Wire(server.client.address, {"Content-Type": "application/json"})
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        receipts.send(lines_of(CUSTOMER, "locked", LINES, 2 * LINES))
        silent.send(lines_of(CUSTOMER, "locked too", 0, LINES))
        single.send(line_of(CUSTOMER, "locked single"))
        single.end()
        await_true(lambda: server.client.metrics().total("collector_received_total") == 3 * LINES + 1)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 2 + PROMPT_S
        assert receipts.rest()[-1]["committed"] == LINES
        (problem,) = silent.rest()
        assert (problem["status"], problem["committed"]) == (503, 0)
        (problem,) = single.rest()
        assert problem["status"] == 503
    assert stored_tokens(best_database_url, CUSTOMER).total() == LINES


def test_no_new_request_is_taken_by_one_that_ends(serve: Serve, best_database_url: str) -> None:
    """A connection that was open before: 503 or nothing at all, and what is acknowledged is there."""
    server = serve(best_database_url, COLLECTOR_DRAIN_S="2")
    held = Wire(server.client.address, receipts_of("held"))
    held.send(line_of(CUSTOMER, "held"))
    await_receipt(held, 1)
    others = [Wire(server.client.address, {"Content-Type": "application/json"}) for _ in range(20)]
    for number, wire in enumerate(others[:10]):
        wire.send(line_of(CUSTOMER, f"other:{number}"))
    server.send(signal.SIGTERM)
    for number, wire in enumerate(others):
        try:
            if number >= 10:
                wire.send(line_of(CUSTOMER, f"other:{number}"))
            wire.end()
        except OSError:
            pass
    acknowledged = {"held"}
    for number, wire in enumerate(others):
        try:
            wire.rest()
        except OSError:
            continue
        assert wire.status in (204, 503)
        if wire.status == 204:
            acknowledged.add(f"other:{number}")
    assert server.wait() == 0
    stored = stored_tokens(best_database_url, CUSTOMER)
    assert acknowledged <= set(stored)
    assert set(stored.values()) == {1}


def test_a_body_that_never_comes_does_not_hold_the_end_up(serve: Serve, best_database_url: str) -> None:
    """Nor does a head that is half there, nor a connection that says nothing."""
    server = serve(best_database_url)
    address = server.client.address
    single = Wire(address, {"Content-Type": "application/json"})
    single.send(b'{"token"')
    half = [socket.create_connection(address) for _ in range(3)]
    half[0].sendall(b"POST /stats HTTP/1.1\r\nHost: te")
    half[1].sendall(b"POST /stats HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{")
    await_true(lambda: server.status("/health/live") == 200)
    began = time.monotonic()
    assert server.terminate() == 0
    assert time.monotonic() - began < END_S
    (problem,) = single.rest()
    assert problem["status"] == 503
    assert "killed" not in server.log_tail().lower()
    for connection in half:
        connection.close()


@pytest.mark.parametrize("kept", [True, False], ids=["connections are kept", "a connection each"])
def test_a_rolling_restart_answers_every_request(serve: Serve, best_database_url: str, kept: bool) -> None:
    """SIGHUP: both workers are replaced, one after the other, under load; not one request is without its answer."""
    server = serve(best_database_url, workers=2)
    ledger = Ledger(f"rolling-{kept}")
    first = set(server.worker_pids())

    async def rolled() -> None:
        load = Load([server.url], ledger, random_of("rolling", kept), KINDS, keep_connections=kept)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(load.run(unkeyed=CLIENTS, keyed=CLIENTS, streams=4, silent=2, loose=0))
            await load.acknowledged(500)
            server.send(signal.SIGHUP)
            await asyncio.to_thread(await_true, lambda: not first & set(server.worker_pids()), 60.0)
            await asyncio.to_thread(await_true, lambda: len(server.worker_pids()) == 2)
            await load.acknowledged(500)
            load.finish()
            async with asyncio.timeout(60):
                await asyncio.wait([running])
        assert load.cuts == 0, f"{load.cuts} requests had no answer"

    asyncio.run(rolled())
    tally("rolling restart", ledger.check(best_database_url, at_end=True))
    balanced(server.client)
