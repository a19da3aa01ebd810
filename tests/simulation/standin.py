"""A small collector in memory behind real sockets, with faults on request: what the load generator is tested against.

It keeps the contract of /stats, /payloads, /analytics, /sessions and GET /streams/{key}, as far as the simulator uses
it, and stores rows in plain lists, so that the tests have a truth that is not the ledger's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Any

import msgspec
from aiohttp import web

from simulation.traffic.desktops import SessionMessage
from simulation.traffic.hits import HOUR_MS, Hit
from simulation.traffic.payloads import StatsPayload
from simulation.truth.client import QUEUE_METRIC

NDJSON = "application/x-ndjson"
MAX_LINE = 65_536
WINDOW_S = 300
NAMES = {"/analytics": Hit, "/sessions": SessionMessage}


@dataclass
class Stream:
    """Lines of a key: all of them, stored or rejected."""

    lines: list[bytes] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    preamble: int = 0  # 1 where the first line is about the request
    blank: int = 0
    complete: bool = False


@dataclass
class Faults:
    """How often, or after what, things go wrong. Counters are used up."""

    busy: int = 0  # requests answered `busy_status` with Retry-After: 0
    busy_status: int = 503
    cut_before: int = 0  # single posts cut before they are stored
    cut_after: int = 0  # single posts cut after they are stored, before the answer
    cut_streams: int = 0  # streams cut …
    cut_lines: int = 50  # … once so many lines of theirs are stored
    silent: bool = False  # single posts get no answer, ever
    refuse: int | None = None  # status of every POST
    reject_every: int = 0  # a line whose number is a multiple of this is rejected
    queue_s: float = 0.0  # how long the queue keeps a payload before it is stored
    queue_loses: int = 0  # payloads of the queue that are never stored
    queue_repeats: int = 0  # payloads of the queue that are stored again, as long after the first time
    off_ms: int = 0  # how wrong the times of messages are
    window_off: int = 0  # by how many windows stats are shown too late
    drops_copies: bool = False  # what is sent again without a key is taken, and not stored
    slow_s: float = 0.0  # how long a stream waits for each receipt, and is not read


class Standin:
    """The server's state, and its handlers."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.stored: list[StatsPayload] = []
        self.bodies: set[bytes] = set()
        self.received: list[float] = []  # when each of them came, epoch seconds
        self.hits: list[Hit] = []
        self.messages: list[SessionMessage] = []  # with their corrected times
        self.uploads = 0
        self.refused = 0  # broken lines and requests
        self.waiting = 0  # payloads in the queue
        self.single_keys: set[str] = set()
        self.streams: dict[str, Stream] = {}
        self.requests = 0
        self.url = ""
        self.plants = False  # a byte more than was sent in every row
        self.page_rows = 3  # small, so that paging happens
        self.progress = asyncio.Event()  # set whenever something was stored

    def store(self, path: str, body: bytes, shift_ms: int = 0) -> None:
        if self.faults.drops_copies and body in self.bodies:
            return
        self.bodies.add(body)
        if path == "/analytics":
            self.hits.append(msgspec.json.decode(body, type=Hit))
        elif path == "/sessions":
            self._message(msgspec.json.decode(body, type=SessionMessage), shift_ms)
        elif path == "/payloads" and self.faults.queue_loses > 0:
            self.faults.queue_loses -= 1
        else:
            payload = msgspec.json.decode(body, type=StatsPayload)
            if path == "/payloads" and self.faults.queue_s:
                times = 2 if self.faults.queue_repeats > 0 else 1
                self.faults.queue_repeats -= times - 1
                for number in range(1, times + 1):
                    self.waiting += 1
                    asyncio.get_running_loop().call_later(number * self.faults.queue_s, self._apply, payload, time())
            else:
                self.keep(payload)
        self.progress.set()

    def keep(self, payload: StatsPayload, at_s: float | None = None) -> None:
        """Store it, as received now or at that time."""
        self.stored.append(payload)
        self.received.append(time() if at_s is None else at_s)

    def _apply(self, payload: StatsPayload, at_s: float) -> None:
        self.waiting -= 1
        self.keep(payload, at_s)

    def _message(self, message: SessionMessage, shift_ms: int) -> None:
        assert message.time is not None
        self.messages.append(msgspec.structs.replace(message, time=message.time + shift_ms + self.faults.off_ms))

    async def post(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.faults.busy > 0:
            self.faults.busy -= 1
            return web.json_response({"title": "busy"}, status=self.faults.busy_status, headers={"Retry-After": "0"})
        if self.faults.refuse is not None:
            return web.json_response({"title": "no", "detail": "refused on request"}, status=self.faults.refuse)
        if request.content_type == NDJSON:
            return await self._stream(request)
        return await self._single(request)

    async def _single(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        body = await request.read()
        if self.faults.silent:
            await asyncio.Event().wait()
        if self.faults.cut_before > 0:
            self.faults.cut_before -= 1
            request.transport.abort()
            return web.Response()
        if request.path == "/analytics":
            body = _hit_of(request, body)
        if not _good(request.path, body):
            self.refused += 1
            return web.json_response({"title": "broken"}, status=400)
        key = f"{request.path} {request.headers.get('Idempotency-Key')}"
        replayed = "Idempotency-Key" in request.headers and key in self.single_keys
        if not replayed:
            self.single_keys.add(key)
            self.store(request.path, body)
        if self.faults.cut_after > 0:
            self.faults.cut_after -= 1
            request.transport.abort()
            return web.Response()
        status = 202 if request.path == "/payloads" else 204
        return web.Response(status=status, headers={"Idempotent-Replayed": "true"} if replayed else {})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        key = request.headers.get("Idempotency-Key")
        stream = Stream() if key is None else self.streams.setdefault(f"{request.path} {key}", Stream())
        offset = int(request.headers.get("Stream-Offset", "0"))
        if offset > len(stream.lines):
            return web.json_response({"title": "offset"}, status=409)
        status = 202 if request.path == "/payloads" else 200
        if stream.complete:
            return await self._replay(request, stream, status)
        if request.headers.get("Accept") != NDJSON:
            return await self._whole(request, stream, status)
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        number, rest, shift_ms, first = offset, b"", 0, True
        async for chunk in request.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if first and b"sentAt" in line:
                    first = False
                    shift_ms = int(time() * 1000) - msgspec.json.decode(line)["sentAt"]
                    if offset == 0:
                        number += 1
                        stream.lines[:1] = [line]
                        stream.preamble = 1
                    continue
                first = False
                number += 1
                if number <= len(stream.lines):
                    if stream.lines[number - 1] != line:
                        return web.json_response({"title": "other content"}, status=422)
                    continue
                self._line(request.path, stream, line, shift_ms)
                if self.faults.cut_streams and len(stream.lines) >= self.faults.cut_lines:
                    self.faults.cut_streams -= 1
                    request.transport.abort()
                    return response
            if self.faults.slow_s:
                await asyncio.sleep(self.faults.slow_s)
            await response.write(msgspec.json.encode({"committed": number, "rejected": len(stream.rejected)}) + b"\n")
        assert rest == b"", "a stream ends with a whole line"
        stream.complete = True
        await response.write(msgspec.json.encode(_summary(stream)) + b"\n")
        return response

    async def _replay(self, request: web.Request, stream: Stream, status: int) -> web.Response:
        """A complete stream sent again has to be the same."""
        lines = (await request.read()).split(b"\n")[:-1]
        if stream.preamble:
            assert b"sentAt" in lines[0]
        assert lines[stream.preamble :] == stream.lines[stream.preamble :]
        return web.json_response(_summary(stream), status=status, headers={"Idempotent-Replayed": "true"})

    async def _whole(self, request: web.Request, stream: Stream, status: int) -> web.Response:
        """A few lines, without receipts."""
        lines = (await request.read()).split(b"\n")[:-1]
        shift_ms = 0
        if b"sentAt" in lines[0]:
            shift_ms = int(time() * 1000) - msgspec.json.decode(lines.pop(0))["sentAt"]
        for line in lines:
            self._line(request.path, stream, line, shift_ms)
        stream.complete = True
        return web.json_response(_summary(stream), status=status)

    def _line(self, path: str, stream: Stream, line: bytes, shift_ms: int) -> None:
        stream.lines.append(line)
        if not line.strip():
            stream.blank += 1
        elif not _good(path, line):
            self.refused += 1
            stream.rejected.append(len(stream.lines))
        elif self.faults.reject_every and len(stream.lines) % self.faults.reject_every == 0:
            stream.rejected.append(len(stream.lines))
        else:
            self.store(path, line, shift_ms)

    async def upload(self, request: web.Request) -> web.Response:
        """A log: gzip, one message a line, what is stored already left out."""
        self.uploads += 1
        if self.faults.busy > 0:
            self.faults.busy -= 1
            return web.json_response({"title": "busy"}, status=self.faults.busy_status, headers={"Retry-After": "0"})
        first, *lines = (await request.read()).split(b"\n")[:-1]  # aiohttp has unpacked it
        shift_ms = int(time() * 1000) - msgspec.json.decode(first)["sentAt"]
        start_ms: int | None = None
        stored = {(message.session, message.seq) for message in self.messages}
        good = [line for line in lines if _good("/sessions", line)]
        broken = [number for number, line in enumerate(lines, 2) if line.strip() and not _good("/sessions", line)]
        for line in good:
            message = msgspec.json.decode(line, type=SessionMessage)
            if start_ms is None:
                assert message.time is not None
                start_ms = message.time
            assert message.elapsed is not None
            message.time, message.elapsed = start_ms + message.elapsed, None
            if (message.session, message.seq) not in stored:
                self._message(message, shift_ms)
        errors = [{"line": number, "detail": "broken"} for number in broken]
        return web.json_response({"accepted": len(good), "rejected": len(broken), "errors": errors})

    async def session(self, request: web.Request) -> web.Response:
        found = [message for message in self.messages if message.session == request.match_info["session"]]
        if not found:
            return web.json_response({"title": "unknown"}, status=404)
        found.sort(key=lambda message: (message.time, message.seq))
        start = int(request.query.get("next", "0"))
        size = min(self.page_rows, int(request.query["limit"]))
        rows = [
            msgspec.structs.asdict(message) | {"time": datetime.fromtimestamp((message.time or 0) / 1000, UTC)}
            for message in found[start : start + size]
        ]
        link = {"Link": f'<?limit={size}&next={start + size}>; rel="next"'} if start + size < len(found) else {}
        body = msgspec.json.Encoder().encode_lines(rows)
        return web.Response(body=body, headers={"Content-Type": "application/x-ndjson", **link})

    async def hour(self, request: web.Request) -> web.Response:
        moment = int(request.query["timestamp"])
        hits = [hit for hit in self.hits if hit.timestamp // HOUR_MS == moment // HOUR_MS]
        kinds = [hit.kind for hit in hits]
        users = len({hit.user for hit in hits})
        clicks = kinds.count("click") + (self.plants and len(hits) > 0)
        return web.Response(text=f"unique_users,{users}\nclicks,{clicks}\nimpressions,{kinds.count('impression')}\n")

    async def position(self, request: web.Request) -> web.Response:
        stream = self.streams.get(f"{request.query['endpoint']} {request.match_info['key']}")
        if stream is None:
            return web.json_response({"title": "unknown"}, status=404)
        position = {"committed": len(stream.lines), "rejected": len(stream.rejected), "complete": stream.complete}
        return web.json_response(position)

    async def stats(self, request: web.Request) -> web.Response:
        rows = [row for row in self.rows() if row["customer"] == request.query.get("customer", row["customer"])]
        start = int(request.query.get("next", "0"))
        size = min(self.page_rows, int(request.query["limit"]))
        end = start + size
        return web.json_response({"rows": rows[start:end], "next": str(end) if end < len(rows) else None})

    def rows(self) -> list[dict[str, Any]]:
        """What `stats` shows, counted anew from the stored rows, by the contract's words."""
        table: dict[tuple[int, str, str], dict[str, Any]] = {}
        seen: set[str] = set()
        for payload, at_s in zip(self.stored, self.received, strict=True):
            end_s = (int(at_s) // WINDOW_S + 1 + self.faults.window_off) * WINDOW_S
            row = table.setdefault(
                (end_s, payload.customer, payload.content),
                {
                    "time": datetime.fromtimestamp(end_s, UTC).isoformat(),
                    "customer": payload.customer,
                    "content": payload.content,
                    "cdn": 0,
                    "p2p": 0,
                    "sessions": 0,
                },
            )
            row["cdn"] += payload.cdn
            row["p2p"] += payload.p2p
            if payload.session_duration < 300_000:
                row["sessions"] += payload.token not in seen
                seen.add(payload.token)
        for row in table.values() if self.plants else ():
            row["cdn"] += 1
        return list(table.values())

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"# TYPE {QUEUE_METRIC} gauge\n{QUEUE_METRIC} {self.waiting:.1f}\n")

    async def live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")


def _good(path: str, body: bytes) -> bool:
    """Whether the contract takes it."""
    if len(body) > MAX_LINE:
        return False
    try:
        found: Any = msgspec.json.decode(body, type=NAMES.get(path, StatsPayload))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    if isinstance(found, StatsPayload):
        numbers = (found.timespan, found.p2p, found.cdn, found.session_duration)
        names = (found.token, found.customer, found.content)
        return all(0 <= number < 2**63 for number in numbers) and all(name and "\0" not in name for name in names)
    if isinstance(found, Hit):
        return found.timestamp >= 0 and found.user != ""
    return found.seq >= 0 and (found.cpu or 0) >= 0 and b"\\u0000" not in body and (found.time or 0) < 10**13


def _hit_of(request: web.Request, body: bytes) -> bytes:
    """The hit of a query; nothing that could be one where it is broken."""
    assert body == b""
    kinds = [name for name in ("click", "impression") if name in request.query]
    if len(kinds) != 1 or not {"timestamp", "user"} <= request.query.keys() or not request.query["timestamp"].isdigit():
        return b"broken"
    hit = {"timestamp": int(request.query["timestamp"]), "user": request.query["user"], "kind": kinds[0]}
    return msgspec.json.encode(hit)


def _summary(stream: Stream) -> dict[str, Any]:
    return {
        "accepted": len(stream.lines) - len(stream.rejected) - stream.preamble - stream.blank,
        "rejected": len(stream.rejected),
        "errors": [{"line": line, "detail": "rejected on request"} for line in stream.rejected[:100]],
    }


async def _serve(standin: Standin, port: int) -> web.AppRunner:
    app = web.Application(client_max_size=1 << 26)
    for path in ("/stats", "/payloads", "/analytics", "/sessions"):
        app.router.add_post(path, standin.post)
    app.router.add_post("/sessions/logs", standin.upload)
    app.router.add_get("/sessions/{session}", standin.session)
    app.router.add_get("/analytics", standin.hour)
    app.router.add_get("/metrics", standin.metrics)
    app.router.add_get("/stats", standin.stats)
    app.router.add_get("/streams/{key}", standin.position)
    app.router.add_get("/health/live", standin.live)
    app.router.add_get("/health/ready", standin.live)
    app.router.add_get("/odd/stats", standin.live)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    host, port = runner.addresses[0][:2]
    standin.url = f"http://{host}:{port}"
    return runner


async def as_process() -> None:
    """Serve on $COLLECTOR_PORT until SIGTERM, like `collector serve`; given `plant`, show bytes that nobody sent."""
    standin, ended = Standin(), asyncio.Event()
    standin.page_rows = 10_000
    standin.plants = "plant" in sys.argv
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = await _serve(standin, int(os.environ["COLLECTOR_PORT"]))
    print(f"stand-in at {standin.url}, pid {os.getpid()}", flush=True)
    await ended.wait()
    await runner.cleanup()


@asynccontextmanager
async def serving(standin: Standin) -> AsyncIterator[Standin]:
    """Serve on a free port of the loopback while inside; `standin.url` tells where."""
    runner = await _serve(standin, 0)
    try:
        yield standin
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(as_process())
