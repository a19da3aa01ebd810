"""POST of measurements, described by hand: its handlers are raw ASGI, which Litestar does not know."""

from http import HTTPStatus
from typing import Any

import msgspec

from collector.endpoints import Endpoint
from collector.openapi.answers import Answer, answers, problem
from collector.openapi.schemas import LinesProblem, ProblemDetails, Receipt, Summary, ref
from collector.settings import KIB, Settings

JSON, NDJSON, JSONL = "application/json", "application/x-ndjson", "application/jsonl"

BASE = "http://127.0.0.1:8080"
"""What samples are written with; the page puts its own address there."""

KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": '^(?!""$)[!-~]([ -~]*[!-~])?$'}
"""An Idempotency-Key."""

LINES = f"""
JSON lines (`{NDJSON}`, `{JSONL}`): a message a line, of any length, by Content-Length or chunked. Blank lines are
skipped, a bad line never hurts its neighbours: it goes to quarantine with its reason. The answer is a summary; with
`Accept: {NDJSON}` it is a stream of receipts, a line after each commit at most, and the summary (or, from then on, a
problem) as the last line. A stream may stay open for ever: the database's pace is the client's pace.

Limits:

- a single message has at most {Settings().max_single_bytes // KIB} KiB, decompressed (`413`), a line at most
  {Settings().max_line_bytes // KIB} KiB (a rejected line);
- strings have 1 to 256 characters, none of them NUL; numbers are integers from 0 to 2⁶³ − 1 where nothing else is said;
  unknown fields are ignored.
"""


class Post(msgspec.Struct, frozen=True):
    """What is said of an endpoint: its own words, the Struct of its messages, an example of one as a single message
    (None: by its query) and of lines, samples, and parameters that only it has.
    """

    endpoint: Endpoint
    tag: str
    summary: str
    single: str
    lines: str
    struct: type[msgspec.Struct]
    example: dict[str, Any] | None
    example_lines: str
    samples: list[dict[str, str]]
    parameters: list[dict[str, Any]] = []


PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a repeat safe: 1 to 255 printable ASCII characters, quoted or not. A repeat is not "
        "stored twice and gets the first answer and `Idempotent-Replayed: true`. For lines the key names the stream, "
        "which can go on after a cut. The same key with other content: `422`. A key belongs to its endpoint: with the "
        "same one at `/stats` and at `/payloads`, a payload is stored twice.",
        "schema": KEY,
        "example": "b5f2c1-0001",
    },
    {
        "name": "Stream-Offset",
        "in": "header",
        "description": "Lines only, with an Idempotency-Key: how many lines from the beginning of the stream this "
        "request leaves out. More than is committed: `409`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    },
    {
        "name": "Content-Encoding",
        "in": "header",
        "description": "How the body is compressed.",
        "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
    },
]

_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where the Idempotency-Key came before: nothing was stored again.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def lines_of(*structs: type) -> dict[str, Any]:
    """JSON lines of any of these."""
    schemas = [ref(struct) for struct in structs]
    content = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"type": "string", "contentMediaType": NDJSON, "contentSchema": content}


def sample(label: str, source: str, answer: str = "") -> dict[str, str]:
    return {"lang": "Shell", "label": label, "source": source, "answer": answer}


def curl(command: str, *options: str) -> str:
    """A command with an option a line."""
    return " \\\n  ".join([command, *options])


def operation(post: Post) -> dict[str, Any]:
    """The operation."""
    endpoint = post.endpoint
    lines = {"schema": lines_of(post.struct), "example": post.example_lines}
    content: dict[str, Any] = {NDJSON: lines, JSONL: lines}
    if post.example is not None:
        content = {JSON: {"schema": ref(post.struct), "example": post.example}, **content}
    done = "it is committed" if endpoint.status == HTTPStatus.NO_CONTENT else "the queue has it durably"
    summary = {JSON: {"schema": ref(Summary), "example": {"accepted": 2, "rejected": 0, "errors": []}}}
    receipts = {
        NDJSON: {
            "schema": lines_of(Receipt, Summary, LinesProblem),
            "example": '{"committed":2,"rejected":0}\n{"accepted":2,"rejected":0,"errors":[]}\n',
        }
    }
    complete = f"Lines: the stream is complete, and {done}."
    always = "With receipts, the status is 200 whatever comes."
    if endpoint.lines_status == HTTPStatus.OK:
        ends = [
            Answer(200, f"{complete} {always}", {**summary, **receipts}, _REPLAYED),
            Answer(endpoint.status, f"One message: {done}.", {}, _REPLAYED),
        ]
    else:
        ends = [
            Answer(200, f"Lines: {always[0].lower()}{always[1:]}", receipts, _REPLAYED),
            Answer(endpoint.lines_status, f"One message, without a body: {done}. {complete}", summary, _REPLAYED),
        ]
    return {
        "tags": [post.tag],
        "operationId": "Post" + "".join(word.capitalize() for word in endpoint.path.split("/")),
        "summary": post.summary,
        "description": "\n\n".join(text.strip() for text in (post.single, post.lines, LINES) if text),
        "parameters": [*post.parameters, *PARAMETERS],
        "requestBody": {"required": post.example is not None, "content": content},
        "responses": answers(
            *ends,
            problem(
                400,
                LinesProblem,
                "A field is missing or out of range, a header is not valid, the body breaks off, or of all lines none "
                "could be accepted.",
            ),
            problem(
                409,
                LinesProblem,
                "Stream-Offset is beyond what is committed, or another request has taken over the key.",
            ),
            problem(413, LinesProblem, "A single message is too long, or compressed data grows beyond measure."),
            problem(415, ProblemDetails, "The Content-Type or Content-Encoding is none of those above."),
            problem(422, LinesProblem, "The Idempotency-Key came before with other content."),
            problem(
                503,
                LinesProblem,
                "Not stored, or not known to be: the database is away or does not keep up, or the collector is "
                "shutting down. Send it again, with an Idempotency-Key for certainty.",
            ),
        ),
        "x-codeSamples": post.samples,
    }
