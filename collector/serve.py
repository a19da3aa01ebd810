"""`collector serve`: granian with one or more workers, each a process with its own writers."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog
from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.http import HTTP1Settings
from litestar import Litestar

from collector import background, logs, processes
from collector.access.exposure import check_certificate, check_keys, with_keys_decided
from collector.database.chosen import Database, database_of
from collector.database.retention import check as check_ages
from collector.database.roles import INGEST, rights_missing
from collector.database.upkeep import bring_into_line, pending
from collector.errors import CollectorError, StoreDown
from collector.garbage import collect_garbage_rarely
from collector.http.listening import Connections, SharedServer
from collector.migrate import check, migrate
from collector.queue import check_queue
from collector.settings import Settings, exported, load, variable
from collector.store.admin import Admin, connected
from collector.store.keys import living_keys

log = structlog.get_logger()

OTHER_FILES = 100
"""What a process has open beside its clients' connections: those to the database and the brokers, and a few more."""
KILL_AFTER_S = 4
"""After the drain's own bound, which ends well before."""


def serve(settings: Settings, *, migrate_first: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. Raises CollectorError where it cannot begin."""
    logs.configure(settings)
    logs.warn_of_unknown_settings()
    check_certificate(settings)
    check_queue(settings)
    settings = with_keys_decided(settings)
    settings = _with_connections_allowed(settings)
    with database_of(settings) as database, _metrics_folder(settings.workers):
        port = _free_port(settings.host, settings.port)
        settings = msgspec.structs.replace(settings, port=port)
        _prepare(database, settings, migrate_first=migrate_first or database.private is not None)
        os.environ.update(exported(settings))
        scheme = "https" if settings.ssl_certificate is not None else "http"
        log.info(
            "listening",
            url=f"{scheme}://{_bracketed(settings.host)}:{port}",
            workers=settings.workers,
            api_keys=settings.api_keys,
            pid=os.getpid(),
        )
        SharedServer(
            "collector.serve:worker",
            address=settings.host,
            port=port,
            interface=Interfaces.ASGI,
            loop=Loops.auto,
            workers=settings.workers,
            backpressure=settings.connections,  # counts connections, whatever they do
            http=HTTPModes.http1,  # to find out about HTTP/2, granian waits for a first byte without end
            http1_settings=HTTP1Settings(header_read_timeout=round(settings.headers_s * 1000)),
            ssl_cert=settings.ssl_certificate,
            ssl_key=settings.ssl_keyfile,
            ssl_protocol_min=SSLProtocols(settings.ssl_protocol_min),
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=round(settings.drain_s) + KILL_AFTER_S,
            log_enabled=settings.log_level == "debug",
            factory=True,
        ).serve()


def worker() -> Litestar:
    """The application of a worker process, called by granian."""
    from collector.app import create_app, leave_at_signals
    from collector.service import Service

    if (ends_with_parent := processes.ends_with_parent()) is not None:
        ends_with_parent()  # it drains then, rather than keep the port
    settings = load()
    logs.configure(settings)
    stack = contextlib.ExitStack()  # lives as long as the process
    database = stack.enter_context(database_of(settings))
    connections = Connections(settings.port)
    count = connections.count if sys.platform == "linux" else None
    app = create_app(lambda: Service(settings, database.url, recover=database.recover, connections=count))
    leave_at_signals(app, connections)
    collect_garbage_rarely()
    # It drains, and granian starts another in its place.
    background.at_defect(lambda: os.kill(os.getpid(), signal.SIGTERM))
    return app


def _prepare(database: Database, settings: Settings, *, migrate_first: bool) -> None:
    try:
        if migrate_first:
            check_ages(settings)
            applied = migrate(database.url)
            log.info("migrated", applied=applied, changed=bring_into_line(database.url, settings))
        else:
            check(database.url)
        with connected(database.url) as admin:
            _refuse_unfit(admin, settings)
    except StoreDown as exc:
        if migrate_first:
            raise CollectorError(f"cannot migrate: {exc}") from exc
        log.warning("the database is away; not ready until it is there", why=str(exc))


def _refuse_unfit(admin: Admin, settings: Settings) -> None:
    if lacking := rights_missing(admin, INGEST):
        raise CollectorError(lacking)
    check_keys(settings, len(living_keys(admin)))
    if different := pending(admin, settings):
        log.warning("old rows are not treated as is set: run `collector migrate`", different=different)


def _with_connections_allowed(settings: Settings) -> Settings:
    """Let this process have as many files open as the system lets it, for many systems begin with 1,024; and a worker
    no more connections than that leaves room for.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = files - OTHER_FILES
    if files == resource.RLIM_INFINITY or settings.connections <= allowed:
        return settings
    name = variable("connections")
    if allowed < 1:
        raise CollectorError(f"{name}: a process may open {files} files only (ulimit -n), and needs {OTHER_FILES} more")
    log.warning(f"{name} is lowered: a process may open fewer files (ulimit -n)", connections=allowed, files=files)
    return msgspec.structs.replace(settings, connections=allowed)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises CollectorError where it is taken: the server would share it silently."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise CollectorError(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
        taken: int = probe.getsockname()[1]
        return taken


@contextlib.contextmanager
def _metrics_folder(workers: int) -> Iterator[None]:
    """Several workers share their metrics through files; whichever is asked answers for all."""
    if workers == 1:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="collector-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
