"""What is past its retention is forgotten, and nothing that is in use breaks by it."""

import asyncio
from datetime import timedelta

import pytest

from collector.store.queries import QUERIES
from tests.contract.driver import NDJSON, Answer, App, Table, payload, running, unique
from tests.strategies import encoded

REPLAYED = "idempotent-replayed"
DAY = timedelta(days=1)


def keep_house(app: App) -> tuple[int, int, int]:
    """Once, as it happens every few minutes: keys, tokens and rejected lines older than a day go."""
    return app.call(app.service.store.forget_old(keys=DAY, tokens=DAY, rejected=DAY, sessions=DAY))


def age(table: Table, name: str, column: str, condition: str, value: str) -> None:
    table.run(f"UPDATE {name} SET {column} = {column} - INTERVAL '25 hours' WHERE {condition} = %s", value)


def test_keys_tokens_and_rejected_lines_past_their_retention_go(app: App, table: Table) -> None:
    customer, old, young = unique("acme"), unique("key"), unique("key")
    app.clock.now = max(app.clock.now, table.rows("SELECT extract(epoch FROM now())::float")[0][0])
    for key, number in ((old, 1), (young, 2)):
        app.stream([payload(customer, number, session_duration=0), b"bad"], key=key).summary()
    keep_house(app)
    age(table, "progress", "updated_at", "source", f"/stats {old}")
    age(table, "session_token", "created_at", "token", f"{customer}/1")
    age(table, "rejected", "received_at", "source", f"/stats {old}")
    assert keep_house(app) == (1, 1, 1)
    app.get(f"/streams/{old}").problem(404)
    assert app.get(f"/streams/{young}").status == 200
    assert (table.rejected(f"/stats {old}"), len(table.rejected(f"/stats {young}"))) == ([], 1)
    assert keep_house(app) == (0, 0, 0)
    # The key is new again, and the rows are where they were.
    answer = app.stream([payload(customer, 3), b"worse"], key=old)
    assert answer.summary()[:2] == (1, 1)
    assert REPLAYED not in answer.headers
    assert [row.p2p for row in table.payloads(customer)] == [1, 2, 3]


def test_partitions_stay_and_imported_files_for_as_long_as_tokens(app: App, table: Table) -> None:
    """Forgotten, a topic would be applied again from its beginning, and a file stored again."""

    def forget() -> None:
        day = timedelta(days=1)
        app.call(app.service.store.forget_old(keys=day, tokens=90 * day, rejected=30 * day, sessions=30 * day))

    partition, imported = f"kafka {unique('topic')} 0", f"/stats import {unique('hash')}"
    for source in (partition, imported):
        table.run("INSERT INTO progress (source, owner, position) VALUES (%s, 1, 7)", source)
        age(table, "progress", "updated_at", "source", source)
    forget()
    known = "SELECT source FROM progress WHERE source = ANY (ARRAY[%s, %s]) ORDER BY source"
    assert table.rows(known, partition, imported) == [(imported,), (partition,)]
    table.run(
        "UPDATE progress SET updated_at = now() - INTERVAL '91 days' WHERE source = ANY (ARRAY[%s, %s])",
        partition,
        imported,
    )
    forget()
    assert table.rows(known, partition, imported) == [(partition,)]
    table.run("DELETE FROM progress WHERE source = %s", partition)


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
