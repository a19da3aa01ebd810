"""Secrets stay where they are: API keys and passwords are in no log, dump, traceback, command line or answer, whatever
goes wrong; and what clients send makes no log line of its own.
"""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import psycopg

from collector import processes
from collector.access.keys import new_key
from collector.embedded import PrivateServer
from tests.conftest import Serve
from tests.faults.books import await_true
from tests.faults.rounds import tally
from tests.harness.client import NDJSON, Answer
from tests.harness.engines import Engine
from tests.harness.ledger import Ledger
from tests.harness.messages import KINDS, STATS
from tests.harness.server import ServerProcess, collector, environment
from tests.harness.wire import Wire

PASSWORD, READ_PASSWORD = "hunter2-of-the-writer", "hunter2-of-the-reader"
FORGED = 'a\r\n{"event": "forged", "level": "critical"}\r\n\x1b[2J\u2028b'


def with_password(url: str, password: str) -> str:
    """The tests' servers believe whoever comes through their socket, with any password."""
    parts = urlsplit(url)
    user = parts.netloc.partition("@")[0] or "postgres"
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@"))


class Everything:
    """What the outside has seen."""

    def __init__(self) -> None:
        self.secrets = [PASSWORD, READ_PASSWORD]
        self._seen: list[tuple[str, str]] = []

    def saw(self, where: str, text: str) -> None:
        self._seen.append((where, text))

    def answer(self, answer: Answer) -> Answer:
        """The cookie is the way to give a key back to who showed it."""
        headers = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
        self.saw(f"an answer of {answer.status}", f"{headers} {answer.body.decode(errors='replace')}")
        return answer

    def check(self) -> None:
        """No secret is in any of it, nor the half of a key that is secret."""
        assert len(self._seen) > 40
        for secret in [*self.secrets, *(secret[12:] for secret in self.secrets if secret.startswith("ck_"))]:
            for where, text in self._seen:
                assert secret not in text, f"a secret is in {where}"


def key_made(everything: Everything, url: str, scope: str) -> str:
    """By the command; it is shown once."""
    done = collector("keys", "create", "--name", f"the {scope} key", "--scope", scope, database_url=url)
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    everything.secrets.append(key)
    everything.saw("what `keys create` says besides", done.stderr)
    return key


def trouble(everything: Everything, server: ServerProcess, keys: list[str], name: str) -> None:
    """Requests of every kind with keys in every place, right and wrong ones."""
    client = server.client
    for key in keys:
        bearer = {"Authorization": f"Bearer {key}"}
        for kind in KINDS:
            target, body = kind.single(f"leaks {name}", f"leaks/{name}:1")
            everything.answer(client.post(body, bearer, target))
            everything.answer(client.post(b"{", bearer, target))
            everything.answer(client.post_lines(b"bad\n", {**bearer, "Idempotency-Key": "a"}, kind.path))
        for path in ("/stats", "/metrics", "/nowhere", "/streams/a", "/stats?from=yesterday"):
            everything.answer(client.get(path, bearer))
        everything.answer(client.get("/stats", {"Authorization": f"Basic {key}"}))
        everything.answer(client.get("/stats", {"Cookie": f"collector_key={key}"}))
        form = urlencode({"key": key, "to": "/stats"})
        everything.answer(client.request("POST", "/login", form))
    forged = FORGED.encode()
    bearer = {"Authorization": f"Bearer {keys[0]}"}
    everything.answer(client.get(f"/{quote(forged)}", bearer))
    everything.answer(client.get(f"/streams/{quote(forged)}", bearer))
    for field in ("token", "customer", "content"):
        payload = json.loads(STATS.line("leaks", "leaks/forged:1")) | {field: FORGED}
        everything.answer(client.post(json.dumps(payload), bearer))
        # With a key, for without one a stream waits for the database.
        keyed = {**bearer, "Idempotency-Key": f"{name} {field}"}
        everything.answer(client.post_lines(json.dumps(payload | {"cdn": FORGED}) + "\n", keyed))
    with Wire(client.address, {**bearer, "Content-Type": NDJSON, "X-Forged": "a\tb"}) as wire:
        wire.send(b'{"token":"a\\r\\n')


@contextlib.contextmanager
def refusing(url: str) -> Iterator[None]:
    """The database refuses rows, and says so in words that a client has chosen."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not %', NEW.customer; END $$"
        )
        admin.execute("CREATE TRIGGER refuse BEFORE INSERT ON payload FOR EACH ROW EXECUTE FUNCTION refuse()")
        yield
        admin.execute("DROP TRIGGER refuse ON payload")


def test_no_secret_gets_out_and_no_log_line_gets_in(serve: Serve, best_engine: Engine) -> None:
    everything = Everything()
    with best_engine.private_server() as database:
        url = with_password(database.url, PASSWORD)
        ingest, read = (key_made(everything, url, scope) for scope in ("ingest", "read"))
        unknown = new_key()[1]
        everything.secrets.append(unknown)
        keys = [ingest, read, unknown]
        server = serve(
            url,
            COLLECTOR_READ_DATABASE_URL=with_password(database.url, READ_PASSWORD),
            COLLECTOR_API_KEYS="on",
            COLLECTOR_LOG_LEVEL="debug",
            COLLECTOR_SINGLE_WAIT_S="0.3",
        )
        ledger = Ledger("kept")
        ledger.sent.add("kept/a:1")
        bearer = {"Authorization": f"Bearer {ingest}"}
        assert server.client.post(STATS.line("kept", "kept/a:1"), bearer).status == 204
        ledger.acknowledge(ledger.sent)
        trouble(everything, server, keys, "well")
        with refusing(database.url):
            trouble(everything, server, keys, "refused")
        commands(everything, url)
        for pid in [server.pid, *server.worker_pids()]:
            everything.saw("a command line", " ".join(processes.command_line(pid) or []))
        database.stop("immediate")
        server.await_answer("/health/ready", 503)
        everything.answer(server.client.get("/health/ready"))
        trouble(everything, server, keys, "away")
        done = collector("doctor", database_url=url)
        everything.saw("what `doctor` says of a database that is away", done.stdout + done.stderr)
        database.ensure_running()
        server.await_answer("/health/ready")
        assert collector("keys", "revoke", "the ingest key", database_url=url).returncode == 0
        await_true(lambda: server.client.post(b"{}", bearer).status == 401)
        everything.answer(server.client.post(b"{}", bearer))
        assert server.terminate() == 0
        for where, text in dumps(best_engine, database):
            everything.saw(where, text)
        tally("leaks", ledger.check(database.url, at_end=True))
    log = server.log.read_text()
    everything.saw("the log", log)
    everything.check()
    # The server's own words, which are about processes alone, and come with `debug` only.
    of_server = re.compile(r"\[INFO\] [A-Z][ \w():,!/.-]*")
    events = [json.loads(line) for line in log.split("\n") if line and not of_server.fullmatch(line)]
    assert len(events) > 5
    assert not any(event["event"] == "forged" or event["level"] == "critical" for event in events)


def commands(everything: Everything, url: str) -> None:
    """What commands say of this database, and of one that is not there."""
    nowhere = f"postgresql://someone:{PASSWORD}@127.0.0.1:1/nothing"
    for arguments, address in (
        (("doctor",), url),
        (("doctor", "--json"), url),
        (("keys", "list"), url),
        (("keys", "list", "--json"), url),
        (("migrate",), nowhere),
        (("doctor",), nowhere.replace(":1/", ":no-port/")),
        (("serve", "--port", "no-port"), nowhere),
    ):
        done = collector(*arguments, database_url=address)
        everything.saw(f"collector {' '.join(arguments)}", done.stdout + done.stderr)


def dumps(engine: Engine, database: PrivateServer) -> Iterator[tuple[str, str]]:
    """All that is in the database, by pg_dump if that is of the server's version, and row by row."""
    with psycopg.connect(database.url) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
        assert ("api_key",) in tables
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} AS t".encode()).fetchall()
            yield f"the table {table}", "\n".join(text for (text,) in rows)
    program = shutil.which("pg_dump", path=str(engine.installation.bin_dir))
    if program is not None:
        done = subprocess.run(
            [program, database.url], capture_output=True, text=True, check=False, env=environment({"PGTZ": "UTC"})
        )
        assert done.returncode == 0, done.stderr
        assert "api_key" in done.stdout
        yield "pg_dump", done.stdout


def test_a_bad_setting_does_not_say_what_it_was() -> None:
    done = collector(
        "serve",
        database_url=f"postgresql://a:{PASSWORD}@127.0.0.1:1/x",
        COLLECTOR_KAFKA_BOOTSTRAP="127.0.0.1:1",
        COLLECTOR_KAFKA_OPTIONS=f"sasl.password={PASSWORD},nonsense=1",
    )
    assert done.returncode == 2
    assert "COLLECTOR_KAFKA_OPTIONS" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
