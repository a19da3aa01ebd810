"""What session_cpu and session_fact have to be, from all messages at once, by the words of the rule: slow and plain."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
BUCKET = timedelta(minutes=5)
DAY = timedelta(hours=24)
MINUTE = timedelta(seconds=60)


class Message(msgspec.Struct, frozen=True):
    """A row of session_message; `properties` sorted pairs, None where it said none."""

    time: datetime
    seq: int | None = None
    version: str | None = None
    cpu: float | None = None
    event: str | None = None
    phase: str | None = None
    properties: tuple[tuple[str, str | int], ...] | None = None

    @property
    def said(self) -> dict[str, Any] | None:
        return None if self.properties is None else dict(self.properties)


class Force(msgspec.Struct):
    """An event in force; `end` is in it, `bound` is not."""

    event: str
    begin: datetime
    bound: datetime
    end: datetime | None
    said: dict[str, Any] | None

    def at(self, time: datetime) -> bool:
        return self.begin <= time < self.bound and (self.end is None or time <= self.end)


def bucket_of(time: datetime) -> datetime:
    return time - (time - ORIGIN) % BUCKET


def in_order(messages: list[Message]) -> list[Message]:
    """As the rule has it: of the same time by number, then begins, ends, and what has no phase."""
    rank = {"begin": 0, "end": 1, None: 2}
    return sorted(
        messages,
        key=lambda one: (
            one.time,
            -1 if one.seq is None else one.seq,
            rank[one.phase],
            one.event or "",
            str(one.properties or ""),
        ),
    )


def forces(messages: list[Message]) -> list[Force]:
    """Every event message but ends, by begin: looks ahead for what ends it."""
    events = [message for message in in_order(messages) if message.event is not None]
    found = []
    for place, message in enumerate(events):
        assert message.event is not None
        later = events[place + 1 :]
        if message.phase is None:
            bound = min([message.time + MINUTE, *[other.time for other in later[:1]]])
            found.append(Force(message.event, message.time, bound, None, message.said))
        elif message.phase == "begin":
            closing = _closing(message, later)
            bound = message.time + DAY
            if closing is None or closing.time >= bound:
                found.append(Force(message.event, message.time, bound, None, message.said))
            else:
                said = message.said
                if closing.said is not None:
                    said = {**(said or {}), **closing.said}
                found.append(Force(message.event, message.time, bound, closing.time, said))
    return found


def _closing(begin: Message, later: list[Message]) -> Message | None:
    """The end that closes this begin: as many others of its name have been opened as closed in between."""
    depth = 0
    for other in later:
        if other.event == begin.event and other.phase == "begin":
            depth += 1
        elif other.event == begin.event and other.phase == "end":
            if depth == 0:
                return other
            depth -= 1
    return None


def words_of_ends(messages: list[Message]) -> dict[int, tuple[tuple[str, str | int], ...]]:
    """What ends said of begins in buckets before theirs, by `id` of the begin."""
    events = [message for message in in_order(messages) if message.event is not None]
    found = {}
    for place, message in enumerate(events):
        if message.phase != "begin":
            continue
        end = _closing(message, events[place + 1 :])
        if end is not None and end.properties is not None and bucket_of(end.time) > bucket_of(message.time):
            found[id(message)] = end.properties
    return found


Member = tuple[str, int, str]
"""An event or "", its layer, and what was said as JSON."""
Row = tuple[datetime, Member, tuple[Member, ...], list[float]]


def rows(messages: list[Message]) -> list[Row]:
    """(bucket, what was in force, all that was if that is several, the samples sorted), sorted."""
    found: dict[tuple[datetime, Member, tuple[Member, ...]], list[float]] = defaultdict(list)
    every = forces(messages)
    for message in messages:
        if message.cpu is None:
            continue
        bucket = bucket_of(message.time)
        members: list[Member] = []
        for force in every:
            before = {event for event, *_ in members}
            said = as_json(force.said)
            if force.at(message.time) and (force.event, said) not in {(event, words) for event, _, words in members}:
                layer = 2 if force.event in before else 1 if before else 0
                members.append((force.event, layer, said))
        together = tuple(sorted(members)) if 2 <= len(members) <= 16 else ()
        for member in members or [("", 0, "null")]:
            found[bucket, member, together].append(message.cpu)
    return sorted((*key, sorted(samples)) for key, samples in found.items())


def facts(messages: list[Message]) -> list[tuple[datetime, str | None, str]]:
    """(bucket, version, properties as JSON) where it changes."""
    version: str | None = None
    said: dict[str, Any] = {}
    by_bucket: dict[datetime, tuple[str | None, str]] = {}
    for message in in_order(messages):
        new = message.event is None and message.said is not None
        if message.version is not None:
            version = message.version
        if new:
            said = {**said, **(message.said or {})}
        if new or message.version is not None:
            by_bucket[bucket_of(message.time)] = version, as_json(said)
    found: list[tuple[datetime, str | None, str]] = []
    for bucket, state in sorted(by_bucket.items()):
        if not found or found[-1][1:] != state:
            found.append((bucket, *state))
    return found


def as_json(said: dict[str, Any] | None) -> str:
    return msgspec.json.encode(said, order="sorted").decode()
