"""A connection for small questions that are answered soon or not at all. A pool pauses between its tries, and longer
and longer; this one tries whenever it is asked, so that a database that refuses is known to be away at once.
"""

import asyncio
from typing import Any

from psycopg import AsyncConnection

from collector.errors import StoreDown
from collector.store.connection import conninfo, limit_rights
from collector.store.queries import QUERIES
from collector.store.transaction import Connection
from collector.store.translate import translating


class Probe:
    """Connects when it is asked something; questions wait for each other. `timeout_s` bounds each, with connecting.
    `limited` to the rights of ingest, or as whoever logs in.
    """

    def __init__(self, url: str, timeout_s: float, *, limited: bool = True) -> None:
        self._limited = limited
        self._url = conninfo(url)
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def ask(self, name: str) -> list[Any]:
        """The rows of a query without parameters. Raises StoreDown."""
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await self._ask(name)
        except TimeoutError as exc:
            raise StoreDown(f"no answer within {self._timeout_s:g} s") from exc

    async def close(self) -> None:
        """Close the connection; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, name: str) -> list[Any]:
        had_one = self._connection is not None
        try:
            with translating():
                connection = await self._connected()
                cursor = await connection.execute(QUERIES[name])
                return await cursor.fetchall()
        except StoreDown:
            await self.close()
            if had_one:  # it may have been cut since it was used
                return await self._ask(name)
            raise
        except BaseException:  # an answer may still be on its way
            await self.close()
            raise

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = await AsyncConnection.connect(self._url, autocommit=True)
            try:
                if self._limited:
                    await limit_rights(connection, "ingest")
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection
