"""Tables of sessions with the cause that was planted in them, from a seed, in a moment: what somebody who looks for
causes is tested against.

    table = planted(seed=7)                     # 1,000 sessions, a crowd of its own
    table = of_scenario(draw(7), seed=7)        # the crowd of a scenario: what `simulate sessions` sends has its cause
    table.spans                                 # what was in force for a while, with the CPU in that time
    table.cause.conditions                      # what is to be named first
    table.named(found)                          # whether `found`, some conditions, names it

A span is what a client did from an event's `begin` to its `end`. Its properties are all that was in force: `version`,
the properties of the session (a client sends them in its first message, which has no event), `event`, and the
properties of the event (sent with its `begin`). The samples are the CPU in percent of a core. So a report that reads
messages comes to the same spans, and a session is hot while it does something if the statistic of that span is
over the threshold. Where the cause is met, 7 to 9.5 of 10 sessions are over 30; of the others about 3 of 100 are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct

from simulation.scenario.causes import Cause, Condition, Plant, Scalar
from simulation.scenario.crowds import crowds
from simulation.scenario.model import Machine, Scenario
from simulation.scenario.numbers import draw_from
from simulation.traffic.life import Life, World

SAME_PERMILLE = 50  # a number splits at the same place if so many of the spans or fewer lie in between


class Span(Struct):
    """What was in force for a while in a session, by its number, and the samples of CPU in that time."""

    session: int
    properties: dict[str, Scalar]
    samples: list[float]

    @property
    def cpu_max(self) -> float:
        return max(self.samples)


class Table(Struct):
    """Spans of so many sessions, and what was planted in them."""

    sessions: int
    spans: list[Span]
    plant: Plant

    @property
    def cause(self) -> Cause:
        """What makes sessions hot."""
        return self.plant.cause

    @property
    def support(self) -> float:
        """In which part of the sessions the cause holds at times."""
        met = {span.session for span in self.spans if self.cause.holds(span.properties)}
        return len(met) / self.sessions

    def named(self, found: Iterable[Condition]) -> bool:
        """Whether these are the conditions of the cause, in any order. A number may be split a little beside it."""
        conditions = list(found)
        wanted = {condition.dimension: condition for condition in self.cause.conditions}
        if len(conditions) != len(wanted) or {condition.dimension for condition in conditions} != wanted.keys():
            return False
        return all(self._same(condition, wanted[condition.dimension]) for condition in conditions)

    def _same(self, found: Condition, wanted: Condition) -> bool:
        if wanted.op == "=" or found.op != wanted.op:
            return found == wanted
        having = [span.properties for span in self.spans if wanted.dimension in span.properties]
        apart = sum(found.holds(properties) != wanted.holds(properties) for properties in having)
        return apart * 1000 <= SAME_PERMILLE * len(having)


def planted(seed: int, sessions: int = 1_000) -> Table:
    """A crowd drawn from the seed, and so many sessions of it."""
    crowd = draw_from(crowds(), seed)
    return table(crowd.machines, crowd.plant, seed, sessions)


def of_scenario(scenario: Scenario, seed: int, sessions: int = 1_000) -> Table:
    """Sessions of a scenario's clients."""
    return table(scenario.profiles, scenario.plant, seed, sessions)


def table(machines: Sequence[Machine], plant: Plant, seed: int, sessions: int) -> Table:
    """Let so many sessions live, on machines by their weights."""
    random = Random(f"planted {seed}")
    world = World(plant)
    weights = [machine.weight for machine in machines]
    spans: list[Span] = []
    for number, machine in enumerate(random.choices(machines, weights, k=sessions)):
        spans += _spans(Life(world, machine, number, random), number)
    return Table(sessions, spans, plant)


def _spans(life: Life, number: int) -> Iterable[Span]:
    """A session's; the app takes at least one sample of whatever it does."""
    known = {"version": life.machine.version, **life.properties}
    every_s, left_s = life.machine.sample_s, life.length_s
    while left_s > 0:
        doing = life.next()
        count = max(1, round(min(doing.length_s, left_s) / every_s))
        samples = [life.cpu(doing) for _ in range(count)]
        yield Span(number, {**known, "event": doing.event, **doing.properties}, samples)
        left_s -= doing.length_s
