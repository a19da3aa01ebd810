"""The private PostgreSQL, started again by whoever finds it down."""

import asyncio
from collections.abc import Callable

import structlog

from collector.errors import StoreDown, StoreError

log = structlog.get_logger()


async def recover_from(exc: StoreError, recover: Callable[[], object] | None) -> None:
    """After StoreDown call `recover`, in a thread; None where the database is not ours to start. What hinders it is
    logged: who calls tries again anyway.
    """
    if isinstance(exc, StoreDown) and recover is not None:
        try:
            await asyncio.to_thread(recover)
        except Exception as error:
            log.warning("the private server did not start", why=str(error))
