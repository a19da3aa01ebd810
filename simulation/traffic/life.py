"""The life of a desktop client in one session: what the app does, with which properties, and what CPU that takes.

It logs in, indexes, idles, takes files in and sends files out. What it does decides how much CPU it burns, and where
the planted cause holds, a client that has the defect burns more (`simulation.scenario.causes`). Apart from that a few
samples are high by themselves, because other programs run on the machine, too. Times are of the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from msgspec import Struct

from simulation.scenario.causes import FILE, SESSION, Condition, Decoy, Plant, Scalar, Trait
from simulation.scenario.model import Machine

LOGIN, INDEXING, IDLE, INCOMING, OUTGOING = "login", "indexing", "idle", "incoming_file", "outgoing_file"
MEAN_S = {LOGIN: 25.0, INDEXING: 120.0, IDLE: 100.0, INCOMING: 40.0, OUTGOING: 40.0}
NEXT: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "": ((LOGIN,), (1,)),
    LOGIN: ((INDEXING,), (1,)),
    INDEXING: ((IDLE,), (1,)),
    IDLE: ((INCOMING, OUTGOING, INDEXING), (40, 80, 100)),
    INCOMING: ((IDLE, INCOMING), (80, 100)),
    OUTGOING: ((IDLE,), (1,)),
}
FILES = frozenset({INCOMING, OUTGOING})
NAME_MU, NAME_SIGMA = math.log(28), 0.6  # characters of a file's name: half of them under 28, one in 50 over 96
SIZE_MU, SIZE_SIGMA = 12.0, 2.0  # bytes: half of them under 160 kB
SPIKES_PERMILLE = 30  # of the sessions have a sample that is high by itself
APP_SIGMA = 0.4  # of the log-normal of session lengths
MAX_APP_S = 4 * 3600


class Doing(Struct):
    """What the app does for `length_s`, with the event's own properties; `burning`: the cause holds, and the defect is
    there.
    """

    event: str
    length_s: float
    properties: dict[str, Scalar]
    burning: bool


class _Traits:
    """Draws values of traits."""

    def __init__(self, traits: Sequence[Trait], decoys: Sequence[Decoy]) -> None:
        self._traits = [(trait, list(accumulate(trait.weights))) for trait in traits]
        self._decoys = {decoy.trait: decoy for decoy in decoys}

    def into(self, properties: dict[str, Scalar], random: Random) -> None:
        """All but the decoys, which depend on the others."""
        for trait, weights in self._traits:
            if trait.name not in self._decoys:
                properties[trait.name] = random.choices(trait.values, cum_weights=weights)[0]

    def decoys_into(self, properties: dict[str, Scalar], inside: bool, random: Random) -> None:
        """The decoys."""
        for trait, weights in self._traits:
            if (decoy := self._decoys.get(trait.name)) is None:
                continue
            permille = decoy.inside_permille if inside else decoy.outside_permille
            value = decoy.value
            if random.random() * 1000 >= permille:
                value = random.choices(trait.values, cum_weights=weights)[0]
            properties[trait.name] = value


class World:
    """What the lives of all clients have in common; made once for a plant."""

    def __init__(self, plant: Plant) -> None:
        self.cause = plant.cause
        kinds = {trait.name: trait.of for trait in plant.traits}
        of_session = [trait for trait in plant.traits if trait.of == SESSION]
        of_file = [trait for trait in plant.traits if trait.of == FILE]
        self.session = _Traits(of_session, [d for d in plant.decoys if kinds[d.trait] == SESSION])
        self.file = _Traits(of_file, [d for d in plant.decoys if kinds[d.trait] == FILE])
        session_names = {"version", "os"} | {trait.name for trait in of_session}
        self.early = tuple(c for c in plant.cause.conditions if c.dimension in session_names)


class Life:
    """One session. `number` is unique to it. `properties` describe the session, `version` apart."""

    def __init__(self, world: World, machine: Machine, number: int, random: Random) -> None:
        self.machine = machine
        self.properties: dict[str, Scalar] = {"os": machine.os, "cores": machine.cores, "machine": f"m{number:x}"}
        self.length_s = min(random.lognormvariate(math.log(machine.app_median_s), APP_SIGMA), MAX_APP_S)
        self._world = world
        self._random = random
        self._defect = random.random() * 1000 < world.cause.odds_permille
        self._event = ""
        world.session.into(self.properties, random)
        # The conditions that can be known by now, and whether they hold, do not change in a session.
        self._known = {"version": machine.version, **self.properties}
        inside = bool(world.early) and _hold(world.early, self._known)
        world.session.decoys_into(self.properties, inside, random)
        self._known.update(self.properties)
        spikes = random.random() * 1000 < SPIKES_PERMILLE
        self._spike_in = random.randint(1, 20) if spikes else 0  # the sample that it is

    def next(self) -> Doing:
        """What the app does now, after what it did before."""
        random = self._random
        events, weights = NEXT[self._event]
        self._event = event = random.choices(events, cum_weights=weights)[0]
        properties: dict[str, Scalar] = {}
        if event in FILES:
            length = max(3, min(int(random.lognormvariate(NAME_MU, NAME_SIGMA)), 250))
            properties["filename_length"] = length
            properties["size"] = int(random.lognormvariate(SIZE_MU, SIZE_SIGMA))
            # Long names lie deep: a number that goes along with another, whatever is planted.
            properties["depth"] = max(1, int(random.gauss(2 + length / 20, 1.5)))
            properties["file"] = f"{random.getrandbits(20):05x}"
            self._world.file.into(properties, random)
        holds = self._world.cause.holds({**self._known, "event": event, **properties})
        if event in FILES:
            self._world.file.decoys_into(properties, holds, random)
        return Doing(event, random.expovariate(1 / MEAN_S[event]), properties, holds and self._defect)

    def cpu(self, doing: Doing) -> float:
        """A sample, in percent of a core."""
        level: float = getattr(self.machine.cpu, doing.event) * (0.6 + 0.6 * self._random.random())
        if doing.burning:
            level += self._world.cause.burn_percent * (0.9 + 0.3 * self._random.random())
        self._spike_in -= 1
        if self._spike_in == 0:
            level = max(level, 35 + 60 * self._random.random())
        return round(min(level, 100.0 * self.machine.cores), 1)


def _hold(conditions: Sequence[Condition], properties: dict[str, Scalar]) -> bool:
    return all(condition.holds(properties) for condition in conditions)
