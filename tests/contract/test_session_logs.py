"""POST /sessions/logs: times rebuilt, what is stored already left out, resumable, by any number of servers at once."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.driver import NDJSON, Answer, App, Table, running, unique

SKEW_MS = 7 * 60_000
UPLOADS = 4


def body(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def upload(app: App, *messages: dict[str, Any], **options: Any) -> Answer:
    return app.post(body(*messages), NDJSON, path="/sessions/logs", **options)


def stream(app: App, *messages: dict[str, Any], **options: Any) -> Answer:
    return app.post(body(*messages), NDJSON, path="/sessions", **options)


def now_ms(app: App) -> int:
    return int(app.clock.now * 1000)


def stored(table: Table, session: str) -> list[tuple[int, datetime]]:
    return table.rows("SELECT seq, time FROM session_message WHERE session = %s ORDER BY seq, time", session)


def at(ms: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def test_a_log_that_contains_what_was_live_adds_the_rest_each_in_the_right_minute(app: App, table: Table) -> None:
    session = unique("s")
    app.clock.to_boundary(1)
    began_ms = now_ms(app)
    expected = {}
    log: list[dict[str, Any]] = []
    live: list[dict[str, Any]] = []
    for seq in range(1, 61):
        true_ms = began_ms + seq * 2_000
        expected[seq] = true_ms
        message = {"session": session, "seq": seq, "cpu": float(seq)}
        log.append({**message, "elapsed": seq * 2_000, **({"time": true_ms - SKEW_MS} if seq == 1 else {})})
        if 10 <= seq < 40:
            live.append({**message, "time": true_ms - SKEW_MS})
    app.clock.advance(82)
    assert stream(app, {"sentAt": now_ms(app) - SKEW_MS}, *live).summary() == (30, 0, [])
    app.clock.advance(3_600)
    packed = gzip.compress(body({"sentAt": now_ms(app) - SKEW_MS}, *log))
    for _ in range(2):
        answer = app.post(packed, NDJSON, path="/sessions/logs", content_encoding="gzip")
        assert answer.summary() == (60, 0, [])
        assert stored(table, session) == [(seq, at(true_ms)) for seq, true_ms in expected.items()]


def test_twice_in_one_upload_is_once(app: App, table: Table) -> None:
    session = unique("s")
    message = {"session": session, "seq": 1, "time": now_ms(app)}
    assert upload(app, message, message, {**message, "seq": 2}, {**message, "seq": 2, "cpu": 9}).summary() == (4, 0, [])
    assert [seq for seq, _ in stored(table, session)] == [1, 2]


def test_what_is_left_out_is_counted_as_repeated(app: App) -> None:
    session = unique("s")

    def count(name: str) -> float:
        lines = app.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f'{name}{{endpoint="/sessions/logs"}}'))

    names = ("collector_received_total", "collector_stored_total", "collector_repeated_total")
    before = [count(name) for name in names]
    for last in (3, 5):
        upload(app, *({"session": session, "seq": seq, "time": now_ms(app)} for seq in range(last))).summary()
    assert [count(name) - old for name, old in zip(names, before, strict=True)] == [8, 5, 3]


def test_bad_lines_are_said_why(app: App) -> None:
    session = unique("s")
    message = {"session": session, "time": now_ms(app)}
    old_ms = now_ms(app) - 31 * 86_400_000
    lines = body(
        message,
        {"session": session, "seq": 1},
        {"session": session, "seq": 2, "elapsed": 5},
        {**message, "seq": 4},
        {**message, "seq": 3},
        {**message, "seq": 5, "time": old_ms},
        {**message, "seq": 5, "time": now_ms(app) + SKEW_MS},
    )
    accepted, rejected, errors = app.post(lines + b'{"session":"to', NDJSON, path="/sessions/logs").summary()
    assert (accepted, rejected) == (1, 7)
    for (line, detail), (number, word) in zip(
        errors,
        [(1, "seq"), (2, "elapsed"), (3, "start"), (5, "after 4"), (6, "30 days"), (7, "ahead"), (8, "truncated")],
        strict=True,
    ):
        assert line == number
        assert word in detail


def test_a_single_message_of_a_log(app: App, table: Table) -> None:
    session = unique("s")
    message = {"session": session, "seq": 1, "time": now_ms(app)}
    for _ in range(2):
        assert app.post(body(message), path="/sessions/logs").status == 204
    assert len(stored(table, session)) == 1
    app.post(body({"session": session, "seq": 2, "elapsed": 1}), path="/sessions/logs").problem(400)


def long_log(session: str, began_ms: int, lines: int) -> list[dict[str, Any]]:
    return [
        {"session": session, "seq": seq, "elapsed": seq * 10, **({"time": began_ms} if seq == 0 else {})}
        for seq in range(lines)
    ]


def test_an_upload_cut_anywhere_is_resumed_with_the_times_of_its_start(app: App, table: Table) -> None:
    began_ms = now_ms(app) - 3_600_000
    for lines in range(4):
        session = unique("s")
        log = long_log(session, began_ms, 4)
        data = body({"sentAt": now_ms(app)}, *log)
        cut = sum(map(len, data.splitlines(keepends=True)[: lines + 1])) + 5
        app.post(data[:cut], NDJSON, path="/sessions/logs", key=session, cut=True).problem(400)
        assert app.get(f"/streams/{session}", endpoint="/sessions/logs").json()["committed"] == lines + 1
        app.clock.advance(2)
        answer = app.post(body({"sentAt": now_ms(app)}, *log), NDJSON, path="/sessions/logs", key=session)
        assert answer.summary() == (4, 0, [])
        assert stored(table, session) == [(seq, at(began_ms + seq * 10)) for seq in range(4)]
        again = app.post(body({"sentAt": now_ms(app)}, *log), NDJSON, path="/sessions/logs", key=session)
        assert again.headers["idempotent-replayed"] == "true"


def test_a_rest_without_its_start_says_so_and_the_whole_log_helps(app: App, table: Table) -> None:
    session = unique("s")
    log = long_log(session, now_ms(app) - 60_000, 3)
    app.post(body(*log[:2]), NDJSON, path="/sessions/logs", key=session, cut=True).problem(400)
    answer = app.post(body(log[2]), NDJSON, path="/sessions/logs", key=session, stream_offset=2)
    accepted, rejected, errors = answer.summary()
    assert (accepted, rejected) == (2, 1)
    assert "send the whole log again" in errors[0][1]
    assert upload(app, *log).summary() == (3, 0, [])
    assert len(stored(table, session)) == 3


def test_live_messages_and_logs_at_once_by_many_servers_are_stored_once(module_url: str, table: Table) -> None:
    """Half of the messages were live before the log comes, the other half are live while it does."""
    with running(module_url) as first, running(module_url) as second, running(module_url) as third:
        apps = [first, second, third]
        sessions = [unique("s") for _ in range(6)]
        now = now_ms(first)
        live = [{"session": session, "seq": seq, "time": now} for session in sessions for seq in range(300)]
        half = len(live) // 2
        assert stream(first, *live[:half]).summary() == (half, 0, [])
        late = [body(*live[half + start : half + start + 100]) for start in range(0, half, 100)]
        logs = body(*({**message, "cpu": 1} for message in live))
        other = body(*({"session": unique("live"), "seq": seq} for seq in range(2_000)))
        headers = [(b"content-type", NDJSON.encode())]

        async def send_some(app: App) -> list[Answer]:
            requests = [app.exchange("POST", "/sessions/logs", b"", headers, [logs]) for _ in range(UPLOADS)]
            if app is second:
                live = [app.exchange("POST", "/sessions", b"", headers, [lines]) for lines in late]
                assert {answer.summary()[0] for answer in await asyncio.gather(*live)} == {100}
            requests.append(app.exchange("POST", "/sessions", b"", headers, [other]))
            return await asyncio.gather(*requests)

        pending = [asyncio.run_coroutine_threadsafe(send_some(app), app._loop) for app in apps]
        for future in pending:
            answers = future.result(60)
            assert [answer.summary()[0] for answer in answers] == [len(live)] * UPLOADS + [2_000]
    for session in sessions:
        assert [seq for seq, _ in stored(table, session)] == list(range(300))


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 12), min_size=1, unique=True)), max_size=6))
def test_a_number_is_stored_once_whatever_came_before_or_after_a_log(
    app: App, table: Table, parts: list[tuple[bool, list[int]]]
) -> None:
    session = unique("s")
    copies: dict[int, int] = {}
    last_of_logs = -1
    for is_log, numbers in parts:
        messages = [{"session": session, "seq": seq, "time": now_ms(app)} for seq in sorted(numbers)]
        assert (upload if is_log else stream)(app, *messages).summary() == (len(numbers), 0, [])
        if is_log:
            last_of_logs = max(last_of_logs, *numbers)
        for seq in numbers:
            known = copies.get(seq, 0)
            copies[seq] = max(known, 1) if is_log or seq <= last_of_logs else known + 1
    assert [seq for seq, _ in stored(table, session)] == [seq for seq in sorted(copies) for _ in range(copies[seq])]


@pytest.mark.parametrize("size", [2])
def test_a_log_of_a_batch_with_live_messages_sees_them(app: App, table: Table, size: int) -> None:
    """Both kinds by the same writer, at the same moment."""
    sessions = [unique("s") for _ in range(20)]
    headers = [(b"content-type", NDJSON.encode())]

    def lines(session: str) -> bytes:
        return body(*({"session": session, "seq": seq, "time": now_ms(app)} for seq in range(size)))

    async def both() -> list[Answer]:
        return await asyncio.gather(
            *(
                app.exchange("POST", path, b"", headers, [lines(session)])
                for session in sessions
                for path in ("/sessions", "/sessions/logs")
            )
        )

    for answer in app.call(both()):
        assert answer.summary() == (size, 0, [])
    for session in sessions:
        assert [seq for seq, _ in stored(table, session)] == list(range(size))


def test_a_live_message_after_its_log_is_counted_as_repeated(app: App, table: Table) -> None:
    """As a line and alone; its neighbours, with a higher number or with none, are stored."""
    session = unique("s")
    message = {"session": session, "time": now_ms(app)}
    upload(app, *({**message, "seq": seq} for seq in range(5)))
    answer = stream(app, {**message, "seq": 3}, {**message, "seq": 4}, {**message, "seq": 5}, message)
    assert answer.summary() == (4, 0, [])
    assert app.post(msgspec.json.encode({**message, "seq": 1}), path="/sessions").status == 204
    assert [seq for seq, _ in stored(table, session) if seq is not None] == list(range(6))
    assert len(stored(table, session)) == 7
    assert table.rows("SELECT last_seq FROM session_log WHERE session = %s", session) == [(4,)]
