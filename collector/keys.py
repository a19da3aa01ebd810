"""API keys: what one looks like, what of it is kept, and how many requests it may make. Pure: no I/O.

A key is `ck_`, eight characters by which it is found, `_`, and 256 random bits. Only its SHA-256 is kept: against a
secret as long as this a slow hash would protect no better, and every request would pay for it.
"""

import hashlib
import hmac
import secrets
import string
from typing import Literal

import msgspec

Scope = Literal["ingest", "read"]

PREFIX = b"ck_"
ID_CHARACTERS = 8
SECRET_BYTES = 32
MAX_CHARACTERS = 128
"""Of what is looked at: a key has 55."""
_ALPHABET = string.ascii_lowercase + string.digits
_ID_END = len(PREFIX) + ID_CHARACTERS


def new_key() -> tuple[str, str]:
    """Its id, and the key, which nobody can find out again."""
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS))
    return identity, f"{PREFIX.decode()}{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(key: bytes) -> bytes:
    """What is kept of a key: 32 bytes."""
    return hashlib.sha256(key).digest()


def id_of(key: bytes) -> str | None:
    """The id in a key; None where it is no key at all."""
    if len(key) > MAX_CHARACTERS or not key.startswith(PREFIX) or key[_ID_END : _ID_END + 1] != b"_":
        return None
    identity = key[len(PREFIX) : _ID_END]
    return identity.decode() if identity.isascii() else None


class ApiKey(msgspec.Struct):
    """A key as a collector knows it, and the requests it has left: a bucket of tokens, which holds those of a second
    (at least one) and fills at `rate` a second; None is without limit.
    """

    id: str
    scope: Scope
    rate: float | None
    digest: bytes
    tokens: float = 1.0
    filled_at: float = 0.0
    """On the clock of `take`, which counts seconds from anywhere."""

    def is_(self, key: bytes) -> bool:
        """Whether this is the key; takes as long for one that is nearly right."""
        return hmac.compare_digest(digest_of(key), self.digest)

    def take(self, now: float) -> float:
        """Take a request out of the bucket; returns the seconds until there is one, 0 where there was."""
        rate = self.rate
        if rate is None:
            return 0.0
        self.tokens = min(max(1.0, rate), self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / rate
