"""When a device tries again. Every request carries an Idempotency-Key, so that trying again is always safe."""

from __future__ import annotations

from random import Random

import aiohttp

# OTLP's list, which says what a client may repeat: too many requests, and three kinds of "not now".
RETRIED_STATUS = frozenset({429, 502, 503, 504})
# "Another request has taken over this key": one of ours, that was cut and arrived after the one that followed it. No
# error then, but a reason to try again.
TAKEN_OVER = 409
FIRST_S, CAP_S = 0.1, 5.0
MAX_RETRY_AFTER_S = 30.0  # a server that asks for more is tried earlier: a run has an end

# What aiohttp raises when the connection is refused, cut or silent.
CUTS = (aiohttp.ClientError, TimeoutError, OSError)


class Again(Exception):
    """The request may be repeated, after `after_s` where the server has said so."""

    def __init__(self, kind: str, after_s: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.after_s = after_s


def is_taken_over(error: BaseException) -> bool:
    """Whether the key was taken over: by a request of our own, if one was cut before."""
    return isinstance(error, Again) and error.kind == str(TAKEN_OVER)


def kind_of(error: BaseException) -> str:
    """The name that an error is counted under."""
    return error.kind if isinstance(error, Again) else type(error).__name__


def retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Retry-After in seconds, where the server sent one that is a number."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def pause_s(random: Random, failures: int, after_s: float | None = None) -> float:
    """How long to wait after so many failures in a row: exponential with full jitter, or what the server asked for.

    Jitter is added to the server's figure too, so that all devices don't come back in the same instant.
    """
    backoff_s = random.uniform(0, min(CAP_S, FIRST_S * 2.0 ** min(failures, 16)))
    if after_s is None:
        return backoff_s
    return min(after_s, MAX_RETRY_AFTER_S) + min(backoff_s, 1.0)
