"""`collector keys`: keys made, listed and revoked. It takes the rights of the tables' owner."""

import contextlib
from collections.abc import Iterator
from datetime import datetime

import msgspec

from collector.access.keys import Scope, digest_of, new_key
from collector.database.chosen import Database
from collector.errors import CollectorError, SettingError
from collector.migrate import bring_up
from collector.store.admin import Admin, connected
from collector.store.keys import KeyRow, end_key, every_key, insert_key

MAX_NAME_CHARACTERS = 100


class Made(msgspec.Struct):
    """A new key, the only time that it is seen."""

    id: str
    name: str
    scope: Scope
    rate: float | None
    key: str


class Listed(msgspec.Struct):
    """A key as it is known afterwards."""

    id: str
    name: str
    scope: Scope
    rate: float | None
    created_at: datetime
    revoked_at: datetime | None


def create(database: Database, name: str, scope: Scope, rate: float | None) -> Made:
    """Make a key; `rate` is in requests a second. Raises CollectorError where that cannot be."""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise SettingError(f"--name: 1 to {MAX_NAME_CHARACTERS} characters that can be printed")
    if rate is not None and not 0 < rate < 1e6:
        raise SettingError("--rate: requests a second, more than 0")
    identity, key = new_key()
    with _admin(database) as admin:
        if insert_key(admin, identity, name, scope, rate, digest_of(key.encode())) is None:
            raise CollectorError(f"there is a key called {name!r}; revoke it first, or choose another name")
    return Made(identity, name, scope, rate, key)


def every(database: Database) -> list[Listed]:
    """All keys, oldest first."""
    with _admin(database) as admin:
        return [Listed(*row) for row in every_key(admin)]


def revoke(database: Database, key: str) -> Listed:
    """End the key of this id or name. Raises CollectorError where there is none."""
    with _admin(database) as admin:
        row: KeyRow | None = end_key(admin, key)
    if row is None:
        raise CollectorError(f"there is no living key {key!r}: see `collector keys list`")
    return Listed(*row)


@contextlib.contextmanager
def _admin(database: Database) -> Iterator[Admin]:
    bring_up(database.url, own=database.private is not None)
    with connected(database.url) as admin:
        yield admin
