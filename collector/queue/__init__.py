"""The queue behind /payloads: a Kafka topic where COLLECTOR_KAFKA_BOOTSTRAP names brokers, else a table of the
database.

Whichever it is, rows come in by a writer, whose `Committer` knows the way, and go out by a `Consumer`.
"""

from typing import TYPE_CHECKING, Protocol

from collector.errors import CollectorError
from collector.settings import Settings

if TYPE_CHECKING:
    from collector.commit import Committer
    from collector.queue.lag import Gauge
    from collector.service import Service
    from collector.store.reading import Store

ENDPOINT = "queue"
"""By this name what is taken out of the queue is counted, received and stored."""


class Consumer(Protocol):
    """Takes what is in the queue and applies it, exactly once, beside any number of others."""

    async def start(self, service: "Service") -> None:
        """Begin; the database and the brokers need not be there yet."""

    async def stop(self, timeout_s: float) -> None:
        """End, within a time or a second more: what is under way is finished, or left to the others."""


def consumer_of(settings: Settings) -> Consumer:
    """The consumer for the queue in use. Raises CollectorError where a package is missing."""
    if settings.kafka_bootstrap is None:
        from collector.queue.table import TableConsumer

        return TableConsumer()
    try:
        from collector.queue.consuming import KafkaConsumer
    except ImportError as exc:
        raise _lacking(exc) from exc
    return KafkaConsumer(settings)


def committer_of(settings: Settings) -> "type[Committer]":
    """What takes rows to the queue in use. Raises CollectorError where a package is missing."""
    if settings.kafka_bootstrap is None:
        from collector.commit import Committer

        return Committer
    try:
        from collector.queue.producing import TopicCommitter
    except ImportError as exc:
        raise _lacking(exc) from exc
    return TopicCommitter


def gauge_of(settings: Settings, store: "Store") -> "Gauge":
    """What looks at the queue in use. Raises CollectorError where a package is missing."""
    if settings.kafka_bootstrap is None:
        from collector.queue.lag import TableGauge

        return TableGauge(store)
    try:
        from collector.queue.topic import TopicGauge
    except ImportError as exc:
        raise _lacking(exc) from exc
    return TopicGauge(settings, store)


def check_queue(settings: Settings) -> None:
    """Raises CollectorError where the queue's settings cannot work."""
    if settings.kafka_bootstrap is None:
        return
    try:
        from collector.queue.options import check_options
    except ImportError as exc:
        raise _lacking(exc) from exc
    check_options(settings)


def _lacking(exc: ImportError) -> CollectorError:
    return CollectorError(f"COLLECTOR_KAFKA_BOOTSTRAP needs the Kafka client: pip install 'collector[kafka]' ({exc})")
