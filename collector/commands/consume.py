"""`collector consume`: a process that only processes what /payloads put into the queue."""

import asyncio
import signal
from collections.abc import Callable

import structlog
from prometheus_client import start_http_server

from collector import background, logs
from collector.access.exposure import is_loopback
from collector.database.chosen import database_of
from collector.errors import CollectorError
from collector.garbage import collect_garbage_rarely
from collector.queue import check_queue
from collector.service import Service
from collector.settings import Settings, variable

log = structlog.get_logger()


def consume(settings: Settings, *, metrics_port: int | None = None) -> None:
    """Process the queue until SIGTERM or SIGINT; metrics are on a port of `settings.host`, where one is given. Raises
    CollectorError where it cannot begin, or a defect has ended a part of it: whoever supervises it starts another.
    """
    logs.configure(settings)
    logs.warn_of_unknown_settings()
    if not settings.consume:
        raise CollectorError("COLLECTOR_CONSUME is off, and this command does nothing else")
    if metrics_port is not None and settings.api_keys != "off" and not is_loopback(settings.host):
        raise CollectorError(
            f"{settings.host} can be reached from elsewhere, and metrics on this port need no API key: say --open, or "
            f"{variable('host')}=127.0.0.1"
        )
    check_queue(settings)
    collect_garbage_rarely()
    with database_of(settings) as database:
        if metrics_port is not None:
            start_http_server(metrics_port, settings.host)
        asyncio.run(_until_told(lambda: Service(settings, database.url, recover=database.recover)))


async def _until_told(make_service: Callable[[], Service]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    background.at_defect(told.set)
    service = make_service()
    await service.start()
    log.info("consuming")
    try:
        await told.wait()
    finally:
        await service.stop()
    if reasons := background.ended():
        raise CollectorError("; ".join(reasons))
