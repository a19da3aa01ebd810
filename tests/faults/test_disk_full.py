"""The database's disk is full: whoever sends is told 503 or waits, nothing that was acknowledged is lost, and all goes
on when there is room again.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.embedded import EmbeddedError, PrivateServer
from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import random_of, tally
from tests.harness.engines import Engine, folder
from tests.harness.ledger import Ledger
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.server import ServerProcess

SIZE_MB = 320
SMALL = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}
ROUNDS = 2
TURNED_AWAY = 20
"""Requests that are turned away while the disk is full, before there is room again."""
AFTER_LINES = 500


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, in memory; it goes whatever happens."""
    if os.geteuid() != 0:
        pytest.skip("a small disk is a tmpfs, and only root may mount one")
    with folder("disk") as path:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "collector-test", str(path)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk is a tmpfs, which cannot be mounted here: {done.stderr.strip()}")
        try:
            yield path
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """There is no room left, not for a byte."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 * 1024))
        with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0")
        yield
    finally:
        ballast.unlink()


async def one_round(disk: Path, database: PrivateServer, server: ServerProcess, ledger: Ledger, number: int) -> None:
    load = Load([server.url], ledger, random_of("disk", number), KINDS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        await load.acknowledged(1_000)
        with filled(disk):
            for _ in range(TURNED_AWAY):
                await load.met_failure(60)
            assert await asyncio.to_thread(server.status, "/health/live") == 200
        # Where there was no room for the log of transactions itself, the database has ended.
        await asyncio.to_thread(started, database)
        await load.acknowledged(AFTER_LINES, timeout_s=60)
        load.finish()
        async with asyncio.timeout(60):
            await asyncio.wait([running])


def started(database: PrivateServer) -> None:
    """As whoever looks after a database would do: try until it runs."""
    for left in reversed(range(5)):
        try:
            database.ensure_running()
        except EmbeddedError:
            if not left:
                raise
        else:
            return


def test_a_full_disk_loses_nothing(serve: Serve, best_engine: Engine, small_disk: Path) -> None:
    with best_engine.private_server(within=small_disk, **SMALL) as database:
        server = serve(database.url, COLLECTOR_SINGLE_WAIT_S="0.5")
        first = server.worker_pids()
        for number in range(ROUNDS):
            ledger = Ledger(f"disk-{number}")
            asyncio.run(one_round(small_disk, database, server, ledger, number))
            tally("disk full", ledger.check(database.url, at_end=number == ROUNDS - 1))
            balanced(server.client)
        assert "No space left" in server.log.read_text() + database.log.read_text(), "the disk was never full"
        assert server.worker_pids() == first, "the collector was to go on without a restart"
