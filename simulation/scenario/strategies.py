"""Scenarios as Hypothesis strategies, and `draw`, which makes one from a seed."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from hypothesis import strategies as st

from simulation.scenario.crowds import crowds
from simulation.scenario.model import Audience, Day, Machine, Profile, Scenario, Title
from simulation.scenario.numbers import choice, draw_from, levels

CUSTOMERS = ("acme", "borealis", "cinemax", "delta-tv", "estuary", "fjord", "globe", "helios", "isar", "juno")
CONTENTS = ("news-live", "derby-live", "concert-live", "series-1", "series-2", "film-7", "film-12", "kids-3", "quiz")
MAX_SKEW_S = 600  # clocks that nobody sets; most are right to a few seconds
MIN_PROFILES, MAX_PROFILES = 20, 50
MAX_TITLES = 4  # of one profile: with 50 profiles that is about 100 rows of stats a window, still fit for a screen


def titles() -> st.SearchStrategy[Title]:
    return st.builds(Title, customer=choice(CUSTOMERS), content=choice(CONTENTS), weight=levels(1, 10, bits=4))


@st.composite
def profiles(draw: st.DrawFn, machine: Machine, number: int = 0) -> Profile:
    """A kind of device of a kind of machine. Every third clock is right."""
    return Profile(
        **msgspec.structs.asdict(machine),
        transport=draw(choice(("single", "stream"))),
        titles=tuple(draw(titles()) for _ in range(draw(levels(1, MAX_TITLES, bits=3)))),
        session_median_s=draw(levels(60, 3600)),
        session_sigma=draw(levels(20, 120, bits=4)) / 100,
        interval_s=draw(choice((20, 30, 30, 60))),
        bitrate_kbps=draw(levels(400, 12_000)),
        p2p_permille=draw(levels(0, 950, bits=5)),
        pause_permille=draw(levels(0, 200, bits=4)),
        offline_permille=draw(levels(0, 300, bits=4)),
        twice_permille=draw(levels(0, 30, bits=3)),
        late_permille=draw(levels(0, 50, bits=3)),
        skew_s=draw(levels(-MAX_SKEW_S, MAX_SKEW_S)) if number % 3 else 0,
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
        twice_permille=draw(levels(0, 30, bits=3)),
    )


@st.composite
def scenarios(draw: st.DrawFn, low: int = MIN_PROFILES, high: int = MAX_PROFILES) -> Scenario:
    """`low` to `high` device profiles, at least one that posts and, of several, one that streams; 60 to 200 viewers
    and 20 to 40 desktop clients at any moment; an audience; a cause for CPU that is planted, and its decoys.
    """
    crowd = draw(crowds(low, high))
    drawn = [draw(profiles(machine, number)) for number, machine in enumerate(crowd.machines)]
    drawn[0] = msgspec.structs.replace(drawn[0], transport="single")
    drawn[1:2] = [msgspec.structs.replace(profile, transport="stream") for profile in drawn[1:2]]
    return Scenario(
        viewers=draw(levels(60, 200)),
        clients=draw(levels(20, 40, bits=4)),
        profiles=tuple(drawn),
        audience=draw(audiences()),
        day=Day(draw(levels(17, 21, bits=2)), draw(levels(200, 700, bits=4))),
        plant=crowd.plant,
    )


@lru_cache(maxsize=16)
def draw(number: int) -> Scenario:
    """The scenario of a seed."""
    return draw_from(scenarios(), number)
