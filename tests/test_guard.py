"""Who is let in: with the database there, away, and back; the clock is the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from collector.access.guard import FRESH_S, TRUSTED_S, Guard
from collector.access.keys import new_key
from collector.commands.keyring import create, every, revoke
from collector.database.chosen import Database
from collector.errors import Forbidden, KeyNotKnown, TooMany, Unauthorized, Unavailable
from tests.harness.engines import Engine

NOWHERE = "postgresql://127.0.0.1:1/nothing"


class Seconds:
    """A clock that goes on only when it is told to, or a little whenever it is looked at: what follows comes later."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now


def run(url: str, act: Callable[[Guard, Seconds, list[set[str]]], Awaitable[None]]) -> None:
    async def main() -> None:
        revoked: list[set[str]] = []
        clock = Seconds()
        guard = Guard(url, revoked.append, clock)
        guard.start()
        try:
            async with asyncio.timeout(60):
                await act(guard, clock, revoked)
        finally:
            await guard.stop()

    asyncio.run(main())


def made(url: str, scope: Any = "ingest", rate: float | None = None, name: str = "") -> tuple[str, bytes]:
    key = create(Database(url), name or new_key()[0], scope, rate)
    return key.id, key.key.encode()


def test_keys_open_what_they_are_for(best_database_url: str) -> None:
    url = best_database_url

    async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
        identity, key = made(url)
        assert await guard.admit(key, "ingest") == identity  # made just now, and looked for
        with pytest.raises(Forbidden):
            await guard.admit(key, "read")
        for wrong in (key[:-1] + b"!", key + b"a", b"", b"ck_", b"x" * 500, new_key()[1].encode(), b"\xff\0"):
            with pytest.raises(KeyNotKnown):
                await guard.admit(wrong, "ingest")
        with pytest.raises(Unauthorized):
            await guard.admit(None, "ingest")

    run(url, act)


def test_a_revoked_key_is_no_more_and_its_streams_are_told(best_database_url: str) -> None:
    url = best_database_url

    async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
        kept, key = made(url)
        gone, other = made(url, name="gone")
        for each in (key, other):
            await guard.admit(each, "ingest")
        revoke(Database(url), "gone")
        while not revoked:
            await guard._ask()
        assert revoked == [{gone}]
        with pytest.raises(KeyNotKnown):
            await guard.admit(other, "ingest")
        assert await guard.admit(key, "ingest") == kept
        assert [each.revoked_at is None for each in every(Database(url))] == [True, False]

    run(url, act)


def test_the_rate_is_the_keys_own(best_database_url: str) -> None:
    url = best_database_url

    async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
        _, slow = made(url, rate=0.5)
        _, free = made(url)
        await guard.admit(slow, "ingest")
        with pytest.raises(TooMany) as caught:
            await guard.admit(slow, "ingest")
        assert caught.value.retry_after_s == 2
        clock.now += 2
        await guard.admit(slow, "ingest")
        for _ in range(100):
            await guard.admit(free, "ingest")
        with pytest.raises(TooMany):  # what is in the bucket stays there when the keys are asked for again
            await guard.admit(slow, "ingest")

    run(url, act)


def test_without_the_database_known_keys_go_on_and_nobody_else_comes_in(best_engine: Engine) -> None:
    with best_engine.private_server() as database:
        identity, key = made(database.url)
        _, not_seen = made(database.url)

        async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
            await guard.admit(key, "ingest")
            with psycopg.connect(database.url) as connection:
                connection.execute(
                    "DELETE FROM api_key WHERE digest <> (SELECT digest FROM api_key WHERE id = %s)", (identity,)
                )
            await guard._ask()
            revoked.clear()
            await asyncio.to_thread(database.stop, "immediate")
            assert await guard.admit(key, "ingest") == identity
            clock.now += FRESH_S
            assert await guard.admit(key, "ingest") == identity
            for unknown in (not_seen, new_key()[1].encode()):
                with pytest.raises(Unavailable):  # not 401: a client must not throw away a key that may be good
                    await guard.admit(unknown, "ingest")
            with pytest.raises(KeyNotKnown):
                await guard.admit(key[:-1] + b"!", "ingest")
            with pytest.raises(KeyNotKnown):
                await guard.admit(b"no key at all", "ingest")
            clock.now += TRUSTED_S
            with pytest.raises(Unavailable):
                await guard.admit(key, "ingest")
            assert not revoked
            await asyncio.to_thread(database.ensure_running)
            while True:
                try:
                    assert await guard.admit(key, "ingest") == identity
                except Unavailable:
                    await asyncio.sleep(0.1)
                else:
                    break

        run(database.url, act)


def test_before_the_database_was_ever_there_nobody_comes_in() -> None:
    async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
        with pytest.raises(Unavailable):
            await guard.admit(new_key()[1].encode(), "read")
        with pytest.raises(Unauthorized):
            await guard.admit(None, "read")

    run(NOWHERE, act)


def test_strangers_do_not_make_queries_without_end(best_database_url: str) -> None:
    """A hundred keys that nobody knows, at once: they share a few looks at the table."""

    async def act(guard: Guard, clock: Seconds, revoked: list[set[str]]) -> None:
        asked = 0
        ask = guard._probe.ask

        async def counted(name: str) -> list[Any]:
            nonlocal asked
            asked += 1
            return await ask(name)

        guard._probe.ask = counted  # type: ignore[method-assign]
        unknown = [guard.admit(new_key()[1].encode(), "read") for _ in range(100)]
        found = await asyncio.gather(*unknown, return_exceptions=True)
        assert {type(each) for each in found} == {KeyNotKnown}
        assert asked <= 3

    run(best_database_url, act)
