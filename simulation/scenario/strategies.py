"""Scenarios as Hypothesis strategies, and `draw`, which makes one from a seed.

Every number here is made of booleans. Hypothesis mixes constants that it finds in whatever local modules happen to be
loaded into integers, floats and texts (and so into `sampled_from`), so that one seed would give one scenario to the
command line and another to a test; booleans it leaves alone. They are also evenly distributed, where integers and
floats are drawn towards their edges, and shrink to the low end like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from simulation.scenario.model import Audience, Client, Profile, Scenario, Title

T = TypeVar("T")

CUSTOMERS = ("acme", "borealis", "cinemax", "delta-tv", "estuary", "fjord", "globe", "helios", "isar", "juno")
CONTENTS = ("news-live", "derby-live", "concert-live", "series-1", "series-2", "film-7", "film-12", "kids-3", "quiz")
DEVICES = ("android", "ios", "web", "tv", "stb", "console")
VERSIONS = ("688", "692", "699", "700", "701")
SYSTEMS = ("windows", "macos", "linux")
CORES = (2, 4, 8, 16)
MAX_SKEW_S = 600  # clocks that nobody sets; most are right to a few seconds
CLIENTS = 8
MIN_PROFILES, MAX_PROFILES = 20, 50
MAX_TITLES = 4  # of one profile: with 50 profiles that is about 100 rows of stats a window, still fit for a screen
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


def titles() -> st.SearchStrategy[Title]:
    return st.builds(Title, customer=choice(CUSTOMERS), content=choice(CONTENTS), weight=levels(1, 10, bits=4))


@st.composite
def profiles(draw: st.DrawFn, number: int = 0) -> Profile:
    """One kind of device; `number` makes its name unique."""
    return Profile(
        name=f"{draw(choice(DEVICES))}-{number:02d}",
        weight=draw(levels(1, 100)),
        transport=draw(choice(("single", "stream"))),
        titles=tuple(draw(titles()) for _ in range(draw(levels(1, MAX_TITLES, bits=3)))),
        session_median_s=draw(levels(60, 3600)),
        session_sigma=draw(levels(20, 120)) / 100,
        bitrate_kbps=draw(levels(400, 12_000)),
        p2p_permille=draw(levels(0, 950)),
        pause_permille=draw(levels(0, 200)),
    )


@st.composite
def clients(draw: st.DrawFn, number: int = 0) -> Client:
    """One kind of desktop client; `number` makes its name unique. Every third clock is right."""
    return Client(
        name=f"{draw(choice(SYSTEMS))}-{number:02d}",
        weight=draw(levels(1, 16, bits=4)),
        version=draw(choice(VERSIONS)),
        cores=draw(choice(CORES)),
        skew_s=draw(levels(-MAX_SKEW_S, MAX_SKEW_S)) if number % 3 else 0,
        offline_permille=draw(levels(0, 300, bits=4)),
    )


@st.composite
def audiences(draw: st.DrawFn) -> Audience:
    """A few hundred users, who come again within the hour."""
    return Audience(
        users=draw(levels(100, 2000)),
        click_permille=draw(levels(50, 500, bits=4)),
        historic_permille=draw(levels(50, 300, bits=4)),
        hours_back=draw(levels(6, 72, bits=4)),
        stream_permille=draw(levels(200, 800, bits=4)),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """20 to 50 device profiles, at least one that streams and one that posts, and 100 to 400 viewers;
    10 to 40 desktops of 8 kinds; an audience.
    """
    drawn = [draw(profiles(number)) for number in range(draw(levels(MIN_PROFILES, MAX_PROFILES)))]
    drawn[0] = _sending(drawn[0], "single")
    drawn[1] = _sending(drawn[1], "stream")
    return Scenario(
        viewers=draw(levels(100, 400)),
        profiles=tuple(drawn),
        machines=draw(levels(10, 40, bits=4)),
        clients=tuple(draw(clients(number)) for number in range(CLIENTS)),
        audience=draw(audiences()),
    )


def _sending(profile: Profile, transport: str) -> Profile:
    return msgspec.structs.replace(profile, transport=transport)


@lru_cache(maxsize=16)
def draw(number: int) -> Scenario:
    """The scenario of a seed: the same for the same seed, whatever else is loaded (and this version of Hypothesis)."""
    drawn: list[Scenario] = []

    # Two examples, and the last is taken: the first is always the simplest one.
    @seed(number)
    @settings(
        phases=[Phase.generate],
        database=None,
        max_examples=2,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def collect(scenario: Scenario) -> None:
        drawn.append(scenario)

    collect()
    return drawn[-1]
