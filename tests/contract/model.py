"""What the collector has to do, as simply as can be: lists and dictionaries, one request after the other."""

from collections.abc import Iterable

import msgspec

from collector.messages.payload import STARTING_MS, Payload
from tests.contract.driver import WINDOW_S
from tests.strategies import encoded

Line = Payload | bytes
"""What is accepted, or the bytes of what is not."""


class Keyed(msgspec.Struct):
    """What is committed under a key."""

    lines: list[bytes] = []
    accepted: int = 0
    rejected: int = 0
    complete: bool = False


class Expected(msgspec.Struct):
    """An answer: its status, whether it is a repeat's, and of lines the counts."""

    status: int
    replayed: bool = False
    counts: tuple[int, int] | None = None


class Model:
    """Every payload that was stored, by the moment of its reception."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, Payload, bool]] = []
        self.keys: dict[str, Keyed] = {}
        self._tokens: set[str] = set()

    def single(self, now: float, sent: Payload, key: str | None) -> Expected:
        """POST of one payload."""
        if key is not None:
            before = self.keys.get(key)
            if before is not None:
                same = before.complete and before.lines == [encoded(sent)]
                return Expected(204, replayed=True) if same else Expected(422)
            self.keys[key] = Keyed([encoded(sent)], accepted=1, complete=True)
        self._store(now, sent)
        return Expected(204)

    def stream(self, now: float, lines: list[Line], key: str | None, offset: int, *, cut: bool) -> Expected:
        """POST of JSON lines from the given offset of the stream on; `cut`: without the end of the body."""
        state = Keyed() if key is None else self.keys.setdefault(key, Keyed())
        committed = len(state.lines)
        if offset > committed:
            return Expected(409)
        sent = lines[offset:]
        raw = [line if isinstance(line, bytes) else encoded(line) for line in sent]
        arrives = offset + len(sent) >= committed
        if offset == 0 and committed and arrives and raw[:committed] != state.lines:
            return Expected(422)
        new = sent[committed - offset :] if arrives else []
        if state.complete and new:
            return Expected(422)
        replayed = state.complete
        for line in new:
            if isinstance(line, Payload):
                self._store(now, line)
                state.accepted += 1
            elif line.strip():
                state.rejected += 1
        state.lines = state.lines + raw[committed - offset :] if arrives else state.lines
        counts = state.accepted, state.rejected
        if cut:
            return Expected(400, counts=counts)
        if not arrives:
            return Expected(422)
        state.complete = True
        return Expected(400 if state.rejected and not state.accepted else 200, replayed, counts)

    def stats(self) -> list[tuple[float, str, str, int, int, int]]:
        """Rows of `stats`, oldest first: end, customer, content, cdn, p2p, sessions."""
        sums: dict[tuple[float, str, str], list[int]] = {}
        for moment, row, starts in self.rows:
            end = (moment // WINDOW_S + 1) * WINDOW_S
            entry = sums.setdefault((end, row.customer, row.content), [0, 0, 0])
            for at, amount in enumerate((row.cdn, row.p2p, int(starts))):
                entry[at] += amount
        return sorted((*key, cdn, p2p, sessions) for key, (cdn, p2p, sessions) in sums.items())

    def customers(self) -> Iterable[str]:
        """Whoever has rows."""
        return sorted({row.customer for _, row, _ in self.rows})

    def _store(self, now: float, row: Payload) -> None:
        starts = row.session_duration < STARTING_MS and row.token not in self._tokens
        if starts:
            self._tokens.add(row.token)
        self.rows.append((now, row, starts))
