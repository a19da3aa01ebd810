"""GET /reports/cpu: counts as the contract defines them, the tree that they come to, and links that go on from it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from collector.report import loading
from collector.report.question import Question, ask
from collector.store.cpu import CpuReader
from tests.contract.driver import Answer, App, unique

HOUR_S = 3600.0


class Fleet:
    """Sessions of one test, in a window of their own."""

    def __init__(self, app: App) -> None:
        app.clock.advance(10 * HOUR_S)
        app.clock.to_boundary()
        self.app = app
        self.begin_ms = int(app.clock.now * 1000)
        app.clock.advance(HOUR_S)
        self.name = unique("f")
        self.window = {"from": self.at(0), "to": self.at(HOUR_S)}

    def at(self, seconds: float) -> str:
        """A moment of the window."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.begin_ms + 1000 * seconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def session(self, number: int) -> str:
        return f"{self.name}/{number}"

    def send(self, number: int, *messages: dict[str, Any], path: str = "/sessions") -> None:
        """Messages of a session; `at` are seconds since the window's begin."""
        lines = []
        for seq, message in enumerate(messages, 1):
            given = {key: value for key, value in message.items() if key != "at"}
            line = {"session": self.session(number), "seq": seq, "time": self.at(message["at"]), **given}
            lines.append(json.dumps(line).encode())
        accepted, rejected, errors = self.app.stream(lines, path=path).summary()
        assert (accepted, rejected) == (len(messages), 0), errors

    def ask(self, accept: str | None = None, **parameters: Any) -> Answer:
        where = parameters.pop("where", [])
        pairs = {**self.window, **parameters}
        query = "&".join(
            [*(f"{name}={quoted(str(value))}" for name, value in pairs.items() if value is not None)]
            + [f"where={quoted(condition)}" for condition in where]
        )
        headers = {} if accept is None else {"Accept": accept}
        return self.app.request("GET", "/reports/cpu", query=query.encode(), headers=headers)

    def report(self, **parameters: Any) -> dict[str, Any]:
        answer = self.ask(**parameters)
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.json()
        return document


def quoted(text: str) -> str:
    return quote(text, safe="")


@pytest.fixture
def fleet(app: App) -> Fleet:
    return Fleet(app)


def follow(app: App, href: str) -> dict[str, Any]:
    parts = urlsplit(href)
    answer = app.request("GET", unquote(parts.path), query=parts.query.encode())
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def test_who_runs_hot(fleet: Fleet) -> None:
    """A version: counts, shares, the ratio and its bound, sentences, and the link."""
    for number in range(40):
        hot = number < 18 or number == 30
        fleet.send(
            number,
            {"at": 10, "version": "6.04" if number < 20 else "6.03", "properties": {"os": ["a", "b", "c"][number % 3]}},
            {"at": 20, "cpu": 30.5 if hot else 30},
            {"at": 30, "cpu": 5},
        )
    report = fleet.report()
    assert (report["sessions"], report["hot"], report["share"]) == (40, 19, 0.475)
    assert (report["threshold"], report["statistic"], report["filters"]) == (30, "max", [])
    assert report["answer"] == [[{"dimension": "version", "op": "=", "value": "6.04"}]]
    (node,) = report["tree"]
    assert {name: node[name] for name in ("dimension", "op", "value", "sessions", "hot")} == {
        "dimension": "version",
        "op": "=",
        "value": "6.04",
        "sessions": 20,
        "hot": 18,
    }
    assert (node["outside_sessions"], node["outside_hot"]) == (20, 1)
    assert (node["share_inside"], node["share_outside"]) == (0.9, 0.05)
    assert node["risk_ratio"] == pytest.approx(18)
    assert 1 < node["risk_ratio_low"] < 18
    assert node["covers"] == pytest.approx(18 / 19)
    assert node["hot_time"] == pytest.approx(18 / 19)
    assert node["all_time"] == 0.5
    assert node["q_value"] < 0.05
    assert node["sentence"] == "95% of them ran version 6.04 (10% of the others did)"
    assert node["finding"].startswith("6.04 is at least ")
    assert node["finding"].endswith(" times as likely to run hot as the others, and covers 95% of the hot sessions.")
    assert node["base_rate"] == "95% of the hot time was with version 6.04, against 50% of all time."
    again = follow(fleet.app, node["href"])
    assert (again["sessions"], again["hot"]) == (20, 18)
    assert again["filters"] == [{"dimension": "version", "op": "=", "value": "6.04"}]
    assert follow(fleet.app, report["href"]) == report
    worst = node["worst"][0]
    assert (worst["cpu"], worst["at"]) == (30.5, fleet.at(20).replace(".000", ""))
    messages = follow(fleet.app, worst["href"])["rows"]
    assert [message["cpu"] for message in messages] == [None, 30.5, 5.0]


def test_while_doing_what(fleet: Fleet) -> None:
    """An event: sessions in which it was in force at a sample, hot while it was; outside are the other events, each
    session with each of them.
    """
    for number in range(30):
        hot = number < 24
        fleet.send(
            number,
            {"at": 0, "cpu": 1},
            {"at": 10, "event": "indexing", "phase": "begin"},
            {"at": 20, "cpu": 70 if hot else 3},
            {"at": 30, "event": "indexing", "phase": "end", "cpu": 2},
            {"at": 40, "event": "login"},
            {"at": 50, "cpu": 20},
            {"at": 99.9, "cpu": 20},
            {"at": 100, "cpu": 80 if number == 29 else 1},  # a minute after it: no event; counts for the session
            {"at": 110, "event": "sync", "phase": "begin"},
            {"at": 120, "cpu": 40 if number < 2 else 4},
        )
    report = fleet.report(depth=1)
    assert (report["sessions"], report["hot"]) == (30, 25)
    (node,) = report["tree"]
    assert (node["dimension"], node["value"]) == ("event", "indexing")
    assert (node["sessions"], node["hot"], node["outside_sessions"]) == (30, 24, 60)
    assert node["outside_hot"] == (2 if node["threshold"] == 30 else 0)
    during = fleet.report(event="indexing")
    assert (during["sessions"], during["hot"]) == (30, 24)
    assert during["sentence"].endswith("80% of 30 sessions had CPU over 30% while indexing.")
    sync = fleet.report(event="sync", threshold=39.9)
    assert (sync["sessions"], sync["hot"]) == (30, 2)
    assert fleet.report(event="login", threshold=20)["hot"] == 0
    assert fleet.report(event="login", threshold=19.9)["hot"] == 30
    assert fleet.report(event="nothing")["sessions"] == 0


def test_what_an_event_says_and_where_a_number_splits(fleet: Fleet) -> None:
    for number in range(80):
        version = "2" if number % 2 else "1"
        messages: list[dict[str, Any]] = [{"at": 0, "version": version}]
        for turn in range(4):
            length = (7 * number + 3 * turn) % 90
            begin = 100 * (turn + 1)
            hot = version == "2" and length > 42
            messages += [
                {"at": begin, "event": "incoming_file", "phase": "begin", "properties": {"filename_length": length}},
                {"at": begin + 10, "cpu": 60 if hot else 5},
                {"at": begin + 20, "event": "incoming_file", "phase": "end"},
                {"at": begin + 30, "event": "idle", "phase": "begin"},
                {"at": begin + 40, "cpu": 4},
                {"at": begin + 50, "event": "idle", "phase": "end"},
            ]
        fleet.send(number, *messages)
    report = fleet.report()
    (answer,) = report["answer"]
    conditions = {(each["dimension"], each["op"]): each["value"] for each in answer}
    assert conditions.keys() == {("version", "="), ("filename_length", ">")}
    assert 40 <= conditions["filename_length", ">"] <= 42
    path = []
    nodes = report["tree"]
    while nodes:
        path.append(nodes[0]["dimension"])
        nodes = nodes[0]["children"]
    assert set(path[:2]) == {"version", "filename_length"}
    inside = fleet.report(where=["filename_length>42", "version=2"])
    assert 10 < inside["sessions"] == inside["hot"] < 30
    assert inside["filters"][0] == {"dimension": "filename_length", "op": ">", "value": 42}
    assert fleet.report(where=["filename_length<=42", "version=2"])["hot"] == 0
    assert fleet.report(where=["filename_length=43"], threshold=0)["sessions"] == sum(
        any((7 * number + 3 * turn) % 90 == 43 for turn in range(4)) for number in range(80)
    )


def test_what_events_said_is_counted_in_all_sessions_where_some_were_looked_into(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too much was said for all of it to be looked at: the answer is the same, and so are the counts of its nodes."""
    monkeypatch.setattr(loading, "SPANS", 150)
    expected = 0
    for number in range(150):
        version, length = "2" if number % 2 else "1", 7 * number % 90
        hot = version == "2" and length > 42
        expected += hot
        fleet.send(
            number,
            {"at": 0, "version": version, "cpu": 3},
            {"at": 100, "event": "incoming_file", "phase": "begin", "properties": {"filename_length": length}},
            {"at": 110, "cpu": 60 if hot else 5},
            {"at": 120, "event": "incoming_file", "phase": "end"},
            {"at": 130, "event": "idle", "phase": "begin", "cpu": 2},
        )
    report = fleet.report()
    assert (report["sessions"], report["hot"]) == (150, expected)
    (answer,) = report["answer"]
    assert {each["dimension"] for each in answer} == {"filename_length", "version"}
    below = [(node, [node]) for node in report["tree"]]
    counted = 0
    while below:
        node, path = below.pop()
        below += [(child, [*path, child]) for child in node["children"]]
        if any(each["dimension"] == "filename_length" for each in path):
            counted += 1
            alone = follow(fleet.app, node["href"])
            assert (alone["sessions"], alone["hot"]) == (node["sessions"], node["hot"]), node["sentence"]
    assert counted


def busy(begin: float, samples: list[float], *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Events in force together, each begun a second after the other, and samples while all are."""
    first = begin + len(events)
    last = first + len(samples)
    return [
        *({"at": begin + number, "phase": "begin", **event} for number, event in enumerate(events)),
        *({"at": first + number, "cpu": cpu} for number, cpu in enumerate(samples)),
        *({"at": last + number, "phase": "end", "event": event["event"]} for number, event in enumerate(events)),
    ]


def test_one_session_s_event_takes_nothing_from_what_the_others_say(fleet: Fleet) -> None:
    """A name that sessions say of themselves, and one event, too."""
    for number in range(60):
        own = {"at": 0, "properties": {"os": "windows" if number < 20 else "linux"}}
        fleet.send(number, own, {"at": 10, "cpu": 90 if number < 14 else 5})
    plain = fleet.report()
    assert [(node["value"], node["sessions"], node["hot"]) for node in plain["tree"]] == [("windows", 20, 14)]
    fleet.send(1, {"at": 20, "event": "probe", "properties": {"os": "beos"}}, {"at": 21, "cpu": 1})
    fleet.send(50, {"at": 20, "event": "probe", "properties": {"os": "windows"}}, {"at": 21, "cpu": 1})
    (node,) = fleet.report()["tree"]
    assert (node["value"], node["sessions"], node["hot"]) == ("windows", 21, 14)
    # The session that says both is on both sides, with another part of its time.
    assert (node["outside_sessions"], node["outside_hot"]) == (40, 0)
    filtered = fleet.report(where=["os=windows"])
    assert (filtered["sessions"], filtered["hot"]) == (21, 14)
    assert fleet.report(where=["os=beos"])["sessions"] == 1


@pytest.mark.parametrize("statistic", ["max", "mean", "p95"])
def test_a_node_covers_no_more_than_the_hot_sessions_above(fleet: Fleet, statistic: str) -> None:
    """A session may be hot while something was going on, and not on the whole."""
    for number in range(60):
        calm = [5.0] * (60 if number % 3 else 1)
        fleet.send(
            number,
            *busy(0, [40.0 if number < 30 else 5.0], {"event": "indexing"}),
            *busy(100, calm, {"event": "idle"}),
        )
    report = fleet.report(threshold=12, statistic=statistic)
    assert report["hot"] == {"max": 30, "mean": 10, "p95": 10}[statistic]
    (node,) = report["tree"]
    assert (node["value"], node["hot"], node["covers"]) == ("indexing", 30, 1.0)
    assert node["sentence"].startswith("100% were over 12%")


@pytest.mark.parametrize("statistic", ["max", "mean", "p95"])
def test_counts_are_those_of_all_sessions_where_events_overlap_and_some_were_looked_into(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, statistic: str
) -> None:
    """Of what sessions and events say, too, in whatever order it is asked for."""
    for number in range(60):
        said = {"length": number, "os": "ab"[number % 2]}
        upload, scan = ({"event": name, "properties": said} for name in ("upload", "scan"))
        fleet.send(
            number,
            {"at": 0, "properties": {"os": "ac"[number // 30]}},
            *busy(10, [60.0, 40.0, 5.0] * (number % 4 + 1), upload, scan),
            *({"at": 50 + each, "cpu": 20} for each in range(number % 5)),
        )
    questions = [["length>42"], ["length>12", "os=a"], ["os=a", "length<=40"], ["os=b"], ["os=c", "length>3", "os=c"]]
    asked: list[dict[str, Any]] = [{"where": list(dict.fromkeys(where))} for where in questions]
    asked += [{"where": ["length>12", "os=a"], "event": "scan"}]

    def counts() -> list[Any]:
        found = [fleet.report(statistic=statistic, threshold=34, **each) for each in asked]
        return [(each["sessions"], each["hot"], each["worst"]) for each in found]

    every = counts()
    monkeypatch.setattr(loading, "SPANS", 60)
    assert counts() == every
    assert {sessions for sessions, *_ in every} == {17, 32, 36, 30}


def test_a_sample_counts_once_though_several_events_say_the_same(fleet: Fleet) -> None:
    """Inside, outside and as a share of time; with a threshold, too."""
    for number in range(100):
        kind, cpu = ("big", 90.0) if number % 2 else ("small", 5.0)
        said = {"kind": kind, "n": number % 2}
        upload, scan = ({"event": name, "properties": said} for name in ("upload", "scan"))
        again = {"event": "scan", "properties": {**said, "n": 7}}
        fleet.send(
            number, *busy(0, [cpu] * 6, upload, scan, again), *({"at": 20 + each, "cpu": cpu} for each in range(6))
        )
    report = fleet.report(min_support=0.01)
    # The time without an event is as hot: what was said is not what makes it so.
    for node in report["tree"]:
        assert (node["outside_sessions"], node["outside_hot"]) == (100, 50), node["sentence"]
        assert node["hot_time"] <= 0.5
    for condition, sessions, mean in (("kind=big", 50, 90), ("n>0", 100, 47), ("n<=0", 50, 5), ("n>6", 100, 47)):
        for threshold, hot in ((mean - 1, sessions // (2 if mean == 47 else 1)), (91, 0)):
            found = fleet.report(where=[condition], statistic="mean", threshold=threshold)
            assert (found["sessions"], found["hot"]) == (sessions, hot), condition


def test_the_worst_sessions_are_those_of_the_node(fleet: Fleet) -> None:
    """By the 95th percentile of what fulfils its conditions, and at the moment of a sample that does."""
    for number in range(20):
        high = 40.0 + number
        # Those with the lower ones have the larger share over the threshold.
        big = [high] * 10 + [5.0] * number
        fleet.send(
            number,
            {"at": 0, "cpu": high},
            *busy(1, big, {"event": "job", "properties": {"kind": "big"}}),
            *busy(100, [5.0] * 150, {"event": "job", "properties": {"kind": "small"}}),
        )
    for more in ({}, {"event": "job"}):
        found = fleet.report(statistic="p95", where=["kind=big"], **more)
        assert [each["cpu"] for each in found["worst"]] == [59, 58, 57, 56, 55]
        assert {each["at"] for each in found["worst"]} == {fleet.at(2).replace(".000", "")}
    assert fleet.report()["worst"][0]["at"] == fleet.at(0).replace(".000", "")


def test_a_worst_session_is_shown_with_the_threshold_it_was_over(fleet: Fleet) -> None:
    fleet.send(0, {"at": 0, "cpu": 90})
    assert fleet.report(threshold=80.5)["worst"][0]["href"].endswith("&threshold=80.5")
    assert "threshold" not in fleet.report()["worst"][0]["href"]


def test_an_empty_value_can_be_asked_for(fleet: Fleet) -> None:
    for number in range(40):
        fleet.send(
            number,
            {"at": 0, "properties": {"os": "" if number < 20 else "b"}},
            {"at": 1, "cpu": 90 if number < 15 else 5},
        )
    (node,) = fleet.report()["tree"]
    assert (node["value"], follow(fleet.app, node["href"])["sessions"]) == ("", 20)
    assert 'had os "" (' in node["sentence"]


def test_names_cannot_write_on_a_terminal(fleet: Fleet) -> None:
    """Neither its control sequences, nor lines of the tree."""
    version = "1\x1b[2J\n└ 99% of them\u202e\x9b"
    for number in range(40):
        fleet.send(
            number, {"at": 0, "version": version if number < 20 else "2"}, {"at": 1, "cpu": 90 if number < 15 else 5}
        )
    text = fleet.ask(accept="text/plain").body.decode()
    assert r"ran version 1␛[2J⏎└ 99% of them\u202e\x9b (" in text
    assert not {character for character in text if not character.isprintable()} - {"\n"}


def test_nothing_stands_out(fleet: Fleet) -> None:
    for number in range(40):
        fleet.send(number, {"at": 1, "version": str(number % 2), "cpu": 50 if number % 4 < 2 else 5})
    report = fleet.report()
    assert (report["hot"], report["tree"], report["answer"]) == (20, [], [])
    text = fleet.ask("text/plain").body.decode().splitlines()
    assert text[0].endswith("50% of 40 sessions had CPU over 30%.")
    assert text[1:] == ["Nothing stands out."]


def test_the_tree_as_text(fleet: Fleet) -> None:
    for number in range(40):
        fleet.send(number, {"at": 1, "version": "6.04" if number < 20 else "6.03", "cpu": 50 if number < 19 else 5})
    answer = fleet.ask("text/plain")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["vary"] == "Accept"
    first, second, *_ = answer.body.decode().splitlines()
    assert first.endswith("48% of 40 sessions had CPU over 30%.")
    assert second == "└ 100% of them ran version 6.04 (5% of the others did)"


def test_no_sessions(fleet: Fleet) -> None:
    report = fleet.report()
    assert (report["sessions"], report["hot"], report["share"], report["tree"]) == (0, 0, 0, [])
    assert report["sentence"].endswith(": no session had CPU measured.")
    assert fleet.report(version="1", event="x", where=["a=b", "c>1"])["sessions"] == 0


def test_the_statistic_is_strictly_over_the_threshold(fleet: Fleet) -> None:
    """Of 20 samples p95 is the 19th, of 19 the last one."""
    fleet.send(1, *({"at": at, "cpu": 40 if at == 7 else 20} for at in range(20)))
    fleet.send(2, *({"at": at, "cpu": 40 if at in (7, 8) else 20} for at in range(20)))
    fleet.send(3, *({"at": at, "cpu": 40 if at == 7 else 20} for at in range(19)))
    fleet.send(4, *({"at": at, "cpu": 30} for at in range(20)))

    def hot(statistic: str, threshold: float) -> int:
        found: int = fleet.report(statistic=statistic, threshold=threshold)["hot"]
        return found

    assert [hot("max", threshold) for threshold in (19.99, 20, 30, 39.99, 40)] == [4, 4, 3, 3, 0]
    assert [hot("mean", threshold) for threshold in (19.99, 21, 22, 30)] == [4, 3, 1, 0]
    assert [hot("p95", threshold) for threshold in (19.99, 20, 30, 40)] == [4, 3, 2, 0]
    worst = fleet.report(statistic="p95", threshold=20)["worst"]
    assert [each["cpu"] for each in worst] == [40, 40, 30]
    assert fleet.report(statistic="mean", threshold=29)["worst"][0]["cpu"] == 30


def test_windows_are_whole_buckets_and_samples_are_in_one_of_them(fleet: Fleet) -> None:
    fleet.send(1, {"at": 599.999, "cpu": 50})
    fleet.send(2, {"at": 600, "cpu": 50})
    fleet.send(3, {"at": 899.999, "cpu": 50})
    fleet.send(4, {"at": 900, "cpu": 50})
    exact = fleet.report(**{"from": fleet.at(600), "to": fleet.at(900)})
    assert (exact["from"], exact["to"]) == tuple(fleet.at(at).replace(".000", "") for at in (600, 900))
    assert exact["sessions"] == 2
    cut = fleet.report(**{"from": fleet.at(899), "to": fleet.at(901)})
    assert (cut["from"], cut["to"]) == tuple(fleet.at(at).replace(".000", "") for at in (600, 1200))
    assert cut["sessions"] == 3


def test_what_was_acknowledged_is_in_the_next_report(fleet: Fleet) -> None:
    """By a stream, by a message, by a log of days ago; and a session that goes on is counted once."""
    fleet.app.clock.advance(5 * 24 * HOUR_S)
    for number in range(5):
        fleet.send(number, {"at": 10, "cpu": 1}, path="/sessions/logs")
        report = fleet.report()
        assert (report["sessions"], report["hot"]) == (number + 1, number)
        line = {"session": fleet.session(number), "seq": 2, "time": fleet.at(1200), "cpu": 31}
        assert fleet.app.post(json.dumps(line).encode(), path="/sessions").status == 204
        assert fleet.report()["hot"] == number + 1
    now = fleet.report(**{"from": None, "to": None, "hours": 1})
    assert now["sentence"] == "Last hour: no session had CPU measured."
    assert fleet.app.stream([b'{"session":"%b","cpu":99}' % fleet.name.encode()], path="/sessions").status == 200
    now = fleet.report(**{"from": None, "to": None, "hours": 1})
    assert now["sentence"] == "Last hour: 100% of 1 session had CPU over 30%."


def test_an_event_that_began_long_before_the_window_is_in_force_in_it(fleet: Fleet) -> None:
    fleet.send(1, {"at": -7200, "event": "call", "phase": "begin"}, {"at": 100, "cpu": 77}, {"at": 200, "cpu": 3})
    assert fleet.report(event="call")["hot"] == 1
    late = {"session": fleet.session(1), "seq": 9, "time": fleet.at(150), "event": "call", "phase": "end"}
    assert fleet.app.stream([json.dumps(late).encode()], path="/sessions/logs").status == 200
    assert fleet.report(event="call", threshold=2)["worst"][0]["cpu"] == 77
    assert fleet.report(event="call", **{"from": fleet.at(0), "to": fleet.at(300)}, threshold=76)["hot"] == 1


def test_what_a_session_says_last_counts_up_to_the_window_s_end(fleet: Fleet) -> None:
    fleet.send(
        1,
        {"at": -3600, "version": "1", "properties": {"os": "a", "plan": "free"}},
        {"at": 10, "cpu": 50},
        {"at": 600, "version": "2", "properties": {"plan": "pro"}, "cpu": 50},
    )
    early = {"from": fleet.at(0), "to": fleet.at(600)}
    for conditions, found in (
        ({"version": "1"}, 1),
        ({"version": "2"}, 0),
        ({"where": ["os=a", "plan=free"]}, 1),
    ):
        assert fleet.report(**early, **conditions)["sessions"] == found
    for conditions, found in (
        ({"version": "1"}, 0),
        ({"version": "2"}, 1),
        ({"where": ["os=a", "plan=pro"]}, 1),
    ):
        assert fleet.report(**conditions)["sessions"] == found


@pytest.mark.parametrize(
    "parameters",
    [
        "hours=0",
        "hours=-1",
        "hours=nan",
        "hours=1e9",
        "hours=many",
        "from=yesterday",
        "to=1e9",
        "from=2026-01-01T00:00:00Z&hours=3",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "threshold=-1",
        "threshold=inf",
        "threshold=1_0",
        "statistic=median",
        "min_support=0",
        "min_support=1.1",
        "depth=0",
        "depth=1.5",
        "depth=99",
        "version=",
        "event=",
        "event=%00",
        "where=os",
        "where==x",
        "from=9999-12-31T23:59:00Z&to=9999-12-31T23:59:59Z",
        "to=9999-01-01T00:00:00Z",
        "where=os>x",
        "where=version>6",
        "where=%22os=x",
        "where=a%3Db&where=a%3Dc",
        "where=" + "&where=".join(f"a{number}=b" for number in range(9)),
        "treshold=30",
        "os=windows",
        "threshold=1&threshold=2",
        "version=1&version=2",
    ],
)
def test_a_bad_value_is_told(app: App, parameters: str) -> None:
    detail = app.request("GET", "/reports/cpu", query=parameters.encode()).problem(400)["detail"]
    name = parameters.partition("=")[0]
    assert name in detail or "known are" in detail


def test_keys_of_properties_may_be_anything(fleet: Fleet) -> None:
    keys = ["a=b", "x>y", '"', "hours", "<=", "ключ", "version", "event"]
    for number in range(40):
        hot = number < 20
        said = dict.fromkeys(keys, "yes" if hot else "no")
        fleet.send(number, {"at": 1, "version": "1", "properties": said}, {"at": 2, "cpu": 90 if hot else 1})
    report = fleet.report()
    node = report["tree"][0]
    assert node["dimension"] not in ("version", "event")
    assert follow(fleet.app, node["href"])["sessions"] == 20
    for key in keys[:6]:
        where = f"{json.dumps(key, ensure_ascii=False)}=yes"
        assert fleet.report(where=[where])["sessions"] == 20
    assert fleet.report(where=["version=1"])["sessions"] == 40


def test_values_that_are_no_scalars_or_too_long_are_left_aside(fleet: Fleet) -> None:
    for number in range(20):
        said = {
            "list": [number],
            "object": {"a": 1},
            "null": None,
            "long": "x" * 300,
            "huge": 1e300,
            "yes": number < 10,
        }
        fleet.send(number, {"at": 1, "properties": said}, {"at": 2, "cpu": 90 if number < 10 else 1})
    report = fleet.report()
    assert [(node["dimension"], node["value"]) for node in report["tree"]] == [("yes", True)]
    assert report["tree"][0]["sentence"] == "100% of them had yes true (0% of the others did)"
    assert follow(fleet.app, report["tree"][0]["href"])["sessions"] == 10


def test_who_asks_the_same_while_one_is_made_shares_the_next(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people who press reload; and one report after the other."""
    fleet.send(1, {"at": 1, "cpu": 50})
    question, other = ask([*fleet.window.items()]), ask([*fleet.window.items(), ("threshold", "40")])
    began: list[float] = []
    under_way: list[int] = [0]
    has_begun = asyncio.Event()
    read = CpuReader.window

    async def noted(*arguments: Any) -> Any:
        began.append(arguments[1].over[0])
        has_begun.set()
        under_way[0] += 1
        assert under_way[0] == 1
        try:
            return await read(*arguments)
        finally:
            under_way[0] -= 1

    monkeypatch.setattr(CpuReader, "window", noted)

    async def together(*questions: Question) -> list[int]:
        made = await asyncio.gather(*map(fleet.app.service.cpu_report, questions))
        return [found.hot for found in made]

    assert fleet.app.call(together(*[question] * 10, other, *[question] * 10)) == [1] * 21
    assert sorted(began) == [30, 40]
    has_begun.clear()

    async def while_one_is_made() -> None:
        first = asyncio.create_task(together(question))
        await has_begun.wait()
        await asyncio.gather(first, together(question, question))

    fleet.app.call(while_one_is_made())
    assert sorted(began) == [30, 30, 30, 40]


def test_a_session_s_cpu_over_time_has_few_points_and_the_highest(fleet: Fleet) -> None:
    messages: list[dict[str, Any]] = [{"at": at, "cpu": 90 if at == 1234 else at % 50} for at in range(3000)]
    messages[10:10] = [{"at": 10, "event": "x", "phase": "begin", "properties": {"a": 1}}]
    messages += [{"at": 3000, "event": "y"}, {"at": 3010, "cpu": 1}]
    fleet.send(1, *messages)

    def cpu(**bounds: Any) -> Any:
        return fleet.app.call(fleet.app.service.store.session_cpu(fleet.session(1), **bounds))

    found = cpu(points=100)
    assert found.samples == 3001
    assert 90 <= len(found.points) <= 100
    assert found.highest is not None
    assert (found.highest.cpu, found.highest.time.isoformat()) == (90, fleet.at(1234)[:-5] + "+00:00")
    assert [point.time for point in found.points] == sorted(point.time for point in found.points)
    assert [(band.event, band.properties) for band in found.bands] == [("x", '{"a": 1}'), ("y", None)]
    assert found.bands[0].to == found.to
    begin = datetime.fromisoformat(fleet.at(100))
    some = cpu(since=begin, until=begin + timedelta(seconds=50), bands=1)
    assert (some.samples, len(some.points), some.bands_left_out) == (50, 50, 0)
    assert some.bands[0].event == "x"
    assert cpu(bands=1).bands_left_out == 1
    nothing = fleet.app.call(fleet.app.service.store.session_cpu("nobody"))
    assert (nothing.samples, nothing.points, nothing.bands, nothing.since) == (0, [], [], None)


def test_the_url_of_a_report_says_all_of_its_question(app: App) -> None:
    query = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&threshold=12.5&statistic=mean&min_support=0.2&depth=2"
    query += "&version=6.04&event=indexing&where=a%3C%3D1"
    report = app.request("GET", "/reports/cpu", query=query.encode()).json()
    assert dict(parse_qsl(urlsplit(report["href"]).query)) == dict(parse_qsl(query))
