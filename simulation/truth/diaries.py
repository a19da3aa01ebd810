"""The truth about sessions: the messages that the collector has acknowledged, and when each truly was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from simulation.traffic.desktops import Moment
from simulation.truth.verdict import Difference, Verdict

TOLERANCE_MS = 2_000  # a client's clock is corrected by received − sent, and so by the way of the first line, too


class Diary(Struct):
    """A session of the saved ledger. `seq` and `time` (true, epoch milliseconds) go together, `unknown` and
    `unknown_time`, too.
    """

    session: str
    seq: list[int]
    time: list[int]
    unknown: list[int]
    unknown_time: list[int]


class SavedDiaries(Struct, tag_field="kind", tag="sessions"):
    """The ledger as it is kept."""

    run: str
    sessions: list[Diary]
    format: Literal[1] = 1


class Found(Struct):
    """A message as the collector shows it. `time`: epoch milliseconds."""

    seq: int | None
    time: int


class Diaries:
    """Books every message under its outcome; once acknowledged, live or by an upload, it stays so."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.messages = 0  # acknowledged ones
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._unknown: dict[str, dict[int, int]] = {}

    def acknowledge(self, payload: Moment) -> None:
        """The collector has said that the message is stored."""
        told = self._acknowledged.setdefault(payload.message.session, {})
        self.messages += payload.message.seq not in told
        told[payload.message.seq] = payload.true_ms

    def lose(self, payload: Moment) -> None:
        """The message was sent, and whether it is stored will not be known."""
        self._unknown.setdefault(payload.message.session, {})[payload.message.seq] = payload.true_ms

    def saved(self) -> SavedDiaries:
        """The ledger as it stands, sorted."""
        sessions: list[Diary] = []
        for session in sorted(self._acknowledged.keys() | self._unknown.keys()):
            told = self._acknowledged.get(session, {})
            lost = {seq: when for seq, when in self._unknown.get(session, {}).items() if seq not in told}
            columns = (sorted(told), [told[seq] for seq in sorted(told)], sorted(lost), [lost[s] for s in sorted(lost)])
            sessions.append(Diary(session, *columns))
        return SavedDiaries(self.run, sessions)


def compare_session(diary: Diary, found: Iterable[Found]) -> list[Difference]:
    """Pure. Every acknowledged message once, unknown ones at most once, nothing else, and each at its time.

    `milliseconds off` is that of the message that is farthest from its time.
    """
    must = dict(zip(diary.seq, diary.time, strict=True))
    may = dict(zip(diary.unknown, diary.unknown_time, strict=True))
    seen: Counter[int | None] = Counter()
    strangers, worst_ms = 0, 0
    for message in found:
        true_ms = None if message.seq is None else must.get(message.seq, may.get(message.seq))
        if true_ms is None:
            strangers += 1
            continue
        seen[message.seq] += 1
        worst_ms = max(worst_ms, message.time - true_ms, true_ms - message.time)
    row = (diary.session,)
    present = sum(seq in seen for seq in must)
    twice = seen.total() - len(seen)
    differences: list[Difference] = []
    if present != len(must):
        differences.append(Difference(row, "messages", len(must), 0, present))
    if twice:
        differences.append(Difference(row, "stored more than once", 0, 0, twice))
    if strangers:
        differences.append(Difference(row, "never sent", 0, 0, strangers))
    if worst_ms > TOLERANCE_MS:
        differences.append(Difference(row, "milliseconds off", 0, TOLERANCE_MS, worst_ms))
    return differences


def verdict(ledger: SavedDiaries, differences: list[Difference]) -> Verdict:
    """Of all sessions together."""
    acknowledged = sum(len(diary.seq) for diary in ledger.sessions)
    unknown = sum(len(diary.unknown) for diary in ledger.sessions)
    agrees = f"sessions agree with {acknowledged:,} acknowledged messages, {len(ledger.sessions)} sessions"
    return Verdict("sessions", agrees, ("session",), len(ledger.sessions), acknowledged, unknown, differences)
