"""What is kept is made once for all, again when it is old, and nobody waits for long."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from collector.errors import StoreDown
from collector.recent import Recent

LONG_S = 60.0


class Maker:
    """Makes 1, 2, 3, … when it is let."""

    def __init__(self, *, free: bool = True) -> None:
        self.begun = 0
        self.now_s = 0.0
        self.gate = asyncio.Event()
        if free:
            self.gate.set()
        self.failing = False

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        if self.failing:
            raise StoreDown("away")
        return number

    def recent(self, wait_s: float = LONG_S) -> Recent[int]:
        return Recent(self.make, keep_s=10, wait_s=wait_s, clock=lambda: self.now_s)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, LONG_S))


def test_all_who_ask_at_once_share_one() -> None:
    async def test() -> None:
        maker = Maker(free=False)
        recent = maker.recent()
        asking = [asyncio.create_task(recent.get()) for _ in range(5)]
        await asyncio.sleep(0)
        maker.gate.set()
        assert await asyncio.gather(*asking) == [1] * 5
        assert await recent.get() == 1
        assert maker.begun == 1

    run(test())


def test_an_old_one_is_given_while_a_new_one_is_made() -> None:
    async def test() -> None:
        maker = Maker()
        recent = maker.recent()
        assert await recent.get() == 1
        maker.now_s = 10.0
        maker.gate.clear()
        assert await recent.get() == 1
        await asyncio.sleep(0)
        assert maker.begun == 2
        making = recent._making
        assert making is not None
        maker.gate.set()
        await making
        assert await recent.get() == 2

    run(test())


def test_nobody_waits_for_long() -> None:
    async def test() -> None:
        maker = Maker(free=False)
        recent = maker.recent(wait_s=0)
        assert await recent.get() is None
        recent.stop()

    run(test())


def test_a_failure_is_told_and_tried_again() -> None:
    async def test() -> None:
        maker = Maker()
        recent = maker.recent()
        maker.failing = True
        with pytest.raises(StoreDown):
            await recent.get()
        maker.failing = False
        assert await recent.get() == 2
        maker.now_s, maker.failing = 10.0, True
        assert await recent.get() == 2, "an old one is better than none"

    run(test())
