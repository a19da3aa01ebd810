"""The database stopped in its tracks under load, by `pg_ctl stop -m immediate` or by SIGKILL of the postmaster, and
started again.
"""

import asyncio
import os
import random
import signal

from collector.embedded import PrivateServer
from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.engines import Engine
from tests.harness.ledger import Ledger
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.server import ServerProcess

WARM_UP_LINES = 1_500
RANDOM_MOMENT_S = 0.05
AWAY_S = 0.8
"""The longest that the database is away: with the single wait below, some singles are answered 503 and some wait."""
SINGLE_WAIT_S = 0.3
AFTER_LINES = 200


def crash(database: PrivateServer, choices: random.Random) -> None:
    """Either way; backends notice the death of a killed postmaster by themselves."""
    pid = database.pid
    if choices.random() < 0.5 or pid is None:
        database.stop("immediate")
    else:
        os.kill(pid, signal.SIGKILL)


async def one_round(database: PrivateServer, server: ServerProcess, ledger: Ledger, choices: random.Random) -> int:
    """Returns how many requests were turned away."""
    load = Load([server.url], ledger, choices, KINDS)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(load.run())
        await load.acknowledged(choices.randint(1, WARM_UP_LINES))
        await asyncio.sleep(choices.uniform(0, RANDOM_MOMENT_S))  # the fault's moment; nothing waits for it
        await asyncio.to_thread(crash, database, choices)
        await asyncio.sleep(choices.uniform(0, AWAY_S))  # how long it is away
        await asyncio.to_thread(database.ensure_running)
        await load.acknowledged(AFTER_LINES)
        load.finish()
        async with asyncio.timeout(60):
            await asyncio.wait([running])
    return load.failures


def test_what_was_acknowledged_survives_a_crash_of_the_database(serve: Serve, best_engine: Engine) -> None:
    with best_engine.private_server() as database:
        server = serve(database.url, COLLECTOR_SINGLE_WAIT_S=str(SINGLE_WAIT_S))
        first = server.worker_pids()
        turned_away = 0
        for number in range(ROUNDS):
            ledger = Ledger(f"crash-{number}")
            turned_away += asyncio.run(one_round(database, server, ledger, random_of("crash", number)))
            tally("crash", ledger.check(database.url, at_end=number == ROUNDS - 1))
            balanced(server.client)
        assert server.worker_pids() == first, "the collector was to go on without a restart"
        assert turned_away, "no request was answered 503: the test's crashes were too short to show anything"
