"""Whether requests can be served: what the database is asked, and an answer that does not wait long for it."""

import asyncio

import structlog

from collector.errors import StoreDown
from collector.store.probe import Probe

log = structlog.get_logger()

ASK_S = 3.0
IMPATIENT_S = 0.1
"""Where the last answer was that the database is away, the next one says so soon, and looks again meanwhile."""


class Readiness:
    """Asks one question at a time, for all who want to know. `schema` is the version needed; a newer one will do,
    because every migration leaves what the release before it uses.
    """

    def __init__(self, url: str, schema: int) -> None:
        self._probe = Probe(url, ASK_S)
        self._schema = schema
        self._asking: asyncio.Task[list[str]] | None = None
        self._away: list[str] = []
        """Why nobody answered when it was asked last."""
        self._newer = 0
        """The newer schema that was told of."""

    async def unready(self) -> list[str]:
        """Why nothing should be sent here; empty when all is well."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        await asyncio.wait([asking], timeout=IMPATIENT_S if self._away else None)
        return asking.result() if asking.done() else self._away

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._probe.close()

    async def _ask(self) -> list[str]:
        try:
            ((fsync, synchronous_commit, read_only, schema),) = await self._probe.ask("readiness")
        except StoreDown as exc:
            if not self._away:  # where it is and who may use it is not for everybody to see
                log.warning("not ready: the database is away", why=str(exc))
            self._away = ["the database is away"]
            return self._away
        self._away = []
        unsafe = []
        if (schema or 0) < self._schema:
            unsafe.append(f"the database is at schema {schema or 0}, this program needs {self._schema}")
        elif schema > max(self._schema, self._newer):
            self._newer = schema
            log.warning("the database is newer than this program: upgrade it", schema=schema, needed=self._schema)
        if fsync != "on":
            unsafe.append(f"fsync is {fsync}")
        if synchronous_commit == "off":
            unsafe.append("synchronous_commit is off")
        if read_only == "on":
            unsafe.append("the database is read-only")
        return unsafe
