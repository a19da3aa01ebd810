"""An endpoint that takes measurements: a raw ASGI handler, because an answer may begin before the request has ended.

Here a request is told apart: one payload, or lines (`routes.lines`).
"""

from typing import Any

import msgspec

from collector import metrics
from collector.endpoints import Endpoint
from collector.errors import BadRequest, Problem, StoreError, Unavailable, UnsupportedMedia
from collector.http.body import PLAIN, Receive, decompressor, whole
from collector.http.lines import REPLAYED, LinesRequest
from collector.http.responses import Send, send_problem
from collector.progress import Digest, parse_key, source_name
from collector.segment import Claim
from collector.service import Service

SINGLE_TYPES = {b"", b"application/json"}
LINES_TYPES = {
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonlines",
    b"application/json-lines",
}

_END = {"type": "http.response.body", "body": b"", "more_body": False}


class Ingest:
    """POST on one endpoint."""

    def __init__(self, service: Service, endpoint: Endpoint) -> None:
        self._service = service
        self._endpoint = endpoint
        self._writer = service.singles[endpoint.path]
        self._received = metrics.RECEIVED.labels(endpoint.path)
        self._done = {"type": "http.response.start", "status": endpoint.status, "headers": []}
        self._replayed = {**self._done, "headers": REPLAYED}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            media_type = headers.get(b"content-type", b"application/json")
            if media_type not in SINGLE_TYPES:
                media_type = media_type.partition(b";")[0].strip().lower()
            if media_type in LINES_TYPES:
                caller = scope.get("caller", "")
                await LinesRequest(self._service, self._endpoint, headers, receive, send, caller).run()
            else:
                await self._single(media_type, scope, headers, receive, send)
        except Problem as problem:
            await send_problem(send, problem)
        except StoreError as exc:
            await send_problem(send, Unavailable(f"the database is away: {exc}", retry_after_s=1))
        finally:
            del receive, send  # see LinesRequest.run; the traceback of a problem leads here

    async def _single(
        self, media_type: bytes, scope: Any, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        service = self._service
        key = headers.get(b"idempotency-key")
        source = None
        if key is not None:
            source = source_name(self._endpoint.path, parse_key(key.decode("latin-1")), scope.get("caller", ""))
        if b"stream-offset" in headers:
            raise BadRequest("Stream-Offset goes with JSON lines (Content-Type: application/x-ndjson)")
        content = await service.patience.body(self._content(media_type, scope, headers, receive))
        received_ms = service.now_ms()
        self._received.inc()
        try:
            row = self._message(content, received_ms)
        except BadRequest:
            metrics.REJECTED.labels(self._endpoint.path, "invalid").inc()
            raise
        size_bytes = len(content)
        if source is None:
            await self._writer.put_single(row, size_bytes, self._endpoint, received_ms)
            await send(self._done)
        else:
            digest = Digest()
            digest.update(content + b"\n")
            claim = Claim(source, digest.seal())
            replayed = await self._writer.put_claimed(row, size_bytes, self._endpoint, received_ms, claim)
            await send(self._replayed if replayed else self._done)
        await send(_END)

    async def _content(self, media_type: bytes, scope: Any, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The bytes of the one message."""
        if media_type not in SINGLE_TYPES:
            given = media_type[:80].decode("latin-1")
            raise UnsupportedMedia(f"Content-Type {given!r}: send application/json or application/x-ndjson")
        coding = headers.get(b"content-encoding")
        decoder = decompressor(coding.decode("latin-1")) if coding else PLAIN
        max_bytes = self._service.settings.max_single_bytes
        return await whole(receive, decoder, max_bytes, headers.get(b"content-length"))

    def _message(self, content: bytes, received_ms: int) -> msgspec.Struct:
        """Decode it; raises BadRequest."""
        return self._endpoint.reader(self._service.settings).single(content, received_ms)
