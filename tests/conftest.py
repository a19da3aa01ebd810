"""Fixtures of all tests: engines, a fresh database a test, collectors on it; and what is said at the end of a run."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.rounds import seed_line, tally, tally_lines
from tests.harness.broker import Broker, running
from tests.harness.engines import NAMES, Engine, Engines, named, not_found
from tests.harness.ledger import Differs
from tests.harness.server import ServerProcess

ENGINES = Engines()
_SERVERS: pytest.StashKey[list[ServerProcess]] = pytest.StashKey()

Serve = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    yield ENGINES
    ENGINES.close()


@pytest.fixture(scope="session", params=NAMES)
def engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    """Each engine in turn; one that is not on the machine is skipped, with a word on how to get it."""
    name = named(request.param)
    found = engines.get(name)
    if found is None:
        pytest.skip(not_found(name))
    return found


@pytest.fixture(scope="session")
def best_engine(engines: Engines) -> Engine:
    """For tests that need one engine: TimescaleDB if it is there, else plain PostgreSQL."""
    found = engines.best()
    if found is None:
        pytest.skip(not_found("plain"))
    return found


@pytest.fixture
def database_url(engine: Engine) -> Iterator[str]:
    """A fresh migrated database, on each engine."""
    with engine.database() as url:
        yield url


@pytest.fixture
def best_database_url(best_engine: Engine) -> Iterator[str]:
    """A fresh migrated database on the best engine."""
    with best_engine.database() as url:
        yield url


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A Kafka broker, for tests that use topics of their own and leave it running."""
    with running() as found:
        yield found


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Make collectors: `serve(database_url, workers=1, COLLECTOR_…="…")`, ready unless `start=False`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="collector-logs-")))
        made: list[ServerProcess] = []
        request.node.stash[_SERVERS] = made

        def make(database_url: str, *, workers: int = 1, start: bool = True, **environment: str) -> ServerProcess:
            log = folder / f"{len(made)}.log"
            # One that is killed leaves files of its workers' metrics behind.
            server = ServerProcess(
                database_url, log, workers=workers, environment={"TMPDIR": str(folder), **environment}
            )
            made.append(server)
            stack.callback(server.kill)
            return server.start() if start else server

        yield make


@pytest.fixture
def server(serve: Serve, database_url: str) -> ServerProcess:
    """A collector on a fresh database, on each engine."""
    return serve(database_url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails shows what its collectors wrote; and what was lost or twice in it is counted."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, Differs):
        tally(f"FAILED, {item.name}", call.excinfo.value.verdict)
    if report.failed:  # type: ignore[attr-defined]
        for server in item.stash.get(_SERVERS, []):
            report.sections.append((f"log of the collector on port {server.port}", server.log_tail()))  # type: ignore[attr-defined]
    return report


def pytest_report_header() -> str:
    return seed_line()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(ENGINES.summary())
    if lines := tally_lines():
        for line in (seed_line(), *lines):
            terminalreporter.write_line(line)
