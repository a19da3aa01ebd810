"""The wire between collector and database, cut around a COMMIT: what happened is found out, and is done once."""

import asyncio
import random

import psycopg

from tests.conftest import Serve
from tests.faults.books import at_rest, balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.ledger import Ledger
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.proxy import Cut, Proxy
from tests.harness.server import ServerProcess

WARM_UP_LINES = 400
HELD_S = 0.5
"""How long the server may be left in the dark, longer than the single wait below."""
SINGLE_WAIT_S = 0.3
HELD = (Cut.HELD_THEN_COMMIT, Cut.HELD_THEN_GONE)
AFTER_LINES = 200


async def one_round(proxy: Proxy, server: ServerProcess, ledger: Ledger, choices: random.Random) -> None:
    """Every kind of cut once, in any order."""
    load = Load([server.url], ledger, choices, KINDS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        for cut in choices.sample(list(Cut), len(Cut)):
            await load.acknowledged(choices.randint(1, WARM_UP_LINES))
            proxy.arm(cut)
            await proxy.was_cut()
            if cut in HELD:
                await asyncio.sleep(choices.uniform(0, HELD_S))  # how long the server is left in the dark
                proxy.release()
        await load.acknowledged(AFTER_LINES)
        load.finish()
        async with asyncio.timeout(60):
            await asyncio.wait([running])


async def one_round_without_memory(
    proxy: Proxy, database_url: str, server: ServerProcess, ledger: Ledger, choices: random.Random
) -> None:
    """The writer's row is gone when it comes back, as housekeeping would have it after a day."""
    load = Load([server.url], ledger, choices, KINDS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        await load.acknowledged(choices.randint(1, WARM_UP_LINES))
        proxy.open = False
        proxy.arm(choices.choice([Cut.BEFORE, Cut.AFTER]))
        await proxy.was_cut()
        proxy.cut_all()
        await asyncio.to_thread(forget_writers, database_url)
        proxy.open = True
        await load.acknowledged(AFTER_LINES)
        load.finish()
        async with asyncio.timeout(60):
            await asyncio.wait([running])


def forget_writers(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM progress WHERE source LIKE 'writer %'")


async def rounds(serve: Serve, database_url: str, *, remembers: bool) -> None:
    proxy = Proxy(database_url)
    async with proxy.listening():
        # A consumer's connection would have some of the cuts.
        settings = {"COLLECTOR_SINGLE_WAIT_S": str(SINGLE_WAIT_S), "COLLECTOR_CONSUME": "false"}
        server = serve(proxy.url, start=False, **settings)
        await asyncio.to_thread(server.start)
        first = server.worker_pids()
        for number in range(ROUNDS):
            name = "cut" if remembers else "cut and forgotten"
            ledger, choices = Ledger(f"{name}-{number}".replace(" ", "-")), random_of(name, number)
            if remembers:
                await one_round(proxy, server, ledger, choices)
            else:
                await one_round_without_memory(proxy, database_url, server, ledger, choices)
            tally(name, await asyncio.to_thread(ledger.check, database_url, at_end=number == ROUNDS - 1))
            await asyncio.to_thread(balanced, server.client)
        assert server.worker_pids() == first, "the collector was to go on without a restart"
        found = await asyncio.to_thread(at_rest, server.client)
        assert found.total("collector_retries_total", why="CommitUnknown") >= ROUNDS * (len(Cut) if remembers else 1)


def test_a_commit_that_was_cut_happens_once(serve: Serve, best_database_url: str) -> None:
    asyncio.run(rounds(serve, best_database_url, remembers=True))


def test_a_commit_that_cannot_be_asked_for_leaves_no_gap(serve: Serve, best_database_url: str) -> None:
    """Nobody knows whether it happened: clients are told so, and no later line of its streams is stored before it."""
    asyncio.run(rounds(serve, best_database_url, remembers=False))
