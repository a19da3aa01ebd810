"""What the load generator hands from traffic to lanes: a payload with its body, and the moment at which it is due."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from msgspec import Struct


class Payload(Protocol):
    """Something that a device sends."""

    @property
    def origin(self) -> str:
        """Who sends it: a name unique to the run."""


P = TypeVar("P", bound=Payload)


class Message(Struct, Generic[P], gc=False):
    """A payload to be sent `offset_s` seconds (of real time) after the start.

    `streamed`: goes into an open stream; the others are sent by themselves, or wait in a log. `session` keeps what
    belongs together on one stream, and `last` says that nothing more of it is coming. `sequence` is unique to the
    payload's origin. `twice`: the message is sent two times; by itself, under its key, it then counts once, and on a
    stream, where a line has no key, twice.
    """

    offset_s: float
    payload: P
    body: bytes
    session: int
    sequence: int
    streamed: bool
    last: bool = False
    twice: bool = False

    @property
    def key(self) -> str:
        """Idempotency-Key of this payload when it is sent by itself."""
        return f"{self.payload.origin}-{self.sequence}"
