"""What a collector needs around it, and with the settings would not find; as sentences that say what to do."""

from collections.abc import Iterator

from collector.access.exposure import check_certificate
from collector.errors import CollectorError, SettingError, Unavailable
from collector.queue import check_queue
from collector.service import CONNECTIONS_TO_DATABASE
from collector.settings import Settings, variable
from collector.store.admin import Admin

ASK_BROKERS_S = 5.0


def shortage_of_connections(admin: Admin, settings: Settings) -> Iterator[str]:
    """Where one server of `settings.workers` cannot have all the connections that it may come to need."""
    ((room,),) = admin.query("room_for_connections")
    needed = settings.workers * CONNECTIONS_TO_DATABASE
    if room < needed:
        yield (
            f"max_connections leaves room for {room}, and {variable('workers')}={settings.workers} may need {needed} "
            f"({CONNECTIONS_TO_DATABASE} each): raise it, and allow for consumers and for others that connect"
        )


def trouble_with_queue(settings: Settings) -> Iterator[str]:
    """Where the topic of /payloads cannot be used. Waits for the brokers for a few seconds."""
    if settings.kafka_bootstrap is None:
        return
    try:
        check_queue(settings)
    except CollectorError as exc:
        yield str(exc)
        return
    from collector.queue.topic import Topic

    try:
        Topic(settings, ASK_BROKERS_S).partitions()
    except Unavailable as exc:
        yield (
            f"{variable('kafka_bootstrap')}: topic {settings.kafka_topic!r} at {settings.kafka_bootstrap}: "
            f"{exc.detail}; see that the brokers can be reached, and make the topic, unless they do when it is first "
            "written to"
        )


def trouble_with_certificate(settings: Settings) -> Iterator[str]:
    """Where `serve` would not start."""
    try:
        check_certificate(settings)
    except SettingError as exc:
        yield f"`collector serve` would refuse the settings: {exc}"
