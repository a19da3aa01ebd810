"""A small synchronous HTTP client: one request, one whole answer; and what /metrics says, as numbers."""

import http.client
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

TIMEOUT_S = 30.0
NDJSON = "application/x-ndjson"
JSON = "application/json"
_SAMPLE = re.compile(r"^(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Body = bytes | str | Iterable[bytes] | None


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's document."""
        return msgspec.json.decode(self.body)

    def lines(self) -> list[Any]:
        """The documents of JSON lines, for instance receipts and their summary."""
        return [msgspec.json.decode(line) for line in self.body.splitlines()]


class Client:
    """Requests to a collector, each on a connection of its own."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = parts.hostname, parts.port
        self._timeout_s = timeout_s

    def request(
        self, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None, **query: object
    ) -> Answer:
        """One request; an iterable body goes out chunked. Raises OSError and http.client's errors."""
        connection = http.client.HTTPConnection(*self.address, timeout=self._timeout_s)
        given = urlencode({name.rstrip("_"): value for name, value in query.items() if value is not None})
        try:
            connection.request(method, f"{path}?{given}" if given else path, body, dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: object) -> Answer:
        """GET; a parameter called `from` is written `from_`."""
        return self.request("GET", path, None, headers, **query)

    def post(self, body: Body, headers: Mapping[str, str] | None = None, path: str = "/stats") -> Answer:
        """POST one payload (unless a header says otherwise)."""
        return self.request("POST", path, body, {"Content-Type": JSON, **(headers or {})})

    def post_lines(self, body: Body, headers: Mapping[str, str] | None = None, path: str = "/stats") -> Answer:
        """POST JSON lines."""
        return self.request("POST", path, body, {"Content-Type": NDJSON, **(headers or {})})

    def stream(self, key: str) -> Answer:
        """GET /streams/{key}."""
        return self.get(f"/streams/{quote(key, safe='')}")

    def metrics(self) -> "Metrics":
        """GET /metrics."""
        return Metrics(self.get("/metrics").body.decode())


class Metrics:
    """The samples of Prometheus' text format."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (name, dict(_LABEL.findall(labels or "")), float(value)) for name, labels, value in _SAMPLE.findall(text)
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all of its samples that have these labels; 0 without any."""
        return sum(value for found, has, value in self._samples if found == name and labels.items() <= has.items())

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is such a sample."""
        return any(found == name and labels.items() <= has.items() for found, has, _ in self._samples)

    def balance(self) -> dict[str, float]:
        """What came in, and what became of it."""
        names = ("received", "stored", "rejected", "repeated")
        return {name: self.total(f"collector_{name}_total") for name in names}

    @property
    def backlog_rows(self) -> float:
        """Rows taken in and not committed."""
        return self.total("collector_backlog_rows")
