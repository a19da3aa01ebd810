"""The life of a device, in any order: it measures, loses its network, comes back with a burst, is cut, repeats itself
with and without keys, comes late, uploads its log. The collector shows what the simulator's ledgers say, at every step.
"""

import gzip
from datetime import datetime
from itertools import islice
from random import Random

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from simulation.load import junk
from simulation.load.reception import Reception
from simulation.load.uploads import log_lines
from simulation.scenario.model import Scenario
from simulation.scenario.strategies import scenarios
from simulation.traffic.desktops import Moment, messages
from simulation.traffic.hits import Hit, hits
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing
from simulation.traffic.payloads import StatsPayload, traffic
from simulation.traffic.viewers import customer_name
from simulation.truth import diaries, hours, windows
from simulation.truth.diaries import Diaries, Found, checksum
from simulation.truth.hours import Counts, Hours
from simulation.truth.ledger import Ledger, Sums, Title, Window
from tests.contract.driver import NDJSON, Answer, App, unique
from tests.harness.engines import Engine

JSON = "application/json"
few = st.integers(1, 6)


def lines_of(bodies: list[bytes]) -> bytes:
    return b"\n".join([*bodies, b""])


class Devices(RuleBasedStateMachine):
    """A viewer, a desktop client and an audience, all of one profile, beside their ledgers."""

    app: App

    @initialize(scenario=scenarios(1, 1), seed=st.integers(0, 2**16))
    def begin(self, scenario: Scenario, seed: int) -> None:
        self.run = unique("d")
        self.random = Random(seed)
        self.app.clock.to_boundary()
        timing = Timing(start_ms=self.now_ms)
        self.viewers = traffic(scenario, seed=seed, run=self.run, timing=timing)
        self.desktops = messages(scenario, seed=seed, run=self.run, clients=1, timing=timing)
        self.audience = hits(scenario, seed=seed, run=self.run, timing=timing)
        self.ledger = Ledger(self.run, [customer_name(name, self.run) for name in scenario.customers])
        self.diaries, self.hours = Diaries(self.run), Hours(self.run)
        self.began_s = self.app.clock.now
        self.online = True
        self.waiting: list[Message[StatsPayload]] = []  # without a network
        self.late: list[Message[StatsPayload]] = []
        self.told: list[Message[StatsPayload]] = []  # stored under their keys
        self.log: dict[str, list[Moment]] = {}  # of each session of the app
        self.live: list[Moment] = []  # of these, stored live, before any log was sent
        self.uploaded: set[str] = set()
        self.streams = 0
        self.clicked: set[str] = set()  # keys

    # Time and the network

    @rule(seconds=st.sampled_from([0.5, 30.0, 299.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.app.clock.advance(seconds)

    @precondition(lambda self: self.online)
    @rule(count=few)
    def lose_the_network(self, count: int) -> None:
        """And go on to play, and to work."""
        self.online = False
        self.play(count)
        self.work(count)

    @precondition(lambda self: not self.online)
    @rule(data=st.data())
    def come_back_with_a_burst(self, data: st.DataObject) -> None:
        """What has waited goes out as a stream, broken lines among it; cut in between or not, and then resumed."""
        self.online = True
        burst, self.waiting = self.waiting, []
        if not burst:
            return
        bodies: list[bytes] = []
        good: dict[int, Message[StatsPayload]] = {}
        for message in burst:
            if data.draw(st.integers(0, 3), label="broken") == 0:
                bodies.append(junk.line("/stats", self.random).body)
            bodies.append(message.body)
            good[len(bodies)] = message
        committed = 0
        if data.draw(st.booleans(), label="cut"):
            part = lines_of(bodies[: data.draw(st.integers(0, len(bodies)), label="lines before it")])
            answer = self.app.post([part, b'{"tok'], NDJSON, key=self.key, cut=True)
            assert answer.status == 400, answer.body
            found = self.app.get(f"/streams/{self.key}")
            committed = found.json()["committed"] if found.status == 200 else 0
            assert committed == part.count(b"\n"), "a request that is cut keeps what has come"
            self.stored([good[line] for line in range(1, committed + 1) if line in good])
        answer = self.app.post(lines_of(bodies[committed:]), NDJSON, key=self.key, stream_offset=committed)
        accepted, rejected, _ = answer.summary()
        assert accepted == len(good)
        assert rejected == sum(bool(body.strip()) for body in bodies) - len(good)
        self.stored([good[line] for line in range(committed + 1, len(bodies) + 1) if line in good])
        again = self.app.post(lines_of(bodies), NDJSON, key=self.key)
        assert again.summary() == answer.summary()
        assert "idempotent-replayed" in again.headers
        self.streams += 1

    # What a viewer sends

    @rule(count=few)
    def play(self, count: int) -> None:
        for message in self.made(self.viewers, count):
            if self.online:
                self.post(message)
            else:
                self.waiting.append(message)

    @rule()
    def fall_behind(self) -> None:
        self.late += self.made(self.viewers, 1)

    @precondition(lambda self: self.late and self.online)
    @rule()
    def catch_up(self) -> None:
        self.post(self.late.pop(self.random.randrange(len(self.late))))

    @precondition(lambda self: self.told and self.online)
    @rule()
    def repeat_under_the_key(self) -> None:
        message = self.random.choice(self.told)
        answer = self.app.post(message.body, JSON, key=message.key)
        assert answer.status == 204
        assert "idempotent-replayed" in answer.headers

    @precondition(lambda self: self.told and self.online)
    @rule()
    def repeat_without_a_key(self) -> None:
        message = self.random.choice(self.told)
        assert self.app.post(message.body, JSON).status == 204
        self.ledger.acknowledge(message.payload, self.now, copy=True)

    @precondition(lambda self: self.online)
    @rule(path=st.sampled_from(["/stats", "/payloads", "/sessions"]))
    def send_something_broken(self, path: str) -> None:
        _, body = junk.request(path, self.random)
        answer = self.app.post(body, JSON, path=path)
        assert 400 <= answer.status < 500, answer

    # What a desktop client does

    @rule(count=st.integers(1, 30))
    def work(self, count: int) -> None:
        """Live, as long as there is a network and no log was sent; always into the log."""
        for session, told in self.by_session(self.made(self.desktops, count)).items():
            moments = [message.payload for message in told]
            self.log.setdefault(session, []).extend(moments)
            if self.online and session not in self.uploaded:
                self.stream(moments)
                self.live += moments

    @precondition(lambda self: self.log and self.online)
    @rule()
    def upload_the_log(self) -> None:
        """All of a session's, whether the collector has it or not, and perhaps for a second time."""
        session = self.random.choice(sorted(self.log))
        moments = self.log[session]
        packed = gzip.compress(self.sent_at(moments[0]) + log_lines(moments))
        answer = self.app.post(packed, NDJSON, path="/sessions/logs", content_encoding="gzip")
        assert answer.summary() == (len(moments), 0, [])
        self.uploaded.add(session)
        for moment in moments:
            self.diaries.acknowledge(moment, self.now)

    @precondition(lambda self: self.online and any(moment.origin not in self.uploaded for moment in self.live))
    @rule()
    def stream_something_again_without_a_key(self) -> None:
        moment = self.random.choice([moment for moment in self.live if moment.origin not in self.uploaded])
        self.stream([moment], copy=True)

    # What an audience does

    @precondition(lambda self: self.online)
    @rule(count=few, twice=st.booleans())
    def click_and_look(self, count: int, twice: bool) -> None:
        for message in self.made(self.audience, count):
            hit: Hit = message.payload
            if hit.hour_ms not in self.hours.before:
                self.hours.before[hit.hour_ms] = self.counts(hit.hour_ms)
            for _ in range(1 + twice):
                known, key = message.key in self.clicked, {"idempotency-key": message.key}
                answer = self.app.request("POST", "/analytics", query=hit.query[1:].encode(), headers=key)
                assert (answer.status, "idempotent-replayed" in answer.headers) == (204, known)
                if not known:
                    self.hours.acknowledge(hit, self.now)
                self.clicked.add(message.key)

    # What the collector shows

    @invariant()
    def every_window_agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found: dict[Title, dict[Window, Sums]] = {}
        for customer in self.ledger.customers:
            for row in self.app.get("/stats", customer=customer).json()["rows"]:
                window = round(datetime.fromisoformat(row["time"]).timestamp() * 1000)
                shown = found.setdefault((row["customer"], row["content"]), {})
                shown[window] = Sums(row["cdn"], row["p2p"], 0, row["sessions"])
        assert windows.compare(self.ledger.saved(), found).differences == []

    @invariant()
    def every_hour_agrees(self) -> None:
        if hasattr(self, "hours"):
            saved = self.hours.saved()
            shown = {entry.hour_ms: self.counts(entry.hour_ms) for entry in saved.hours}
            assert hours.compare(saved, shown).differences == []

    def teardown(self) -> None:
        """Every session agrees: read once, at the end."""
        if not hasattr(self, "diaries"):
            return
        for diary in self.diaries.saved().sessions:
            rows = self.app.get(f"/sessions/{diary.session}", limit=10_000).json()["rows"]
            assert diaries.compare_session(diary, [found(row) for row in rows]) == []

    # Shared

    @property
    def now_ms(self) -> int:
        return int(self.app.clock.now * 1000)

    @property
    def now(self) -> Reception:
        """What is received now; the test holds the clock."""
        return Reception(self.now_ms, self.now_ms)

    @property
    def key(self) -> str:
        return f"{self.run}-burst-{self.streams}"

    def made(self, source: object, count: int) -> list[Message]:  # type: ignore[type-arg]
        """The next messages, at or after their moment."""
        made: list[Message] = list(islice(source, count))  # type: ignore[type-arg, call-overload]
        moment_s = self.began_s + made[-1].offset_s
        self.app.clock.advance(max(0.0, moment_s - self.app.clock.now))
        return made

    def post(self, message: Message[StatsPayload]) -> None:
        """By itself, under its key; one that is sent twice counts once."""
        answer: Answer = self.app.post(message.body, JSON, key=message.key)
        assert answer.status == 204, answer.body
        known = any(message.key == each.key for each in self.told)
        assert ("idempotent-replayed" in answer.headers) == known
        if not known:
            self.stored([message])
            self.told.append(message)

    def stored(self, sent: list[Message[StatsPayload]]) -> None:
        for message in sent:
            self.ledger.acknowledge(message.payload, self.now)

    def stream(self, moments: list[Moment], *, copy: bool = False) -> None:
        bodies = [msgspec.json.encode(moment.message) for moment in moments]
        answer = self.app.post(self.sent_at(moments[0]) + lines_of(bodies), NDJSON, path="/sessions")
        assert answer.summary() == (len(moments), 0, [])
        for moment in moments:
            self.diaries.acknowledge(moment, self.now, copy=copy)

    def sent_at(self, moment: Moment) -> bytes:
        return b'{"sentAt":%d}\n' % (self.now_ms + moment.skew_ms)

    def by_session(self, sent: list[Message[Moment]]) -> dict[str, list[Message[Moment]]]:
        sessions: dict[str, list[Message[Moment]]] = {}
        for message in sent:
            sessions.setdefault(message.payload.origin, []).append(message)
        return sessions

    def counts(self, hour_ms: int) -> Counts:
        text = self.app.get("/analytics", timestamp=hour_ms).body.decode()
        return Counts(*(int(line.partition(",")[2]) for line in text.splitlines()))


def found(row: dict[str, object]) -> Found:
    said = [row[name] for name in ("version", "cpu", "event", "phase", "properties")]
    ms = round(datetime.fromisoformat(str(row["time"])).timestamp() * 1000)
    return Found(row["seq"], ms, checksum(*said))  # type: ignore[arg-type]


def test_devices_live_in_any_order_and_every_number_agrees(app: App, engine: Engine) -> None:
    machine = type("Bound", (Devices,), {"app": app})
    checks = list(HealthCheck)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    )
