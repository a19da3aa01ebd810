"""Which event was in force when: the rule, for one session. Pure: no I/O.

- An event with phase `begin` is in force until its end: an `end` closes the `begin` of the same event that was opened
  last and is open. It lasts 24 hours at most, ended or not; an end without a begin says nothing.
- An event without phase is in force until the session's next event, whichever that is; 60 seconds at most.
- Brackets may nest and overlap, each is in force by itself. A bracket has its end's very moment, too, an event without
  phase does not have that of the next one.
- What the begin said is in force with it, and what the end said, laid over it.
- Of the same time, messages are in the order of their numbers; begins go before others, then ends.

`refresh_sessions` in schema/queries/cpu.sql is the same rule for many sessions at once.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

BRACKET = timedelta(hours=24)
"""What was never ended was, in all likelihood, cut; and what began longer ago need not be looked for."""
MOMENTARY = timedelta(seconds=60)


class Happened(msgspec.Struct, frozen=True):
    """A message with an event; `properties` is JSON."""

    time: datetime
    seq: int
    """-1 where it has no number."""
    event: str
    phase: str | None
    properties: str | None


class Lasting(msgspec.Struct):
    """An event while it was in force: from `since` on; up to `until`, which is in it only if it `ended` there."""

    event: str
    since: datetime
    until: datetime
    properties: str | None
    ended: bool = False

    def holds_at(self, time: datetime) -> bool:
        """Whether it was in force at this moment."""
        return self.since <= time and (time <= self.until if self.ended else time < self.until)


def lasting(happened: Iterable[Happened]) -> list[Lasting]:
    """All of a session's, by their begin."""
    order = {"begin": 0, "end": 1, None: 2}
    messages = sorted(happened, key=lambda one: (one.time, one.seq, order[one.phase], one.event, one.properties or ""))
    found: list[Lasting] = []
    opened: dict[str, list[Lasting]] = {}
    momentary: Lasting | None = None
    for message in messages:
        if momentary is not None:
            momentary.until = min(momentary.until, message.time)
            momentary = None
        if message.phase == "end":
            if opened.get(message.event):
                _end(opened[message.event].pop(), message)
            continue
        length = MOMENTARY if message.phase is None else BRACKET
        one = Lasting(message.event, message.time, message.time + length, message.properties)
        found.append(one)
        if message.phase is None:
            momentary = one
        else:
            opened.setdefault(message.event, []).append(one)
    return found


def _end(begun: Lasting, message: Happened) -> None:
    if message.time < begun.until:
        begun.until, begun.ended = message.time, True
        begun.properties = laid_over(begun.properties, message.properties)


def laid_over(properties: str | None, newer: str | None) -> str | None:
    """Two JSON objects as one."""
    if properties is None or newer is None:
        return newer if properties is None else properties
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    return msgspec.json.encode({**decode(properties), **decode(newer)}).decode()
