"""SIGKILL of the collector, workers and all, at random moments under load."""

import asyncio
import functools
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.ledger import Ledger
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.server import ServerProcess

WARM_UP_LINES = 1_500
"""Acknowledged before the kill at most, so that kills meet a collector that has just begun, too."""
RANDOM_MOMENT_S = 0.05
AFTER_LINES = 200
"""Acknowledged after the restart: work goes on."""


async def one_round(
    server: ServerProcess, ledger: Ledger, choices: random.Random, kill_and_start: Callable[[], object]
) -> None:
    load = Load([server.url], ledger, choices, KINDS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        await load.acknowledged(choices.randint(1, WARM_UP_LINES))
        await asyncio.sleep(choices.uniform(0, RANDOM_MOMENT_S))  # the fault's moment; nothing waits for it
        await asyncio.to_thread(kill_and_start)
        await load.acknowledged(AFTER_LINES)
        load.finish()
        async with asyncio.timeout(60):
            await asyncio.wait([running])


def test_what_was_acknowledged_survives_a_kill(serve: Serve, best_database_url: str) -> None:
    server = serve(best_database_url)
    for number in range(ROUNDS):
        choices = random_of("kill", number)
        ledger = Ledger(f"kill-{number}")
        asyncio.run(one_round(server, ledger, choices, server.restart))
        tally("kill", ledger.check(best_database_url, at_end=number == ROUNDS - 1))
        balanced(server.client)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_is_replaced(serve: Serve, best_database_url: str, workers: int) -> None:
    """Only a worker dies, and nobody starts anything by hand; once, for a second time soon after ends the server."""
    server = serve(best_database_url, workers=workers)
    choices = random_of("worker", workers)
    ledger = Ledger(f"worker-{workers}")
    victim = choices.choice(server.worker_pids())
    asyncio.run(one_round(server, ledger, choices, functools.partial(os.kill, victim, signal.SIGKILL)))
    tally("worker killed", ledger.check(best_database_url, at_end=True))
    assert server.running
    assert victim not in server.worker_pids()
    await_true(lambda: len(server.worker_pids()) == workers)


def test_workers_that_die_again_and_again_end_the_server(serve: Serve, best_database_url: str) -> None:
    """With a status that says so: whoever supervises it is to know."""
    server = serve(best_database_url)
    (first,) = server.worker_pids()
    os.kill(first, signal.SIGKILL)
    await_true(lambda: server.worker_pids() not in ([], [first]))
    (second,) = server.worker_pids()
    os.kill(second, signal.SIGKILL)
    assert server.wait() != 0
