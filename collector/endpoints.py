"""The endpoints that take measurements: where the rows of each go, and who reads its lines."""

from collections.abc import Callable

import msgspec

from collector.messages import payload
from collector.messages.decoding import LineReader, Stateless
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

STATS = Endpoint("/stats", "payload", lambda _: _PAYLOADS)

ENDPOINTS = (STATS,)
