"""Backup and restore, by the commands of the document: a collector starts on what was restored and goes on."""

import contextlib
import re
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from collector.database.roles import OWNER
from collector.embedded import acquire
from collector.migrate import migrate
from tests.conftest import Serve
from tests.contract.driver import Table
from tests.documents import OPERATIONS, ROOT
from tests.faults.books import await_true
from tests.harness.client import Client
from tests.harness.engines import Engine, Engines, folder, not_found
from tests.harness.ledger import stored_tokens
from tests.harness.server import collector, diagnosed, environment
from tests.harness.wire import Wire, line_of, lines_of
from tests.test_migrate import renamed
from tests.test_roles import url_as

CUSTOMER = "backup"
LINES = 1_000
HALF = LINES // 2
KEY = {"Idempotency-Key": "evening"}
LOG = b'{"session": "s", "seq": 1, "time": %d}\n{"session": "s", "seq": 2, "elapsed": 5}\n'
REPLAYED = "idempotent-replayed"


def commands(engine: Engine) -> tuple[str, str]:
    """How to dump and how to restore, as the document says."""
    text = OPERATIONS.read_text().partition("## Backup and restore")[2]
    dump = re.search(r"```sh\n(pg_dump .*?)```", text, re.DOTALL)
    restore = re.search(rf"<!-- restore: {engine.name} -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert dump is not None
    assert restore is not None
    return dump[1], restore[1]


def shell(engine: Engine, script: str, folder: Path, **variables: str) -> None:
    path = f"{engine.installation.bin_dir}:{environment({})['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=environment({"PATH": path, **variables}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def restored_url(database_url: str) -> Iterator[str]:
    """An empty database on the same server."""
    name = f"restored_{uuid.uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    try:
        yield renamed(database_url, name)
    finally:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


class Traffic:
    """Keyed single payloads, one after the other, until told to end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0

    def __enter__(self) -> "Traffic":
        self._thread.start()
        await_true(lambda: self.acknowledged > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ended.is_set():
            name = f"traffic:{self.acknowledged}"
            answer = self._client.post(line_of("traffic", name), {"Idempotency-Key": name})
            assert answer.status == 204, answer
            self.acknowledged += 1


def test_a_collector_goes_on_from_what_was_restored(
    serve: Serve, engine: Engine, database_url: str, restored_url: str, tmp_path: Path
) -> None:
    dump, restore = commands(engine)
    now_ms = int(time.time() * 1000)
    before = serve(database_url, COLLECTOR_CONSUME="false")
    client = before.client
    table = Table(database_url)
    # Of everything something: an open stream, keys, tokens, a queue that nobody takes from, hours, logs, a bad line.
    stream = Wire(client.address, KEY)
    stream.send(lines_of(CUSTOMER, "stream", 0, HALF))
    await_true(lambda: client.stream("evening").status == 200 and client.stream("evening").json()["committed"] == HALF)
    single = line_of(CUSTOMER, "single", sessionDuration=0)
    assert client.post(single, {"Idempotency-Key": "one"}).status == 204
    assert client.post_lines(lines_of(CUSTOMER, "queued", 0, 20), path="/payloads").status == 202
    log = LOG % (now_ms - 60_000)
    assert client.post_lines(log, path="/sessions/logs").json()["accepted"] == 2
    hit = f"/analytics?timestamp={now_ms}&user=ann&click"
    assert client.request("POST", hit).status == 204
    assert client.post_lines(b"bad\n").status == 400
    old_rows: list[tuple[object, ...]] = [("2026-01-01 00:00:00Z", "old", "film", 7, 9, True)]
    table.insert(old_rows)
    if engine.has_timescaledb:
        table.run("CALL refresh_continuous_aggregate('stats_5m', NULL, now() - INTERVAL '1 hour')")
        table.run("SELECT compress_chunk(chunk) FROM show_chunks('payload', older_than => INTERVAL '1 day') AS chunk")
    with Traffic(client) as traffic:
        acknowledged_before = traffic.acknowledged
        shell(engine, dump, tmp_path, OWNER_DATABASE_URL=database_url)
    stream.close()
    before.kill()

    shell(engine, restore, tmp_path, RESTORED=restored_url)
    assert diagnosed(restored_url)["problems"] == []
    after = serve(restored_url).client
    restored = Table(restored_url)
    # All that was acknowledged before the snapshot, and nothing twice when what came after it is sent again.
    known = stored_tokens(restored_url, "traffic")
    assert {f"traffic:{number}" for number in range(acknowledged_before)} <= set(known)
    for number in range(traffic.acknowledged):
        name = f"traffic:{number}"
        answer = after.post(line_of("traffic", name), {"Idempotency-Key": name})
        assert (answer.status, answer.headers.get(REPLAYED)) == (204, "true" if name in known else None)
    assert stored_tokens(restored_url, "traffic").total() == traffic.acknowledged
    assert after.stream("evening").json() == {"committed": HALF, "rejected": 0, "complete": False}
    answer = after.post_lines(lines_of(CUSTOMER, "stream", 0, LINES), KEY)
    assert answer.json() == {"accepted": LINES, "rejected": 0, "errors": []}
    assert after.post(single, {"Idempotency-Key": "one"}).headers[REPLAYED] == "true"
    await_true(lambda: stored_tokens(restored_url, CUSTOMER).total() == LINES + 1 + 20)
    assert set(stored_tokens(restored_url, CUSTOMER).values()) == {1}
    # A token that has started a session starts no other one.
    for token in ("single", "stream:0", "queued:0", "new"):
        assert after.post(line_of(CUSTOMER, token, sessionDuration=0)).status == 204
    started = restored.rows("SELECT count(*) FROM payload WHERE customer = %s AND started", CUSTOMER)
    assert started == [(LINES + 1 + 20 + 1,)]
    assert after.post_lines(log, path="/sessions/logs").json()["accepted"] == 2
    assert restored.rows("SELECT count(*) FROM session_message") == [(2,)]
    assert after.request("POST", hit).status == 204
    assert after.get("/analytics", timestamp=now_ms).body == b"unique_users,1\nclicks,2\nimpressions,0\n"
    done = collector("rejected", "replay", database_url=restored_url)
    assert done.stdout.startswith("0 lines stored; 1 still rejected")
    # Windows: those that were columnar or computed, and those that come.
    everything = "SELECT customer, sum(cdn)::int, sum(sessions)::int FROM stats GROUP BY 1 ORDER BY 1"
    rows = "SELECT customer, sum(cdn)::int, count(*) FILTER (WHERE started)::int FROM payload GROUP BY 1 ORDER BY 1"
    assert restored.rows(everything) == restored.rows(rows)
    assert restored.rows("SELECT cdn::int, p2p::int, sessions FROM stats WHERE customer = 'old'") == [(9, 7, 1)]
    if engine.has_timescaledb:
        jobs = "SELECT job_id, proc_name, config FROM timescaledb_information.jobs ORDER BY 1"
        assert restored.rows(jobs) == table.rows(jobs)
        restored.insert([(datetime.now(UTC) - timedelta(hours=2), "late", "film", 1, 2, False)])
        for job, name, _ in restored.rows(jobs):
            if name == "policy_refresh_continuous_aggregate":
                restored.run(f"CALL run_job({job})")
        assert restored.rows("SELECT cdn::int FROM stats WHERE customer = 'late'") == [(2,)]
        chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
        assert restored.rows(chunks) == table.rows(chunks) != [(0,)]
    for each in (table, restored):
        each.close()


PASSWORDS = {f"DATABASE_{name}_PASSWORD": "secret" for name in ("OWNER", "COLLECTOR", "GRAFANA")}


@contextlib.contextmanager
def with_roles(engine: Engine) -> Iterator[str]:
    """The superuser's URL of a server with an empty database and with the roles that log in, where jobs run."""
    jobs = {"timescaledb.max_background_workers": "8"} if engine.has_timescaledb else {}
    with engine.bare_server(None, **jobs) as server:
        shell(engine, f'psql --quiet "$ADMIN" -f "{ROOT}/schema/logins.sql"', ROOT, ADMIN=server.url, **PASSWORDS)
        yield server.url


def test_roles_and_jobs_are_as_before(engine: Engine, tmp_path: Path) -> None:
    """Where they are as documented: dumped by the owner, restored by a superuser on another server."""
    dump, restore = commands(engine)
    with with_roles(engine) as old:
        if engine.has_timescaledb:
            with psycopg.connect(old, autocommit=True) as admin:
                admin.execute("CREATE EXTENSION timescaledb")
        owner = url_as(old, OWNER)
        assert collector("migrate", database_url=owner).returncode == 0
        with psycopg.connect(url_as(old, "collector"), autocommit=True) as ingest:
            ingest.execute("INSERT INTO payload VALUES (now() - INTERVAL '2 days', 't', 'a', 'b', 1, 2, 3, 4, true)")
        shell(engine, dump, tmp_path, OWNER_DATABASE_URL=owner)
    with with_roles(engine) as new:
        shell(engine, restore, tmp_path, RESTORED=new)
        owner = url_as(new, OWNER)
        again = collector("migrate", "--json", database_url=owner)
        assert again.returncode == 0, again.stderr
        assert not any(msgspec.json.decode(again.stdout).values()), again.stdout
        assert diagnosed(url_as(new, "collector"))["problems"] == []
        if engine.has_timescaledb:
            every_job_succeeds(new)


def every_job_succeeds(url: str) -> None:
    """When TimescaleDB itself runs it, as its owner."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT alter_job(job_id, next_start => now()) FROM timescaledb_information.jobs"
            " WHERE hypertable_name IS NOT NULL"
        )

        def outcomes() -> dict[int, tuple[str, str, str | None]]:
            rows = admin.execute(
                "SELECT job_id, owner::text, proc_name, last_run_status FROM timescaledb_information.jobs"
                " LEFT JOIN timescaledb_information.job_stats USING (job_id) WHERE jobs.hypertable_name IS NOT NULL"
            ).fetchall()
            return {job: (owner, name, status) for job, owner, name, status in rows}

        await_true(lambda: all(status for _, _, status in outcomes().values()), 120)
        found = outcomes().values()
        assert {(owner, status) for owner, _, status in found} == {(OWNER, "Success")}, found
        names = {name for _, name, _ in found}
        assert {"policy_retention", "policy_compression", "policy_refresh_continuous_aggregate"} <= names


def test_a_folder_that_was_copied_is_the_same_database(engines: Engines) -> None:
    engine = engines.get("plain")
    if engine is None:
        pytest.skip(not_found("plain"))
    with folder("original") as original, folder("copied") as copied:
        with acquire(original, engine.installation.bin_dir) as server:
            migrate(server.url)
            Table(server.url).insert([("2026-01-01 00:00:00Z", "old", "film", 7, 9, True)])
        target = copied / "data"
        subprocess.run(["cp", "-a", str(original), str(target)], check=True)
        shutil.rmtree(original)
        with acquire(target, engine.installation.bin_dir) as server:
            table = Table(server.url)
            assert table.rows("SELECT p2p::int FROM stats") == [(7,)]
            table.close()
