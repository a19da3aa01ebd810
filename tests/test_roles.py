"""The database's three roles: what each may do and may not, in every table; in several databases of a cluster, and
where whoever migrates may not make roles.
"""

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from collector.database.roles import INGEST, OWNER, READ, give_roles, listed, rights_missing, shortcomings
from collector.database.upkeep import bring_into_line
from collector.embedded import PrivateServer
from collector.migrate import migrate
from collector.settings import Settings
from collector.store.admin import connected
from collector.store.housekeeping import keep_house
from collector.store.queries import QUERIES
from tests.conftest import Serve
from tests.contract.driver import payload
from tests.faults.books import await_true
from tests.harness.engines import Engine
from tests.harness.server import collector, diagnosed
from tests.strategies import encoded
from tests.test_migrate import empty_database

REFUSED_TO_INGEST = (
    "SELECT * FROM payload",
    "UPDATE payload SET cdn = 0",
    "DELETE FROM payload",
    "TRUNCATE payload",
    "DELETE FROM session_message",
    "DELETE FROM session_token",
    "UPDATE retention SET keep = '1 second'",
    "DELETE FROM analytics_hour",
    "DROP TABLE rejected",
    "ALTER TABLE payload ADD COLUMN more int",
    "CREATE TABLE mine (number int)",
    "CREATE VIEW mine AS SELECT 1",
    "INSERT INTO api_key (id, name, scope, digest) VALUES ('a', 'a', 'read', sha256('a'))",
    "UPDATE api_key SET revoked_at = NULL",
    "DELETE FROM api_key",
    "UPDATE collector_schema SET version = 1",
    "CREATE ROLE friend SUPERUSER",
    f"SET ROLE {OWNER}",
    f"SET ROLE {READ}",
    "COPY payload TO PROGRAM 'cat'",
    "SELECT pg_read_file('postgresql.conf')",
    "ALTER SYSTEM SET fsync = off",
)
REFUSED_TO_READ = (
    *("INSERT INTO hit VALUES (now(), now(), 'a', 'click')", "UPDATE payload SET cdn = 0", "DELETE FROM hit"),
    *("TRUNCATE session_message", "DROP VIEW stats", "CREATE TABLE mine (number int)"),
    *("SELECT * FROM api_key", "SELECT * FROM progress", "SELECT * FROM rejected", "SELECT * FROM session_token"),
    *("SELECT forget_old('payload', 1000000)", "SELECT summarize_anew(1)"),
    *(
        f"SET ROLE {OWNER}",
        f"SET ROLE {INGEST}",
        "SELECT pg_read_file('postgresql.conf')",
        "ALTER SYSTEM SET fsync = off",
    ),
)
READABLE = ("payload", "stats", "stats_5m", "hit", "analytics", "analytics_hour", "session_message", "collector_schema")


def url_as(url: str, user: str) -> str:
    """The same database as another user; the tests' servers believe whoever comes through their socket."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}@"))


@contextlib.contextmanager
def login(url: str, *roles: str, options: str = "") -> Iterator[str]:
    """The URL of a user who has these roles and nothing else; gone afterwards."""
    name = f"user_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN {options}".encode())
        for role in roles:
            admin.execute(f"GRANT {role} TO {name}".encode())
        try:
            yield url_as(url, name)
        finally:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
            admin.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER".encode())
            admin.execute(f"DROP OWNED BY {name}".encode())
            admin.execute(f"DROP ROLE {name}".encode())


def test_every_table_and_view_is_listed(database_url: str, engine: Engine) -> None:
    """A migration that makes one has to say there who may use it."""
    with connected(database_url) as admin:
        there = {name for name, _, _ in admin.rows(QUERIES["schema_relations"].decode())}
        there |= {name for name, _ in admin.query("schema_functions")}
        named = {name for name, _, _ in listed(admin)}
        plain_only = {"stats_5m_kept", "forget_payloads(integer)"}
        assert (there - named, named - there) == (set(), plain_only if engine.has_timescaledb else set())
        assert shortcomings(admin) == []


def test_what_belongs_to_whom(database_url: str, engine: Engine) -> None:
    with psycopg.connect(database_url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'v', 'm', 'p')"
        ).fetchall()
        if engine.has_timescaledb:
            jobs = connection.execute(
                "SELECT DISTINCT owner::text FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL"
            ).fetchall()
            assert jobs == [(OWNER,)]
    assert set(owners) <= {(OWNER,), *extension_views(database_url)}


def extension_views(url: str) -> list[tuple[str]]:
    """Owners of what extensions put into the schema."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class JOIN pg_depend ON objid = pg_class.oid"
            " AND deptype = 'e'"
            " WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()


@pytest.mark.parametrize(("role", "statements"), [(INGEST, REFUSED_TO_INGEST), (READ, REFUSED_TO_READ)])
def test_more_is_refused(database_url: str, engine: Engine, role: str, statements: tuple[str, ...]) -> None:
    if role == READ and not engine.has_timescaledb:
        statements += ("SELECT forget_payloads(1000000)",)
    with login(database_url, role) as url, psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(statement.encode())
            assert isinstance(caught.value, psycopg.errors.InsufficientPrivilege), (statement, caught.value)


@pytest.mark.parametrize("options", ["", "NOINHERIT"])
def test_what_is_too_old_goes_by_who_may_not_delete(database_url: str, engine: Engine, options: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("INSERT INTO rejected VALUES (now() - INTERVAL '2 years', 'old', 1, 'invalid: x', '')")
        admin.execute("INSERT INTO payload VALUES (now() - INTERVAL '2 years', 't', 'acme', 'film', 1, 2, 3, 4, true)")
        with login(database_url, INGEST, options=options) as url:
            gone = asyncio.run(keep_house(url))
        assert gone is not None
        assert gone["rejected"] == 1
        if not engine.has_timescaledb:  # there, policies drop chunks
            assert gone["payload"] == 1
            assert admin.execute("SELECT sum(cdn), sum(sessions) FROM stats_5m").fetchone() == (3, 1)


def test_payloads_go_by_no_door_past_their_sums(database_url: str, engine: Engine) -> None:
    if engine.has_timescaledb:
        pytest.skip("chunks are dropped by policies")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("INSERT INTO payload VALUES (now() - INTERVAL '2 years', 't', 'acme', 'film', 1, 2, 3, 4, true)")
        with login(database_url, INGEST) as url, psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT forget_old('payload', 10)").fetchone() == (1,)
        assert admin.execute("SELECT sum(cdn), sum(sessions) FROM stats_5m").fetchone() == (3, 1)


def test_serving_needs_ingest_and_read_and_nothing_else(serve: Serve, database_url: str) -> None:
    """Two users: everything is stored and read, and what read alone may see, it sees, chunks and aggregates too."""
    with login(database_url, INGEST) as ingest, login(database_url, READ) as read:
        server = serve(ingest, COLLECTOR_READ_DATABASE_URL=read)
        client = server.client
        assert client.post(encoded(payload("acme", 1))).status == 204
        assert client.post(encoded(payload("acme", 2)), path="/payloads").status == 202
        assert client.post_lines(encoded(payload("acme", 3)) + b"\nbad\n", {"Idempotency-Key": "k"}).status == 200
        assert client.stream("k").json()["complete"]
        assert client.post_lines(b'{"session":"s","seq":1,"cpu":1}\n', path="/sessions").status == 200
        log = b'{"session":"s","seq":2,"time":%d,"cpu":1}\n' % int(time.time() * 1000)
        assert client.post_lines(log, path="/sessions/logs").json()["accepted"] == 1
        assert client.request("POST", "/analytics?timestamp=1767268800000&user=ann&click").status == 204
        await_true(lambda: len(client.get("/stats", customer="acme").json()["rows"]) == 1)
        await_true(lambda: client.get("/stats", customer="acme").json()["rows"][0]["p2p"] == 6)
        assert client.get("/analytics", timestamp="1767268800000").body.startswith(b"unique_users,1\n")
        assert len(client.get("/analytics/range").json()["rows"]) == 1
        assert len(client.get("/sessions/s").json()["rows"]) == 2
        assert "permission" not in server.log_tail()
        with psycopg.connect(read) as connection:
            for relation in READABLE:
                assert connection.execute(f"SELECT count(*) FROM {relation}".encode()).fetchone() != (0,), relation
        assert server.terminate() == 0


def test_one_user_with_both_roles_serves_and_an_ordinary_one_does_not(serve: Serve, database_url: str) -> None:
    with login(database_url, INGEST, READ) as both:
        server = serve(both)
        assert server.client.post(encoded(payload("acme", 1))).status == 204
        assert len(server.client.get("/stats").json()["rows"]) == 1
        server.terminate()
    with login(database_url, READ) as read:
        done = collector("serve", "--port", "0", database_url=read)
        assert done.returncode == 1
        assert f"GRANT {INGEST} TO user_" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_connection_of_an_administrator_gives_up_its_rights(serve: Serve, database_url: str) -> None:
    server = serve(database_url, COLLECTOR_SINGLE_WAIT_S="0.5")
    assert server.client.post(encoded(payload("acme", 1))).status == 204
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND application_name = 'collector'"
        ).fetchall()
        assert rows == [("postgres",)]  # who logged in; what it may do shows here:
        connection.execute(f"REVOKE INSERT ON payload FROM {INGEST}".encode())
    assert server.client.post(encoded(payload("acme", 2))).status == 503
    migrate(database_url)
    await_true(lambda: server.client.post(encoded(payload("acme", 2))).status == 204)


def test_migrating_again_puts_grants_right(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(f"GRANT DELETE ON payload TO {READ}".encode())
        connection.execute(f"REVOKE SELECT ON stats FROM {READ}".encode())
        connection.execute("ALTER TABLE rejected OWNER TO CURRENT_USER")
        connection.execute(f"REVOKE EXECUTE ON FUNCTION forget_old FROM {INGEST}".encode())
        connection.execute("GRANT EXECUTE ON FUNCTION summarize_anew TO PUBLIC")
    with connected(database_url) as admin:
        found = shortcomings(admin)
        assert len(found) == 5
        assert any("EXECUTE on forget_old(text,integer) for collector_ingest" in each for each in found)
        assert any("PUBLIC: it has EXECUTE on summarize_anew(integer)" in each for each in found)
        assert any("SELECT on stats" in each for each in found)
        assert any("DELETE on payload" in each for each in found)
        assert any("postgres owns" in each for each in found)
    assert migrate(database_url) == []
    with connected(database_url) as admin:
        assert shortcomings(admin) == []


@pytest.fixture(scope="module")
def cluster(engine: Engine) -> Iterator[PrivateServer]:
    """A server of this module's own, whose roles come and go."""
    with engine.private_server() as server:
        yield server


def test_two_databases_of_a_cluster_at_once(cluster: PrivateServer) -> None:
    """Roles are the cluster's: whoever comes second finds them there, or is told so while it makes them."""
    with psycopg.connect(cluster.url, autocommit=True) as admin:
        for number in range(3):
            drop_roles(admin)
            names = [f"both_{number}_{at}" for at in range(2)]
            for name in names:
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
            urls = [cluster.url.replace("/collector?", f"/{name}?") for name in names]
            failures: list[BaseException] = []
            barrier = threading.Barrier(2)

            def run(url: str, barrier: threading.Barrier = barrier, failures: list[BaseException] = failures) -> None:
                try:
                    barrier.wait(30)
                    migrate(url)
                except BaseException as exc:
                    failures.append(exc)

            threads = [threading.Thread(target=run, args=(url,)) for url in urls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not failures
            for url in urls:
                with connected(url) as found:
                    assert shortcomings(found) == []
            for name in names:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def drop_roles(admin: "psycopg.Connection[tuple[object, ...]]") -> None:
    """As if nobody had migrated anything in this cluster, but for the tables of its first database."""
    for role in (OWNER, INGEST, READ):
        admin.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
        admin.execute(f"DROP OWNED BY {role}".encode())
        admin.execute(f"DROP ROLE {role}".encode())


@contextlib.contextmanager
def database_owned_by(cluster: PrivateServer, engine: Engine, user: str, options: str) -> Iterator[tuple[str, str]]:
    """An empty database of a user without any other right: its URL, and its URL as that user."""
    name = f"of_{user}_{uuid.uuid4().hex[:8]}"
    url = cluster.url.replace("/collector?", f"/{name}?")
    with psycopg.connect(cluster.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN {options}".encode())
        admin.execute(f"CREATE DATABASE {name} OWNER {user} TEMPLATE template0".encode())
        try:
            if engine.has_timescaledb:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("CREATE EXTENSION timescaledb")
            yield url, url_as(url, user)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            for role in (OWNER, INGEST, READ):
                admin.execute(
                    f"DO $$ BEGIN REVOKE {role} FROM {user} CASCADE; EXCEPTION WHEN OTHERS THEN NULL; END $$".encode()
                )
            admin.execute(f"DROP OWNED BY {user}".encode())
            admin.execute(f"DROP ROLE {user}".encode())


def test_an_owner_without_the_right_to_make_roles(serve: Serve, cluster: PrivateServer, engine: Engine) -> None:
    """Everything works as that user, and the doctor says what is missing; later an administrator puts it right."""
    with psycopg.connect(cluster.url, autocommit=True) as admin:
        drop_roles(admin)
    with database_owned_by(cluster, engine, "plain_owner", "") as (url, theirs):
        assert migrate(theirs)
        assert bring_into_line(theirs, Settings())
        server = serve(theirs)
        assert server.client.post(encoded(payload("acme", 1))).status == 204
        assert len(server.client.get("/stats").json()["rows"]) == 1
        diagnosis = diagnosed(theirs)
        assert diagnosis["problems"] == []
        assert any("may create roles" in missing for missing in diagnosis["missing"])
        assert migrate(url) == []
        with connected(url) as found:
            assert shortcomings(found) == []
        server.terminate()


def test_an_owner_who_finds_the_roles_of_others(cluster: PrivateServer, engine: Engine) -> None:
    """He grants what is his to grant, and stays the owner."""
    migrate(cluster.url)
    with database_owned_by(cluster, engine, "another", "") as (_, theirs):
        assert migrate(theirs)
        with connected(theirs) as found:
            (only,) = shortcomings(found)
            assert "another owns" in only
        with (
            login(cluster.url, INGEST) as someone,
            connected(url_as(theirs, urlsplit(someone).username or "")) as found,
        ):
            assert rights_missing(found, INGEST) is None
            assert found.value("SELECT count(*) FROM progress") == 0


def test_one_who_may_make_roles_and_nothing_else(cluster: PrivateServer, engine: Engine) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as admin:
        drop_roles(admin)
    with database_owned_by(cluster, engine, "creator", "CREATEROLE") as (url, theirs):
        assert migrate(theirs)
        with connected(url) as found:
            if engine.has_timescaledb:  # a continuous aggregate is only a superuser's to give away: so it keeps all
                (only,) = shortcomings(found)
                assert "creator owns" in only
                assert OWNER not in {owner for _, _, owner in found.rows(QUERIES["schema_relations"].decode())}
            else:
                assert shortcomings(found) == []
        assert migrate(theirs) == []
        with psycopg.connect(theirs, autocommit=True) as connection:
            connection.execute("INSERT INTO payload VALUES (now() - interval '1 h', 't', 'c', 'x', 1, 1, 1, 1, false)")
            if engine.has_timescaledb:
                connection.execute("CALL refresh_continuous_aggregate('stats_5m', NULL, NULL)")
            assert connection.execute("SELECT count(*) FROM stats").fetchone() == (1,)
    migrate(cluster.url)


def test_a_schema_without_roles_gets_them(engine: Engine) -> None:
    """As one that was made before there were any: tables of the user who migrated."""
    with empty_database(engine) as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY {OWNER} TO CURRENT_USER".encode())
            connection.execute(f"DROP OWNED BY {INGEST}, {READ}".encode())
        with connected(url) as admin:
            assert len(shortcomings(admin)) > 10
            give_roles(admin, jobs=engine.has_timescaledb)
            assert shortcomings(admin) == []
