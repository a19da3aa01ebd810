"""What schemathesis is told about this API, beyond its document; it loads this itself (`test_schemathesis`)."""

import re
from typing import Any
from urllib.parse import unquote

import msgspec
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.specs.openapi import checks

from collector.openapi.ingest import KEY

Case = schemathesis.Case[Any]
JSON, NDJSON, JSONL = "application/json", "application/x-ndjson", "application/jsonl"
OK, ACCEPTED, BAD_REQUEST = 200, 202, 400
BEYOND_SCHEMAS = re.compile(
    "not a cursor that|days ago|minutes ahead|1970 to 9999|data is broken|data ends early|Stream-Offset |before `time`"
    "|a start that is not known|after the year 9998"
    "|one of them, and only one|^hours, from: |^from, to: |^where: |messages need `seq`"
    r"|Expected `int[^`]*`, got `float`|NUL characters cannot be stored - at `\$\.properties|cannot be stored$"
    "|^(timestamp|user): missing"
)
"""A cursor is what the collector gave, a time lies in a range that moves, compressed data is compressed, some fields,
headers and parameters need another or exclude it, a condition has a grammar, `properties` have texts at any depth, and
to a schema 1.0 is an integer.
"""

UNKNOWN_HEADER = "in header - object with unexpected properties"


@schemathesis.serializer(NDJSON, JSONL)
def as_lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """JSON lines; what is no array is one line."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (value if isinstance(value, list) else [value]))


@schemathesis.hook
def before_load_schema(_: schemathesis.HookContext, document: dict[str, Any]) -> None:
    """JSON lines are an array of what a line is, so that good and bad lines are made of it."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                if media_type != JSON:
                    body["schema"] = {"type": "array", "items": body["schema"]["contentSchema"]}
                    body["example"] = [msgspec.json.decode(line) for line in body["example"].splitlines()]


def reasons(response: schemathesis.Response) -> list[str]:
    """Of an answer of 400: what is wrong, of each line too."""
    document = msgspec.json.decode(response.content)
    return [error["detail"] for error in document.get("errors", [])] or [document["detail"]]


@schemathesis.check
def good_is_taken(context: schemathesis.CheckContext, response: schemathesis.Response, case: Case) -> bool | None:
    """`positive_data_acceptance`, but for what is refused by a rule that no schema can say, and for a key in a path
    which is not the one that was made: it is unquoted before it is quoted, `a%0B` is sent as a control character.
    """
    if response.status_code == BAD_REQUEST and any(BEYOND_SCHEMAS.search(reason) for reason in reasons(response)):
        return None
    if case.path == "/streams/{key}" and not re.search(str(KEY["pattern"]), unquote(str(case.path_parameters["key"]))):
        return None
    return checks.positive_data_acceptance(context, response, case)


@schemathesis.check
def bad_is_refused(context: schemathesis.CheckContext, response: schemathesis.Response, case: Case) -> bool | None:
    """`negative_data_rejection`, but a bad line is rejected in a summary, for the sake of its neighbours, headers that
    nobody knows are nobody's affair, a query that is for one hit is not read where there are lines, and the form of a
    page sends the fields that nobody has filled in, too.
    """
    if case.path == "/analytics" and case.media_type in (NDJSON, JSONL) and case.query:
        return None
    if response.headers.get("content-type", [""])[0].startswith("text/html") and "" in (case.query or {}).values():
        return None
    if response.status_code in (OK, ACCEPTED) and b'"rejected":' in response.content:
        rejected = [line.get("rejected", 0) for line in map(msgspec.json.decode, response.content.splitlines())]
        if rejected[-1]:
            return None
    try:
        return checks.negative_data_rejection(context, response, case)
    except AcceptedNegativeData as exc:
        if UNKNOWN_HEADER in exc.message:
            return None
        raise


@schemathesis.check
def body_is_as_described(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> bool | None:
    """`content_type_conformance` and `response_schema_conformance`, but that 202 has a summary for lines only."""
    if response.status_code == ACCEPTED and not response.content:
        return None
    checks.content_type_conformance(context, response, case)
    return checks.response_schema_conformance(context, response, case)
