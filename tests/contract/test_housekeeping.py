"""What is past its retention is forgotten, and nothing that is in use breaks by it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from collector.database.retention import KEPT
from collector.errors import StoreError
from collector.store.housekeeping import keep_house
from collector.store.queries import QUERIES
from tests.contract.driver import NDJSON, Answer, App, Table, payload, running, unique
from tests.faults.books import await_true
from tests.harness.engines import Engine
from tests.strategies import encoded

REPLAYED = "idempotent-replayed"
DAY = timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def ages(module_url: str) -> None:
    """Keys, tokens and rejected lines are kept for a day, what else there is for ever."""
    with psycopg.connect(module_url) as connection:
        connection.execute("UPDATE retention SET keep = NULL")
        connection.execute(
            "UPDATE retention SET keep = '1 day' WHERE name IN ('keys', 'session_token', 'imports', 'rejected')"
        )


def house(url: str, slice_rows: int = 2) -> dict[str, int]:
    """Once, as it happens every few minutes; of what went, how much."""
    gone = asyncio.run(keep_house(url, slice_rows))
    assert gone is not None
    return {name: rows for name, rows in gone.items() if rows}


def age(table: Table, name: str, column: str, condition: str, value: str, by: str = "25 hours") -> None:
    table.run(f"UPDATE {name} SET {column} = {column} - INTERVAL '{by}' WHERE {condition} = %s", value)


def test_keys_tokens_and_rejected_lines_past_their_retention_go(app: App, table: Table) -> None:
    customer, old, young = unique("acme"), unique("key"), unique("key")
    app.clock.now = max(app.clock.now, table.rows("SELECT extract(epoch FROM now())::float")[0][0])
    for key, number in ((old, 1), (young, 2)):
        app.stream([payload(customer, number, session_duration=0), b"bad"], key=key).summary()
    house(table.url)
    age(table, "progress", "updated_at", "source", f"/stats {old}")
    age(table, "session_token", "created_at", "token", f"{customer}/1")
    age(table, "rejected", "received_at", "source", f"/stats {old}")
    assert house(table.url) == {"keys": 1, "session_token": 1, "rejected": 1}
    app.get(f"/streams/{old}").problem(404)
    assert app.get(f"/streams/{young}").status == 200
    assert (table.rejected(f"/stats {old}"), len(table.rejected(f"/stats {young}"))) == ([], 1)
    assert house(table.url) == {}
    # The key is new again, and the rows are where they were.
    answer = app.stream([payload(customer, 3), b"worse"], key=old)
    assert answer.summary()[:2] == (1, 1)
    assert REPLAYED not in answer.headers
    assert [row.p2p for row in table.payloads(customer)] == [1, 2, 3]


def test_more_than_a_slice_goes_in_one_round(table: Table) -> None:
    source = unique("old")
    for line in range(7):
        table.run("INSERT INTO rejected VALUES (now() - INTERVAL '2 days', %s, %s, 'invalid: x', '')", source, line)
    assert house(table.url) == {"rejected": 7}


def test_partitions_stay_and_imported_files_for_as_long_as_tokens(app: App, table: Table) -> None:
    """Forgotten, a topic would be applied again from its beginning, and a file stored again."""
    partition, imported = f"kafka {unique('topic')} 0", f"/stats import {unique('hash')}"
    app.call(app.service.store.take_stream(partition, "topics"))
    app.call(app.service.store.take_stream(imported, "imports"))
    known = "SELECT source FROM progress WHERE source = ANY (ARRAY[%s, %s]) ORDER BY source"
    table.run("UPDATE retention SET keep = '90 days' WHERE name = 'imports'")
    for source in (partition, imported):
        age(table, "progress", "updated_at", "source", source)
    house(table.url)
    assert table.rows(known, partition, imported) == [(imported,), (partition,)]
    for source in (partition, imported):
        age(table, "progress", "updated_at", "source", source, by="90 days")
    assert house(table.url) == {"imports": 1}
    assert table.rows(known, partition, imported) == [(partition,)]
    table.run("DELETE FROM progress WHERE source = %s", partition)


def test_a_key_that_moves_while_it_is_looked_at_stays(app: App, table: Table) -> None:
    """Its row is locked by a writer, who changes it: it is not old any more."""
    key = unique("key")
    app.stream([payload(unique("acme"))], key=key)
    age(table, "progress", "updated_at", "source", f"/stats {key}")
    with psycopg.connect(table.url) as writer:
        writer.execute("UPDATE progress SET updated_at = now() WHERE source = %s", (f"/stats {key}",))
        looking = threading.Thread(target=house, args=(table.url,))
        looking.start()
        looking.join(30)
        assert not looking.is_alive()
    assert house(table.url) == {}
    assert app.get(f"/streams/{key}").status == 200


def test_whether_a_session_is_gone_is_looked_up(engine: Engine) -> None:
    """However many sessions there are: not by going through a list of them for each row."""
    with engine.database() as url:
        table = Table(url)
        table.run("INSERT INTO cpu_session (session, open_bucket) SELECT n, now() FROM generate_series(1, 20000) AS n")
        table.run(
            "INSERT INTO session_fact (session_id, bucket, properties)"
            " SELECT id, now() - INTERVAL '100 days', '{}' FROM cpu_session"
        )
        table.run("ANALYZE")
        table.run("SET work_mem = '64kB'")
        ((condition,),) = table.rows("SELECT condition FROM retention WHERE name = 'session_fact'")
        question = f"SELECT ctid FROM session_fact WHERE bucket < now() - $1 AND ({condition}) FOR UPDATE SKIP LOCKED"
        question = question.replace("$1", "INTERVAL '90 days'")
        plan = "\n".join(line for (line,) in table.rows(f"EXPLAIN {question}"))
        assert "Anti Join" in plan, plan
        assert "SubPlan" not in plan, plan
        assert table.rows(question) == []
        table.run("UPDATE cpu_session SET open_bucket = now() - INTERVAL '91 days' WHERE id % 100 = 0")
        table.run("UPDATE cpu_session SET open_bucket = NULL, dirty_since = now() WHERE id % 200 = 0")
        table.run("DELETE FROM cpu_session WHERE id % 1000 = 1")
        assert house(url, 10_000) == {"session_fact": 100 + 20, "cpu_session": 100}
        table.close()


def test_a_slice_is_looked_for_once(engine: Engine) -> None:
    """And found again by where its rows are, although statistics know of no row that is past its age."""
    with engine.database() as url:
        table = Table(url)
        table.run(
            "INSERT INTO rejected SELECT now(), 'old', n, 'invalid: x', convert_to(repeat('x', 1000), 'UTF8')"
            " FROM generate_series(1, 20000) AS n"
        )
        table.run("VACUUM ANALYZE rejected")
        table.run("UPDATE rejected SET received_at = received_at - INTERVAL '31 days' WHERE line <= 500")
        table.run("BEGIN")
        before = scans(table, "rejected")
        assert table.rows("SELECT forget_old('rejected', 400)") == [(400,)]
        assert scans(table, "rejected") == before + 1
        table.run("COMMIT")
        assert house(url) == {"rejected": 100}
        table.close()


def scans(table: Table, name: str) -> int:
    """How often this transaction has gone through the table or one of its indexes."""
    ((found,),) = table.rows("SELECT seq_scan + idx_scan FROM pg_stat_xact_user_tables WHERE relname = %s", name)
    return int(found)


def add_old(table: Table, rows: int) -> None:
    """Of two kinds, the later one in KEPT being `rejected`."""
    for number in range(rows):
        table.run("INSERT INTO session_token VALUES (%s, now() - INTERVAL '2 days')", unique("token"))
        table.run("INSERT INTO rejected VALUES (now() - INTERVAL '2 days', 'old', %s, 'invalid: x', '')", number)


def test_each_kind_of_rows_has_a_time_of_its_own(table: Table) -> None:
    """One that takes all of its own leaves the others theirs."""
    add_old(table, 3)
    gone = asyncio.run(keep_house(table.url, 2, kind_s=0))
    assert gone is not None
    assert (gone["session_token"], gone["rejected"]) == (2, 2)
    assert house(table.url) == {"session_token": 1, "rejected": 1}


@pytest.mark.parametrize("condition", ["no_such_column = 1", "EXISTS (SELECT FROM pg_sleep(3600))"])
def test_one_kind_of_rows_that_fails_or_hangs_does_not_keep_the_others_from_their_turn(
    table: Table, condition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add_old(table, 1)
    ((before,),) = table.rows("SELECT condition FROM retention WHERE name = 'session_token'")
    table.run("UPDATE retention SET condition = %s WHERE name = 'session_token'", condition)
    gone = asyncio.run(keep_house(table.url, statement_s=1))
    assert gone is not None
    assert "session_token" not in gone
    assert gone["rejected"] == 1
    said = [line for line in capsys.readouterr().out.splitlines() if "housekeeping failed" in line]
    assert len(said) == 1
    assert "session_token" in said[0]
    table.run("UPDATE retention SET condition = %s WHERE name = 'session_token'", before)
    assert house(table.url) == {"session_token": 1}


def test_a_connection_that_is_cut_ends_the_round(table: Table) -> None:
    add_old(table, 1)
    ((before,),) = table.rows("SELECT condition FROM retention WHERE name = 'session_token'")
    table.run("UPDATE retention SET condition = 'EXISTS (SELECT FROM pg_sleep(3600))' WHERE name = 'session_token'")
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    with ThreadPoolExecutor(1) as thread:
        keeping = thread.submit(house, table.url)
        await_true(lambda: bool(table.rows(cut)))
        with pytest.raises(StoreError):
            keeping.result(60)
    table.run("UPDATE retention SET condition = %s WHERE name = 'session_token'", before)
    assert house(table.url) == {"session_token": 1, "rejected": 1}


def pages_read(table: Table, question: str) -> int:
    """How many pages of tables and indexes a question looks at, by whatever index there is."""
    table.run("SET enable_seqscan = off")
    ((found,),) = table.rows(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {question}")
    plan = found[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_pages_that_are_used_again_are_found_by_what_is_in_them_now(engine: Engine) -> None:
    """A retention goes round: young rows lie where old ones were, and an index by ranges of pages knows of both."""
    old_rows = "SELECT FROM rejected WHERE received_at < now() - INTERVAL '30 days'"
    state = "SELECT position, complete, retention, updated_at FROM progress WHERE source = 'index rejected_received_at'"
    with engine.database() as url:
        table = Table(url)
        insert = (
            "INSERT INTO rejected SELECT now() - n * INTERVAL '1 minute', 'old', n, 'invalid: x',"
            " convert_to(repeat('x', 1000), 'UTF8') FROM generate_series({}, {}, -1) AS n"
        )
        for first, last in (60_000, 44_001), (42_000, 34_001):  # 30 days are 43,200 minutes
            table.run(insert.format(first, last))
        table.run("VACUUM rejected")
        assert table.rows("SELECT forget_old('rejected', 20000)") == [(16_000,)]
        table.run("VACUUM rejected")
        table.run(insert.format(16_000, 1))
        table.run("VACUUM rejected")
        ((pages,),) = table.rows("SELECT pg_relation_size('rejected') / current_setting('block_size')::int")
        ranges = pages // 128
        assert ranges > 10
        decayed = pages_read(table, old_rows)
        assert decayed > pages / 2
        assert house(url) == {}
        assert pages_read(table, old_rows) < 300 < decayed / 4
        recent = pages_read(table, "SELECT FROM rejected WHERE received_at >= now() - INTERVAL '1 hour'")
        assert recent < 600
        ((reached, complete, retention, at),) = table.rows(state)
        assert (reached, complete, retention) == (ranges, True, "indexes")
        # Once a day, whoever keeps house; and one that was left in the middle goes on there.
        house(url)
        assert table.rows(state)[0][3] == at
        table.run("UPDATE progress SET updated_at = now() - INTERVAL '23 hours' WHERE retention = 'indexes'")
        assert table.rows("SELECT summarize_anew(3)") == [(False,)]
        table.run("UPDATE progress SET updated_at = now() - INTERVAL '25 hours' WHERE retention = 'indexes'")
        assert table.rows("SELECT summarize_anew(3)") == [(True,)]
        assert table.rows(state)[0][:2] == (3, False)
        assert table.rows("SELECT summarize_anew(3)") == [(True,)]
        assert table.rows(state)[0][:2] == (6, False)
        table.run("TRUNCATE rejected")
        assert table.rows("SELECT summarize_anew(3)") == [(False,)]
        table.close()


def test_one_process_at_a_time(table: Table) -> None:
    with psycopg.connect(table.url) as other:
        other.execute(QUERIES["housekeeping_turn"])
        assert asyncio.run(keep_house(table.url)) is None
    assert asyncio.run(keep_house(table.url)) is not None


def test_nothing_is_deleted_where_nothing_was_said(table: Table) -> None:
    """A schema that nobody has brought into line with settings."""
    source = unique("old")
    table.run("INSERT INTO rejected VALUES (now() - INTERVAL '2 years', %s, 1, 'invalid: x', '')", source)
    saved = table.rows("SELECT name, keep, relation, time_column, condition FROM retention")
    table.run("DELETE FROM retention")
    assert house(table.url) == {}
    for row in saved:
        table.run("INSERT INTO retention VALUES (%s, %s, %s, %s, %s)", *row)
    assert house(table.url) == {"rejected": 1}


def test_raw_rows_go_and_what_they_come_to_stays(engine: Engine) -> None:
    """Without TimescaleDB; there, policies drop chunks. Late rows of windows that are gone are added to them."""
    if engine.has_timescaledb:
        pytest.skip("chunks are dropped by policies")
    old = datetime.now(UTC).replace(minute=2, second=0, microsecond=0) - 40 * DAY
    rows: list[tuple[object, ...]] = [
        (old + timedelta(minutes=3 * number), "acme", f"film{number % 2}", number, 2**62, number % 3 == 0)
        for number in range(20)
    ]
    young = (datetime.now(UTC), "acme", "film0", 1, 1, True)
    with engine.database() as url:
        table = Table(url)
        table.insert([*rows, young])
        table.run("INSERT INTO hit VALUES (%s, now(), 'ann', 'click')", old)
        table.run("INSERT INTO session_message (time, received_at, session) VALUES (%s, %s, 's')", old, old)
        before = table.rows("SELECT * FROM stats ORDER BY 1, 2, 3")
        assert house(url, 3) == {"payload": 20, "hit": 1, "session_message": 1}
        assert table.rows("SELECT count(*) FROM payload") == [(1,)]
        assert table.rows("SELECT * FROM stats ORDER BY 1, 2, 3") == before
        table.insert([(old, "acme", "film0", 5, 5, True), (old + 20 * DAY, "acme", "film0", 6, 6, False)])
        with_late = table.rows("SELECT * FROM stats ORDER BY 1, 2, 3")
        assert len(with_late) == len(before) + 1
        assert house(url) == {"payload": 1}
        assert table.rows("SELECT * FROM stats ORDER BY 1, 2, 3") == with_late
        table.run("UPDATE retention SET keep = '40 days' WHERE name = 'stats_5m'")
        gone = house(url)["stats_5m"]
        assert len(table.rows("SELECT FROM stats")) == len(with_late) - gone
        table.close()


def test_rows_come_in_while_old_ones_go(engine: Engine) -> None:
    """Nothing is counted twice or not at all, at any moment."""
    if engine.has_timescaledb:
        pytest.skip("chunks are dropped by policies")
    old = datetime.now(UTC) - 31 * DAY
    with engine.database() as url:
        table, other = Table(url), Table(url)
        row: tuple[object, ...] = (old, "acme", "film", 1, 1, True)
        table.insert([row] * 200)
        ended = threading.Event()

        def insert() -> None:
            for _ in range(100):
                other.insert([row])
            ended.set()

        inserting = threading.Thread(target=insert)
        inserting.start()
        seen = [200]
        while not ended.is_set():
            house(url, 7)
            seen.append(table.rows("SELECT sum(sessions)::int FROM stats")[0][0])
        inserting.join()
        house(url, 7)
        assert table.rows("SELECT sum(cdn), sum(p2p), sum(sessions) FROM stats") == [(300, 300, 300)]
        assert seen == sorted(seen)
        for each in (table, other):
            each.close()


def test_a_condition_on_stats_goes_down_to_both_parts(engine: Engine) -> None:
    if engine.has_timescaledb:
        pytest.skip("a continuous aggregate has its own plan")
    with engine.database() as url:
        table = Table(url)
        table.run("SET enable_seqscan = off")
        question = "SELECT * FROM stats_5m WHERE bucket >= now() - INTERVAL '1 hour' AND customer = 'acme'"
        plan = "\n".join(line for (line,) in table.rows(f"EXPLAIN {question}"))
        assert "payload_bucket" in plan
        assert "stats_5m_kept_once" in plan
        table.close()


def test_every_kind_of_rows_can_be_deleted(engine: Engine) -> None:
    """The statements fit the tables."""
    with engine.database() as url:
        table = Table(url)
        table.run("UPDATE retention SET keep = '1 day'")
        gone = asyncio.run(keep_house(url))
        assert gone is not None
        ordinary = {kept.name for kept in KEPT if not (engine.has_timescaledb and kept.columnstore)}
        assert gone == dict.fromkeys(ordinary, 0)
        table.close()


@pytest.mark.parametrize("setting", ["analytics_retention_days", "user_retention_days"])
def test_a_hit_of_an_hour_that_is_forgotten_is_not_taken(module_url: str, table: Table, setting: str) -> None:
    """It could not be counted exactly any more."""
    user = unique("user")
    with running(module_url, **{setting: 2.0}) as app:
        now_ms = int(app.clock.now * 1000)
        for hours, taken in ((46, True), (48, False), (480, False)):
            at = now_ms - hours * 3_600_000
            answer = app.request("POST", "/analytics", query=f"timestamp={at}&user={user}&click".encode())
            assert answer.status == (204 if taken else 400)
            if not taken:
                assert "kept for 2 days" in answer.json()["detail"]
        old = now_ms - 100 * 3_600_000
        lines = [b'{"timestamp": %d, "user": "u", "kind": "click"}' % at for at in (now_ms, old, now_ms)]
        accepted, rejected, errors = app.stream(lines, path="/analytics").summary()
        assert (accepted, rejected, errors[0][0]) == (2, 1, 2)


@pytest.mark.parametrize("keyed", [False, True])
def test_a_writer_whose_row_is_forgotten_goes_on(app: App, table: Table, keyed: bool) -> None:
    """It was idle for longer than keys are kept."""
    customer = unique("acme")
    for number in range(1, 4):
        table.run("DELETE FROM progress WHERE source LIKE 'writer %'")
        options = {"key": unique("key")} if keyed else {}
        assert app.single(payload(customer, 2 * number), **options).status == 204
        table.run("DELETE FROM progress WHERE source LIKE 'writer %'")
        assert app.stream([payload(customer, 2 * number + 1)], **options | {"key": unique("key")}).status == 200
    assert sorted(row.p2p for row in table.payloads(customer)) == [2, 3, 4, 5, 6, 7]


def test_a_writer_whose_row_is_forgotten_still_tells_repeats(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    assert app.single(payload(customer, 1), key=key).status == 204
    table.run("DELETE FROM progress WHERE source LIKE 'writer %'")
    assert app.single(payload(customer, 1), key=key).headers.get(REPLAYED) == "true"
    table.run("DELETE FROM progress WHERE source LIKE 'writer %'")
    app.single(payload(customer, 2), key=key).problem(422)
    table.run("DELETE FROM progress WHERE source LIKE 'writer %'")
    app.stream([payload(customer, 2)], key=key).problem(422)
    assert len(table.payloads(customer)) == 1


def test_a_stream_whose_key_is_forgotten_on_the_way_is_told(app: App, table: Table) -> None:
    """Nothing of it is stored under a key that is no more; sent again, it begins anew."""
    customer, key = unique("acme"), unique("key")
    app.post([encoded(payload(customer, 1)) + b"\n"], NDJSON, key=key, cut=True).problem(400)
    table.run("DELETE FROM progress WHERE source = %s", f"/stats {key}")
    assert app.stream([payload(customer, 2)], key=key, stream_offset=1).problem(409)["committed"] == 0
    assert app.stream([payload(customer, 2)], key=key).status == 200


def test_what_is_committed_is_not_tried_again_where_asking_for_it_fails(
    app: App, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch with a repeat in it: its rows are in, and then the first question about the repeat's key fails."""
    customer, key = unique("acme"), unique("key")
    assert app.single(payload(customer, 1), key=key).status == 204
    once = unique("once").replace("-", "_")
    table.run(f"CREATE SEQUENCE {once}")
    table.run(f"GRANT USAGE ON SEQUENCE {once} TO PUBLIC")
    failing = QUERIES["find_progress"] + f" AND 1 / (nextval('{once}') - 1) IS NOT NULL".encode()
    monkeypatch.setitem(QUERIES, "find_progress", failing)

    async def together() -> list[Answer]:
        requests = [(payload(customer, 1), [(b"idempotency-key", key.encode())]), (payload(customer, 2), [])]
        return await asyncio.gather(
            *(app.exchange("POST", "/stats", b"", headers, [encoded(sent)]) for sent, headers in requests)
        )

    repeat, other = app.call(together())
    assert table.rows(f"SELECT last_value FROM {once}")[0][0] > 1
    assert (repeat.status, repeat.headers.get(REPLAYED), other.status) == (204, "true", 204)
    assert sorted(row.p2p for row in table.payloads(customer)) == [1, 2]


@pytest.mark.parametrize("limit_bytes", [100, 200_000])
def test_64_kib_are_kept_of_a_rejected_line_whatever_the_limit_of_lines(module_url: str, limit_bytes: int) -> None:
    kept_bytes = 64 * 1024
    table = Table(module_url)
    with running(module_url, max_line_bytes=limit_bytes) as app:
        key = unique("key")
        lines = [b"a" * 90, b"b" * 150_000, b"c" * 300_000]
        app.stream(lines, key=key).problem(400)
        found = table.rejected(f"/stats {key}")
        assert [raw for _, _, raw in found] == [line[: min(kept_bytes, max(limit_bytes, 90))] for line in lines]
        assert [reason.partition(":")[0] for _, reason, _ in found] == [
            "malformed",
            "malformed" if limit_bytes > 150_000 else "too_long",
            "too_long",
        ]
    table.close()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_row_that_the_database_refuses_is_kept_apart(module_url: str, streamed: bool) -> None:
    """A rule of the database's own, which the collector does not know."""
    customer, key = unique("acme"), unique("key")
    table = Table(module_url)
    table.run("ALTER TABLE payload ADD CONSTRAINT payload_not_13 CHECK (p2p <> 13)")
    try:
        with running(module_url) as app:
            if streamed:
                lines = [payload(customer, number) for number in range(20)]
                accepted, rejected, errors = app.stream(lines, key=key).summary()
                assert (accepted, rejected, errors[0][0]) == (19, 1, 14)
                ((line, reason, raw),) = table.rejected(f"/stats {key}")
                assert (line, raw) == (14, encoded(payload(customer, 13)))
                assert reason.startswith("refused: ")
                assert app.stream(lines, key=key).headers[REPLAYED] == "true"
            else:
                assert app.single(payload(customer, 13), key=key).problem(400)["detail"]
                app.get(f"/streams/{key}").problem(404)
                assert app.single(payload(customer, 14), key=key).status == 204
            assert 13 not in [row.p2p for row in table.payloads(customer)]
    finally:
        table.run("ALTER TABLE payload DROP CONSTRAINT payload_not_13")
        table.close()
