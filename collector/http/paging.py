"""Answers of rows: page by page, each naming where the next one begins, and CSV."""

import base64
import csv
import io
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response

from collector.errors import BadRequest

HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept"}
NOT_OURS = "next: not a cursor that this collector gave"

Cursor = TypeVar("Cursor")


def encode_cursor(place: tuple[object, ...]) -> str:
    """Names a place among the rows, so that a page can go on from it whatever has come in between."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(text: str, place: type[Cursor], max_characters: int) -> Cursor:
    """The place; what is in it is still a client's word. Raises BadRequest."""
    try:
        text = text[:max_characters]
        document = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(document, type=place)
    except (ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise BadRequest(NOT_OURS) from exc


def page_headers(request: Request[Any, Any, Any], cursor: str | None) -> dict[str, str]:
    """Headers of a page, with a link to the next one where there is one."""
    if cursor is None:
        return dict(HEADERS)
    parameters = [(name, value) for name, value in request.query_params.multi_items() if name != "next"]
    return {**HEADERS, "Link": f'<?{urlencode([*parameters, ("next", cursor)])}>; rel="next"'}


def page(
    request: Request[Any, Any, Any], rows: list[dict[str, object]], cursor: str | None, *, lines: bool
) -> Response[bytes]:
    """A page as JSON lines, or as JSON."""
    headers = page_headers(request, cursor)
    if lines:
        body = msgspec.json.Encoder().encode_lines(rows)
        return Response(body, media_type="application/x-ndjson", headers=headers)
    body = msgspec.json.encode({"rows": rows, "next": cursor})
    return Response(body, media_type="application/json", headers=headers)


def as_csv(columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> bytes:
    """RFC 4180: lines end with CRLF, and the writer puts quotes around a field that has either of its characters."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
