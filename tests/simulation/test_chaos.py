"""Faults on purpose: as often as asked for, the same ones for the same seed, and nothing left running after a cut."""

import asyncio
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.load import chaos as faults
from simulation.load.chaos import BROKEN, CUT, REPEAT, STALL, Chaos, OnPurpose


def test_faults_strike_as_often_as_their_odds_and_are_counted() -> None:
    done: Counter[str] = Counter()
    chaos = Chaos(Random("odds"), done)
    struck = sum(chaos.strikes(REPEAT, {REPEAT: 0.1}) for _ in range(20_000))
    assert struck == done[REPEAT] == pytest.approx(2_000, rel=0.1)
    assert not any(chaos.strikes(BROKEN, {REPEAT: 0.1}) for _ in range(1_000)), "without odds it never does"


def test_the_same_seed_makes_the_same_choices() -> None:
    chosen = [
        [Chaos(Random(seed), Counter()).strikes(STALL, {STALL: 0.5}) for _ in range(1)] for seed in (1, 1, 2, 3, 4, 5)
    ]
    assert chosen[0] == chosen[1]
    assert len({*map(tuple, chosen)}) == 2


def test_a_cut_ends_the_request_and_says_so() -> None:
    async def scenario() -> None:
        done: Counter[str] = Counter()
        ended = asyncio.Event()

        async def request() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(OnPurpose):
            await Chaos(Random(1), done).cut(request(), {CUT: 1.0}, 0.01)
        assert ended.is_set()
        assert done == {CUT: 1}

    asyncio.run(scenario())


def test_a_request_that_is_faster_than_its_cut_is_what_it_returns_or_raises() -> None:
    async def scenario() -> None:
        done: Counter[str] = Counter()
        chaos = Chaos(Random(1), done)

        async def answered() -> int:
            return 7

        async def refused() -> int:
            raise ValueError("as it was")

        assert await chaos.cut(answered(), {CUT: 1.0}, 3600.0) == 7
        assert await chaos.cut(answered(), {CUT: 0.0}, 3600.0) == 7
        with pytest.raises(ValueError, match="as it was"):
            await chaos.cut(refused(), {CUT: 1.0}, 3600.0)
        assert not done[CUT]

    asyncio.run(scenario())


def test_a_run_that_gives_up_while_a_cut_is_awaited_leaves_nothing_running() -> None:
    async def scenario() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def request() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.create_task(Chaos(Random(1), Counter()).cut(request(), {CUT: 1.0}, 1e9))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(scenario())


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_a_body_that_stalls_is_whole(body: bytes, seed: int) -> None:
    async def scenario() -> list[bytes]:
        return [part async for part in Chaos(Random(seed), Counter()).slowly(body)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "STALL_S", (0.0, 0.0))
        parts = asyncio.run(scenario())
    assert len(parts) == 2
    assert b"".join(parts) == body
