"""The endpoints that take measurements: where the rows of each go, and who reads its lines."""

from collections.abc import Callable

import msgspec

from collector.messages import hit, payload
from collector.messages.decoding import LineReader, Stateless
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
_HITS = Stateless(hit.DECODER)

STATS = Endpoint("/stats", "payload", lambda _: _PAYLOADS)
PAYLOADS = Endpoint("/payloads", "payload_queue", lambda _: _PAYLOADS, status=202, lines_status=202)
ANALYTICS = Endpoint("/analytics", "hit", lambda _: _HITS)
SESSIONS = Endpoint("/sessions", "session_message", lambda settings: LiveReader(settings.session_retention_days))
SESSION_LOGS = Endpoint(
    "/sessions/logs", "session_message", lambda settings: LogReader(settings.session_retention_days)
)

ENDPOINTS = (STATS, PAYLOADS, SESSIONS, SESSION_LOGS, ANALYTICS)
