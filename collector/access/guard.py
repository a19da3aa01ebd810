"""Who may come in, where API keys are asked for.

Every worker process knows the living keys, and asks the database for them again every two seconds: so one that is
revoked is out everywhere within five, and ends the streams it has open. A key that is not known is looked for at once,
so that a new one works as soon as it is made.

While the database is away, keys that were known go on for some minutes (a failover is not to lock everybody out), and
whatever is not known is told to come again: nobody gets in who was not in before.
"""

import asyncio
import math
import time
from collections.abc import Callable

import structlog

from collector import background
from collector.access.keys import HEAD_BYTES, ApiKey, Scope, head_of, is_key
from collector.errors import Forbidden, KeyNotKnown, StoreDown, TooMany, Unauthorized, Unavailable
from collector.store.probe import Probe

log = structlog.get_logger()

REFRESH_S = 2.0
ASK_S = 2.0
"""How long the database may take to tell the keys: with the pause before, less than the five seconds promised."""
FRESH_S = 5.0
"""Keys are known to be these for so long: past it, one that is not among them may have been made since."""
AGAIN_S = 0.25
"""Between two looks for keys that are not known: strangers may not make queries without end."""
TRUSTED_S = 300.0
"""Without the database, known keys are good for so long; a key revoked meanwhile could come in until then."""


class Guard:
    """The keys that this process knows. `on_revoked` is told the ids of those that are no more."""

    def __init__(
        self, url: str, on_revoked: Callable[[set[str]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probe = Probe(url, ASK_S)
        self._on_revoked = on_revoked
        self._clock = clock
        self._keys: dict[bytes, ApiKey] = {}
        """By their heads."""
        self._known_at = -math.inf
        self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; the database need not be there yet."""
        self._refreshing = background.run(self._refresh(), "the look at the keys")

    async def stop(self) -> None:
        """Look no more."""
        tasks = [task for task in (self._refreshing, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._probe.close()

    async def admit(self, token: bytes | None, scope: Scope) -> str:
        """Let the bearer of a key do what the scope is for; returns the key's id.

        Raises Unauthorized, Forbidden, TooMany; Unavailable where it cannot be known.
        """
        if token is None:
            raise Unauthorized("send an API key: `Authorization: Bearer ck_…`")
        key = self._keys.get(token[:HEAD_BYTES])
        if key is None:
            key = await self._look_for(token)
        if not key.is_(token):
            raise KeyNotKnown("this API key is not known, or was revoked")
        now = self._clock()
        if now - self._known_at > TRUSTED_S:
            raise self._cannot_know()
        if key.scope != scope:
            raise Forbidden(f"this API key has the scope {key.scope!r}; this needs {scope!r}")
        if key.rate is not None and (wait_s := key.take(now)):
            raise TooMany(f"this API key may make {key.rate:g} requests a second", retry_after_s=math.ceil(wait_s))
        return key.id

    async def _look_for(self, token: bytes) -> ApiKey:
        if is_key(token):
            came_at = self._clock()
            while self._asked_at < came_at:  # what was asked before may not have it
                await self._ask()
            key = self._keys.get(token[:HEAD_BYTES])
            if key is not None:
                return key
            if self._clock() - self._known_at > FRESH_S:
                raise self._cannot_know()
        raise KeyNotKnown("this API key is not known, or was revoked")

    @staticmethod
    def _cannot_know() -> Unavailable:
        return Unavailable("the database is away: API keys cannot be checked", retry_after_s=1)

    async def _refresh(self) -> None:
        while True:
            await self._ask()
            await asyncio.sleep(REFRESH_S)

    async def _ask(self) -> None:
        """Ask for the keys, or wait for the answer to who has asked."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._learn())
        await asyncio.shield(self._asking)

    async def _learn(self) -> None:
        try:
            await asyncio.sleep(self._asked_at + AGAIN_S - self._clock())
            began_at = self._asked_at = self._clock()
            rows = await self._probe.ask("living_keys")
        except StoreDown as exc:
            log.warning("cannot ask for the API keys", why=str(exc))
            return
        finally:
            self._asking = None
        self._known_at = began_at
        known = self._keys
        self._keys = {}
        for identity, scope, rate, digest in rows:
            head = head_of(identity)
            key = known.get(head)
            if key is None or (key.scope, key.rate) != (scope, rate):
                key = ApiKey(identity, scope, rate, bytes(digest))
            self._keys[head] = key  # as it was, with what is in its bucket
        if gone := known.keys() - self._keys.keys():
            self._on_revoked({known[head].id for head in gone})
