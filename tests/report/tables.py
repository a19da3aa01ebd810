"""Tables for the drill-down from what sessions did, and sessions with a cause that is planted in them."""

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import msgspec
import numpy as np

from collector.report.columns import Columns, Names, columns_of
from collector.report.measured import Measured
from collector.report.model import Condition, Scalar, Statistic
from collector.report.table import Parts, Table

THRESHOLDS = (30.0, 50.0, 80.0)


class Span(msgspec.Struct):
    """What a session did for a while: the event, what it said, and the samples in that time."""

    session: int
    event: str
    said: dict[str, Scalar]
    samples: list[float]
    also: list[tuple[str, dict[str, Scalar]]] = []
    """Other events that were in force meanwhile, and what they said."""


class Sessions(msgspec.Struct):
    """What sessions say of themselves, by their number, and what they did."""

    said: list[dict[str, Scalar]]
    spans: list[Span]


def table_of(found: Sessions, statistic: Statistic = "max", thresholds: tuple[float, ...] = THRESHOLDS) -> Table:
    """The same as a table, as `collector.report.loading` makes it of rows."""
    count = len(found.said)
    overlapping = any(span.also for span in found.spans)
    first = [msgspec.structs.replace(span, also=[]) for span in found.spans]
    more = [
        (number, msgspec.structs.replace(span, event=event, said=said, also=[]))
        for number, span in enumerate(found.spans)
        for event, said in span.also
    ]
    spans = [*first, *(span for _, span in more)]
    same = np.array([*range(len(first)), *(number for number, _ in more)], np.int64) if overlapping else None
    names = sorted({span.event for span in spans})
    row = np.array([span.session for span in spans], np.int64)
    event = np.array([names.index(span.event) for span in spans], np.int64)
    measured = Measured(
        np.array([len(span.samples) for span in spans], np.int64),
        np.array([sum(span.samples) for span in spans], np.float64),
        np.array([[sum(cpu > over for cpu in span.samples) for span in spans] for over in thresholds], np.int64),
        np.array([max(span.samples) for span in spans], np.float64),
    )
    keys, groups = np.unique(row * len(names) + event, return_inverse=True)
    once = np.arange(len(first))
    whole = measured.at(once).by(row[once], count)
    every = Parts(row, event, measured, columns_of([span.said for span in spans]), same)
    table = Table(
        sessions=np.ones(count, np.int64),
        hot=np.zeros(count, np.int64),
        columns=columns_of(found.said),
        measured=whole,
        events=names,
        parts=Parts(keys // len(names), keys % len(names), every.by(groups, len(keys)), columns_of([])),
        spans=every,
        fine=np.ones(count, np.bool_),
        statistic=statistic,
        thresholds=thresholds,
    )
    table.hot = table.is_hot(whole, 0).astype(np.int64)
    return table


class Plant(msgspec.Struct):
    """A cause, and sessions in which it is."""

    cause: list[Condition]
    sessions: Sessions

    def named(self, found: Iterable[Condition]) -> bool:
        """Whether these are the cause's conditions; a number may be split where few spans lie in between."""
        conditions = {condition.dimension: condition for condition in found}
        wanted = {condition.dimension: condition for condition in self.cause}
        return conditions.keys() == wanted.keys() and all(
            self._same(conditions[dimension], condition) for dimension, condition in wanted.items()
        )

    def _same(self, found: Condition, wanted: Condition) -> bool:
        if found.op != wanted.op or wanted.op == "=":
            return found == wanted
        lengths = [float(span.said["length"]) for span in self.sessions.spans if "length" in span.said]
        ends = sorted((float(found.value), float(wanted.value)))
        between = sum(ends[0] < length <= ends[1] for length in lengths)
        return between <= 0.05 * len(lengths)


VERSIONS = ("6.01", "6.02", "6.03", "6.04")
SYSTEMS = ("windows", "macos", "linux")
EVENTS = ("login", "indexing", "idle", "incoming", "outgoing")
OF_FILES = ("incoming", "outgoing")
SHAPES = ("s", "s", "n", "se", "sn", "en", "ss", "sen", "sse")
"""What a cause is made of: something of the session (s), an event (e), a number of a file (n)."""


def planted(seed: int, sessions: int = 500) -> Plant:
    """One to three conditions that hold together in 5 % to 60 % of the sessions at times, and decoys: an edition and a
    folder that often go along with them, a size that goes along with the length, a token of thousands of values.
    """
    random = Random(f"planted {seed}")
    shape = random.choice(SHAPES)
    share = random.uniform(0.12, 0.5) if "n" in shape else random.uniform(0.06, 0.5)
    of_session = share ** (1 / max(1, shape.count("s")))
    cause = [
        Condition(name, "=", random.choice(values))
        for name, values in random.sample([("version", VERSIONS), ("os", SYSTEMS)], shape.count("s"))
    ]
    if "e" in shape:
        cause.append(Condition("event", "=", random.choice(OF_FILES if "n" in shape else EVENTS)))
    if "n" in shape:
        cause.append(Condition("length", ">", random.randint(30, 60)))
    odds, burn = random.uniform(0.7, 0.95), random.uniform(45, 65)
    wanted = {condition.dimension: condition.value for condition in cause if condition.op == "="}
    said: list[dict[str, Scalar]] = []
    spans: list[Span] = []
    for number in range(sessions):
        own = {name: _draw(random, name, values, wanted, of_session) for name, values in _OF_SESSION.items()}
        inside = all(own[name] == value for name, value in wanted.items() if name in own)
        own["edition"] = "pro" if random.random() < (0.7 if inside else 0.1) else random.choice(["free", "team"])
        own |= {"cores": random.choice([2, 4, 8, 16]), "token": f"t{number}"}
        said.append(own)
        defect = random.random() < odds
        events = ["login", *random.choices(EVENTS[1:], weights=[3, 4, 2, 2], k=random.randint(3, 9))]
        spans += [_span(random, number, own, event, cause, burn if defect else 0.0) for event in events]
        if random.random() < 0.03:
            spans[-1].samples[-1] = random.uniform(35, 95)
    return Plant(cause, Sessions(said, spans))


_OF_SESSION: Mapping[str, tuple[str, ...]] = {"version": VERSIONS, "os": SYSTEMS}


def _draw(random: Random, name: str, values: tuple[str, ...], wanted: Mapping[str, Any], share: float) -> Scalar:
    if name not in wanted:
        return random.choice(values)
    if random.random() < share:
        value: str = wanted[name]
        return value
    return random.choice([value for value in values if value != wanted[name]])


def _span(random: Random, number: int, own: dict[str, Scalar], event: str, cause: list[Condition], burn: float) -> Span:
    said: dict[str, Scalar] = {}
    if event in OF_FILES:
        length = max(1, min(round(random.lognormvariate(3.4, 0.6)), 250))
        said = {"length": length, "size": length * random.randint(500, 2000), "file": f"{random.getrandbits(20):05x}"}
    in_force = {**own, **said, "event": event}
    holds = all(fulfils(condition, in_force) for condition in cause)
    if event in OF_FILES:
        said["folder"] = "photos" if random.random() < (0.6 if holds else 0.15) else random.choice(["music", "mail"])
    samples = [random.uniform(1, 20) + (burn if holds else 0.0) for _ in range(random.randint(1, 8))]
    return Span(number, event, said, samples)


def fulfils(condition: Condition, in_force: Mapping[str, Scalar]) -> bool:
    """Whether the condition holds for what is in force."""
    value = in_force.get(condition.dimension)
    if condition.op == "=":
        return value == condition.value
    return isinstance(value, int) and value > float(condition.value)


def shuffled(found: Sessions, seed: int) -> Sessions:
    """The same with the samples of one session given to another, in turn and from another moment on: what is said and
    done has nothing to do with what is measured any more.
    """
    random = Random(f"shuffled {seed}")
    by_session: dict[int, list[Span]] = {}
    for span in found.spans:
        by_session.setdefault(span.session, []).append(span)
    streams = [[cpu for span in spans for cpu in span.samples] for spans in by_session.values()]
    random.shuffle(streams)
    spans = []
    for own, stream in zip(by_session.values(), streams, strict=True):
        place = random.randrange(len(stream))
        for span in own:
            samples = [stream[(place + turn) % len(stream)] for turn in range(len(span.samples))]
            place += len(span.samples)
            spans.append(msgspec.structs.replace(span, samples=samples))
    return Sessions(found.said, spans)


def mixed(found: Sessions, seed: int) -> Sessions:
    """The same with every sample given to any span: a longer one has more chances of a high sample, and no more."""
    random = Random(f"mixed {seed}")
    every = [cpu for span in found.spans for cpu in span.samples]
    random.shuffle(every)
    samples = iter(every)
    spans = [msgspec.structs.replace(span, samples=[next(samples) for _ in span.samples]) for span in found.spans]
    return Sessions(found.said, spans)


def looked_into(table: Table, every: int) -> Table:
    """The same where only every so many-th session was looked into."""
    fine = np.arange(len(table.sessions)) % every == 0
    kept = fine[table.spans.row]
    columns = table.spans.columns
    some = Columns(
        {name: Names(names.codes[kept], names.values) for name, names in columns.names.items()},
        {name: numbers[kept] for name, numbers in columns.numbers.items()},
    )
    spans = Parts(table.spans.row[kept], table.spans.event[kept], table.spans.measured.at(kept), some)
    if table.spans.same is not None:
        spans.same = table.spans.same[kept]
    return msgspec.structs.replace(table, spans=spans, fine=fine)
