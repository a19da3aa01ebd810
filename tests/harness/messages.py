"""A message of each endpoint for the tests of faults, with an identity by which it is found again, whatever it became.

An identity is `<customer>/<name>:<number>`, and no two messages share one: the token of a payload; the session and the
number of a session's message; the user of a hit.
"""

import time
import zlib
from collections.abc import Callable
from urllib.parse import quote

import msgspec

BEGIN_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
DURATIONS_MS = (0, 299_999, 300_000)
"""Of payloads that start a session and such that do not; a token's is always the same, for a repeat must be."""


class Kind(msgspec.Struct, frozen=True):
    """An endpoint: a line for an identity of a customer; `single` gives target, body and status of a single message."""

    path: str
    line: Callable[[str, str], bytes]
    status: int = 204

    def single(self, customer: str, identity: str) -> tuple[str, bytes]:
        """Target and body."""
        if self.path == "/analytics":
            hit = msgspec.json.decode(self.line(customer, identity))
            return f"/analytics?timestamp={hit['timestamp']}&user={quote(hit['user'])}&{hit['kind']}", b""
        return self.path, self.line(customer, identity)


def hour_of(customer: str) -> int:
    """Epoch milliseconds: each customer's hits are in an hour of their own."""
    return BEGIN_MS + zlib.crc32(customer.encode()) % 100_000 * HOUR_MS


def _payload(customer: str, identity: str) -> bytes:
    return msgspec.json.encode(
        {
            "token": identity,
            "customer": customer,
            "content": "film",
            "timespan": 30_000,
            "p2p": 1,
            "cdn": 2,
            "sessionDuration": DURATIONS_MS[zlib.crc32(identity.encode()) % len(DURATIONS_MS)],
        }
    )


_BEGAN_MS = int(time.time() * 1000) - HOUR_MS
"""Of all logs' messages: what is sent again is to be the same."""


def _message(customer: str, identity: str) -> bytes:
    session, _, number = identity.rpartition(":")
    return msgspec.json.encode({"session": session, "seq": int(number), "cpu": 37.5, "properties": {"n": int(number)}})


def _log_message(customer: str, identity: str) -> bytes:
    session, _, number = identity.rpartition(":")
    return msgspec.json.encode({"session": session, "seq": int(number), "time": _BEGAN_MS + int(number), "cpu": 1})


def _hit(customer: str, identity: str) -> bytes:
    kind = ("click", "impression")[zlib.crc32(identity.encode()) % 2]
    return msgspec.json.encode({"timestamp": hour_of(customer), "user": identity, "kind": kind})


STATS = Kind("/stats", _payload)
KINDS = (
    STATS,
    Kind("/payloads", _payload, 202),
    Kind("/sessions", _message),
    Kind("/sessions/logs", _log_message),
    Kind("/analytics", _hit),
)
