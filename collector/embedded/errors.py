"""The one error of the private PostgreSQL."""


class EmbeddedError(Exception):
    """The private PostgreSQL cannot be used; the message says why and what to do about it."""
