"""/reports/cpu: 12 hours of 10,000 sessions, their messages added up and drilled down; and what keeping the sums costs
those who write.
"""

import http.client
import statistics
import time

import msgspec
import psycopg

from tests.benchmarks.table import Bench
from tests.harness.server import ServerProcess

SESSIONS = 10_000
WINDOW_H, SESSION_H = 12, 1
LOADS = 8
"""Transactions in which the messages are stored."""
WAIT_S = 1_800
"""For the sums, at most."""

# Sessions of an hour that begin at any time of the window. Of seven messages one begins an event, five are samples and
# one ends it; files have a length and a name of their own. Of one version of five most have trouble with long names.
# Times are those up to now: that is what people ask for.
_MESSAGES = """
INSERT INTO session_message (time, received_at, session, seq, version, cpu, event, phase, properties)
SELECT time, time, %(run)s || number, seq,
       CASE WHEN seq = 0 THEN '6.0' || number %% 5 END,
       CASE WHEN seq %% 7 BETWEEN 1 AND 5
            THEN 2 + (number * 31 + seq * 17) %% 180 / 10.0
                 + CASE WHEN number %% 5 = 4 AND doing = 1 AND length > 42 AND trouble <> 0 THEN 50 ELSE 0 END END,
       CASE WHEN seq %% 7 IN (0, 6) AND seq > 0
            THEN (ARRAY['indexing', 'incoming', 'outgoing', 'idle', 'filter'])[doing + 1] END,
       CASE seq %% 7 WHEN 0 THEN 'begin' WHEN 6 THEN 'end' END,
       CASE WHEN seq = 0
            THEN jsonb_build_object('os', (ARRAY['windows', 'macos', 'linux'])[number %% 3 + 1],
                                    'cores', 2 << number %% 4, 'machine', 'm' || number)
            WHEN seq %% 7 = 0 AND doing IN (1, 2)
            THEN jsonb_build_object('filename_length', length, 'file', md5(number || '/' || seq),
                                    'folder', (ARRAY['photos', 'music', 'mail'])[(number + seq / 7) %% 3 + 1]) END
FROM generate_series(%(first)s::integer, %(last)s::integer) AS number,
     generate_series(0, %(messages)s::integer - 1) AS seq,
     LATERAL (SELECT now() - INTERVAL '1 hour' * (%(session_h)s
                  + number * 7919 %% 10000 / 10000.0 * (%(window_h)s - %(session_h)s)
                  - seq / %(messages)s::float * %(session_h)s) AS time,
              abs(hashint4(number * 1009 + seq / 7) %% 5) AS doing,
              abs(hashint4(number * 2003 + seq / 7) %% 60) AS length,
              hashint4(number) %% 10 AS trouble) AS what
"""


class Read(msgspec.Struct):
    """Seconds of a report: the first one after the sums were made, and others."""

    first_s: float
    again_s: list[float]


def store(url: str, run: str, sessions: int, messages: int) -> float:
    """Store messages of so many sessions; seconds it took."""
    began = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        for part in range(LOADS):
            first, last = sessions * part // LOADS, sessions * (part + 1) // LOADS - 1
            parameters = {"run": run, "first": first, "last": last, "messages": messages}
            connection.execute(_MESSAGES.encode(), parameters | {"window_h": WINDOW_H, "session_h": SESSION_H})
    return time.perf_counter() - began


def pair(url: str, sessions: int, messages: int, number: int) -> tuple[float, float]:
    """Rows a second with what notes the sessions that have changed, and without it; which of them comes first changes
    from round to round.
    """
    rates: dict[bool, float] = {}
    for noting in (number % 2 == 0, number % 2 == 1):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE session_message, cpu_dirty")
            state = b"ENABLE" if noting else b"DISABLE"
            connection.execute(b"ALTER TABLE session_message %b TRIGGER session_message_dirty" % state)
            connection.execute("CHECKPOINT")
        rates[noting] = sessions * messages / store(url, "pair-", sessions, messages)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE session_message ENABLE TRIGGER session_message_dirty")
        connection.execute("TRUNCATE session_message, session_cpu, session_fact, cpu_session, cpu_dirty")
    return rates[True], rates[False]


def added_up(server: ServerProcess) -> float:
    """Wait until a report is answered; seconds it took."""
    began = time.perf_counter()
    while get(server) is None:
        assert time.perf_counter() - began < WAIT_S
    return time.perf_counter() - began


def get(server: ServerProcess) -> bytes | None:
    """A report; None where not everything is added up yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    try:
        connection.request("GET", f"/reports/cpu?hours={WINDOW_H + 1}")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    assert answer.status in (200, 503), body
    return body if answer.status == 200 else None


def read(server: ServerProcess, rounds: int) -> Read:
    """Time reports, and look whether they say what is true."""
    took = []
    for _ in range(2 + rounds):
        began = time.perf_counter()
        body = get(server)
        took.append(time.perf_counter() - began)
        assert body is not None
        report = msgspec.json.decode(body)
        assert report["sessions"] == SESSIONS, report["sessions"]
        found = {condition["dimension"] for condition in report["answer"][0]}
        assert {"version"} < found <= {"version", "filename_length", "event"}, report["answer"]
    return Read(took[0], took[2:])


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table."""
    url, messages = bench.server.database_url, max(100, 10 * bench.rows // SESSIONS)
    pairs = []
    for number in range(bench.rounds):
        bench.say(f"messages stored with and without noting their sessions, round {number + 1} of {bench.rounds}")
        pairs.append(pair(url, SESSIONS // 10, messages, number))
    rows = f"{SESSIONS // 10 * messages:,} rows"
    bench.table.ratio(f"{rows} of session_message, their sessions noted, against not", pairs, "rows/s", 0.9)
    count = SESSIONS * messages
    bench.say(f"storing {count:,} messages of {SESSIONS:,} sessions")
    store(url, "cpu-", SESSIONS, messages)
    bench.say("adding them up")
    rate = count / added_up(bench.server)
    bench.table.figure("messages added up for /reports/cpu, when many wait", f"{rate:,.0f} /s")
    bench.say("reports")
    made = read(bench.server, bench.rounds)
    what = f"GET /reports/cpu, {WINDOW_H} h of {SESSIONS:,} sessions, {count:,} messages"
    again_s = statistics.median(made.again_s)
    bench.table.figure(what, f"{again_s:.2f} s (the first one {made.first_s:.2f} s)", "2 s")
