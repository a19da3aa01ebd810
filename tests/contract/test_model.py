"""Any sequence of requests gives the answers and the `stats` of a naive model."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from collector.messages.payload import Payload
from tests.contract.driver import NDJSON, WINDOW_S, Answer, App, Table, unique
from tests.contract.model import Expected, Line, Model
from tests.harness.engines import Engine
from tests.strategies import amounts, chunkings, encoded

# Few of each, so that tokens come again, keys are used twice and windows are shared.
small = st.builds(
    Payload,
    token=st.sampled_from("abcdef"),
    customer=st.sampled_from("XY"),
    content=st.sampled_from(["film", "show"]),
    timespan=amounts,
    p2p=amounts,
    cdn=amounts,
    session_duration=st.sampled_from([0, 299_999, 300_000]),
)
BAD = [b"", b" ", b"bad", b"{}", b'{"token":"\\u0000"}', b"\xff"]
lines = st.lists(st.one_of(small, small, st.sampled_from(BAD)), max_size=8)
keys = st.none() | st.sampled_from(["k1", "k2", "k3"])


class Collector(RuleBasedStateMachine):
    """The application beside the model."""

    app: App
    table: Table
    engine: Engine

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.mark = unique("m")
        self.streams: dict[str, list[Line]] = {}
        self.again: list[Callable[[], None]] = []
        # Away from the windows of the example before, which may be aggregated by now.
        self.app.clock.to_boundary()

    def ours(self, line: Line) -> Line:
        """The line with names that no other example has."""
        if isinstance(line, bytes):
            return line
        return Payload(
            f"{self.mark}/{line.token}",
            f"{self.mark}/{line.customer}",
            line.content,
            line.timespan,
            line.p2p,
            line.cdn,
            line.session_duration,
        )

    @rule(seconds=st.sampled_from([0.25, 1.0, 299.75, 300.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        self.app.clock.advance(seconds)

    @rule()
    def what_has_ended_is_aggregated(self) -> None:
        if self.engine.has_timescaledb:
            until = self.app.clock.now // WINDOW_S * WINDOW_S
            self.table.run(f"CALL refresh_continuous_aggregate('stats_5m', NULL, to_timestamp({until}))")

    @rule(sent=small, key=keys)
    def single(self, sent: Payload, key: str | None) -> None:
        ours = self.ours(sent)
        assert isinstance(ours, Payload)

        def send() -> None:
            answer = self.app.single(ours, **self.keyed(key))
            self.compare(answer, self.model.single(self.app.clock.now, ours, key))

        self.again.append(send)
        send()

    @rule(data=st.data())
    def the_same_again(self, data: st.DataObject) -> None:
        """One of the requests before, as it was."""
        if self.again:
            data.draw(st.sampled_from(self.again), label="which")()

    @rule(sent=lines, key=keys, cut=st.booleans(), receipts=st.booleans(), data=st.data())
    def a_new_stream(self, sent: list[Line], key: str | None, cut: bool, receipts: bool, data: st.DataObject) -> None:
        ours = [self.ours(line) for line in sent]
        if key is not None:
            self.streams.setdefault(key, ours)
        self.send(ours, key, 0, cut, receipts, data)

    @rule(
        key=st.sampled_from(["k1", "k2", "k3"]),
        more=lines,
        cut=st.booleans(),
        receipts=st.booleans(),
        data=st.data(),
    )
    def a_stream_again(self, key: str, more: list[Line], cut: bool, receipts: bool, data: st.DataObject) -> None:
        """The same stream, whole or from an offset, sometimes longer or shorter than before."""
        stream = self.streams.setdefault(key, [])
        if data.draw(st.booleans(), label="longer"):
            stream = self.streams[key] = stream + [self.ours(line) for line in more]
        until = data.draw(st.integers(0, len(stream)), label="until") if cut else len(stream)
        offset = data.draw(st.integers(0, until + 1), label="offset")
        self.send(stream[:until], key, offset, cut, receipts, data)

    def send(
        self, stream: list[Line], key: str | None, offset: int, cut: bool, receipts: bool, data: st.DataObject
    ) -> None:
        if key is None:
            offset = 0
        raw = [line if isinstance(line, bytes) else encoded(line) for line in stream[offset:]]
        body = b"".join(line + b"\n" for line in raw) + (b'{"tok' if cut else b"")
        chunks = data.draw(chunkings(body))
        options: dict[str, Any] = {"accept": NDJSON} if receipts else {}
        if offset:
            options["stream_offset"] = offset

        def send() -> None:
            answer = self.app.post(chunks, NDJSON, cut=cut, **options, **self.keyed(key))
            expected = self.model.stream(self.app.clock.now, stream, key, offset, cut=cut)
            self.compare(answer, expected, receipts=receipts)
            if key is not None:
                state, known = self.app.get(f"/streams/{self.mark}-{key}").json(), self.model.keys[key]
                assert state == {"committed": len(known.lines), "rejected": known.rejected, "complete": known.complete}

        self.again.append(send)
        send()

    def keyed(self, key: str | None) -> dict[str, Any]:
        return {} if key is None else {"key": f"{self.mark}-{key}"}

    def compare(self, answer: Answer, expected: Expected, *, receipts: bool = False) -> None:
        document: Any = None
        status = answer.status
        if receipts and status == 200:
            document = answer.lines()[-1]
            # A receipt's answer has begun with 200: the problem stands in its last line.
            status = document.get("status", 200)
            if expected.status == 400 and document.keys() == {"accepted", "rejected", "errors"}:
                assert expected.counts is not None
                assert not expected.counts[0]
                status = 400
        elif answer.body:
            document = answer.json()
        assert status == expected.status, (answer, expected)
        # With receipts the header is sent before it is known whether the rest is as before.
        if expected.status == answer.status and status in (200, 204, 400):
            assert ("idempotent-replayed" in answer.headers) == expected.replayed
        if expected.counts is not None:
            assert (document["accepted"], document["rejected"]) == expected.counts
            assert len(document["errors"]) == expected.counts[1]

    @invariant()
    def stats_are_those_of_the_model(self) -> None:
        found = []
        for customer in self.model.customers():
            for row in self.app.get("/stats", customer=customer).json()["rows"]:
                end = datetime.fromisoformat(row["time"]).timestamp()
                found.append((end, row["customer"], row["content"], row["cdn"], row["p2p"], row["sessions"]))
        assert sorted(found) == self.model.stats()


def test_any_sequence_of_requests_is_as_the_model_has_it(app: App, table: Table, engine: Engine) -> None:
    machine = type("Bound", (Collector,), {"app": app, "table": table, "engine": engine})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=20))
