"""The event of /analytics: a user clicked on something, or saw it. Pure: no I/O."""

import re
from typing import Annotated, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Meta

from collector.errors import BadRequest
from collector.messages.decoding import Decoded, Decoder, Stateless, without
from collector.messages.fields import NAME_MAX_CHARACTERS, Name, nul_in
from collector.times import DAY_MS, LAST_MS

HOUR_MS = 3_600_000
KINDS = ("click", "impression")

_PLAIN = re.compile(rb"timestamp=([0-9]{1,15})&user=([\x21-\x25\x27-\x2a\x2c-\x7e]{1,256})&(click|impression)=?")
"""What nearly every client sends: the parameters in the order of the contract, without a `+`."""
_SHOWN_CHARACTERS = 40
_TIMESTAMP_DIGITS = len(str(LAST_MS))


class Hit(msgspec.Struct, gc=False):
    """A click, or an impression, of a user."""

    timestamp: Annotated[int, Meta(ge=0, le=LAST_MS)]
    """When it happened: epoch milliseconds, 1970 to 9999; seconds would be a moment in 1970."""
    user: Name
    kind: Literal["click", "impression"]


DECODER = Decoder(Hit, lambda row: nul_in(user=row.user))


class HitReader(Stateless):
    """Reads hits. Where hours are not kept for ever, one of an hour that is forgotten, or will be within an hour, could
    not be counted exactly any more, and is not taken.
    """

    def __init__(self, kept_days: float | None) -> None:
        super().__init__(DECODER)
        self._kept_ms = None if kept_days is None else int(kept_days * DAY_MS)

    def decode(self, block: bytes, lines: int, received_ms: int) -> Decoded:
        """Decode `lines` whole lines, each ended by a newline."""
        decoded = super().decode(block, lines, received_ms)
        if self._kept_ms is None:
            return decoded
        wrong = {at: ("time", said) for at, row in enumerate(decoded.rows) if (said := self._problem(row, received_ms))}
        return without(decoded, wrong, block) if wrong else decoded

    def single(self, body: bytes, received_ms: int) -> Hit:
        """Decode one message that came without others; raises BadRequest."""
        return self.checked(DECODER.single(body), received_ms)

    def checked(self, row: Hit, received_ms: int) -> Hit:
        """The hit, if it can be counted; raises BadRequest."""
        if said := self._problem(row, received_ms):
            raise BadRequest(said)
        return row

    def _problem(self, row: Hit, received_ms: int) -> str | None:
        if self._kept_ms is None or row.timestamp // HOUR_MS * HOUR_MS >= received_ms - self._kept_ms + HOUR_MS:
            return None
        return f"hours are kept for {self._kept_ms / DAY_MS:g} days, and {row.timestamp} is older - at `$.timestamp`"


def parse_hit(query: bytes) -> Hit:
    """`timestamp=…&user=…&click`, or `impression` in place of `click`; other parameters are ignored, as unknown fields
    are. Raises BadRequest with the name of the parameter that is wrong.
    """
    plain = _PLAIN.fullmatch(query)
    if plain is not None and (timestamp := int(plain[1])) <= LAST_MS:
        name: bytes = plain[2]
        user = name.decode() if b"%" not in name else _user(unquote_to_bytes(name))
        return Hit(timestamp, user, "click" if plain[3] == b"click" else "impression")
    given = _parameters(query)
    kinds: list[Literal["click", "impression"]] = [kind for kind in ("click", "impression") if kind in given]
    for kind in kinds:
        if given[kind]:
            raise BadRequest(f"{kind}: takes no value; given {_shown(given[kind])}")
    if len(kinds) != 1:
        raise BadRequest(f"click, impression: one of them, and only one; given {'both' if kinds else 'neither'}")
    return Hit(parse_timestamp(_value(given, "timestamp")), _user(_value(given, "user")), kinds[0])


def parse_timestamp(text: bytes) -> int:
    """Epoch milliseconds, 1970 to 9999. Raises BadRequest with the parameter's name."""
    if text.isdigit() and len(text) <= _TIMESTAMP_DIGITS and int(text) <= LAST_MS:
        return int(text)
    raise BadRequest(f"timestamp: epoch milliseconds, 1970 to 9999; given {_shown(text)}")


def _parameters(query: bytes) -> dict[str, bytes]:
    """The values of the parameters that are ours; none may be there twice."""
    given: dict[str, bytes] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        known = _NAMES.get(_decoded(name))
        if known is not None:
            if known in given:
                raise BadRequest(f"{known}: given more than once")
            given[known] = _decoded(value)
    return given


_NAMES = {name.encode(): name for name in ("timestamp", "user", *KINDS)}


def _decoded(part: bytes) -> bytes:
    """As forms encode: `+` is a space, `%41` an A."""
    return unquote_to_bytes(part.replace(b"+", b" "))


def _value(given: dict[str, bytes], name: str) -> bytes:
    if name not in given:
        raise BadRequest(f"{name}: missing")
    return given[name]


def _user(text: bytes) -> str:
    try:
        user = text.decode()
    except UnicodeDecodeError as exc:
        raise BadRequest(f"user: not UTF-8: {exc.reason}") from exc
    if not 1 <= len(user) <= NAME_MAX_CHARACTERS:
        raise BadRequest(f"user: 1 to {NAME_MAX_CHARACTERS} characters; given {len(user)}")
    if "\0" in user:
        raise BadRequest("user: NUL characters cannot be stored")
    return user


def _shown(value: bytes) -> str:
    return repr(value[:_SHOWN_CHARACTERS].decode(errors="replace"))
