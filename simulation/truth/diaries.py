"""The truth about sessions: the messages that are acknowledged, what they say, and when each truly was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal
from zlib import crc32

import msgspec
from msgspec import Struct, field

from simulation.load.reception import Reception
from simulation.traffic.desktops import Moment, SessionMessage
from simulation.truth.verdict import Difference, Verdict

TOLERANCE_MS = 2_000  # between the clocks of the simulator and of the collector; the way of a first line comes on top


class Lines(Struct):
    """Messages by their `seq`, sorted: when each was (epoch milliseconds), a checksum of what it says, and how often it
    is there.
    """

    seq: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    content: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)


class Diary(Struct):
    """A session of the saved ledger. What is `unknown` may be there in addition. `way_ms`: how long a first line was on
    its way at most: a client's clock is corrected by received − sent, and so is wrong by that.
    """

    session: str
    acknowledged: Lines
    unknown: Lines
    way_ms: int = 0


class SavedDiaries(Struct, tag_field="kind", tag="sessions"):
    """The ledger as it is kept."""

    run: str
    sessions: list[Diary]
    format: Literal[2] = 2


class Found(Struct):
    """A message as the collector shows it. `time`: epoch milliseconds; `content` as of `checksum`."""

    seq: int | None
    time: int
    content: int


def checksum(
    version: str | None, cpu: float | None, event: str | None, phase: str | None, properties: dict[str, Any] | None
) -> int:
    """Of what a message says, its time and number left out."""
    number = None if cpu is None else float(cpu)  # 1 and 1.0 are the same
    return crc32(msgspec.json.encode([version, number, event, phase, properties], order="sorted"))


class _Known(Struct):
    """A message: when it was, its checksum, how often it is stored for certain and may be in addition."""

    time: int
    content: int
    told: int = 0
    lost: int = 0


class Diaries:
    """Books every message under its outcome; once acknowledged, live or by an upload, it stays so."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.messages = 0  # acknowledged ones
        self._sessions: dict[str, dict[int, _Known]] = {}
        self._way_ms: dict[str, int] = {}

    def acknowledge(self, payload: Moment, received: Reception, *, copy: bool = False) -> None:
        """The collector has said that the message is stored."""
        known = self._known(payload)
        if received.way_ms:
            session = payload.message.session
            self._way_ms[session] = max(self._way_ms.get(session, 0), received.way_ms)
        if copy:
            known.told += 1
        elif not known.told:
            # An upload of what a stream has sent and was not told of leaves it out or stores it: it is there once.
            known.told, known.lost = 1, max(0, known.lost - 1)
            self.messages += 1

    def lose(self, payload: Moment, received: Reception, *, copy: bool = False) -> None:
        """The message was sent, and whether it is stored will not be known."""
        known = self._known(payload)
        if copy or not known.told:
            known.lost += 1

    def saved(self) -> SavedDiaries:
        """The ledger as it stands, sorted."""
        diaries: list[Diary] = []
        for session, known in sorted(self._sessions.items()):
            diary = Diary(session, Lines(), Lines(), self._way_ms.get(session, 0))
            for seq, message in sorted(known.items()):
                for lines, count in ((diary.acknowledged, message.told), (diary.unknown, message.lost)):
                    if count:
                        lines.seq.append(seq)
                        lines.time.append(message.time)
                        lines.content.append(message.content)
                        lines.count.append(count)
            diaries.append(diary)
        return SavedDiaries(self.run, diaries)

    def _known(self, payload: Moment) -> _Known:
        message: SessionMessage = payload.message
        session = self._sessions.setdefault(message.session, {})
        known = session.get(message.seq)
        if known is None:
            said = checksum(message.version, message.cpu, message.event, message.phase, message.properties)
            known = session[message.seq] = _Known(payload.true_ms, said)
        return known


def compare_session(diary: Diary, found: Iterable[Found]) -> list[Difference]:
    """Pure. Every acknowledged message as often as it has to be, unknown ones in addition or not, nothing else, and
    each at its time and with its content.

    `milliseconds off` is that of the message that is farthest from its time.
    """
    told, lost = diary.acknowledged, diary.unknown
    must = dict(zip(told.seq, told.count, strict=True))
    may = Counter(must) + Counter(dict(zip(lost.seq, lost.count, strict=True)))
    times = dict(zip(lost.seq + told.seq, lost.time + told.time, strict=True))
    contents = dict(zip(lost.seq + told.seq, lost.content + told.content, strict=True))
    seen: Counter[int] = Counter()
    strangers = others = worst_ms = 0
    for message in found:
        if message.seq is None or message.seq not in times:
            strangers += 1
            continue
        seen[message.seq] += 1
        others += message.content != contents[message.seq]
        worst_ms = max(worst_ms, abs(message.time - times[message.seq]))
    row = (diary.session,)
    total = sum(must.values())
    present = sum(min(seen[seq], count) for seq, count in must.items())
    too_often = sum((seen - may).values())
    differences = [Difference(row, "messages", total, 0, present)] if present != total else []
    for name, count in (("stored too often", too_often), ("never sent", strangers), ("other content", others)):
        if count:
            differences.append(Difference(row, name, 0, 0, count))
    if worst_ms > TOLERANCE_MS + diary.way_ms:
        differences.append(Difference(row, "milliseconds off", 0, TOLERANCE_MS + diary.way_ms, worst_ms))
    return differences


def verdict(ledger: SavedDiaries, differences: list[Difference]) -> Verdict:
    """Of all sessions together."""
    acknowledged = sum(sum(diary.acknowledged.count) for diary in ledger.sessions)
    unknown = sum(sum(diary.unknown.count) for diary in ledger.sessions)
    agrees = f"sessions agree with {acknowledged:,} acknowledged messages, {len(ledger.sessions)} sessions"
    return Verdict("sessions", agrees, ("session",), len(ledger.sessions), acknowledged, unknown, differences)
