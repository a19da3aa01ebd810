"""POST /sessions and GET /sessions/{session}: what is sent is what is read, at the right time, page by page."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.driver import NDJSON, Answer, App, Table, unique
from tests.strategies import chunkings, texts

FIELDS = ["time", "seq", "version", "cpu", "event", "phase", "properties"]
SKEW_MS = 7 * 60_000


def body(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def post(app: App, *messages: dict[str, Any], path: str = "/sessions", **options: Any) -> Answer:
    return app.post(body(*messages), NDJSON, path=path, **options)


def rows_of(app: App, session: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = app.get(f"/sessions/{session}", **parameters)
    assert answer.status == 200, answer.body
    document = answer.json()
    assert list(document) == ["rows", "next"]
    rows: list[dict[str, Any]] = document["rows"]
    assert all(list(row) == FIELDS for row in rows)
    return rows


def now_ms(app: App) -> int:
    return int(app.clock.now * 1000)


def shown(ms: float) -> str:
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat()
    return text.replace("+00:00", "Z")


def test_a_single_message_is_stored(app: App) -> None:
    session = unique("s")
    message = {"session": session, "seq": 3, "cpu": 250, "event": "filter", "phase": "begin", "version": "2.3"}
    answer = app.post(body({**message, "properties": {"filename_length": 31}}), path="/sessions")
    assert (answer.status, answer.body) == (204, b"")
    assert app.post(body({"session": session}), path="/sessions").status == 204
    assert rows_of(app, session) == [
        dict.fromkeys(FIELDS) | {"time": shown(now_ms(app))},
        {
            **{"time": shown(now_ms(app)), "seq": 3, "version": "2.3", "cpu": 250.0, "event": "filter"},
            **{"phase": "begin", "properties": {"filename_length": 31}},
        },
    ]


def test_a_single_message_with_a_key_is_stored_once(app: App) -> None:
    session = unique("s")
    for replayed in (None, "true", "true"):
        answer = app.post(body({"session": session, "cpu": 5}), path="/sessions", key=session)
        assert answer.status == 204
        assert answer.headers.get("idempotent-replayed") == replayed
    assert len(rows_of(app, session)) == 1
    app.post(body({"session": session, "cpu": 6}), path="/sessions", key=session).problem(422)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (b"{}", "session"),
        (b"[]", "array"),
        (b"", ""),
        (b'{"session":"s","cpu":NaN}', ""),
        (b'{"session":"s","cpu":-1}', "cpu"),
        (b'{"session":"s","cpu":102401}', "cpu"),
        (b'{"session":"s","phase":"during"}', "phase"),
        (b'{"session":"s","time":-1}', "time"),
        (b'{"session":"s","time":1767225600000000000}', "time"),
        (b'{"session":"s","time":1}', "30 days ago"),
        (b'{"session":"s","time":"9999-01-01T00:00:00Z"}', "5 minutes ahead"),
        (b'{"session":"s","properties":[]}', "properties"),
        (b'{"session":"s","properties":{"a":"\\u0000"}}', "NUL"),
        (b'{"session":"s","properties":{"a":1e400000}}', "properties"),
        (b'{"session":"s","properties":{"a":"\xff"}}', "UTF-8"),
        (b'{"session":"s\xff"}', "UTF-8"),
    ],
)
def test_a_bad_message_is_told(app: App, bad: bytes, named: str) -> None:
    assert named in app.post(bad, path="/sessions").problem(400)["detail"]
    document = app.post(bad + b"\n", NDJSON, path="/sessions")
    if bad:
        assert named in document.problem(400)["errors"][0]["detail"]
    else:
        assert document.status == 200


def test_lines_are_stored_whole_and_a_bad_one_hurts_no_other(app: App, table: Table) -> None:
    session = unique("s")
    lines = body({"session": session, "seq": 1}, {"session": session, "seq": 1}, {"session": session, "seq": 2})
    answer = app.post(lines + b'{"session":"torn', NDJSON, path="/sessions", key=session)
    accepted, rejected, errors = answer.summary()
    assert (accepted, rejected) == (2, 2)
    assert errors[0] == (2, "seq 1 comes again - at `$.seq`")
    assert errors[1][0] == 4
    assert [row["seq"] for row in rows_of(app, session)] == [1, 2]
    assert [(number, reason.partition(":")[0]) for number, reason, _ in table.rejected(f"/sessions {session}")] == [
        (2, "seq"),
        (4, "malformed"),
    ]


def test_times_are_right_although_the_clients_clock_is_not(app: App, table: Table) -> None:
    session = unique("s")
    sent_at = now_ms(app) - SKEW_MS
    answer = post(
        app,
        {"sentAt": sent_at},
        {"session": session, "seq": 1, "time": sent_at - 1_500},
        {"session": session, "seq": 2, "time": shown(sent_at - 500)},
        {"session": session, "seq": 3},
        key=session,
    )
    assert answer.summary() == (3, 0, [])
    found = {row["seq"]: row["time"] for row in rows_of(app, session)}
    assert found == {1: shown(now_ms(app) - 1_500), 2: shown(now_ms(app) - 500), 3: shown(now_ms(app))}
    assert app.get(f"/streams/{session}", endpoint="/sessions").json() == {
        "committed": 4,
        "rejected": 0,
        "complete": True,
    }
    received = table.rows("SELECT DISTINCT received_at FROM session_message WHERE session = %s", session)
    assert received == [(datetime.fromtimestamp(app.clock.now, UTC),)]


@pytest.mark.parametrize("with_clock", [False, True])
@pytest.mark.parametrize("by_offset", [False, True])
def test_a_stream_cut_at_any_byte_and_resumed_is_stored_as_sent(app: App, with_clock: bool, by_offset: bool) -> None:
    app.clock.advance(60)
    messages = [{"session": "", "seq": 1, "cpu": 5}, {"session": "", "seq": 2}]
    sent = {"sentAt": now_ms(app) - SKEW_MS}
    first_lines = [sent] if with_clock else []
    whole = len(body(*first_lines, *messages)) + 2 * len(unique("cut"))
    for cut in range(whole + 1):
        session = unique("cut")
        for seq, message in enumerate(messages):
            message |= {"session": session, "time": now_ms(app) - (SKEW_MS if with_clock else 0) - 1_000 * seq}
        data = body(*first_lines, *messages)
        app.post(data[:cut], NDJSON, path="/sessions", key=session, cut=True).problem(400)
        committed = app.get(f"/streams/{session}", endpoint="/sessions").json()["committed"]
        assert committed == data[:cut].count(b"\n")
        # The clock has gone on when the client comes again.
        app.clock.advance(0.25)
        again = {"sentAt": sent["sentAt"] + 250}
        if by_offset:
            rest = data.split(b"\n", committed)[-1]
            if with_clock and committed:
                rest = body(again) + rest
            elif with_clock:
                rest = body(again, *messages)
            answer = app.post(rest, NDJSON, path="/sessions", key=session, stream_offset=committed)
        else:
            data = body(again, *messages) if with_clock else data
            answer = app.post(data, NDJSON, path="/sessions", key=session)
        assert answer.summary() == (2, 0, []), cut
        found = [(row["seq"], row["time"]) for row in rows_of(app, session)]
        began_ms = now_ms(app) - 250
        assert found == [(2, shown(began_ms - 1_000)), (1, shown(began_ms))], cut
        sent["sentAt"] += 250


def test_a_page_goes_on_after_the_one_before(app: App) -> None:
    session = unique("pages")
    began = now_ms(app)
    # Ties of every kind: the same time with and without numbers, numbers again, messages that are the same.
    for _ in range(2):
        post(
            app,
            *({"session": session, "time": began + at // 3, "seq": at // 2, "cpu": at} for at in range(0, 9, 2)),
            *({"session": session, "time": began, "event": "same"} for _ in range(5)),
        ).summary()
    whole = rows_of(app, session)
    assert len(whole) == 20
    keys = [(datetime.fromisoformat(row["time"]), -1 if row["seq"] is None else row["seq"]) for row in whole]
    assert keys == sorted(keys)
    for limit in (1, 2, 3, 7, 19, 20, 21):
        answer = app.get(f"/sessions/{session}", limit=limit)
        paged = answer.json()["rows"]
        while (cursor := answer.json()["next"]) is not None:
            assert len(answer.json()["rows"]) == limit
            answer = app.get(f"/sessions/{session}", limit=limit, next=cursor)
            paged += answer.json()["rows"]
        assert paged == whole


def test_json_lines_go_on_by_their_link(app: App) -> None:
    session = unique("with spaces/and äöü %2F")
    post(app, *({"session": session, "seq": seq} for seq in range(5))).summary()
    found = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        answer = app.get(f"/sessions/{session}", NDJSON, **query)
        found += [row["seq"] for row in answer.lines()]
        if "link" not in answer.headers:
            break
        target, _, relation = answer.headers["link"].partition(">; ")
        assert relation == 'rel="next"'
        query = {name: value for name, (value,) in parse_qs(target.removeprefix("<?"), strict_parsing=True).items()}
    assert found == list(range(5))


def test_bounds_of_time(app: App) -> None:
    session = unique("bounds")
    began = now_ms(app)
    post(app, *({"session": session, "seq": at, "time": began - 10 + at} for at in range(3))).summary()

    def found(**bounds: Any) -> list[int]:
        return [row["seq"] for row in rows_of(app, session, **bounds)]

    assert found() == [0, 1, 2]
    assert found(from_=began - 9) == [1, 2]
    assert found(to=began - 9) == [0]
    assert found(from_=shown(began - 9), to=shown(began - 8)) == [1]
    assert found(from_=began) == []


def test_an_unknown_session_has_no_messages(app: App) -> None:
    assert app.get(f"/sessions/{unique('nobody')}").json() == {"rows": [], "next": None}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"from_": "yesterday"}, "from"),
        ({"to": "-5"}, "to"),
        ({"next": "garbage"}, "next"),
        ({"next": ""}, "next"),
        ({"next": "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsLTUsMF0"}, "next"),
        ({"next": "A" * 100_000}, "next"),
        ({"customer": "acme"}, "customer"),
    ],
)
def test_parameters_that_do_not_fit_are_named(app: App, parameters: dict[str, Any], named: str) -> None:
    assert named in app.get("/sessions/s", **parameters).problem(400)["detail"]


def test_a_name_that_no_session_can_have(app: App) -> None:
    for name in ("x" * 257, "a\0b"):
        assert "session" in app.get(f"/sessions/{name}").problem(400)["detail"]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), events=st.lists(st.none() | texts, min_size=1, max_size=8))
def test_what_is_sent_is_what_is_read(app: App, data: st.DataObject, events: list[str | None]) -> None:
    session = unique("any")
    sent: list[dict[str, Any]] = [
        {"session": session, "seq": seq, "event": event, "properties": {} if event is None else {event: [event]}}
        for seq, event in enumerate(events)
    ]
    answer = app.post(data.draw(chunkings(body(*sent))), NDJSON, path="/sessions")
    assert answer.summary() == (len(sent), 0, [])
    found = [(row["seq"], row["event"], row["properties"]) for row in rows_of(app, session)]
    assert found == [(message["seq"], message["event"], message["properties"]) for message in sent]
