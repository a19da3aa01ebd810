"""The application in this process, spoken to in ASGI messages: any cut of the body, any header, and a clock that the
test holds.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import psycopg

from collector.app import create_app
from collector.messages.payload import Payload
from collector.service import Service
from collector.settings import Settings
from tests.strategies import encoded

DEADLINE_S = 60.0
"""For an answer; far more than any takes."""
BEGIN_S = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC, a boundary between windows."""
WINDOW_S = 300

NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"

T = TypeVar("T")


class Clock:
    """Seconds since the epoch, as the test says. It only goes forward, as the moments of reception do."""

    def __init__(self) -> None:
        self.now = BEGIN_S

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def to_boundary(self, offset_s: float = 0.0) -> float:
        """Go to the next boundary of windows but one, plus the offset; returns that boundary."""
        boundary = (self.now // WINDOW_S + 2) * WINDOW_S
        self.now = boundary + offset_s
        return boundary


class Answer(msgspec.Struct, frozen=True):
    """Status, headers with lower-case names, and the body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def lines(self) -> list[Any]:
        """The documents of JSON lines."""
        assert self.media_type == NDJSON
        assert self.body.endswith(b"\n") or not self.body
        return [msgspec.json.decode(line) for line in self.body.splitlines()]

    def problem(self, status: int) -> dict[str, Any]:
        """The members of a problem document (RFC 9457), which this has to be."""
        assert self.status == status, (self.status, self.body)
        assert self.media_type == PROBLEM
        document: dict[str, Any] = self.json()
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        assert document["type"] == "about:blank"
        return document

    def summary(self) -> tuple[int, int, list[tuple[int, str]]]:
        """Of lines: how many were accepted, how many rejected, and the errors."""
        assert self.status == 200, (self.status, self.body)
        return _summary(self.json())


def _summary(document: dict[str, Any]) -> tuple[int, int, list[tuple[int, str]]]:
    errors = [(error["line"], error["detail"]) for error in document["errors"]]
    return document["accepted"], document["rejected"], errors


class App:
    """A running application on a database; requests come from this thread, one after the other or several at once."""

    def __init__(self, url: str, clock: Clock, **settings: Any) -> None:
        self.clock = clock
        self.settings = Settings(database_url=url, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.application: Any = None
        self._url = url

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.call(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call(self._stop())
        finally:
            self._end()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the application's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    @property
    def service(self) -> Service:
        service: Service = self.application.state.service
        return service

    def get(self, path: str, accept: str | None = None, **parameters: object) -> Answer:
        """`from_` stands for the parameter `from`."""
        query = urlencode({name.rstrip("_"): str(value) for name, value in parameters.items() if value is not None})
        return self.request("GET", path, query=query.encode(), headers={} if accept is None else {"Accept": accept})

    def post(
        self,
        body: bytes | list[bytes],
        media_type: str | None = None,
        *,
        path: str = "/stats",
        key: str | None = None,
        cut: bool = False,
        **headers: object,
    ) -> Answer:
        """`stream_offset=1` stands for the header `Stream-Offset: 1`. `cut`: the client goes away after these bytes."""
        every = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        if media_type is not None:
            every["Content-Type"] = media_type
        if key is not None:
            every["Idempotency-Key"] = key
        return self.request("POST", path, headers=every, chunks=[body] if isinstance(body, bytes) else body, cut=cut)

    def single(self, payload: Payload, **options: Any) -> Answer:
        return self.post(encoded(payload), **options)

    def stream(self, lines: Iterable[bytes | Payload], **options: Any) -> Answer:
        """Lines, each ended by a newline."""
        body = b"".join((encoded(line) if isinstance(line, Payload) else line) + b"\n" for line in lines)
        return self.post(body, NDJSON, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        headers: Mapping[str, str] | list[tuple[bytes, bytes]] | None = None,
        chunks: list[bytes] | None = None,
        cut: bool = False,
        stall: bool = False,
    ) -> Answer:
        """Send the body in these pieces, and then its end, or go away, or (`stall`) neither."""
        given = headers if isinstance(headers, list) else _raw(headers or {})
        return self.call(self.exchange(method, path, query, given, chunks or [], cut=cut, stall=stall))

    async def exchange(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        chunks: list[bytes],
        *,
        cut: bool = False,
        stall: bool = False,
    ) -> Answer:
        """One request and its answer, in the application's loop."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"collector"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
            "extensions": {},
        }
        every = _body_messages(chunks, cut=cut or stall)
        messages = iter(every[:-1] if stall else every)
        never = asyncio.Event()
        started: list[Any] = []
        parts: list[bytes] = []
        ended = False

        async def receive() -> Any:
            for message in messages:
                return message
            await never.wait()

        async def send(message: Any) -> None:
            nonlocal ended
            assert not ended, "a message after the end of the answer"
            if message["type"] == "http.response.start":
                assert not started, "two answers"
                started.append(message)
            else:
                assert started, "a body before its status"
                parts.append(message.get("body", b""))
                ended = not message.get("more_body", False)

        async with asyncio.timeout(DEADLINE_S):
            await self.application(scope, receive, send)
        assert ended, "an answer without an end"
        found = {name.decode().lower(): value.decode("latin-1") for name, value in started[0]["headers"]}
        return Answer(started[0]["status"], found, b"".join(parts))

    async def _start(self) -> None:
        self.application = create_app(lambda: Service(self.settings, self._url, clock=self.clock))
        self._lifespan: asyncio.Queue[Any] = asyncio.Queue()
        self._lifespan_said: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._living = asyncio.create_task(
            self.application(scope, self._lifespan.get, self._lifespan_said.put), name="lifespan"
        )
        await self._say("startup")

    async def _stop(self) -> None:
        await self._say("shutdown")
        await self._living

    async def _say(self, what: str) -> None:
        await self._lifespan.put({"type": f"lifespan.{what}"})
        async with asyncio.timeout(DEADLINE_S):
            said = await self._lifespan_said.get()
        assert said["type"] == f"lifespan.{what}.complete", said

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


def _body_messages(chunks: list[bytes], *, cut: bool) -> list[dict[str, Any]]:
    if cut:
        return [
            *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
            {"type": "http.disconnect"},
        ]
    last = chunks[-1] if chunks else b""
    return [
        *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks[:-1]),
        {"type": "http.request", "body": last, "more_body": False},
    ]


class Table:
    """The database behind the application, looked at by another connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET timezone = 'UTC'")

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode(), parameters).fetchall()

    def run(self, sql: str, *parameters: object) -> None:
        self._connection.execute(sql.encode(), parameters or None)

    def insert(self, rows: list[tuple[object, ...]]) -> None:
        """Rows of `payload`: received_at, customer, content, p2p, cdn, started."""
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO payload (
                       received_at, customer, content, p2p, cdn, started, token, timespan, session_duration
                   ) VALUES (%s, %s, %s, %s, %s, %s, 'token', 1, 1)""",
                rows,
            )

    def payloads(self, customer: str) -> list[Payload]:
        """What is stored of a customer, in the order it was stored."""
        columns = "token, customer, content, timespan, p2p, cdn, session_duration"
        query = f"SELECT {columns} FROM payload WHERE customer = %s ORDER BY received_at, p2p"
        return [Payload(*row) for row in self.rows(query, customer)]

    def rejected(self, source: str) -> list[tuple[int, str, bytes]]:
        """Line, reason and bytes of a source's rejected lines."""
        return self.rows("SELECT line, reason, raw FROM rejected WHERE source = %s ORDER BY line", source)


_numbers = itertools.count(1)


def unique(name: str) -> str:
    """A name nobody has had before, so that tests share a database; of a fixed length, so that draws depend on none."""
    return f"{name}-{next(_numbers):06}"


def payload(customer: str, number: int = 1, **changes: Any) -> Payload:
    """A payload of a session of its own."""
    fields = {
        "token": f"{customer}/{number}",
        "customer": customer,
        "content": "film",
        "timespan": 30_000,
        "p2p": number,
        "cdn": 10 * number,
        "session_duration": 400_000,
    }
    return Payload(**{**fields, **changes})


@contextlib.contextmanager
def running(url: str, **settings: Any) -> Iterator[App]:
    """An application with a clock of its own."""
    with App(url, Clock(), **settings) as app:
        yield app
