"""The endpoints that take measurements: where the rows of each go, and who reads its lines."""

from collections.abc import Callable

import msgspec

from collector.messages import payload
from collector.messages.decoding import LineReader, Stateless
from collector.messages.hit import HitReader
from collector.messages.kind import Kind
from collector.messages.session import LiveReader, LogReader
from collector.settings import Settings


class Endpoint(msgspec.Struct, frozen=True):
    """`table` is the store's name for what becomes of the rows; `reader` makes the reader of a request's lines.
    `status` of a single message that is stored, and `lines_status` of a summary, are the contract's.
    """

    path: str
    table: str
    reader: Callable[[Settings], LineReader]
    status: int = 204
    lines_status: int = 200


_PAYLOADS = Stateless(payload.DECODER)


def kept_hours_days(settings: Settings) -> float | None:
    """How old an hour may be for a hit to be counted in it; None: of any age."""
    ages = (settings.analytics_retention_days, settings.user_retention_days)
    return min((age for age in ages if isinstance(age, float)), default=None)


STATS = Endpoint("/stats", "payload", lambda _: _PAYLOADS)
PAYLOADS = Endpoint("/payloads", "payload_queue", lambda _: _PAYLOADS, status=202, lines_status=202)
ANALYTICS = Endpoint("/analytics", "hit", lambda settings: HitReader(kept_hours_days(settings)))
SESSIONS = Endpoint("/sessions", "session_message", lambda settings: LiveReader(settings.session_retention_days))
SESSION_LOGS = Endpoint(
    "/sessions/logs", "session_message", lambda settings: LogReader(settings.session_retention_days)
)

KINDS: tuple[Kind, ...] = ()
"""Kinds of messages of which all is said by their module; docs/adding-an-endpoint.md shows one."""


def endpoint_of(kind: Kind) -> Endpoint:
    """The endpoint of a kind."""
    reader = kind.reader()
    return Endpoint(kind.path, kind.table, lambda _: reader)


ENDPOINTS = (STATS, PAYLOADS, SESSIONS, SESSION_LOGS, ANALYTICS, *map(endpoint_of, KINDS))

IMPORTED = {"sessions": SESSION_LOGS, "stats": STATS, "analytics": ANALYTICS} | {
    kind.path.strip("/").replace("/", "-"): endpoint_of(kind) for kind in KINDS
}
"""What files can be imported to."""
