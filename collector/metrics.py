"""What the collector counts. Every line that came in ends as stored, rejected or repeated, so that at rest
received = stored + rejected + repeated, and `collector_backlog_rows` is what is still under way.
"""

import functools
import os
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from collector.processes import alive

RECEIVED = Counter("collector_received", "Lines and single payloads taken in, blank lines not counted", ["endpoint"])
STORED = Counter("collector_stored", "Lines and single payloads committed as rows", ["endpoint"])
REJECTED = Counter("collector_rejected", "Lines and single payloads that could not be accepted", ["endpoint", "reason"])
REPEATED = Counter(
    "collector_repeated", "Lines and single payloads left out: committed before, or taken over", ["endpoint"]
)

TURNED_AWAY = Counter("collector_turned_away", "Requests that were not let in, by the status of the answer", ["status"])

BATCHES = Counter("collector_batches", "Transactions committed", ["writer"])
BATCH_ROWS = Histogram(
    "collector_batch_rows",
    "Rows of a transaction",
    ["writer"],
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000),
)
COMMIT_SECONDS = Histogram(
    "collector_commit_seconds",
    "From the beginning of a transaction to its commit",
    ["writer"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
RETRIES = Counter("collector_retries", "Transactions that had to be tried again", ["writer", "why"])
BACKLOG_ROWS = Gauge(
    "collector_backlog_rows", "Rows taken in and not committed yet", ["writer"], multiprocess_mode="livesum"
)
BACKLOG_BYTES = Gauge("collector_backlog_bytes", "Bytes of the same", ["writer"], multiprocess_mode="livesum")
BACKLOG_MAX_ROWS = Gauge(
    "collector_backlog_max_rows", "Rows at which producers wait", ["writer"], multiprocess_mode="livesum"
)
BACKLOG_MAX_BYTES = Gauge(
    "collector_backlog_max_bytes", "Bytes at which producers wait", ["writer"], multiprocess_mode="livesum"
)
BACKLOG_FULL = Gauge(
    "collector_backlog_full_ratio",
    "How full the backlog is, by rows or by bytes, whichever is more; of several workers the fullest",
    ["writer"],
    multiprocess_mode="livemax",
)
BACKLOG_OLDEST = Gauge(
    "collector_backlog_oldest_seconds",
    "Age of the oldest row taken in and not committed yet, 0 without any",
    ["writer"],
    multiprocess_mode="livemax",
)
CONSUMERS = Gauge(
    "collector_consumers", "Processes that process the queue behind /payloads", multiprocess_mode="livesum"
)
QUEUE_WAITING = Gauge(
    "collector_queue_waiting",
    "Payloads of /payloads that are not processed yet (of a topic: by partition)",
    ["source"],
    multiprocess_mode="livemax",
)
QUEUE_OLDEST = Gauge(
    "collector_queue_oldest_seconds",
    "Age of the oldest of them, seconds (of a topic: at least, since a collector has seen it wait)",
    ["source"],
    multiprocess_mode="livemax",
)
AGGREGATE_REFRESHED = Gauge(
    "collector_aggregate_refreshed_timestamp_seconds",
    "When the refresh policy of a continuous aggregate last succeeded, seconds since 1970",
    ["aggregate"],
    multiprocess_mode="livemax",
)
CONNECTIONS = Gauge(
    "collector_connections",
    "Connections of clients, idle ones too; of several workers those of the one that has most",
    multiprocess_mode="livemax",
)
CONNECTIONS_MAX = Gauge(
    "collector_connections_max", "Connections that a worker has at most", multiprocess_mode="livemax"
)
OPEN_STREAMS = Gauge("collector_open_streams", "Requests of JSON lines under way", multiprocess_mode="livesum")


@functools.cache
def of(counter: Counter, *labels: str) -> Counter:
    """The counter with these labels: to look it up each time costs as much as ten rows."""
    return counter.labels(*labels)


def registry() -> CollectorRegistry:
    """Every metric, of all worker processes together where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    _forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def _forget_dead_workers(folder: Path) -> None:
    """Gauges of a worker that was killed would count for ever what it had under way."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not alive(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
