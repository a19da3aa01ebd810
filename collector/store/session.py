"""A writer's connection: its transactions, and what became of one whose COMMIT was cut."""

import random
from collections.abc import Awaitable, Callable, Iterable

import psycopg
from psycopg import AsyncConnection

from collector.errors import CommitUnknown, StoreDown, TryAgain, WriterFenced
from collector.progress import Progress
from collector.segment import Claim, Segment
from collector.store.connection import WRITER_SESSION, conninfo, limit_rights
from collector.store.queries import QUERIES
from collector.store.singles import is_small, outcome_of_singles, recall_singles, write_singles
from collector.store.transaction import Connection, Known, Outcome, as_json, progress_of
from collector.store.translate import message, translated, translating
from collector.store.writing import write_batch


class WriterSession:
    """A connection and a progress row of its own, whose position counts its transactions. Not for two tasks at once.

    Each connection is another owner of the row: what a former one sent and the server has not begun writes nothing, so
    that what is not there when the row is taken will never be.
    """

    def __init__(self, url: str, source: str) -> None:
        self._url = conninfo(url)
        self._source = source
        self._connection: Connection | None = None
        self._owner = 0
        """Of the row, by this connection; 1 where the row was new."""
        self._position = 0
        self._cut_position = 0
        """What the position is if the transaction happened whose COMMIT was cut."""
        self._known = Known()
        self._recall: Callable[[Connection], Awaitable[Outcome]] = lambda _: _ready(Outcome())
        """Tells what the transaction found whose COMMIT was cut, if it happened."""

    async def write(self, segments: list[Segment]) -> Outcome:
        """Write the segments in one transaction.

        Raises RowRefused, TryAgain, StoreDown, WriterFenced: nothing was committed. CommitUnknown: `settle` can tell.
        """
        connection = await self._connected()
        step: dict[str, object] = {
            "source": self._source,
            "writer_owner": self._owner,
            "position": self._position + 1,
        }
        if is_small(segments):
            outcome = await self._write_singles(connection, step, segments)
        else:
            outcome = await self._write_batch(connection, step, segments)
        self._position += 1
        self._known.learn(outcome)
        return outcome

    async def _write_singles(self, connection: Connection, step: dict[str, object], segments: list[Segment]) -> Outcome:
        owner = random.getrandbits(62) + 1
        committed = False
        try:
            new = await write_singles(connection, step, segments, self._known, owner)
            committed = True
            outcome = await outcome_of_singles(connection, segments, new)
        except psycopg.Error as exc:
            if committed or connection.broken:
                # Not to be tried again: what was committed is asked for, by the writer's row.
                await self.close()
                self._cut_position = self._position + 1
                self._recall = lambda connection: recall_singles(connection, segments, owner)
                raise CommitUnknown(message(exc)) from exc
            await self._roll_back(connection)
            raise translated(exc) from exc
        except BaseException:
            await self.close()
            raise
        return outcome

    async def _write_batch(self, connection: Connection, step: dict[str, object], segments: list[Segment]) -> Outcome:
        try:
            outcome = await write_batch(connection, step, segments, self._known)
        except psycopg.Error as exc:
            await self._roll_back(connection)
            raise translated(exc) from exc
        except BaseException:
            await self.close()
            raise
        try:
            await connection.execute("COMMIT")
        except psycopg.Error as exc:
            broken = connection.broken
            await self.close()
            if not broken:
                raise translated(exc) from exc
            self._cut_position = self._position + 1
            self._recall = lambda _: _ready(outcome)
            raise CommitUnknown(message(exc)) from exc
        except BaseException:
            await self.close()
            raise
        return outcome

    async def settle(self) -> Outcome | None:
        """After CommitUnknown: what the transaction found, or None if it did not happen. Waits while it still may.

        Raises StoreDown: ask again. WriterFenced: it cannot be known any more.
        """
        try:
            connection = await self._connected()
            if self._owner == 1:
                raise WriterFenced("the writer's progress row was gone")
            return await self._recall(connection) if self._position == self._cut_position else None
        except psycopg.Error as exc:
            await self.close()
            raise StoreDown(message(exc)) from exc
        except TryAgain as exc:
            raise StoreDown(str(exc)) from exc

    async def reserve(self, claims: list[Claim]) -> set[str]:
        """Take keys of single payloads, each for the content with this digest, before it goes anywhere. Returns those
        that were taken: new ones, and such that were taken for the same content and never claimed. Raises StoreError.
        """
        listed = [
            {"source": claim.source, "digest": claim.digest.hex(), "retention": claim.retention} for claim in claims
        ]
        connection = await self._connected()
        with translating():
            cursor = await connection.execute(QUERIES["reserve_singles"], {"claims": as_json(listed)})
            return {source for (source,) in await cursor.fetchall()}

    async def find(self, sources: Iterable[str]) -> dict[str, Progress]:
        """How far the sources are that are known. Raises StoreError."""
        connection = await self._connected()
        with translating():
            cursor = await connection.execute(QUERIES["find_progress"], {"sources": as_json(sorted(sources))})
            return {row[0]: progress_of(row) for row in await cursor.fetchall()}

    async def forget(self) -> None:
        """A clean end: the writer's row goes, and the connection."""
        if self._connection is not None:
            with translating():
                await self._connection.execute(QUERIES["forget_writer"], {"source": self._source})
        await self.close()

    async def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        self._known.clear()
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._known.clear()
        with translating():
            connection = await AsyncConnection.connect(self._url, autocommit=True)
            try:
                await connection.execute(WRITER_SESSION)
                await limit_rights(connection, "ingest")
                cursor = await connection.execute(QUERIES["take_writer"], {"source": self._source})
                row = await cursor.fetchone()
                assert row is not None
                self._owner, self._position = row
            except BaseException:
                await connection.close()
                raise
        self._connection = connection
        return connection

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except psycopg.Error:
            await self.close()


async def _ready(outcome: Outcome) -> Outcome:
    return outcome
