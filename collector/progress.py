"""How far a keyed stream is committed, and what of a repeat is new. Pure: no I/O.

A stream's content is compared by a digest that can go on from any committed line, so it has a state that fits into a
row: the chained hash of all whole 1 KiB pieces so far, and the bytes after the last of them. It does not depend on how
the bytes were cut.
"""

import hashlib

import msgspec

from collector.errors import BadRequest, Conflict, KeyReused
from collector.lines import Block, Part, Preamble, lines_of

CHAIN_BYTES = 16
PIECE_BYTES = 1024


class Digest:
    """A digest of bytes that are fed in order; `state` continues it elsewhere, `seal` ends it."""

    def __init__(self, state: bytes = b"") -> None:
        self._chain = state[:CHAIN_BYTES] or bytes(CHAIN_BYTES)
        self._tail = state[CHAIN_BYTES:]

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        data = self._tail + data
        view = memoryview(data)
        chain = self._chain
        at = 0
        for at in range(PIECE_BYTES, len(data) + 1, PIECE_BYTES):
            hashed = hashlib.blake2b(chain, digest_size=CHAIN_BYTES)
            hashed.update(view[at - PIECE_BYTES : at])
            chain = hashed.digest()
        self._chain = chain
        self._tail = data[at:]

    def state(self) -> bytes:
        """Up to 1,039 bytes, from which the digest can go on."""
        return self._chain + self._tail

    def seal(self) -> bytes:
        """16 bytes for all that was fed."""
        return hashlib.blake2b(self._chain + self._tail, digest_size=CHAIN_BYTES).digest()


def canonical(event: Part) -> bytes:
    """What of an event goes into the digest: its lines; of an overlong line its head and its size; of a preamble
    nothing, for the client's clock has gone on when it sends the stream again.
    """
    if isinstance(event, Block):
        return event.data
    if isinstance(event, Preamble):
        return b""
    return b"%b%d\n" % (event.head, event.size_bytes)


class Progress(msgspec.Struct, frozen=True):
    """A row of `progress`: `position` lines are committed for `source`, by the request that is `owner`."""

    source: str
    owner: int
    position: int
    complete: bool
    digest: bytes
    """The state of the stream's digest at `position`; once complete, its seal."""
    accepted: int
    rejected: int


class Resumption:
    """Leaves out what is committed of a stream that is sent again, and proves that it is the same stream.

    `position` is the physical line, from the beginning of the stream, that the request has come to.
    """

    def __init__(self, progress: Progress, offset: int) -> None:
        if offset > progress.position:
            raise Conflict(
                f"Stream-Offset is {offset}, but only {progress.position} lines are committed",
                members={"committed": progress.position},
            )
        self._progress = progress
        self.position = offset
        self.state_before = b""
        """The digest's state before the event that was admitted last."""
        # Lines between an offset and the committed position cannot be compared: the digest of the lines before them is
        # not known.
        self._comparing = offset == 0
        self.digest = Digest(progress.digest if offset == progress.position and not progress.complete else b"")
        if self.position == progress.position:
            self._arrive()

    def admit(self, event: Part) -> Part | None:
        """What of the event is new (all, a part or nothing), taken into the digest. Raises KeyReused where the content
        differs.
        """
        missing = self._progress.position - self.position
        lines = lines_of(event)
        if missing <= 0:
            if self._progress.complete:
                raise KeyReused(f"the stream was complete after {self._progress.position} lines; this one goes on")
            self.position += lines
            self.state_before = self.digest.state()
            self.digest.update(canonical(event))
            return event
        if lines <= missing:
            self.position += lines
            self._compare(canonical(event))
            return None
        assert isinstance(event, Block)  # one line is never more than what is missing
        cut = _end_of_line(event.data, missing)
        self.position += missing
        self._compare(event.data[:cut])
        return self.admit(Block(event.data[cut:], lines - missing))

    def end(self) -> None:
        """The stream is complete here. Raises KeyReused if more than this was committed."""
        if self.position < self._progress.position:
            raise KeyReused(f"{self._progress.position} lines are committed; this stream ends after {self.position}")

    def _compare(self, data: bytes) -> None:
        if self._comparing:
            self.digest.update(data)
        if self.position == self._progress.position:
            self._arrive()

    def _arrive(self) -> None:
        """At the committed position: compare, and go on from there."""
        committed = self._progress
        if self._comparing and committed.position:
            mine = self.digest.seal() if committed.complete else self.digest.state()
            if mine != committed.digest:
                raise KeyReused(f"the first {committed.position} lines differ from those committed under this key")
        if not committed.complete:
            self.digest = Digest(committed.digest)


def _end_of_line(data: bytes, lines: int) -> int:
    """The position after the newline of the given line (from 1)."""
    at = 0
    for _ in range(lines):
        at = data.index(b"\n", at) + 1
    return at


def source_name(endpoint: str, key: str, caller: str = "") -> str:
    """The source in `progress` that a key stands for. It belongs to the endpoint, and to the API key that it came with
    (`caller` is its id), so that two clients which choose the same one do not meet.
    """
    return f"{endpoint}@{caller} {key}" if caller else f"{endpoint} {key}"


MAX_KEY_CHARACTERS = 255


def parse_key(header: str) -> str:
    """The value of Idempotency-Key, quoted or not (IETF draft 07): 1 to 255 printable ASCII characters."""
    key = header[1:-1] if len(header) >= 2 and header[0] == header[-1] == '"' else header
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise BadRequest(f"Idempotency-Key: 1 to {MAX_KEY_CHARACTERS} printable ASCII characters")
    return key


def parse_offset(header: str) -> int:
    """The value of Stream-Offset: how many lines of the stream the request leaves out."""
    if not header.isascii() or not header.isdigit() or len(header) > 18:
        raise BadRequest("Stream-Offset: a whole number, 0 or more")
    return int(header)
