"""Strategies for the desktop clients: kinds of machines, and what is planted in them.

The plant is drawn first, and the machines so that its cause has the share of all sessions that was drawn for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from simulation.scenario.causes import FILE, OF_MACHINE, SESSION, Cause, Condition, Decoy, Plant, Scalar, Trait
from simulation.scenario.model import Activities, Machine
from simulation.scenario.numbers import choice, levels

VERSIONS = ("688", "692", "699", "700", "701")
SYSTEMS = ("windows", "macos", "linux", "android")
CORES = (2, 4, 8, 16)
TRAITS = {
    "storage": ("ssd", "hdd", "network"),
    "antivirus": ("none", "alpha", "beta"),
    "edition": ("free", "team", "pro"),
    "language": ("en", "de", "fr", "pt"),
}
FOLDERS = ("photos", "documents", "archive", "music")  # a trait of files
EVENTS = ("login", "indexing", "idle", "incoming_file", "outgoing_file")
FILE_EVENTS = ("incoming_file", "outgoing_file")
OF_SESSION: dict[str, tuple[Scalar, ...]] = {
    "version": VERSIONS,
    "os": SYSTEMS,
    "storage": TRAITS["storage"],
    "antivirus": TRAITS["antivirus"],
}

# What a cause is made of: something of the session, an event, a number of a file. Several of one kind are more likely.
SHAPES = ("s", "s", "n", "se", "sn", "en", "ss", "sen", "sse")
# In which part of all sessions the app comes to one of the two file events; and has a file whose name is longer than so
# many characters, in either of them, and in one of them. Measured; a share is only to be about right.
REACHED = 0.72
LONG_OF_ANY = ((42, 0.51), (50, 0.40), (60, 0.27), (72, 0.17))
LONG_OF_ONE = ((36, 0.38), (42, 0.31), (50, 0.23), (60, 0.15))


class Crowd(Struct, frozen=True):
    """Kinds of machines, and what is planted in their clients."""

    machines: tuple[Machine, ...]
    plant: Plant


class _Draft(Struct):
    """A cause, and which part of all sessions meets each of its conditions on the session."""

    cause: Cause
    shares: dict[str, float]


@st.composite
def crowds(draw: st.DrawFn, low: int = 16, high: int = 24) -> Crowd:
    """`low` to `high` kinds of machines, and a plant that is met at times in 5 % to 60 % of all sessions."""
    draft = draw(_drafts())
    plant = draw(_plants(draft))
    number = draw(levels(low, high, bits=5))
    groups = _groups(draft.shares)
    machines: list[Machine] = []
    for at in range(number):
        met, _ = groups[at] if at < len(groups) else groups[_group_of((at + 0.5) / number, groups)]
        machines.append(draw(_machines(at, draft.cause, met)))
    return Crowd(_weighed(machines, draft.cause, groups), plant)


@st.composite
def _drafts(draw: st.DrawFn) -> _Draft:
    """A cause with its shares."""
    shape = draw(choice(SHAPES))
    conditions: list[Condition] = []
    share = draw(levels(80, 500)) / 1000  # of all sessions, in which it is to hold at times
    event: str | None = None
    if "e" in shape:
        event = draw(choice(FILE_EVENTS if "n" in shape else EVENTS))
    reached = REACHED if event in FILE_EVENTS else 1.0
    if "n" in shape:
        length, reached = draw(choice(LONG_OF_ANY if event is None else LONG_OF_ONE))
        conditions.append(Condition("filename_length", ">", length))
    of_session = min(0.5, share / reached)
    names = list(OF_SESSION)
    shares: dict[str, float] = {}
    for at in range(shape.count("s")):
        name = draw(choice(names))
        names.remove(name)
        conditions.insert(at, Condition(name, "=", draw(choice(OF_SESSION[name]))))
        # Of two conditions each is met much more often than both: otherwise one would tell as much as both.
        shares[name] = of_session if shape.count("s") == 1 else math.sqrt(of_session)
    if event is not None:
        conditions.insert(len(shares), Condition("event", "=", event))
    cause = Cause(tuple(conditions), draw(levels(700, 950, bits=4)), draw(levels(40, 70, bits=4)))
    return _Draft(cause, shares)


@st.composite
def _plants(draw: st.DrawFn, draft: _Draft) -> Plant:
    """The cause with traits and decoys beside it."""
    traits: list[Trait] = []
    for name, values in TRAITS.items():
        if (share := draft.shares.get(name)) is not None:
            [value] = [condition.value for condition in draft.cause.conditions if condition.dimension == name]
            inside, outside = round(1000 * share), round(1000 * (1 - share) / (len(values) - 1))
            weights = [inside if value == each else outside for each in values]
        else:
            weights = [draw(levels(2, 8, bits=3)) for _ in values]
        traits.append(Trait(SESSION, name, values, tuple(weights)))
    traits.append(Trait(FILE, "folder", FOLDERS, tuple(draw(levels(2, 8, bits=3)) for _ in FOLDERS)))
    decoys = [draw(_decoys(trait)) for trait in traits if trait.name in ("language", "edition")] if draft.shares else []
    if not draft.shares or draft.cause.conditions[-1].op == ">":
        decoys.append(draw(_decoys(traits[-1])))
    return Plant(draft.cause, tuple(traits), tuple(decoys))


def _decoys(trait: Trait) -> st.SearchStrategy[Decoy]:
    """Three to eight times in ten inside, once or twice outside."""
    return st.builds(
        Decoy,
        trait=st.just(trait.name),
        value=choice(trait.values),
        inside_permille=levels(400, 800, bits=4),
        outside_permille=levels(50, 200, bits=4),
    )


@st.composite
def _machines(draw: st.DrawFn, number: int, cause: Cause, met: frozenset[str]) -> Machine:
    """A kind of machine that meets the conditions on the dimensions `met`, and not those on others."""
    system = draw(_of("os", cause, met, SYSTEMS))
    return Machine(
        name=f"{system}-{number:02d}",
        weight=draw(levels(1, 16, bits=4)),
        version=draw(_of("version", cause, met, VERSIONS)),
        os=system,
        cores=draw(choice(CORES)),
        cpu=Activities(*(draw(levels(*range_, bits=3)) for range_ in ((5, 15), (10, 22), (1, 3), (5, 15), (4, 12)))),
        app_median_s=draw(levels(400, 900, bits=4)),
        sample_s=draw(levels(10, 20, bits=3)),
    )


def _of(dimension: str, cause: Cause, met: frozenset[str], values: Sequence[str]) -> st.SearchStrategy[str]:
    """The value of a machine's dimension: the one that the cause asks for, another one, or any."""
    wanted = [str(condition.value) for condition in cause.conditions if condition.dimension == dimension]
    if not wanted:
        return choice(values)
    return st.just(wanted[0]) if dimension in met else choice([value for value in values if value not in wanted])


def _groups(shares: Mapping[str, float]) -> list[tuple[frozenset[str], float]]:
    """Which conditions on the machine are met together, in which part of all sessions; independent of each other."""
    groups: list[tuple[frozenset[str], float]] = [(frozenset(), 1.0)]
    for name in sorted(shares.keys() & OF_MACHINE):
        groups = [
            (met | {name} if meets else met, part * (shares[name] if meets else 1 - shares[name]))
            for met, part in groups
            for meets in (True, False)
        ]
    return groups


def _group_of(place: float, groups: Sequence[tuple[frozenset[str], float]]) -> int:
    """The group in which a place from 0 to 1 lies."""
    for at, (_, share) in enumerate(groups):
        place -= share
        if place < 0:
            return at
    return len(groups) - 1


def _weighed(
    machines: Sequence[Machine], cause: Cause, groups: Sequence[tuple[frozenset[str], float]]
) -> tuple[Machine, ...]:
    """The same machines, with weights that give each group its share."""
    wanted = {condition.dimension: condition.value for condition in cause.conditions}

    def met(machine: Machine) -> frozenset[str]:
        has = {"version": machine.version, "os": machine.os}
        return frozenset(name for name, value in has.items() if wanted.get(name) == value)

    weighed = list(machines)
    for group, share in groups:
        members = [at for at, machine in enumerate(machines) if met(machine) == group]
        total = sum(machines[at].weight for at in members)
        for at in members:
            weighed[at] = replace(machines[at], weight=max(1, round(10_000 * share * machines[at].weight / total)))
    return tuple(weighed)
