"""What becomes of rows, by the name that their segments carry: each table's part of the one transaction."""

from collector.endpoints import KINDS
from collector.queue.records import FROM_TOPIC
from collector.store import hits, payloads, queue, sessions
from collector.store.copying import Write, copied

TABLES: dict[str, Write] = {
    "payload": payloads.write,
    FROM_TOPIC: queue.write_from_topic,
    "payload_queue": copied("payload_queue", queue.QUEUE_COLUMNS),
    "hit": hits.write,
    "session_message": sessions.write,
    **{kind.table: copied(kind.table, kind.columns) for kind in KINDS},
}
"""In the order in which every transaction writes them, so that two never wait for each other in a circle."""
