"""What the load generator measures: counts, latencies from the scheduled moment, and thresholds on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from simulation.load.histogram import Histogram

Lane = Literal["single", "stream"]

HIGHEST_US = 3_600_000_000  # an hour; longer latencies are recorded as this
LATE_S = 0.05  # a request begun this much after its moment was held up on our side: say so, or the latency misleads
COUNTS = (
    "scheduled",
    "acknowledged",
    "repeated",
    "rejected",
    "unknown",
    "dropped",
    "skipped",
    "late",
    "retries",
    "replayed",
    "copies",
    "bytes_sent",
)
OUTCOMES = ("acknowledged", "repeated", "rejected", "unknown", "dropped", "skipped")
MAX_EXAMPLES = 5  # details of refusals kept for the summary


class Latency(Struct):
    """Milliseconds from the scheduled moment to the acknowledgement."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    mean: float


class Threshold(Struct, frozen=True):
    """A demand on the result, such as `p99<50ms` or `dropped<1`."""

    text: str
    metric: str
    percentile: float | None
    lane: str  # all, single or stream
    operator: str
    limit: float  # milliseconds for latencies, a plain number otherwise


class Verdict(Struct):
    """A threshold and what was measured; `value` is None where nothing was. Latencies are in milliseconds."""

    threshold: str
    value: float | None
    unit: str
    ok: bool


_THRESHOLD = re.compile(
    r"(?:(?P<lane>all|single|stream)\.)?"
    r"(?P<metric>p\d{1,2}(?:\.\d+)?|max|mean|errors|rejected|unknown|dropped|skipped|late|rate)"
    r"\s*(?P<operator><=|>=|<|>)\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s)?"
)
_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def parse_threshold(text: str) -> Threshold:
    """ValueError tells how one is written."""
    match = _THRESHOLD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r}: write a threshold as p99<50ms, stream.p99.9<2s, max<1s, dropped<1 or rate>450")
    metric, unit, limit = match["metric"], match["unit"], float(match["limit"])
    latency = metric[0] == "p" or metric in ("max", "mean")
    if latency != (unit is not None):
        raise ValueError(f"{text!r}: a latency needs a unit (us, ms, s), a count none")
    if match["lane"] and not latency:
        raise ValueError(f"{text!r}: only latencies are measured apart for single and stream")
    return Threshold(
        text=text.strip(),
        metric=metric,
        percentile=float(metric[1:]) if metric[0] == "p" else None,
        lane=match["lane"] or "all",
        operator=match["operator"],
        limit=limit * _IN_MS[unit] if unit else limit,
    )


class Meter:
    """Counters and histograms of a run.

    scheduled = acknowledged + repeated + rejected + unknown + dropped + skipped, once the run is over: the engine keeps
    that equation. `repeated`: acknowledged a second time, under the same key. `dropped`: never sent, because too much
    was waiting. `skipped`: not measured, because the connection stalled. `late`: sent `LATE_S` or more after its
    moment. `retries`: requests sent again. `errors`: why, by kind. `chaos`: what went wrong on purpose; `copies`: what
    was stored again by that, without a key.
    """

    def __init__(self) -> None:
        self.scheduled = 0
        self.acknowledged = 0
        self.repeated = 0
        self.rejected = 0
        self.unknown = 0
        self.dropped = 0
        self.skipped = 0
        self.late = 0
        self.retries = 0
        self.replayed = 0
        self.copies = 0
        self.bytes_sent = 0
        self.chaos: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.examples: list[str] = []
        self.histograms = {lane: Histogram(HIGHEST_US) for lane in ("single", "stream")}

    @classmethod
    def merged(cls, meters: Sequence[Meter]) -> Meter:
        """Several as one; of a single one, itself."""
        if len(meters) == 1:
            return meters[0]
        sums = cls()
        for meter in meters:
            for name in COUNTS:
                setattr(sums, name, getattr(sums, name) + getattr(meter, name))
            sums.errors.update(meter.errors)
            sums.chaos.update(meter.chaos)
            sums.examples += meter.examples
            for lane, histogram in meter.histograms.items():
                sums.histograms[lane].add(histogram)
        return sums

    @property
    def balanced(self) -> bool:
        """Whether everything that was scheduled has an outcome."""
        outcomes: int = sum(getattr(self, name) for name in OUTCOMES)
        return self.scheduled == outcomes

    def acknowledge(self, lane: Lane, latency_s: float) -> None:
        """A payload is stored, `latency_s` after the moment it was scheduled for."""
        self.acknowledged += 1
        self.histograms[lane].record(int(latency_s * 1e6))

    def error(self, kind: str, detail: str = "") -> None:
        """A request went wrong; the first few details are kept."""
        self.errors[kind] += 1
        if detail and len(self.examples) < MAX_EXAMPLES and detail not in self.examples:
            self.examples.append(detail)

    def latency(self, lane: str) -> Latency:
        """Latencies of `single`, `stream` or `all`; zeros where nothing was measured."""
        histogram = self._histogram(lane)
        p50, p90, p99, p999 = (value / 1000 for value in histogram.percentiles(50, 90, 99, 99.9))
        return Latency(histogram.count, p50, p90, p99, p999, histogram.max / 1000, round(histogram.mean / 1000, 3))

    def judge(self, threshold: Threshold, elapsed_s: float) -> Verdict:
        """Whether the threshold holds. A latency of which there is no measurement does not."""
        value: float | None
        unit = ""
        if threshold.metric == "errors":
            value = sum(self.errors.values())
        elif threshold.metric == "rate":
            value = self.acknowledged / elapsed_s if elapsed_s > 0 else 0.0
        elif threshold.metric in COUNTS:
            value = getattr(self, threshold.metric)
        else:
            value, unit = self._latency_ms(threshold), "ms"
        ok = value is not None and _holds(value, threshold.operator, threshold.limit)
        return Verdict(threshold.text, value, unit, ok)

    def _latency_ms(self, threshold: Threshold) -> float | None:
        histogram = self._histogram(threshold.lane)
        if not histogram.count:
            return None
        if threshold.percentile is not None:
            return histogram.percentiles(threshold.percentile)[0] / 1000
        return (histogram.max if threshold.metric == "max" else histogram.mean) / 1000

    def _histogram(self, lane: str) -> Histogram:
        if lane != "all":
            return self.histograms[lane]
        both = Histogram(HIGHEST_US)  # put together when asked for, so that recording stays cheap
        both.add(self.histograms["single"])
        both.add(self.histograms["stream"])
        return both


def _holds(value: float, operator: str, limit: float) -> bool:
    if operator == "<":
        return value < limit
    if operator == "<=":
        return value <= limit
    return value > limit if operator == ">" else value >= limit
