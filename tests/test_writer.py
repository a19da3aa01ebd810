"""The writer's advice to clients: how long the backlog takes at the rate of late."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.segment import Segment, Source
from collector.settings import Settings
from collector.writer import Writer


def advice(waiting: int, rates: list[float]) -> int:
    """Of a writer that has done a second of work at each of these rates, in rows a second."""

    async def ask() -> int:
        writer = Writer("test", "postgresql://127.0.0.1:1/nothing", Settings())
        for rate in rates:
            writer._measure(round(rate), 1.0)
        segment = Segment(Source("a", "/stats"), "/stats", 0, [object()] * waiting)
        writer._backlog.add(segment, 0.0)
        return writer.retry_after_s()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("waiting", "rate", "seconds"),
    [(0, 1000, 1), (500, 1000, 1), (5_000, 1000, 5), (60_000, 2000, 30), (60_000, 100, 60)],
)
def test_it_is_the_backlog_over_the_drain_rate(waiting: int, rate: float, seconds: int) -> None:
    """Whole seconds, from one to sixty."""
    assert advice(waiting, [rate] * 50) == seconds


def test_before_anything_was_stored_it_is_soon() -> None:
    assert advice(10_000, []) == 1


@given(st.integers(1_000, 60_000), st.floats(100, 10_000))
def test_it_follows_a_rate_that_changes(waiting: int, rate: float) -> None:
    """Ten transactions on, most of what is known is of the new rate."""
    slow, fast = advice(waiting, [rate] * 30 + [rate / 10] * 20), advice(waiting, [rate] * 30)
    assert slow >= fast
