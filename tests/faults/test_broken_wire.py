"""The wire between clients and collector, slow, and cut anywhere in either direction: a stream that is resumed is
stored as it was sent, and what has a key is there once.
"""

import asyncio
import random

from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.ledger import Ledger
from tests.harness.link import Fate, Link
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.server import ServerProcess

LINES = 4_000
"""Acknowledged in a round, at least."""
WHOLE = 0.2
"""Of connections: those that are not cut."""
FAR_BYTES = 400_000
NEAR_BYTES = 400
"""Cuts fall within the head of a request or an answer, or anywhere in what comes after it."""
DELAY_S = 0.02


def fate(choices: random.Random) -> Fate:
    """Of a connection."""
    delay_s = choices.choice([0.0, 0.0, choices.uniform(0, DELAY_S)])
    if choices.random() < WHOLE:
        return Fate(delay_s=delay_s)
    limit = choices.randrange(choices.choice([NEAR_BYTES, FAR_BYTES]))
    up, down = (limit, None) if choices.random() < 0.7 else (None, choices.randrange(NEAR_BYTES * 4))
    return Fate(delay_s=delay_s, up_bytes=up, down_bytes=down, reset=choices.random() < 0.5)


async def one_round(server: ServerProcess, ledger: Ledger, choices: random.Random) -> int:
    """Returns how many connections were cut."""
    async with Link(server.client.address, lambda: fate(choices)).listening() as link:
        load = Load([link.url], ledger, choices, KINDS)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(load.run(unkeyed=0, keyed=5, streams=5, silent=5, loose=0))
            await load.acknowledged(LINES, timeout_s=60)
            load.finish()
            async with asyncio.timeout(60):
                await asyncio.wait([running])
    return link.cuts


def test_a_stream_that_is_cut_anywhere_and_resumed_is_stored_as_it_was_sent(
    serve: Serve, best_database_url: str
) -> None:
    server = serve(best_database_url)
    cuts = 0
    for number in range(ROUNDS):
        ledger = Ledger(f"wire-{number}")
        cuts += asyncio.run(one_round(server, ledger, random_of("wire", number)))
        assert ledger.acknowledged == ledger.sent, "a stream or a keyed message was given up"
        verdict = ledger.check(best_database_url, at_end=number == ROUNDS - 1)
        assert verdict.stored == verdict.sent
        tally("broken wire", verdict)
        balanced(server.client)
    assert cuts > 3 * ROUNDS
