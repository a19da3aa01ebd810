"""Errors: few and typed. A class has a status, and its docstring is the title that clients see.

A `Problem` becomes an RFC 9457 answer (`application/problem+json`). A `StoreError` says what the database did, in terms
the writer acts on; only `store` raises them, from the driver's own.
"""

from typing import ClassVar


class CollectorError(Exception):
    """The collector cannot go on."""


class SettingError(CollectorError):
    """A setting is not valid; the message begins with its name."""


class SchemaError(CollectorError):
    """The database's schema is not the one this program works with."""


class Problem(CollectorError):
    """The request cannot be served."""

    status: ClassVar[int] = 500
    headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    """Of every answer of this class."""

    def __init__(
        self, detail: str, *, retry_after_s: int | None = None, members: dict[str, object] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.members = members or {}

    def body(self) -> dict[str, object]:
        """The members of the problem document; `detail` is for a person, the rest for programs."""
        title = (self.__doc__ or "").strip().rstrip(".")
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.members}


class BadRequest(Problem):
    """The request is malformed or out of range."""

    status = 400


class BrokenBody(BadRequest):
    """The body ended before it was complete, or its encoding broke."""


class Unauthorized(Problem):
    """The request needs an API key."""

    status = 401
    headers = ((b"www-authenticate", b'Bearer realm="collector"'),)


class KeyNotKnown(Unauthorized):
    """The API key is not known, or was revoked."""

    headers = ((b"www-authenticate", b'Bearer realm="collector", error="invalid_token"'),)


class Forbidden(Problem):
    """The API key is for something else."""

    status = 403
    headers = ((b"www-authenticate", b'Bearer realm="collector", error="insufficient_scope"'),)


class OriginNotAllowed(Problem):
    """Pages of this origin may not do that."""

    status = 403


class NotFound(Problem):
    """There is nothing by this name."""

    status = 404


class MethodNotAllowed(Problem):
    """The path does not take this method."""

    status = 405


class TooSlow(Problem):
    """The request did not come in time."""

    status = 408


class Conflict(Problem):
    """The request does not fit what is already committed under its key."""

    status = 409


class TooLarge(Problem):
    """The request is larger than the collector takes."""

    status = 413


class UnsupportedMedia(Problem):
    """The body is of a type or an encoding that the collector does not read."""

    status = 415


class KeyReused(Problem):
    """The Idempotency-Key was used before with other content."""

    status = 422


class TooMany(Problem):
    """The API key has made more requests than it may."""

    status = 429


class HeadersTooLarge(Problem):
    """The request's headers are larger than the collector takes."""

    status = 431


class Unavailable(Problem):
    """The collector cannot store this right now."""

    status = 503


class StoreError(CollectorError):
    """The database did not do what was asked."""


class RowRefused(StoreError):
    """The database refuses the data of a row; trying again will not help."""


class TryAgain(StoreError):
    """Deadlock or serialization failure: the same transaction may well succeed now."""


class StoreDown(StoreError):
    """The database is away, full or not ready; nothing was committed."""


class CommitUnknown(StoreError):
    """The connection broke while COMMIT was under way."""


class WriterFenced(StoreError):
    """The writer's own progress row is gone: it was away for longer than the row is kept."""
