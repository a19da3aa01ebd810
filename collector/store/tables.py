"""What becomes of rows, by the name that their segments carry: each table's part of the one transaction."""

from collections.abc import Awaitable, Callable

from collector.batch import Segment
from collector.queue.lane import FROM_TOPIC
from collector.store import hits, payloads, queue, sessions
from collector.store.transaction import Connection, KnownKeys, Outcome

Write = Callable[[Connection, list[Segment], KnownKeys, Outcome], Awaitable[None]]

TABLES: dict[str, Write] = {
    "payload": payloads.write,
    FROM_TOPIC: queue.write_from_topic,
    "payload_queue": queue.write,
    "hit": hits.write,
    "session_message": sessions.write,
}
"""In the order in which every transaction writes them, so that two never wait for each other in a circle. Each gets the
segments that have rows for it and are not left out, and adds to the outcome what it found.
"""
