"""Messages of sessions: what is accepted and why not, clocks put right, numbers, and rows through COPY and back."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from collector.errors import BadRequest
from collector.messages.decoding import RAW_KEPT_BYTES
from collector.messages.properties import doubtful, unstorable
from collector.messages.session import (
    AHEAD_MS,
    REMEMBERED_SESSIONS,
    LiveReader,
    LogMessage,
    LogReader,
    Message,
)
from collector.store.rows import CSV_OPTIONS
from collector.store.session_rows import SESSION_COLUMNS, encode_csv
from collector.times import DAY_MS
from tests.harness.engines import Engine
from tests.strategies import MAX_AMOUNT, texts

NOW_MS = 1_767_225_600_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEPT_DAYS = 30.0


def line(**fields: Any) -> bytes:
    """A message as a line; `raw` stands for properties as they are sent."""
    raw = fields.pop("raw", None)
    document = json.dumps({"session": "s", **fields}).encode()
    return (document if raw is None else document[:-1] + b', "properties": ' + raw + b"}") + b"\n"


def read(
    reader: LiveReader | LogReader, *lines: bytes, now_ms: int = NOW_MS
) -> tuple[list[Any], list[tuple[int, str]]]:
    """The rows, and the index and reason of each line that is none."""
    found = reader.decode(b"".join(lines), len(lines), now_ms)
    if found.indices is not None:
        assert len(found.indices) == len(found.rows)
        assert sorted([*found.indices, *(reject.index for reject in found.rejects)]) == list(range(len(lines)))
    for reject in found.rejects:
        assert reject.raw == lines[reject.index][:-1][:RAW_KEPT_BYTES]
        assert reject.detail
    return found.rows, [(reject.index, reject.reason) for reject in found.rejects]


def live() -> LiveReader:
    return LiveReader(KEPT_DAYS)


def log() -> LogReader:
    return LogReader(KEPT_DAYS)


def times(rows: list[Any]) -> list[float]:
    """Milliseconds after NOW."""
    return [(row.time - NOW) / timedelta(milliseconds=1) for row in rows]


def test_a_message_has_everything_or_only_its_session() -> None:
    whole = {"seq": 1, "time": NOW_MS - 5, "version": "2.3", "cpu": 12.5, "event": "filter", "phase": "begin"}
    rows, rejects = read(live(), line(**whole, raw=b'{"a": [1, {"b": null}]}'), line())
    assert not rejects
    first, second = rows
    assert [getattr(first, name) for name in ("seq", "version", "cpu", "event", "phase")] == [
        *(1, "2.3", 12.5, "filter", "begin")
    ]
    assert bytes(first.properties) == b'{"a": [1, {"b": null}]}'
    assert times(rows) == [-5, 0]
    assert (second.seq, second.version, second.cpu, second.event, second.phase) == (None,) * 5
    assert second.properties is UNSET


@pytest.mark.parametrize(
    "bad",
    [
        b'{"seq": 1}\n',
        line(session=""),
        line(session="x" * 257),
        line(session="a\0b"),
        line(version="\0"),
        line(event="\0"),
        line(event=""),
        line(seq=-1),
        line(seq=2**63),
        line(seq=1.5),
        line(cpu=-0.001),
        line(cpu=102_400.1),
        b'{"session":"s","cpu":NaN}\n',
        b'{"session":"s","cpu":1e999}\n',
        line(cpu="5"),
        line(phase="middle"),
        line(time=-1),
        line(time=NOW_MS * 1_000_000),
        line(time=float(NOW_MS)),
        line(time="2026-01-01T00:00:00"),
        line(time="yesterday"),
        line(properties=5),
        line(properties=[1]),
        line(properties="{}"),
        line(properties={"a": "\0"}),
        line(properties={"a\0": 1}),
        line(raw=rb'{"a": "\ud800"}'),
        line(raw=rb'{"a": "\ud800x"}'),
        line(raw=rb'{"a": "\udc00"}'),
        line(raw=b'{"a": "\xff"}'),
        line(raw=b'{"\xc3": 1}'),
        line(raw=b'{"a": 1e200000}'),
        line(raw=b'{"a": -1E-20000}'),
        line(raw=b'{"a": 1e99999999999999999999}'),
        line(raw=b'{"a": 0.' + b"1" * 17_000 + b"}"),
        line(raw=b'{"a": ' + b"9" * 140_000 + b"}"),
        line(raw=b'{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        line(raw=b'{"a": 1,}'),
        line(raw=b'{"a": 1'),
        b'{"session": "s", "seq": 1',
    ],
)
def test_a_bad_line_is_rejected_and_hurts_no_other(bad: bytes) -> None:
    bad = bad if bad.endswith(b"\n") else bad + b"\n"
    rows, rejects = read(live(), line(seq=1), bad, line(seq=2))
    assert [row.seq for row in rows] == [1, 2]
    assert [index for index, _ in rejects] == [1]
    with pytest.raises(BadRequest):
        live().single(bad, NOW_MS)


@pytest.mark.parametrize(
    "good",
    [
        line(cpu=0),
        line(cpu=102_400),
        line(seq=MAX_AMOUNT),
        line(time="2026-01-01T01:00:00.5+01:00"),
        line(properties=None),
        line(properties={}),
        line(raw=rb'{"a": "C:\\u0000\\x"}'),
        line(raw=rb'{"a": "\ud83d\ude00"}'),
        line(raw=b'{"a": "1e200000"}'),
        line(raw=b'{"a": 1e9999}'),
        line(raw=b'{"a": 9007199254740993, "a": 2}'),
        line(unknown={"x": [1]}, elapsed="a word"),
    ],
)
def test_a_good_line_is_accepted(good: bytes) -> None:
    rows, rejects = read(live(), good)
    assert (len(rows), rejects) == (1, [])
    assert live().single(good, NOW_MS).session == "s"


def test_times_are_corrected_by_what_the_clients_clock_is_off() -> None:
    behind = NOW_MS - 7 * 60_000
    reader = live()
    assert reader.preamble(b'{"sentAt": %d}' % behind, NOW_MS)
    text = datetime.fromtimestamp((behind - 2_000) / 1000, UTC).isoformat()
    rows, rejects = read(reader, line(time=behind - 1_000), line(time=text), line())
    assert not rejects
    assert times(rows) == [-1_000, -2_000, 0]


def test_only_a_line_without_a_session_tells_the_clock() -> None:
    for no_preamble in (
        b'{"sentAt": 5, "session": "s"}',
        b'{"sentAt": -5}',
        b'{"sentAt": "now"}',
        b'{"session": "s"}',
        b"{}",
        b"",
        b"[" * 5_000,
        b"\xff",
        b'{"sentAt": 5',
    ):
        assert not live().preamble(no_preamble, NOW_MS)
    assert live().preamble(b' {"app": {"x": 1}, "sentAt": "2026-01-01T00:00:00Z"}\r', NOW_MS)


def test_times_before_the_retention_and_ahead_are_rejected_and_said_why() -> None:
    reader = live()
    kept_ms = int(KEPT_DAYS * DAY_MS)
    edges = [line(time=NOW_MS - kept_ms), line(time=NOW_MS + AHEAD_MS)]
    assert len(read(reader, *edges)[0]) == 2
    found = reader.decode(line(time=NOW_MS - kept_ms - 1) + line(time=NOW_MS + AHEAD_MS + 1), 2, NOW_MS)
    assert [reject.reason for reject in found.rejects] == ["time", "time"]
    assert "2025-12-01T23:59:59.999Z is more than 30 days ago" in found.rejects[0].detail
    assert "2026-01-01T00:05:00.001Z is more than 5 minutes ahead" in found.rejects[1].detail
    assert reader.preamble(b'{"sentAt": 0}', NOW_MS)
    assert read(reader, line(time=253_402_300_799_999))[1] == [(0, "time")]


def test_numbers_go_up_in_a_live_stream() -> None:
    lines = [line(seq=seq) for seq in (5, 4, 5, 6)] + [line(), line(session="t", seq=1), line(seq=7)]
    rows, rejects = read(live(), *lines)
    assert rejects == [(1, "seq"), (2, "seq")]
    assert [row.seq for row in rows] == [5, 6, None, 1, 7]


def test_what_is_rejected_for_its_time_does_not_count_as_a_number() -> None:
    rows, rejects = read(live(), line(seq=9, time=0), line(seq=1))
    assert [row.seq for row in rows] == [1]
    assert rejects == [(0, "time")]


def test_the_sessions_of_a_request_are_bounded() -> None:
    reader = live()
    for number in range(3 * REMEMBERED_SESSIONS):
        assert not read(reader, line(session=str(number), seq=5), line(session="always", seq=number))[1]
    assert read(reader, line(session="always", seq=3), line(session="0", seq=4))[1] == [(0, "seq")]
    held = reader._sessions
    assert len(held._young) + len(held._old) <= 2 * REMEMBERED_SESSIONS


def test_a_log_counts_from_the_start_of_its_session() -> None:
    reader = log()
    hours_ago = NOW_MS - 3 * 3_600_000
    assert reader.preamble(b'{"sentAt": %d}' % (NOW_MS + 420_000), NOW_MS)
    rows, rejects = read(
        reader,
        line(seq=0, elapsed=10, time=hours_ago + 420_010),
        line(seq=1, elapsed=1_000.5),
        line(seq=1, elapsed=1_000),
        line(session="t", seq=1, time=hours_ago),
        line(session="t", seq=2, elapsed=5),
        line(seq=2, elapsed=2_000, time=hours_ago + 420_000 + 2_500),
        line(seq=3, elapsed=3_000),
    )
    assert not rejects
    start = hours_ago - NOW_MS
    assert times(rows) == [
        start + 10,
        start + 1_000.5,
        start + 1_000,
        start - 420_000,
        start - 419_995,
        start + 2_500,
        start + 3_000,
    ]
    assert all(type(row) is LogMessage for row in rows)


def test_a_log_says_what_it_lacks() -> None:
    lines = [
        line(time=NOW_MS),
        line(seq=1),
        line(seq=2, elapsed=5),
        line(seq=3, time=NOW_MS),
        line(seq=2, time=NOW_MS),
        line(seq=4, elapsed=-1),
        line(seq=4, elapsed=1e300),
        line(seq=4, elapsed=253_402_300_799_999),
    ]
    rows, rejects = read(log(), *lines)
    assert [row.seq for row in rows] == [3]
    assert rejects == [
        *((0, "invalid"), (1, "invalid"), (2, "start"), (4, "seq"), (5, "invalid"), (6, "invalid"), (7, "time"))
    ]


def test_lines_that_are_skipped_are_remembered() -> None:
    reader = log()
    reader.skip(line(seq=1, time=NOW_MS - 10_000) + line(seq=2, elapsed=5), 2, NOW_MS)
    rows, rejects = read(reader, line(seq=3, elapsed=7_000), line(seq=1, elapsed=5))
    assert times(rows) == [-3_000]
    assert rejects == [(1, "seq")]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(texts, children, max_size=3)),
    max_leaves=6,
)
messages = st.builds(
    Message,
    session=texts,
    seq=st.none() | st.integers(0, MAX_AMOUNT),
    time=st.datetimes(datetime(1970, 1, 2), datetime(9990, 1, 1), timezones=st.just(UTC)),
    version=st.none() | texts,
    cpu=st.none() | st.floats(0, 102_400),
    event=st.none() | texts,
    phase=st.sampled_from([None, "begin", "end"]),
    properties=st.just(UNSET)
    | st.builds(
        lambda value, indent, ascii_only: msgspec.Raw(
            json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
        ),
        st.dictionaries(texts, json_values, max_size=4),
        st.sampled_from([None, 2, "\t"]),
        st.booleans(),
    ),
)


@pytest.fixture(scope="module")
def database(best_engine: Engine) -> Iterator[psycopg.Connection]:
    with best_engine.database() as url, psycopg.connect(url) as connection:
        connection.execute("SET timezone = 'UTC'")
        # As the real one, but without chunks for any time there is.
        connection.execute("CREATE TEMP TABLE message (LIKE session_message INCLUDING CONSTRAINTS)")
        yield connection
        connection.rollback()


def through(database: psycopg.Connection, rows: list[tuple[datetime, Message]]) -> list[tuple[Any, ...]]:
    with database.transaction(force_rollback=True), database.cursor() as cursor:
        with cursor.copy(f"COPY message ({', '.join(SESSION_COLUMNS)}) FROM STDIN ({CSV_OPTIONS})") as copying:
            copying.write(encode_csv(rows))
        return cursor.execute(f"SELECT {', '.join(SESSION_COLUMNS)}::text FROM message").fetchall()


def written(row: tuple[Any, ...]) -> list[str]:
    return [str(value) for value in row]


def exact(document: str | bytes) -> Any:
    return json.loads(document, parse_int=Decimal, parse_float=Decimal)


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, min_size=1, max_size=10))
def test_rows_are_stored_whole_whatever_their_texts(database: psycopg.Connection, rows: list[Message]) -> None:
    stored = through(database, [(NOW, row) for row in rows])
    found = [(*row[:-1], row[-1] and exact(row[-1])) for row in stored]
    expected = [
        (
            NOW,
            *msgspec.structs.astuple(row)[:-1],
            None if row.properties is UNSET else exact(bytes(row.properties)),
        )
        for row in rows
    ]
    assert sorted(found, key=written) == sorted(expected, key=written)


def test_a_row_is_defined_once(best_engine: Engine) -> None:
    fields = tuple(field.name for field in msgspec.structs.fields(Message))
    assert ("received_at", *fields) == SESSION_COLUMNS
    with best_engine.database() as url, psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'session_message'::regclass AND attnum > 0"
        ).fetchall()
    assert {name for (name,) in found} == set(SESSION_COLUMNS)


json_pieces = st.lists(
    st.sampled_from(
        [
            *(rb"\u0000", rb"\\u0000", rb"\ud800", rb"\udc00", rb"\ud83d\ude00", rb"\\", rb"\"", b"\xff", b"\xc3\xa9"),
            *(rb"\uD83D", rb"\u00e9", b"a", b"0e00000", b"1e99999", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"),
        ]
    ),
    max_size=4,
).map(b"".join)
numerals = st.builds(
    lambda sign, whole, fraction, exponent: sign + whole + fraction + exponent,
    st.sampled_from([b"", b"-"]),
    st.sampled_from([b"0", b"1", b"9" * 17, b"1" + b"0" * 5_999, b"5" * 20_000]),
    st.sampled_from([b"", b".0", b".5", b"." + b"0" * 5_990 + b"1", b"." + b"7" * 17_000]),
    st.sampled_from([b"", b"e5", b"E-5", b"e9999", b"e-9999", b"e16000", b"e-15000", b"E130000", b"e999999"]),
)


@settings(max_examples=150, deadline=None)
@given(json_pieces, json_pieces, numerals)
def test_what_is_accepted_jsonb_takes(database: psycopg.Connection, key: bytes, text: bytes, number: bytes) -> None:
    sent = line(seq=1, raw=b'{"%b": "%b", "n": [%b]}' % (key, text, number))
    rows, rejects = read(live(), sent)
    if rows:
        assert len(through(database, [(NOW, rows[0])])) == 1
    elif len(number) < 100 and not number.strip(b"-").startswith(b"0"):  # PostgreSQL takes any zero
        with pytest.raises(psycopg.DataError), database.transaction():
            database.execute("SELECT convert_from(%s, 'UTF8')::jsonb", [sent])
    else:
        assert len(rejects) == 1


def test_most_lines_need_no_second_look() -> None:
    assert not doubtful(line(session="0e1d2c3b-1111-4e00-8000-00e0000a0000", raw=b'{"a": 1.5e10, "path": "C:\\\\x"}'))
    assert not doubtful(line(raw='{"a": "é"}'.encode()))
    assert unstorable(b'{"a": 1e99999}') is None
