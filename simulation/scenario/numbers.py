"""Numbers and choices as Hypothesis strategies that give the same for the same seed.

They are made of booleans. Hypothesis mixes constants that it finds in whatever local modules happen to be loaded into
integers, floats and texts (and so into `sampled_from`), so that one seed would give one scenario to the command line
and another to a test; booleans it leaves alone. They are also evenly distributed, where integers and floats are drawn
towards their edges, and shrink to the low end like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

LEVELS_BITS = 6  # 64 levels a number: a large draw (more than 8,192 choices) would be refused by Hypothesis


@lru_cache
def levels(low: int, high: int, bits: int = LEVELS_BITS) -> st.SearchStrategy[int]:
    """Integers from `low` to `high`, both included, at up to 2**bits evenly spaced levels."""
    top = (1 << bits) - 1

    def scaled(flags: tuple[bool, ...]) -> int:
        value = 0
        for flag in flags:
            value = value * 2 + flag
        return low + (high - low) * value // top

    return st.tuples(*[st.booleans()] * bits).map(scaled)


def choice(values: Sequence[T]) -> st.SearchStrategy[T]:
    """One of `values` (at most 256), about evenly."""
    return levels(0, 256 * len(values) - 1, bits=8).map(lambda index: values[index // 256])


def draw_from(strategy: st.SearchStrategy[T], number: int) -> T:
    """What the strategy gives for this seed: the same, whatever else is loaded (and this version of Hypothesis)."""
    drawn: list[T] = []

    # Two examples, and the last is taken: the first is always the simplest one. The second then always begins with
    # another boolean than that, so that the first one has to be given away for the rest to be even.
    @seed(number)
    @settings(
        phases=[Phase.generate],
        database=None,
        max_examples=2,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.booleans(), strategy)
    def collect(_: bool, value: T) -> None:
        drawn.append(value)

    collect()
    return drawn[-1]
