"""Messages of /sessions and /sessions/logs: samples of the CPU and events of an app, with the client's own times.

A client's clock may be wrong. Where a request's first line says what it showed when it was sent, every time after it is
corrected by what it was off. Pure: no I/O.
"""

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from collector.errors import BadRequest
from collector.messages.decoding import Decoded, Decoder, Reason, without
from collector.messages.fields import Amount, Name, nul_in
from collector.messages.properties import doubtful, unstorable
from collector.times import DAY_MS, LAST_MS

MAX_CORES = 1_024
AHEAD_MS = 5 * 60_000
"""A corrected time may be this far ahead of the collector's clock: what is left of skew is the network's delay."""
BRACE = ord("{")
REMEMBERED_SESSIONS = 5_000
"""Of a request, twice this many at most: a client has one or a few, an import of many logs some thousands."""

Time = Annotated[int, Meta(ge=0, le=LAST_MS)] | Annotated[datetime, Meta(tz=True)]
"""Epoch milliseconds, or RFC 3339 with an offset."""
Properties = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"]})]


class Message(msgspec.Struct, gc=False):
    """A message of a session: a sample, an event, or both."""

    session: Name
    seq: Amount | None = None
    """The message's number in its session, by the client; goes up."""
    time: Time | None = None
    """When it was, by the client's clock; without it, the moment of reception. Once read: corrected, UTC."""
    version: Name | None = None
    """Of the app."""
    cpu: Annotated[float, Meta(ge=0, le=100 * MAX_CORES)] | None = None
    """In percent of a core: 250 is two and a half of them."""
    event: Name | None = None
    phase: Literal["begin", "end"] | None = None
    """Whether the event began or ended; without it, it took no time."""
    properties: Properties | UnsetType = UNSET
    """A JSON object."""


class LogMessage(Message, gc=False):
    """A message of a client's log on disk."""

    elapsed: Annotated[float, Meta(ge=0, le=LAST_MS)] | None = None
    """Milliseconds since the session began, in place of `time`."""


class Preamble(msgspec.Struct, rename="camel"):
    """A request's first line that tells the client's clock."""

    sent_at: Time
    session: Raw | UnsetType = UNSET


Row = TypeVar("Row", bound=Message)

_preambles = msgspec.json.Decoder(Preamble)


def epoch_ms(time: Time) -> int:
    """A time as it was sent, in epoch milliseconds."""
    return time if isinstance(time, int) else round(time.timestamp() * 1000)


def _problem(row: Message) -> str | None:
    wrong = nul_in(session=row.session, version=row.version, event=row.event)
    return wrong or (None if row.properties is UNSET else unstorable(bytes(row.properties)))


class _Seen:
    """What a request has said of a session."""

    __slots__ = ("seq", "start_ms")

    def __init__(self) -> None:
        self.seq = -1
        self.start_ms: float | None = None


class _Sessions:
    """The sessions of a request, bounded by two generations: the older one goes when the younger is full."""

    def __init__(self) -> None:
        self._young: dict[str, _Seen] = {}
        self._old: dict[str, _Seen] = {}

    def __getitem__(self, session: str) -> _Seen:
        seen = self._young.get(session)
        if seen is None:
            if len(self._young) >= REMEMBERED_SESSIONS:
                self._old, self._young = self._young, {}
            seen = self._young[session] = self._old.pop(session) if session in self._old else _Seen()
        return seen


class _Reader(ABC, Generic[Row]):
    """Reads the lines of one request. `kept_days` is how old a message may be."""

    def __init__(self, decoder: Decoder[Row], kept_days: float) -> None:
        self._decoder = decoder
        self._kept_days = kept_days
        self._kept_ms = int(kept_days * DAY_MS)
        self.skew_ms = 0
        self._sessions = _Sessions()

    def preamble(self, line: bytes, received_ms: int) -> bool:
        """Whether this is `{"sentAt": …}`: every time after it is corrected by what the client's clock is off."""
        try:
            found = _preambles.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        if found.session is not UNSET:
            return False
        self.skew_ms = received_ms - epoch_ms(found.sent_at)
        return True

    def decode(self, block: bytes, lines: int, received_ms: int) -> Decoded:
        """Decode `lines` whole lines, each ended by a newline."""
        decoded = self._decoder.block(block, lines)
        suspect = doubtful(block)
        wrong: dict[int, Reason] = {}
        for at, row in enumerate(decoded.rows):
            if reason := self._read(row, received_ms, suspect=suspect):
                wrong[at] = reason
        return without(decoded, wrong, block) if wrong else decoded

    def skip(self, block: bytes, lines: int, received_ms: int) -> None:
        """Lines that are stored already: later ones may count from them."""
        self.decode(block, lines, received_ms)

    def single(self, body: bytes, received_ms: int) -> Row:
        """Decode one message that came without others; raises BadRequest."""
        row = self._decoder.single(body)
        if reason := self._read(row, received_ms, suspect=True):
            raise BadRequest(reason[1])
        return row

    def _read(self, row: Row, received_ms: int, *, suspect: bool) -> Reason | None:
        """Put the message's own time right; returns why it cannot be accepted, or None."""
        if row.properties is not UNSET:
            properties = bytes(row.properties)
            if properties == b"null":
                row.properties = UNSET
            elif (suspect or properties[0] != BRACE) and (wrong := unstorable(properties)):
                return "invalid", wrong
        return self._place(row, received_ms)

    @abstractmethod
    def _place(self, row: Row, received_ms: int) -> Reason | None:
        """Check the message's number, and set its time; returns why it cannot be accepted, or None."""

    def _set_time(self, row: Row, time_ms: float, received_ms: int) -> Reason | None:
        """Set the message's corrected time, if it is within bounds."""
        if time_ms > received_ms + AHEAD_MS:
            return "time", f"{_shown(time_ms)} is more than {AHEAD_MS // 60_000} minutes ahead - at `$.time`"
        if time_ms < received_ms - self._kept_ms:
            return "time", f"{_shown(time_ms)} is more than {self._kept_days:g} days ago - at `$.time`"
        row.time = datetime.fromtimestamp(time_ms / 1000, UTC)
        return None


class LiveReader(_Reader[Message]):
    """Reads /sessions: numbers of a session go up."""

    def __init__(self, kept_days: float) -> None:
        super().__init__(_LIVE, kept_days)

    def _place(self, row: Message, received_ms: int) -> Reason | None:
        time = row.time
        time_ms = received_ms if time is None else (epoch_ms(time) + self.skew_ms)
        if reason := self._set_time(row, time_ms, received_ms):
            return reason
        seq = row.seq
        if seq is not None:
            seen = self._sessions[row.session]
            if seq <= seen.seq:
                detail = f"seq {seq} comes {'again' if seq == seen.seq else f'after {seen.seq}'} - at `$.seq`"
                return "seq", detail
            seen.seq = seq
        return None


class LogReader(_Reader[LogMessage]):
    """Reads /sessions/logs: every message has a number, and its time, or how long after its session's start it was."""

    def __init__(self, kept_days: float) -> None:
        super().__init__(_LOG, kept_days)

    def _place(self, row: LogMessage, received_ms: int) -> Reason | None:
        seq = row.seq
        if seq is None:
            return "invalid", "a log's messages need `seq` - at `$.seq`"
        seen = self._sessions[row.session]
        time, elapsed = row.time, row.elapsed
        time_ms: float
        if time is not None:
            time_ms = epoch_ms(time) + self.skew_ms
        elif elapsed is None:
            return "invalid", "a log's messages need `time` or `elapsed` - at `$.time`"
        elif seen.start_ms is None:
            return "start", (
                "`elapsed` counts from a start that is not known: no message of this session before it has a `time` in "
                "this request; send the whole log again, under a key of its own - at `$.elapsed`"
            )
        else:
            time_ms = seen.start_ms + elapsed
        if seq < seen.seq:
            return "seq", f"seq {seq} comes after {seen.seq} - at `$.seq`"
        if reason := self._set_time(row, time_ms, received_ms):
            return reason
        if seen.start_ms is None:
            seen.start_ms = time_ms - (elapsed or 0)
        seen.seq = seq
        return None


_LIVE = Decoder(Message, _problem)
_LOG = Decoder(LogMessage, _problem)


def _shown(time_ms: float) -> str:
    """A time for people; skew and elapsed can take it beyond every calendar."""
    if 0 <= time_ms <= LAST_MS:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{time_ms:.0f} ms"
