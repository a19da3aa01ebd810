"""`collector rejected`: what is listed, and what is stored when lines are sent again: each once, where it belongs."""

import asyncio
import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from collector.commands.keyring import create
from collector.commands.quarantine import Replayed, as_document, endpoint_of, list_rejected, replay
from collector.database.chosen import Database
from collector.errors import BadRequest, CollectorError, StoreDown
from collector.segment import Claim, Segment
from collector.settings import Settings
from collector.store.quarantine import Chosen, Quarantine
from collector.store.queue import TOPIC
from collector.store.session import WriterSession
from tests.contract.driver import Table, payload, running
from tests.harness.engines import Engine
from tests.harness.server import collector
from tests.harness.terminal import on_a_terminal, plain
from tests.strategies import encoded

NEVER = "ALTER TABLE payload ADD CONSTRAINT payload_not_13 CHECK (p2p <> 13)"
AGAIN = "ALTER TABLE payload DROP CONSTRAINT payload_not_13"
KNOWN = "SELECT owner, retention FROM progress WHERE starts_with(source, 'rejected ')"
ALL = Chosen()
DAY = timedelta(days=1)


def put(url: str, source: str, raw: bytes, reason: str = "refused: x", days: float = 0.0, line: int = 1) -> int:
    """A line in the quarantine; returns its number."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "INSERT INTO rejected (received_at, source, line, reason, raw) VALUES (now() - %s, %s, %s, %s, %s) "
            "RETURNING id",
            (timedelta(days=days), source, line, reason, raw),
        ).fetchone()
    assert row is not None
    return int(row[0])


def again(url: str, chosen: Chosen = ALL, *, dry_run: bool = False, **settings: Any) -> Replayed:
    """Replay, without a bar."""
    return replay(
        Settings(database_url=url, **settings), chosen, dry_run=dry_run, begin=lambda total: lambda steps: None
    )


def left(url: str) -> list[int]:
    return [line.id for line in list_rejected(Settings(database_url=url), ALL, 1000)]


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    table = Table(url)
    try:
        return table.rows(question)
    finally:
        table.close()


def test_what_the_database_takes_now_is_stored_where_it_belongs(database_url: str) -> None:
    """With its own moment of reception, the start of its session, its window; and taken out."""
    table = Table(database_url)
    table.run(NEVER)
    with running(database_url) as app:
        app.clock.now = time.time() - 3600
        lines = [payload("acme", number, session_duration=0, token="one") for number in (13, 14)]
        assert app.stream(lines, key="k").summary()[:2] == (1, 1)
    table.run(AGAIN)
    (found,) = list_rejected(Settings(database_url=database_url), ALL, 10)
    assert (found.source, found.line, found.raw) == ("/stats k", 1, encoded(lines[0]))
    assert again(database_url, dry_run=True) == Replayed(accepted=1, dry_run=True)
    assert left(database_url) == [found.id]
    assert again(database_url) == Replayed(accepted=1)
    assert left(database_url) == []
    rows = table.rows("SELECT received_at, p2p, started FROM payload ORDER BY p2p")
    assert [(p2p, started) for _, p2p, started in rows] == [(13, False), (14, True)]
    assert rows[0][0] == rows[1][0] == found.received_at
    assert table.rows("SELECT p2p::int, sessions FROM stats") == [(27, 1)]
    assert again(database_url) == Replayed()
    table.close()


def test_lines_that_came_with_an_api_key(database_url: str) -> None:
    """Their source names the key, too."""
    table = Table(database_url)
    table.run(NEVER)
    api_key = create(Database(database_url), "devices", "ingest", None).key
    with running(database_url, api_keys="on") as app:
        app.clock.now = time.time()
        lines = [payload("acme", number) for number in (13, 14)]
        answer = app.stream(lines, key="k", authorization=f"Bearer {api_key}")
        assert answer.summary()[:2] == (1, 1)
    table.run(AGAIN)
    (found,) = list_rejected(Settings(database_url=database_url), ALL, 10)
    assert found.source.startswith("/stats@")
    assert again(database_url) == Replayed(accepted=1)
    assert left(database_url) == []
    assert table.rows("SELECT p2p FROM payload ORDER BY 1") == [(13,), (14,)]
    table.close()


def test_what_still_cannot_be_accepted_stays_and_is_told(database_url: str) -> None:
    bad = put(database_url, "/stats k", b"not json", "malformed: x")
    good = put(database_url, "/stats k", encoded(payload("acme", 1)), line=2)
    cut = put(database_url, "/stats k", b"x" * 64 * 1024, "too_long: x", line=3)
    strange = put(database_url, "/nowhere k", b"{}", line=4)
    done = again(database_url)
    assert (done.accepted, done.rejected) == (1, 3)
    said = {error["id"]: error["detail"] for error in done.errors}
    assert set(said) == {bad, cut, strange} == set(left(database_url))
    assert good not in said
    assert "malformed" in said[bad]
    assert "first 65,536 bytes" in said[cut]
    assert "no endpoint" in said[strange]


def test_times_that_are_within_bounds_now(database_url: str) -> None:
    with running(database_url, session_retention_days=1.0) as app:
        app.clock.now = time.time()
        old_ms = int((app.clock.now - 2 * 86_400) * 1000)
        app.stream([b'{"session": "s", "time": %d}' % old_ms], path="/sessions").problem(400)
    assert again(database_url, session_retention_days=1.0).rejected == 1
    assert again(database_url) == Replayed(accepted=1)
    assert ask(database_url, "SELECT (extract(epoch FROM time) * 1000)::bigint FROM session_message") == [(old_ms,)]


def test_every_endpoint(database_url: str, engine: Engine) -> None:
    now_ms = int(time.time() * 1000)
    one = encoded(payload("acme", 1))
    put(database_url, "/stats #1", one)
    put(database_url, "/payloads k", one)
    put(database_url, "kafka payloads 0", one)
    put(database_url, "payload_queue", one)
    put(database_url, "/analytics k", b'{"timestamp": %d, "user": "ann", "kind": "click"}' % now_ms)
    put(database_url, "/sessions k", b'{"session": "s", "cpu": 1.5}')
    put(database_url, "/sessions/logs k", b'{"session": "s", "seq": 1, "time": %d}' % now_ms)
    assert again(database_url) == Replayed(accepted=7)
    for table, rows in {"payload": 3, "payload_queue": 1, "hit": 1, "session_message": 2, "rejected": 0}.items():
        assert ask(database_url, f"SELECT count(*) FROM {table}") == [(rows,)], table
    assert ask(database_url, "SELECT unique_users, clicks FROM analytics") == [(1, 1)]


def test_a_message_that_is_there_by_its_number_is_not_stored_beside_it(database_url: str) -> None:
    """`seq` came again, or after a later one: what is missing of them is stored."""
    with running(database_url) as app:
        app.clock.now = time.time()
        lines = [b'{"session": "s", "seq": %d}' % seq for seq in (1, 3, 2, 3)]
        assert app.stream(lines, path="/sessions").summary()[:2] == (2, 2)
    assert again(database_url) == Replayed(accepted=2)
    assert ask(database_url, "SELECT seq FROM session_message ORDER BY 1") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("path", ["/sessions", "/sessions/logs"])
def test_a_time_is_corrected_as_it_was_live(database_url: str, path: str) -> None:
    """By what the clock was off of the client that sent the line, and of none that says nothing of its own."""
    with running(database_url) as app:
        app.clock.now = float(int(time.time()))
        slow_ms = int(app.clock.now * 1000) - 3_600_000
        line = '{"session": "%s", "seq": %d, "time": %d}'
        for session, preamble in {"slow": b'{"sentAt": %d}' % slow_ms, "right": b""}.items():
            lines = [(line % (session, seq, slow_ms - seq)).encode() for seq in (1, 3, 2)]
            assert app.stream([preamble, *lines], path=path).summary()[:2] == (2, 1)
    assert [line.skew_ms for line in list_rejected(Settings(database_url=database_url), ALL, 9)] == [None, 3_600_000]
    assert again(database_url) == Replayed(accepted=2)
    found = ask(database_url, "SELECT session, seq, (extract(epoch FROM time) * 1000)::bigint FROM session_message")
    assert sorted(found) == [
        (session, seq, slow_ms - seq + skew_ms)
        for session, skew_ms in (("right", 0), ("slow", 3_600_000))
        for seq in (1, 2, 3)
    ]


def test_a_replay_that_was_cut_before_it_took_the_lines_out(
    best_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored and still in the quarantine: sent again, they are known by their keys, for as long as they are there."""
    url = best_database_url
    for number in range(20):
        put(url, "/stats k", encoded(payload("acme", number)), line=number)

    async def cut(*_: object) -> None:
        raise StoreDown("cut")

    with monkeypatch.context() as patched:
        patched.setattr(Quarantine, "remove", cut)
        with pytest.raises(CollectorError, match="cut"):
            again(url)
    stored = "SELECT count(*), count(DISTINCT token) FROM payload"
    assert ask(url, stored) == [(20, 20)]
    assert ask(url, "SELECT DISTINCT retention FROM progress WHERE starts_with(source, 'rejected ')") == [("replays",)]
    assert again(url) == Replayed(accepted=20)
    assert ask(url, stored) == [(20, 20)]
    assert left(url) == []


@pytest.mark.parametrize("reserved", ["replays", "keys"])
def test_a_replay_into_a_topic_is_known_for_as_long_as_its_line(best_database_url: str, reserved: str) -> None:
    """Its key is reserved before it goes to the topic, by an older collector perhaps, and claimed afterwards."""
    url = best_database_url
    claim = Claim("rejected 7", b"d" * 16, "replays")
    known: list[Any] = []

    async def reserve_and_claim() -> None:
        session = WriterSession(url, "writer test")
        assert await session.reserve([msgspec.structs.replace(claim, retention=reserved)]) == {claim.source}
        known.extend(ask(url, KNOWN))
        segment = Segment(None, "/payloads", 0, [payload("acme")], table=TOPIC)
        segment.claim = claim
        assert not (await session.write([segment])).repeats
        known.extend(ask(url, KNOWN))
        await session.forget()

    asyncio.run(reserve_and_claim())
    assert known == [(0, reserved), (1, "replays")]


def test_two_at_once_store_nothing_twice(best_database_url: str) -> None:
    url = best_database_url
    with psycopg.connect(url) as connection:
        connection.cursor().executemany(
            "INSERT INTO rejected (received_at, source, line, reason, raw) VALUES (now(), '/stats k', %s, 'x', %s)",
            [(number, encoded(payload("acme", number))) for number in range(1_200)],
        )
    done: list[Replayed] = []
    threads = [threading.Thread(target=lambda: done.append(again(url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 2
    assert sum(each.accepted for each in done) >= 1_200
    assert ask(url, "SELECT count(*), count(DISTINCT token) FROM payload") == [(1_200, 1_200)]
    assert left(url) == []


def test_the_database_away_in_the_middle(best_engine: Engine) -> None:
    with best_engine.database() as url:
        put(url, "/stats k", encoded(payload("acme", 1)))
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(CollectorError, match="run it again"):
                again(url, single_wait_s=0.5, drain_s=0.5)
        assert left(url)
        assert again(url) == Replayed(accepted=1)
        assert ask(url, "SELECT count(*) FROM payload") == [(1,)]


def test_lines_of_long_ago(database_url: str, engine: Engine) -> None:
    """Their windows are computed anew; those of rows that are not kept any more would be wiped by that."""
    old = put(database_url, "/stats k", encoded(payload("acme", 1)), days=10)
    older = put(database_url, "/stats k", encoded(payload("acme", 2)), days=29.9)
    if engine.has_timescaledb:  # what is refreshed once and has no rows is known to have none
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("INSERT INTO payload VALUES (now(), 't', 'c', 'f', 1, 1, 1, 1, false)")
            connection.execute("CALL refresh_continuous_aggregate('stats_5m', NULL, NULL)")
    done = again(database_url)
    assert (done.accepted, done.rejected, [error["id"] for error in done.errors]) == (1, 1, [older])
    assert "kept no longer" in done.errors[0]["detail"]
    assert done.refreshed == (["stats_5m"] if engine.has_timescaledb else [])
    assert ask(database_url, "SELECT p2p::int FROM stats WHERE customer = 'acme'") == [(1,)]
    assert old not in left(database_url)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/stats run 7", "/stats"),
        ("/stats #5f", "/stats"),
        ("/sessions/logs import 00", "/sessions/logs"),
        ("kafka topic 3", "/stats"),
        ("payload_queue", "/stats"),
        ("/payloads k", "/payloads"),
        ("/stats@k3v9q2hx run 7", "/stats"),
        ("/sessions/logs@k3v9q2hx #5f", "/sessions/logs"),
    ],
)
def test_where_lines_go(source: str, path: str) -> None:
    assert endpoint_of(source).path == path


@pytest.mark.parametrize("source", ["", "/statistics k", "writer 1"])
def test_sources_that_are_no_endpoint(source: str) -> None:
    with pytest.raises(BadRequest):
        endpoint_of(source)


# The command line


def listed(url: str, *options: str) -> list[int]:
    done = collector("rejected", "list", "--json", *options, database_url=url)
    assert (done.returncode, done.stderr) == (0, "")
    return [line["id"] for line in json.loads(done.stdout)]


def test_the_list_and_its_filters(database_url: str) -> None:
    one = put(database_url, "/stats a", b"1", "invalid: p2p", days=3)
    two = put(database_url, "/stats b", b"\xff2", "malformed: oh", days=2)
    three = put(database_url, "/sessions a", b"3 [bold]", "time: [red] old", days=1)
    since = datetime.now(UTC) - 2.5 * DAY
    for chosen, expected in [
        (ALL, [three, two, one]),
        (Chosen(source="/stats "), [two, one]),
        (Chosen(reason="time"), [three]),
        (Chosen(since=since), [three, two]),
        (Chosen(until=since), [one]),
        (Chosen(ids=[one, three]), [three, one]),
        (Chosen(source="/stats ", reason="time"), []),
    ]:
        assert [line.id for line in list_rejected(Settings(database_url=database_url), chosen, 10)] == expected
    options = ["--source", "/stats ", "--reason", "invalid", "--until", since.isoformat(), "--id", str(one)]
    assert listed(database_url, *options, "--since", "0") == [one]
    assert listed(database_url, "--limit", "1") == [three]
    done = collector("rejected", "list", database_url=database_url)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["id", str(three), str(two), str(one)]
    assert "time: [red] old" in done.stdout
    assert "3 [bold]" in done.stdout
    assert "\x1b" not in done.stdout


def test_what_a_client_sent_cannot_write_on_a_terminal(database_url: str) -> None:
    put(database_url, "/stats \x1b[31m", "{\x1b[2J\u202e}\n".encode(), reason="invalid: \x9b1A\nforged")
    (_, line) = collector("rejected", "list", database_url=database_url).stdout.splitlines()
    assert "/stats ␛[31m" in line
    assert r"invalid: \x9b1A⏎forged" in line
    assert r"{␛[2J\u202e}⏎" in line


@pytest.mark.parametrize("columns", [80, 110, 140])
def test_number_line_and_reason_are_whole_on_a_terminal(best_database_url: str, columns: int) -> None:
    """However long the source is; bytes are shown where there is room for them."""
    reason = "invalid: Expected `int` >= 0 - at `$.p2p`, and more that says what is wrong with the line"
    source = "/stats " + "k" * 200
    with psycopg.connect(best_database_url) as connection:
        connection.execute("ALTER TABLE rejected ALTER id RESTART 1234567")
    number = put(best_database_url, source, b"x" * 100, reason, line=87_654)
    assert number == 1_234_567
    shown = plain(
        on_a_terminal(["collector", "rejected", "list"], {"DATABASE_URL": best_database_url}, columns=columns)
    )
    assert max(map(len, shown)) <= columns
    head, first = shown[0].split(), shown[1].split()
    assert head[:5] == ["id", "received", "source", "line", "reason"]
    assert (first[0], first[3], first[5]) == ("1234567", "/stats", "87654")
    assert first[4].endswith("…")
    at = shown[0].index("reason")
    end = shown[0].find("bytes") if columns == 140 else columns
    told = " ".join(line[at:end].strip() for line in shown[1:])
    assert told.split() == reason.split()
    assert ("bytes" in head) == (columns == 140)


def test_none_is_said(best_database_url: str) -> None:
    for command in ("rejected", "keys"):
        assert collector(command, "list", database_url=best_database_url).stdout == "none\n"


def test_bytes_that_are_no_text_are_given_whole(database_url: str) -> None:
    raw = b"\xff\x00\n"
    put(database_url, "/stats a", raw)
    (line,) = list_rejected(Settings(database_url=database_url), ALL, 1)
    document = as_document(line)
    assert base64.b64decode(document["raw_base64"]) == raw
    assert msgspec.json.encode(document)


def test_replay_from_the_command_line(database_url: str) -> None:
    put(database_url, "/stats a", encoded(payload("acme", 1)))
    bad = put(database_url, "/stats b", b"bad")
    done = collector("rejected", "replay", "--dry-run", database_url=database_url)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "1 lines would be accepted; 1 still rejected")
    done = collector("rejected", "replay", "--source", "/stats a", "--json", database_url=database_url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] == 1
    done = collector("rejected", "replay", database_url=database_url)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "0 lines stored; 1 still rejected"
    assert done.stdout.splitlines()[1].startswith(f"  {bad}: ")
    assert listed(database_url) == [bad]


@pytest.mark.parametrize("option", [["--since", "yesterday"], ["--id", "x"], ["--limit", "0"]])
def test_wrong_options_are_named(option: list[str], best_database_url: str) -> None:
    done = collector("rejected", "list", *option, database_url=best_database_url)
    assert done.returncode == 2
    assert option[0] in done.stderr
    assert "Traceback" not in done.stderr
