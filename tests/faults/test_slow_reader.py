"""A client that never reads its receipts: its stream is stored all the same, and nobody else is slowed."""

import threading

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import tally
from tests.harness.client import NDJSON
from tests.harness.ledger import Ledger
from tests.harness.wire import Wire, line_of, lines_of

CUSTOMER = "unread"
LINES = 400
PIECES = 150
"""Each is committed before the next is sent, so that there are as many receipts."""


def tokens(name: str, count: int) -> set[str]:
    """Of `lines_of`."""
    return {f"{name}:{number}" for number in range(count)}


def test_unread_receipts_slow_nobody(serve: Serve, best_database_url: str) -> None:
    server = serve(best_database_url)
    client = server.client
    deaf = Wire(client.address, {"Idempotency-Key": "deaf", "Accept": NDJSON}, receive_bytes=1024)

    def committed() -> int:
        answer = client.stream("deaf")
        count: int = answer.json()["committed"] if answer.status == 200 else 0
        return count

    for piece in range(PIECES):
        deaf.send(lines_of(CUSTOMER, "deaf", piece * 4, piece * 4 + 4))
        while committed() < piece * 4 + 4:
            assert server.running
    sent = PIECES * 4
    assert client.post(line_of(CUSTOMER, "another")).status == 204
    assert client.post_lines(lines_of(CUSTOMER, "others", 0, LINES)).json()["accepted"] == LINES
    deaf.end()
    await_true(lambda: client.stream("deaf").json() == {"committed": sent, "rejected": 0, "complete": True})
    balanced(client)
    ledger = Ledger(CUSTOMER)
    ledger.sent |= {"another"} | tokens("deaf", sent) | tokens("others", LINES)
    ledger.acknowledge(ledger.sent)
    tally("unread receipts", ledger.check(best_database_url, at_end=True))
    deaf.close()


def test_a_flood_of_unread_receipts_is_stored(serve: Serve, best_database_url: str) -> None:
    """Sent as fast as it goes by a client that reads nothing until it has sent everything."""
    server = serve(best_database_url)
    lines = 200_000
    deaf = Wire(server.client.address, {"Idempotency-Key": "flood", "Accept": NDJSON}, receive_bytes=1024)

    def flood() -> None:
        for start in range(0, lines, 1_000):
            deaf.send(lines_of(CUSTOMER, "flood", start, start + 1_000))
        deaf.end()

    beside: set[str] = set()
    sender = threading.Thread(target=flood)
    sender.start()
    while sender.is_alive():
        beside.add(token := f"beside {len(beside)}")
        assert server.client.post(line_of(CUSTOMER, token)).status == 204
    sender.join()
    done = {"committed": lines, "rejected": 0, "complete": True}
    await_true(lambda: server.client.stream("flood").json() == done)
    assert deaf.rest()[-1] == {"accepted": lines, "rejected": 0, "errors": []}
    ledger = Ledger(CUSTOMER)
    ledger.sent |= tokens("flood", lines) | beside
    ledger.acknowledge(ledger.sent)
    tally("unread receipts", ledger.check(best_database_url, at_end=True))
