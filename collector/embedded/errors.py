"""The one error of the private PostgreSQL."""

from collector.errors import CollectorError


class EmbeddedError(CollectorError):
    """The private PostgreSQL cannot be used; the message says why and what to do about it."""
