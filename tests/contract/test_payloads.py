"""POST /payloads: what the queue has is answered 202, and is processed once, with the moment of its request; the same
whether the queue is a table or a topic.
"""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from collector.messages.payload import Payload
from tests.contract.driver import NDJSON, App, Table, payload, running, unique
from tests.faults.books import await_true
from tests.harness.broker import Broker
from tests.strategies import encoded

PATH = "/payloads"
REPLAYED = "idempotent-replayed"
DEADLINE_S = 20.0


@pytest.fixture(scope="module", params=["table", "topic"])
def app(request: pytest.FixtureRequest, module_url: str) -> Iterator[App]:
    """Without a broker and with one."""
    settings: dict[str, object] = {}
    if request.param == "topic":
        broker: Broker = request.getfixturevalue("broker")
        settings = {"kafka_bootstrap": broker.address, "kafka_topic": broker.create(unique("contract"))}
    with running(module_url, **settings) as application:
        yield application


def processed(app: App, table: Table, customer: str, count: int) -> None:
    """So many rows, and no more of them even after what was put behind them."""
    await_true(lambda: len(table.payloads(customer)) >= count, DEADLINE_S)
    behind = unique("behind")
    partitions = 12  # a token for every partition, most likely
    for number in range(partitions):
        assert app.single(payload(behind, number), path=PATH).status == 202
    await_true(lambda: len(table.payloads(behind)) == partitions, DEADLINE_S)
    assert len(table.payloads(customer)) == count


def test_a_payload_is_accepted_and_processed(app: App, table: Table) -> None:
    customer = unique("acme")
    answer = app.single(payload(customer), path=PATH)
    assert (answer.status, answer.body) == (202, b"")
    processed(app, table, customer, 1)
    assert table.payloads(customer) == [payload(customer)]


def test_reception_is_the_moment_of_the_request(app: App, table: Table) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(0.123)
    app.single(payload(customer, 1), path=PATH)
    app.clock.advance(3600)
    app.stream([payload(customer, 2)], path=PATH)
    await_true(lambda: len(table.payloads(customer)) == 2, DEADLINE_S)
    rows = table.rows("SELECT received_at FROM payload WHERE customer = %s ORDER BY p2p", customer)
    assert [row[0] for row in rows] == [
        datetime.fromtimestamp(boundary + after, UTC).replace(microsecond=123_000) for after in (0, 3600)
    ]


def test_lines_get_their_summary(app: App, table: Table) -> None:
    customer = unique("acme")
    answer = app.stream([payload(customer, 1), b"", b"bad", b"x" * 70_000, payload(customer, 2)], path=PATH)
    assert answer.status == 202
    document = answer.json()
    assert (document["accepted"], document["rejected"]) == (2, 2)
    assert [error["line"] for error in document["errors"]] == [3, 4]
    processed(app, table, customer, 2)


def test_lines_are_stored_as_they_were_sent(app: App, table: Table) -> None:
    """Names with whatever JSON escapes, and amounts at their bounds."""
    customer = unique("acme")
    names = ['"', "\\", "\n", "\t", "ä", "\u2028", "x" * 256, "\x7f", ",", "\\N"]
    sent: list[bytes | Payload] = [
        payload(customer, at, token=f"{name[:200]}{at}", content=name) for at, name in enumerate(names)
    ]
    sent.append(payload(customer, 2**63 - 1, cdn=2**63 - 1, session_duration=0))
    assert app.stream(sent, path=PATH).json()["accepted"] == len(sent)
    await_true(lambda: len(table.payloads(customer)) == len(sent), DEADLINE_S)
    assert table.payloads(customer) == sent


def test_receipts(app: App, table: Table) -> None:
    customer = unique("acme")
    body = [encoded(payload(customer, number)) + b"\n" for number in range(3)]
    answer = app.post(body, NDJSON, path=PATH, accept=NDJSON)
    assert answer.status == 200
    assert answer.lines()[-1] == {"accepted": 3, "rejected": 0, "errors": []}
    processed(app, table, customer, 3)


def test_a_repeat_gets_the_first_answer(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    first, second = (app.single(payload(customer), path=PATH, key=key) for _ in range(2))
    assert (first.status, REPLAYED in first.headers) == (202, False)
    assert (second.status, second.headers[REPLAYED]) == (202, "true")
    app.single(payload(customer, 2), path=PATH, key=key).problem(422)
    processed(app, table, customer, 1)


def test_a_stream_sent_again(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    lines: list[bytes | Payload] = [payload(customer, 1), b"bad", payload(customer, 2)]
    first, second = (app.stream(lines, path=PATH, key=key) for _ in range(2))
    assert (first.status, second.status) == (202, 202)
    assert first.json() == second.json()
    assert second.headers[REPLAYED] == "true"
    app.stream([payload(customer, 3)], path=PATH, key=key).problem(422)
    assert app.get(f"/streams/{key}", endpoint=PATH).json() == {"committed": 3, "rejected": 1, "complete": True}
    processed(app, table, customer, 2)


@pytest.mark.parametrize("offset", [0, 2])
def test_a_stream_that_was_cut_goes_on(app: App, table: Table, offset: int) -> None:
    customer, key = unique("acme"), unique("key")
    lines = [encoded(payload(customer, number)) + b"\n" for number in range(5)]
    problem = app.post(lines[:2], NDJSON, path=PATH, key=key, cut=True).problem(400)
    assert (problem["committed"], problem["accepted"]) == (2, 2)
    app.post(lines[4:], NDJSON, path=PATH, key=key, stream_offset=4).problem(409)
    assert app.post(lines[offset:], NDJSON, path=PATH, key=key, stream_offset=offset).json()["accepted"] == 5
    processed(app, table, customer, 5)


def test_keys_belong_to_an_endpoint(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    assert app.single(payload(customer), key=key).status == 204
    answer = app.single(payload(customer), path=PATH, key=key)
    assert (answer.status, REPLAYED in answer.headers) == (202, False)
    await_true(lambda: len(table.payloads(customer)) == 2, DEADLINE_S)


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", None, 400),
        (b"[]", None, 400),
        (b'{"token": "t"}', None, 400),
        (encoded(payload("bad", cdn=-1)), None, 400),
        (encoded(payload("bad", token="")), None, 400),
        (encoded(payload("bad", content="x" * 257)), None, 400),
        (encoded(payload("bad", token="nul\0")), None, 400),
        (b"\xff", None, 400),
        (b" " * 70_000, None, 413),
        (b"{}", "text/plain", 415),
        (b"bad\nworse\n", NDJSON, 400),
        (gzip.compress(encoded(payload("bad")))[:-9], NDJSON, 400),
    ],
)
def test_bad_input_is_told_as_at_stats(app: App, body: bytes, media_type: str | None, status: int) -> None:
    coding = "gzip" if body.startswith(b"\x1f\x8b") else "identity"
    here, there = (
        app.post(body, media_type, path=path, content_encoding=coding).problem(status) for path in (PATH, "/stats")
    )
    assert here == there


def test_a_session_counts_once_by_either_endpoint(app: App, table: Table) -> None:
    customer = unique("acme")
    starting = payload(customer, session_duration=1000)
    assert app.stream([starting] * 3, path=PATH).json()["accepted"] == 3
    await_true(lambda: len(table.payloads(customer)) == 3, DEADLINE_S)
    assert app.single(starting).status == 204
    app.single(starting, path=PATH)
    await_true(lambda: len(table.payloads(customer)) == 5, DEADLINE_S)
    flagged = table.rows("SELECT started FROM payload WHERE customer = %s AND started", customer)
    assert len(flagged) == 1


def test_a_payload_that_the_table_refuses_is_quarantined_alone(app: App, table: Table) -> None:
    customer = unique("acme")
    table.run(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.token LIKE '%refused%' THEN RAISE EXCEPTION 'not here'; END IF; RETURN NEW; END $$;"
        " CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON payload FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    bad = [payload(customer, at, token=f"{customer} refused {at}") for at in (3, 17, 18)]
    sent: list[bytes | Payload] = [payload(customer, at) for at in range(40) if at not in (3, 17, 18)]
    sent += bad
    assert app.stream(sent, path=PATH).json()["accepted"] == 40
    processed(app, table, customer, 37)
    rows = table.rows("SELECT reason, raw FROM rejected WHERE position(%s IN encode(raw, 'escape')) > 0", customer)
    assert len(rows) == 3
    assert {reason for reason, _ in rows} == {"refused: not here"}


def test_received_is_what_became_of_it(app: App) -> None:
    def counts() -> tuple[float, float]:
        lines = app.get("/metrics").body.decode().splitlines()
        values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

        def total(*kinds: str) -> float:
            starts = tuple(f'collector_{kind}_total{{endpoint="queue"' for kind in kinds)
            return sum(value for name, value in values.items() if name.startswith(starts))

        return total("received"), total("stored", "rejected", "repeated")

    await_true(lambda: counts()[0] > 0 and counts()[0] == counts()[1], DEADLINE_S)
