"""What the parts of a transaction share: the connection, what it found, and what is known to be committed."""

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from collector.progress import Progress

Connection = AsyncConnection[TupleRow]

COPY_BYTES = 64 * 1024
"""Handed to the driver at once: a call costs as much as encoding thirty rows."""

_encoder = msgspec.json.Encoder()


def as_json(document: object) -> str:
    """A parameter that is a list."""
    return _encoder.encode(document).decode()


def progress_of(row: TupleRow) -> Progress:
    """A row of `progress`, as the queries give it."""
    source, owner, position, complete, digest, accepted, rejected = row
    return Progress(source, owner, position, complete, bytes(digest), accepted, rejected)


class Outcome(msgspec.Struct):
    """What a transaction found."""

    fenced: set[tuple[str, int]] = msgspec.field(default_factory=set)
    """Streams, by name and owner, that have moved on."""
    repeats: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Keys of single messages that were there before, with the digest they have."""
    repeated: dict[int, int] = msgspec.field(default_factory=dict)
    """How many rows of a segment, by its id(), were left out because they had been stored before."""
    learned: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """By table: keys that are committed now, for `Known`."""


class KnownKeys:
    """Keys that are in a table for certain, so that later rows with them need not ask: tokens in session_token, users
    of an hour. Bounded by two generations: the older one goes when the younger is full.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._young: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def add(self, keys: list[str]) -> None:
        """These are committed."""
        if len(self._young) + len(keys) > self._capacity:
            self._old, self._young = self._young, set()
        self._young.update(keys)


class Known:
    """What a connection knows of each table. Not for another connection: the database may be another one then."""

    def __init__(self) -> None:
        self._tables: dict[str, KnownKeys] = {}

    def __getitem__(self, table: str) -> KnownKeys:
        return self._tables.setdefault(table, KnownKeys())

    def learn(self, outcome: Outcome) -> None:
        """The transaction is committed."""
        for table, keys in outcome.learned.items():
            self[table].add(keys)

    def clear(self) -> None:
        """Begin anew."""
        self._tables.clear()
