"""Which database is in use: the one of `DATABASE_URL`, or a private server that this process starts or joins."""

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from collector.embedded import PrivateServer, acquire, default_data_dir
from collector.settings import Settings, variable
from collector.store.connection import check_conninfo


class Database(msgspec.Struct, frozen=True):
    """How to reach the database, and, where it is the private one, the server itself."""

    url: str
    private: PrivateServer | None = None

    @property
    def recover(self) -> Callable[[], object] | None:
        """Starts the private server again when it is down; None for a database that is not ours to start."""
        return None if self.private is None else self.private.ensure_running


@contextlib.contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """The database in use; a private one is let go of at the end. Raises CollectorError."""
    for url, name in ((settings.database_url, "database_url"), (settings.read_database_url, "read_database_url")):
        if url is not None:
            check_conninfo(url, variable(name))
    if settings.database_url is not None:
        yield Database(settings.database_url)
        return
    private = acquire(settings.data_dir or default_data_dir(), settings.postgres_bin)
    try:
        yield Database(private.url, private)
    finally:
        private.release()
