"""SIGTERM while streams are open: each is told how far it is stored, the process ends in time, and resuming works."""

import signal
import time

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.client import NDJSON
from tests.harness.ledger import stored_tokens
from tests.harness.wire import Wire, line_of, lines_of

CUSTOMER = "drain"
OPEN = 4
LINES = 300
PROMPT_S = 5.0
"""With the database there, an end takes no longer than a commit; the collector's own bound is 8 s."""


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
    assert time.monotonic() - began < PROMPT_S
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
        assert server.client.stream(f"r{number}").json() == {"committed": 600, "rejected": 0, "complete": False}
        answer = server.client.post_lines(
            lines_of(CUSTOMER, f"r{number}", 2 * LINES, 3 * LINES),
            {"Idempotency-Key": f"r{number}", "Stream-Offset": str(2 * LINES)},
        )
        assert answer.json() == {"accepted": 3 * LINES, "rejected": 0, "errors": []}
    everything = lines_of(CUSTOMER, "silent", 0, 2 * LINES)
    answer = server.client.post_lines(everything, {"Idempotency-Key": "silent"})
    assert answer.json() == {"accepted": 2 * LINES, "rejected": 0, "errors": []}
    stored = stored_tokens(best_database_url, CUSTOMER)
    assert set(stored.values()) == {1}
    assert len(stored) == OPEN * 3 * LINES + 2 * LINES


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
