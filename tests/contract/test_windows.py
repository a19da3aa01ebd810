"""Windows of 5 minutes of reception: `time` is the end, and a session counts once, where its first payload came."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.contract.driver import WINDOW_S, App, Table, payload, unique
from tests.harness.engines import Engine
from tests.strategies import encoded


def windows(app: App, customer: str) -> list[tuple[float, int, int]]:
    """Oldest first: the end since the epoch, cdn and sessions."""
    rows = app.get("/stats", customer=customer).json()["rows"]
    return [(datetime.fromisoformat(row["time"]).timestamp(), row["cdn"], row["sessions"]) for row in reversed(rows)]


def materialize(engine: Engine, table: Table, until_s: float) -> None:
    """What the refresh policy does with windows that have ended; nothing on plain PostgreSQL."""
    if engine.has_timescaledb:
        table.run(f"CALL refresh_continuous_aggregate('stats_5m', NULL, to_timestamp({until_s}))")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("refreshed", [False, True])
def test_payloads_around_a_boundary(app: App, table: Table, engine: Engine, streamed: bool, refreshed: bool) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(-1 / 1024)
    for number, moment_s in enumerate((-1 / 1024, 0.0, 1 / 1024, WINDOW_S - 1 / 1024, float(WINDOW_S))):
        app.clock.now = boundary + moment_s
        sent = payload(customer, number, cdn=10**number)
        answer = app.stream([sent]) if streamed else app.single(sent)
        assert answer.status < 300
    if refreshed:
        materialize(engine, table, boundary + WINDOW_S)
    assert windows(app, customer) == [
        (boundary, 1, 0),
        (boundary + WINDOW_S, 1110, 0),
        (boundary + 2 * WINDOW_S, 10_000, 0),
    ]


def test_time_is_utc_whatever_the_server_thinks(app: App, table: Table) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(1)
    app.single(payload(customer))
    (row,) = app.get("/stats", customer=customer).json()["rows"]
    assert row["time"] == datetime.fromtimestamp(boundary + WINDOW_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    table.run("SET timezone = 'Asia/Kathmandu'")
    try:
        ((end,),) = table.rows("SELECT time FROM stats WHERE customer = %s", customer)
    finally:
        table.run("SET timezone = 'UTC'")
    assert end.timestamp() == boundary + WINDOW_S


def test_a_session_counts_in_the_window_of_its_first_payload_and_never_again(
    app: App, table: Table, engine: Engine
) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(-1)
    token = unique("session")
    for step in range(4):
        if step % 2:
            app.single(payload(customer, token=token, cdn=0, p2p=0, session_duration=step * 30_000))
        else:
            app.stream([payload(customer, token=token, cdn=0, p2p=0, session_duration=step * 30_000)] * 3)
        app.clock.advance(WINDOW_S)
        materialize(engine, table, boundary + step * WINDOW_S)
    assert windows(app, customer) == [(boundary + step * WINDOW_S, 0, int(step == 0)) for step in range(4)]


def test_a_session_belongs_to_whom_its_first_payload_names(app: App) -> None:
    first, other, token = unique("acme"), unique("acme"), unique("session")
    app.clock.to_boundary()
    for customer in (first, other, first):
        app.single(payload(customer, token=token, session_duration=0))
    assert [sessions for _, _, sessions in windows(app, first) + windows(app, other)] == [1, 0]


def test_a_late_payload_counts_when_it_comes(app: App) -> None:
    """The window is that of reception; the session's own time has no say."""
    customer = unique("acme")
    boundary = app.clock.to_boundary(1)
    app.single(payload(customer, 1, session_duration=10**12))
    app.single(payload(customer, 1, session_duration=0))
    assert windows(app, customer) == [(boundary + WINDOW_S, 20, 1)]


def test_a_stream_over_a_boundary_is_in_both_windows(app: App) -> None:
    """Lines count where they came in, though all of them are one request."""
    customer = unique("acme")
    boundary = app.clock.to_boundary(-1)
    body = [encoded(payload(customer, number)) + b"\n" for number in (1, 2)]

    async def stream() -> None:
        waiting = iter(body)

        async def receive() -> dict[str, object]:
            chunk = next(waiting, None)
            if chunk is body[1]:
                app.clock.now = boundary
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(_: object) -> None:
            await asyncio.sleep(0)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/stats",
            "headers": [(b"content-type", b"application/x-ndjson")],
        }
        await app.application(scope, receive, send)

    app.call(stream())
    assert windows(app, customer) == [(boundary, 10, 0), (boundary + WINDOW_S, 20, 0)]
