"""A network that comes and goes: what is under way is cut, and nothing is left running."""

import asyncio

import pytest

from simulation.load.network import Network, OfflineError


def test_a_request_with_a_network_is_what_it_returns_or_raises() -> None:
    async def broken() -> int:
        raise ValueError("as it was")

    async def scenario() -> None:
        network = Network()
        assert await network.during(asyncio.sleep(0, 7)) == 7
        with pytest.raises(ValueError, match="as it was"):
            await network.during(broken())

    asyncio.run(scenario())


@pytest.mark.parametrize("cut", ["network", "task"])
def test_a_request_that_is_cut_is_cancelled(cut: str) -> None:
    async def scenario() -> None:
        network, begun, ended = Network(), asyncio.Event(), asyncio.Event()

        async def request() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(network.during(request()))
        await begun.wait()
        if cut == "network":
            network.turn(False)
        else:
            task.cancel()
        with pytest.raises(OfflineError if cut == "network" else asyncio.CancelledError):
            await task
        assert ended.is_set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_up_waits_for_the_network() -> None:
    async def scenario() -> None:
        network = Network()
        await network.up()
        network.turn(False)
        waiting = asyncio.create_task(network.up())
        await asyncio.sleep(0)
        assert not waiting.done()
        network.turn(True)
        await waiting

    asyncio.run(scenario())
