"""API keys: what one looks like, what of it is kept, and how many requests it may make. Pure: no I/O.

A key is `ck_`, eight characters by which it is found, `_`, and 256 random bits. Only its SHA-256 is kept: against a
secret as long as this a slow hash would protect no better, and every request would pay for it.
"""

import secrets
import string
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

import msgspec

Scope = Literal["ingest", "read"]

PREFIX = b"ck_"
ID_CHARACTERS = 8
SECRET_BYTES = 32
_ALPHABET = string.ascii_lowercase + string.digits
HEAD_BYTES = len(PREFIX) + ID_CHARACTERS + 1
"""Of a key: all but its secret."""


def new_key() -> tuple[str, str]:
    """Its id, and the key, which nobody can find out again."""
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS))
    return identity, f"{PREFIX.decode()}{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(key: bytes) -> bytes:
    """What is kept of a key: 32 bytes."""
    return sha256(key).digest()


def head_of(identity: str) -> bytes:
    """What the key with this id begins with, up to its secret."""
    return PREFIX + identity.encode() + b"_"


def is_key(key: bytes) -> bool:
    """Whether it looks like one."""
    return key.startswith(PREFIX) and key[HEAD_BYTES - 1 : HEAD_BYTES] == b"_"


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
        return compare_digest(sha256(key).digest(), self.digest)

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
