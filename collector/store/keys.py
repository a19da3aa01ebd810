"""API keys in the database, as `collector keys` makes, lists and ends them. Methods raise StoreDown."""

from datetime import datetime
from typing import Any

from collector.access.keys import Scope
from collector.store.admin import Admin
from collector.store.queries import QUERIES

KeyRow = tuple[str, str, Scope, float | None, datetime, datetime | None]
"""Id, name, scope, rate, when it was made, and when it was revoked."""


def living_keys(admin: Admin) -> list[tuple[Any, ...]]:
    """Id, scope, rate and digest of each key that may come in."""
    return admin.query("living_keys")


def insert_key(
    admin: Admin, identity: str, name: str, scope: Scope, rate: float | None, digest: bytes
) -> datetime | None:
    """When the key was made; None where a living one has its name."""
    parameters = {"id": identity, "name": name, "scope": scope, "rate": rate, "digest": digest}
    made: datetime | None = admin.value(QUERIES["create_key"].decode(), parameters)
    return made


def every_key(admin: Admin) -> list[KeyRow]:
    """Oldest first, revoked ones too."""
    rows: list[KeyRow] = admin.query("every_key")
    return rows


def end_key(admin: Admin, key: str) -> KeyRow | None:
    """Revoke the living key of this id or name; None where there is none."""
    rows: list[KeyRow] = admin.rows(QUERIES["revoke_key"].decode(), {"key": key})
    return rows[0] if rows else None
