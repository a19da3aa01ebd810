"""A collector that is stopped (SIGSTOP) in the middle of a stream, which goes on at another one: when it wakes up
(SIGCONT), it commits nothing more of it.
"""

import contextlib
import http.client
import os
import random
import signal
import time
from collections.abc import Iterator

import psycopg

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.client import NDJSON, Answer
from tests.harness.ledger import Ledger, stored
from tests.harness.messages import KINDS, Kind
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire

LINES = 2_000
"""Of a stream; about half of them are sent before the collector stops."""
TAKEN_S = 90.0
"""Until the other one may go on: a transaction that is open in a stopped process holds the key, and is ended after some
10 s.
"""


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still, and goes on whatever happens here."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def one_round(servers: list[ServerProcess], url: str, ledger: Ledger, kind: Kind, choices: random.Random) -> None:
    identities = [f"{ledger.customer}/stream:{number}" for number in range(LINES)]
    ledger.sent.update(identities)
    lines = [kind.line(ledger.customer, identity) + b"\n" for identity in identities]
    stalled, other = servers
    (pid,) = stalled.worker_pids()
    key = {"Idempotency-Key": ledger.customer}
    old = Wire(stalled.client.address, key | {"Accept": NDJSON}, path=kind.path)
    at = 0
    goal = choices.randrange(1, LINES // 2)
    while at < goal:
        at += (step := choices.randrange(1, 300))
        old.send(b"".join(lines[at - step : at]))
    if choices.random() < 0.7:
        old.line()  # something is committed
    time.sleep(choices.uniform(0, 0.01))  # the fault's moment; nothing waits for it
    with stopped(pid):
        # More for it to read when it wakes up.
        old.send(b"".join(lines[at : at + 200]))
        answer = until_taken(other, key, kind, lines)
        assert answer.json() == {"accepted": LINES, "rejected": 0, "errors": []}
        ledger.acknowledge(identities)
        before = stored(url, ledger.customer)
    with contextlib.suppress(OSError):
        old.send(b"".join(lines[at + 200 : at + 400]))
        last = old.rest()[-1]
        assert last["status"] == 409, last
        assert last["committed"] <= at
    await_true(lambda: not stalled.client.metrics().backlog_rows)
    assert stored(url, ledger.customer) == before
    old.close()


def until_taken(server: ServerProcess, key: dict[str, str], kind: Kind, lines: list[bytes]) -> Answer:
    """The whole stream again, until the collector may have it."""
    deadline = time.monotonic() + TAKEN_S
    while True:
        try:
            answer = server.client.post_lines(b"".join(lines), key, kind.path)
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            continue
        if answer.status != 503:
            return answer
        assert time.monotonic() < deadline, answer


def test_a_stalled_collector_commits_nothing_more(serve: Serve, best_database_url: str) -> None:
    servers = [serve(best_database_url), serve(best_database_url)]
    for number in range(max(len(KINDS), ROUNDS // 2)):
        ledger = Ledger(f"stalled-{number}")
        choices = random_of("stalled", number)
        one_round(servers, best_database_url, ledger, KINDS[number % len(KINDS)], choices)
        tally("stalled", ledger.check(best_database_url))
    for server in servers:
        balanced(server.client)


def test_a_deadlock_is_tried_again(serve: Serve, best_database_url: str) -> None:
    """Tokens are locked in order, so that collectors never meet in one; somebody else may do otherwise."""
    server = serve(best_database_url)
    ledger = Ledger("deadlock")
    identities = [f"deadlock/a:{number}" for number in range(200)]
    ledger.sent.update(identities)
    kind = KINDS[0]
    lines = b"".join(kind.line("deadlock", identity) + b"\n" for identity in identities)
    starting = sorted(identity for identity in identities if b'"sessionDuration":0' in kind.line("deadlock", identity))
    wire = Wire(server.client.address, {"Idempotency-Key": "deadlock"})
    with psycopg.connect(best_database_url) as other:
        other.execute("SET deadlock_timeout = '1 min'")  # the collector is to be the victim
        other.execute("INSERT INTO session_token VALUES (%s)", (starting[-1],))
        wire.send(lines)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with psycopg.connect(best_database_url, autocommit=True) as watch:
            await_true(lambda: watch.execute(waiting).fetchone() != (0,))
        other.execute("INSERT INTO session_token VALUES (%s)", (starting[0],))
        other.rollback()
    wire.end()
    assert wire.rest() == [{"accepted": 200, "rejected": 0, "errors": []}]
    ledger.acknowledge(identities)
    assert server.client.metrics().total("collector_retries_total", why="TryAgain") >= 1
    tally("deadlock", ledger.check(best_database_url, at_end=True))
    balanced(server.client)
