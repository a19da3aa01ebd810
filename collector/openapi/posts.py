"""Every POST of measurements."""

import msgspec

from collector.endpoints import ANALYTICS, KINDS, PAYLOADS, SESSION_LOGS, SESSIONS, STATS, endpoint_of
from collector.messages.fields import NAME_MAX_CHARACTERS
from collector.messages.hit import KINDS as HIT_KINDS
from collector.messages.hit import Hit
from collector.messages.kind import Kind
from collector.messages.payload import Payload
from collector.messages.session import LogMessage, Message
from collector.openapi.ingest import BASE, JSON, NDJSON, Post, curl, sample
from collector.times import LAST_MS

PAYLOAD = {
    "token": "b5f2c1",
    "customer": "acme",
    "content": "film7",
    "timespan": 30000,
    "p2p": 120000,
    "cdn": 4500000,
    "sessionDuration": 60000,
}
_LINE = (
    '{"token":"%s", "customer":"acme", "content":"film7", "timespan":30000, "p2p":120000, "cdn":4500000, '
    '"sessionDuration":60000}'
)
_ONE = _LINE % "b5f2c1"
_TWO = f"printf '%s\\n' \\\n  '{_LINE % 'b5f2c2'}' \\\n  '{_LINE % 'b5f2c3'}'"

SAMPLES = [
    sample(
        "One payload",
        curl(f"curl -i {BASE}/stats", f"-H 'Content-Type: {JSON}'", f"-d '{_ONE}'"),
        "HTTP/1.1 204 No Content",
    ),
    sample(
        "Once only: sent again, it says Idempotent-Replayed",
        curl(
            f"curl -i {BASE}/stats",
            f"-H 'Content-Type: {JSON}'",
            "-H 'Idempotency-Key: b5f2c1-0001'",
            f"-d '{_ONE}'",
        ),
        "HTTP/1.1 204 No Content",
    ),
    sample(
        "Lines, compressed",
        _TWO
        + " |\n"
        + curl(
            f"gzip | curl {BASE}/stats",
            f"-H 'Content-Type: {NDJSON}'",
            "-H 'Content-Encoding: gzip'",
            "--data-binary @-",
        ),
        '{"accepted":2,"rejected":0,"errors":[]}',
    ),
    sample(
        "An open stream with receipts, which can go on after a cut",
        f"({_TWO}; sleep 1; echo oops) |\n"
        + curl(
            f"curl -sN -X POST -T - {BASE}/stats",
            f"-H 'Content-Type: {NDJSON}'",
            f"-H 'Accept: {NDJSON}'",
            "-H 'Idempotency-Key: evening-1'",
        ),
        '{"committed":2,"rejected":0}\n'
        '{"accepted":2,"rejected":1,"errors":[{"line":3,"detail":"JSON is malformed: invalid character (byte 0)"}]}',
    ),
]


STATS_POST = Post(
    STATS,
    "stats",
    "Store measurements",
    f"One payload (`{JSON}`, or no Content-Type): answered `204` once it is committed, so what is acknowledged is on "
    "disk.",
    "",
    Payload,
    PAYLOAD,
    "".join(_LINE % token + "\n" for token in ("b5f2c2", "b5f2c3")),
    SAMPLES,
)


PAYLOADS_POST = Post(
    PAYLOADS,
    "stats",
    "Queue measurements",
    f"One payload as `/stats` takes it (`{JSON}`): answered `202` once the queue has it durably. A consumer brings it "
    "into the same tables, exactly once, with the moment of this request as the time of reception.",
    "",
    Payload,
    PAYLOAD,
    "".join(_LINE % token + "\n" for token in ("b5f2c4", "b5f2c5")),
    [
        sample(
            "One payload",
            curl(f"curl -i {BASE}/payloads", f"-H 'Content-Type: {JSON}'", f"-d '{_LINE % 'b5f2c6'}'"),
            "HTTP/1.1 202 Accepted",
        )
    ],
)

_SAMPLE = {"session": "5d31", "version": "6.04", "cpu": 37.5, "event": "indexing", "phase": "begin"}
_MESSAGES = (
    '{"session":"5d31","seq":1,"cpu":12.5}\n{"session":"5d31","seq":2,"event":"login","properties":{"tries":1}}\n'
)
_SKEW = (
    'A first line `{"sentAt": …}` tells the client\'s clock: every `time` after it is corrected by the moment of '
    "reception less `sentAt`. It is a line of the stream, neither accepted nor compared, and is repeated by a request "
    "that leaves out the beginning of the stream. Times older than the retention, or more than 5 minutes ahead, are "
    "rejected lines."
)

SESSIONS_POST = Post(
    SESSIONS,
    "sessions",
    "Store messages of sessions",
    f"One message (`{JSON}`): a sample of the CPU, an event of the app, or both. Without `time` it has the moment of "
    "reception. `properties` are stored as they are.",
    f"{_SKEW} `seq` of a session goes up within a request.",
    Message,
    _SAMPLE,
    _MESSAGES,
    [
        sample(
            "A stream that tells its clock",
            "now=$(date +%s)000\n"
            'printf \'%s\\n\' "{\\"sentAt\\": $now}" \\\n'
            '  "{\\"session\\": \\"5d31\\", \\"time\\": $now, \\"cpu\\": 37.5}" |\n'
            + curl(f"curl {BASE}/sessions", f"-H 'Content-Type: {NDJSON}'", "--data-binary @-"),
            '{"accepted":1,"rejected":0,"errors":[]}',
        )
    ],
)

SESSION_LOGS_POST = Post(
    SESSION_LOGS,
    "sessions",
    "Upload a client's log",
    "One message of a log, as a line of it.",
    "The log that a client kept on its disk, days old: every message has a `seq`, and `elapsed`, milliseconds since "
    "the session began, will do in place of `time` after a message that has one. A message that is stored already "
    f"(same session and seq), by the stream or by another upload, is accepted and not stored again. {_SKEW}",
    LogMessage,
    {"session": "5d31", "seq": 3, "time": "2026-01-01T12:00:00Z", "cpu": 12.5},
    '{"session":"5d31","seq":3,"time":1767268800000,"cpu":12.5}\n{"session":"5d31","seq":4,"elapsed":1500,"event":"login"}\n',
    [
        sample(
            "A log, compressed",
            "now=$(date +%s)000\n"
            'printf \'%s\\n\' "{\\"session\\": \\"5d32\\", \\"seq\\": 1, \\"time\\": $now, \\"cpu\\": 12.5}" '
            '\'{"session": "5d32", "seq": 2, "elapsed": 1500, "cpu": 37.5}\' |\n'
            + curl(
                f"gzip | curl {BASE}/sessions/logs",
                f"-H 'Content-Type: {NDJSON}'",
                "-H 'Content-Encoding: gzip'",
                "--data-binary @-",
            ),
            '{"accepted":2,"rejected":0,"errors":[]}',
        )
    ],
)

_HIT = "Of a single one, by the query: "

ANALYTICS_POST = Post(
    ANALYTICS,
    "analytics",
    "Store clicks and impressions",
    "One event, by the query and without a body: `?timestamp=…&user=…&click`, or `&impression`; answered `204` once "
    "it is committed.",
    "",
    Hit,
    None,
    '{"timestamp":1767268800000,"user":"ann","kind":"click"}\n{"timestamp":1767268801000,"user":"ben","kind":"impression"}\n',
    [
        sample(
            "A click",
            f"curl -i -X POST '{BASE}/analytics?timestamp=1767268800000&user=ann&click'",
            "HTTP/1.1 204 No Content",
        )
    ],
    [
        {
            "name": "timestamp",
            "in": "query",
            "description": f"{_HIT}when it was, epoch milliseconds, 1970 to 9999; seconds would be a moment in 1970.",
            "schema": {"type": "integer", "minimum": 0, "maximum": LAST_MS},
            "example": 1767268800000,
        },
        {
            "name": "user",
            "in": "query",
            "description": f"{_HIT}whose it was, 1 to 256 characters.",
            "schema": {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CHARACTERS},
            "example": "ann",
        },
        *(
            {
                "name": kind,
                "in": "query",
                "description": f"{_HIT}a {kind}; bare, and either this or the other one.",
                "allowEmptyValue": True,
                "schema": {"type": "string", "enum": [""]},
            }
            for kind in HIT_KINDS
        ),
    ],
)


def post_of(kind: Kind) -> Post:
    """What is said of an endpoint of which all is in its kind."""
    first = msgspec.json.encode(kind.examples[0]).decode()
    return Post(
        endpoint_of(kind),
        tag_of(kind),
        kind.summary,
        f"One message (`{JSON}`, or no Content-Type): answered `204` once it is committed.",
        "",
        kind.message,
        kind.examples[0],
        "".join(f"{msgspec.json.encode(example).decode()}\n" for example in kind.examples),
        [
            sample(
                "One message",
                curl(f"curl -i {BASE}{kind.path}", f"-H 'Content-Type: {JSON}'", f"-d '{first}'"),
                "HTTP/1.1 204 No Content",
            )
        ],
    )


def tag_of(kind: Kind) -> str:
    """By which the endpoints of a kind stand together."""
    return kind.path.split("/")[1]


POSTS = (STATS_POST, PAYLOADS_POST, SESSIONS_POST, SESSION_LOGS_POST, ANALYTICS_POST, *map(post_of, KINDS))
