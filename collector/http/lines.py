"""A request of JSON lines: read, cut, decoded and put, at the writer's pace; answered with a summary or with receipts
on the way.
"""

import asyncio
import math
import time
import uuid
from typing import Any

from collector import metrics
from collector.endpoints import Endpoint
from collector.errors import BadRequest, KeyNotKnown, Problem, TooSlow, Unavailable
from collector.http.body import Decompressor, Receive, decompressor, pieces
from collector.http.receipts import Receipts
from collector.http.responses import Send, send_json, send_problem
from collector.lines import Block, Event, Lines, Overlong, Part, Preamble, after_first_line, first_line, lines_of
from collector.messages.decoding import RAW_KEPT_BYTES, Reject
from collector.progress import Digest, Progress, Resumption, parse_key, parse_offset, source_name
from collector.segment import ERRORS_SPELLED_OUT, Segment, Source
from collector.service import Service

REPLAYED = [(b"idempotent-replayed", b"true")]


class LinesRequest:
    """One request; `run` serves it. `interrupt` ends its reading, for a drain. `caller` is the id of the API key that
    it came with, if any did; `retention` says for how long its own key is known (`collector.database.retention`).
    """

    def __init__(
        self,
        service: Service,
        endpoint: Endpoint,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        caller: str = "",
        *,
        retention: str = "keys",
    ) -> None:
        self.caller = caller
        self._service = service
        self._endpoint = endpoint
        self._reader = endpoint.reader(service.settings)
        self._headers = headers
        self._receive = receive
        self._send = send
        self._retention = retention
        self._lines = Lines(service.settings.max_line_bytes)
        self._changed = asyncio.Event()
        self._reading: asyncio.Future[Any] | None = None
        self._interrupted = False
        self._ended: Problem | None = None
        self._line_s = self._line_left_s = service.settings.line_s
        """What is left of it for the line that has begun; only time in which the client is waited for counts."""
        self._deadline = math.inf
        self._progress: Progress | None = None
        self._resumption: Resumption | None = None
        self._position = 0
        """Physical lines of the stream that were read or left out."""
        self._receipts: Receipts | None = None
        self._source: Source
        self._writer = service.writer_for_stream(endpoint)

    async def run(self) -> None:
        """Serve the request. Raises Problem while no answer has begun."""
        decoder = decompressor(self._header(b"content-encoding"))
        wants_receipts = "application/x-ndjson" in self._header(b"accept")
        with self._service.open_stream(self), metrics.OPEN_STREAMS.track_inprogress():
            self._source = await self._begin()
            self._source.changed = self._on_change
            if wants_receipts:
                self._receipts = Receipts(self._send, self._source, replayed=self._replayed)
            try:
                await self._read(decoder)
                await self._settled()
                answer: Problem | None = None
            except Problem as problem:
                answer = await self._explained(problem)
            try:
                await self._answer(answer)
            finally:
                # Held on to, by whatever cycle of source, problem and traceback, they would keep the server from
                # closing the connection, and from ending, until the garbage collector comes by.
                del self._receive, self._send
                self._receipts = None

    def interrupt(self) -> None:
        """Read no more: what has come is stored and acknowledged, the client sends the rest again."""
        self._interrupted = True
        self._end(Unavailable("the collector is shutting down; send the rest again", retry_after_s=1))

    def revoke(self) -> None:
        """The API key is no more."""
        self._end(KeyNotKnown("this API key was revoked"))

    def look(self, now: float) -> None:
        """End it if the client has taken too long, on the clock of `time.monotonic`."""
        if now >= self._deadline:
            settings = self._service.settings
            if self._lines.unfinished:
                detail = f"a line was not complete within {settings.line_s:g} s"
            else:
                detail = f"nothing came for {settings.idle_s:g} s; a blank line now and then keeps a stream open"
            self._end(TooSlow(detail))

    def _end(self, problem: Problem) -> None:
        self._ended = self._ended or problem
        if self._reading is not None:
            self._reading.cancel()

    @property
    def source_name(self) -> str | None:
        """The source in `progress` that it holds, if it has a key."""
        return self._progress.source if self._progress is not None else None

    @property
    def _replayed(self) -> bool:
        return self._progress is not None and self._progress.complete

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    async def _begin(self) -> Source:
        """Who the lines come from: the stream of a key, or this request alone."""
        offset = parse_offset(self._header(b"stream-offset")) if b"stream-offset" in self._headers else 0
        if b"idempotency-key" not in self._headers:
            if offset:
                raise BadRequest("Stream-Offset needs an Idempotency-Key, which names the stream")
            return Source(source_name(self._endpoint.path, f"#{uuid.uuid4()}", self.caller), self._endpoint.path)
        name = source_name(self._endpoint.path, parse_key(self._header(b"idempotency-key")), self.caller)
        progress = self._progress = await self._service.store.take_stream(name, self._retention)
        self._resumption = Resumption(progress, offset)
        self._position = offset
        source = Source(
            name,
            self._endpoint.path,
            owner=progress.owner,
            committed=progress.position,
            accepted=progress.accepted,
            rejected=progress.rejected,
        )
        if progress.rejected:
            known = await self._service.store.rejected_lines(name, progress.rejected, ERRORS_SPELLED_OUT)
            source.errors = [(line, reason.partition(": ")[2]) for line, reason in known]
        return source

    async def _read(self, decoder: Decompressor) -> None:
        take = self._take_first
        async for data in pieces(self._next_message, decoder):
            for event in self._lines.feed(data):
                self._line_left_s = self._line_s
                await take(event)
                take = self._take
        for event in self._lines.close():
            await take(event)
            take = self._take
        if self._resumption is not None:
            self._resumption.end()
            if not self._replayed:
                await self._writer.put(self._completion(self._resumption.digest))

    async def _next_message(self) -> Any:
        if self._source.failure is not None:
            raise self._source.failure
        if self._ended is not None:
            raise self._ended
        began_at = time.monotonic()
        unfinished = self._lines.unfinished
        self._deadline = began_at + (self._line_left_s if unfinished else self._service.settings.idle_s)
        self._reading = asyncio.ensure_future(self._receive())
        try:
            return await self._reading
        except asyncio.CancelledError:
            if self._source.failure is not None:
                raise self._source.failure from None
            if self._ended is not None:
                raise self._ended from None
            raise
        finally:
            self._reading = None
            self._deadline = math.inf
            if unfinished:
                self._line_left_s -= time.monotonic() - began_at

    async def _take_first(self, event: Event) -> None:
        """The first line may be a preamble: a line of the stream, but in front of a rest only repeated."""
        rest: Event | None = event
        if isinstance(event, Block) and self._reader.preamble(first_line(event), self._service.now_ms()):
            rest = after_first_line(event)
            if not self._position:
                await self._take(Preamble())
        if rest is not None:
            await self._take(rest)

    async def _take(self, event: Part) -> None:
        """Put the event's lines, or what of them is new."""
        segment = self._segment()
        if self._resumption is not None:
            new = self._resumption.admit(event)
            self._pass_over(event, new)
            self._position = self._resumption.position
            if new is None:
                return
            event = new
            segment.digest_before, segment.digest = self._resumption.state_before, self._resumption.digest.state()
            segment.first_line = self._position - lines_of(event) + 1
        else:
            segment.first_line = self._position + 1
            self._position += lines_of(event)
        segment.lines = lines_of(event)
        if isinstance(event, Block):
            decoded = self._reader.decode(event.data, event.lines, segment.received_ms)
            segment.rows, segment.indices, segment.rejects = decoded.rows, decoded.indices, decoded.rejects
            segment.block, segment.skew_ms = event.data, self._reader.skew_ms
        elif isinstance(event, Overlong):
            limit = self._service.settings.max_line_bytes
            detail = f"the line has {event.size_bytes} bytes; at most {limit} are taken"
            segment.rejects = [Reject(0, "too_long", detail, event.head[:RAW_KEPT_BYTES])]
        await self._writer.put(segment)

    def _segment(self) -> Segment:
        return Segment(self._source, self._endpoint.path, self._service.now_ms(), [], table=self._endpoint.table)

    def _pass_over(self, event: Part, new: Part | None) -> None:
        """What of the event is stored already: counted, and shown to the reader."""
        if new is event:
            return
        if isinstance(event, Block):
            skipped = event.data[: len(event.data) - (len(new.data) if isinstance(new, Block) else 0)]
            count = sum(1 for line in skipped.split(b"\n") if line and not line.isspace())
            self._reader.skip(skipped, skipped.count(b"\n"), self._service.now_ms())
        else:
            count = int(isinstance(event, Overlong))
        metrics.of(metrics.RECEIVED, self._endpoint.path).inc(count)
        metrics.of(metrics.REPEATED, self._endpoint.path).inc(count)

    def _completion(self, digest: Digest) -> Segment:
        """No lines, but the word that the stream is complete."""
        last = self._segment()
        last.first_line = self._position + 1
        last.complete, last.digest = True, digest.seal()
        return last

    def _on_change(self) -> None:
        """The writer has committed some of the lines, or never will."""
        self._changed.set()
        if self._receipts is not None:
            self._receipts.wake()
        if self._source.failure is not None and self._reading is not None:
            self._reading.cancel()

    async def _settled(self) -> None:
        """Wait until it is known of all that was put what became of it. Raises the source's failure."""
        while self._source.waiting:
            self._changed.clear()
            await self._changed.wait()
        if self._source.failure is not None:
            raise self._source.failure

    async def _explained(self, problem: Problem) -> Problem:
        """The problem with what is committed in spite of it, once that is known."""
        try:
            await self._settled()
        except Problem as failure:
            if isinstance(problem, Unavailable):  # what was put may be worse off than what was not
                problem = failure
        members = {"committed": self._source.committed, **self._source.summary(), **problem.members}
        return type(problem)(problem.detail, retry_after_s=problem.retry_after_s, members=members)

    async def _answer(self, problem: Problem | None) -> None:
        source = self._source
        if self._receipts is not None:
            if problem is None:
                await self._receipts.finish(source.summary())
            elif self._interrupted:
                await self._receipts.finish(None)
            else:
                await self._receipts.finish(problem.body())
            return
        if problem is not None:
            raise problem
        headers = REPLAYED if self._replayed else []
        if source.rejected and not source.accepted:
            await send_problem(self._send, BadRequest("no line could be accepted", members=source.summary()), headers)
        else:
            await send_json(self._send, self._endpoint.lines_status, source.summary(), headers)
