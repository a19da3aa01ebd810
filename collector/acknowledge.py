"""Telling those who wait what became of their rows; and counting it, at the same moment."""

from collections.abc import Iterable

from collector import metrics
from collector.errors import Conflict, KeyReused, Problem
from collector.segment import ERRORS_SPELLED_OUT, Segment
from collector.store.transaction import Outcome


def acknowledge(segments: Iterable[Segment], outcome: Outcome) -> None:
    """The transaction of these segments is committed."""
    sources = set()
    for segment in segments:
        if segment.source is None:
            _acknowledge_singles(segment, outcome)
        else:
            _acknowledge_lines(segment, outcome)
            sources.add(segment.source)
    for source in sources:
        source.changed()


def give_back(segments: Iterable[Segment], problem: Problem, reason: str = "unavailable") -> None:
    """These were not stored, and will not be."""
    for segment in segments:
        metrics.of(metrics.REJECTED, segment.endpoint, reason).inc(segment.count)
        tell(segment, problem)
        source = segment.source
        if source is not None:
            source.waiting -= 1
            source.gap = True
            source.failure = source.failure or problem
            source.changed()


def tell(segment: Segment, problem: Problem) -> None:
    """Answer the single payloads of the segment that wait."""
    for waiter in segment.waiters:
        if not waiter.done():
            waiter.set_exception(problem)


def _acknowledge_lines(segment: Segment, outcome: Outcome) -> None:
    source = segment.source
    assert source is not None
    source.waiting -= 1
    if (source.name, source.owner) in outcome.fenced:
        metrics.of(metrics.REPEATED, segment.endpoint).inc(segment.count)
        source.failure = source.failure or Conflict("another request has taken over this Idempotency-Key")
        return
    source.committed += segment.lines
    source.accepted += len(segment.rows)
    source.rejected += len(segment.rejects)
    repeated = outcome.repeated.get(id(segment), 0)
    metrics.of(metrics.STORED, segment.endpoint).inc(len(segment.rows) - repeated)
    if repeated:
        metrics.of(metrics.REPEATED, segment.endpoint).inc(repeated)
    for reject in segment.rejects:
        metrics.of(metrics.REJECTED, segment.endpoint, reject.reason).inc()
        if len(source.errors) < ERRORS_SPELLED_OUT:
            source.errors.append((segment.first_line + reject.index, reject.detail))


def _acknowledge_singles(segment: Segment, outcome: Outcome) -> None:
    claim = segment.claim
    repeated = claim is not None and claim.source in outcome.repeats
    left_out = segment.count if repeated else outcome.repeated.get(id(segment), 0)
    metrics.of(metrics.STORED, segment.endpoint).inc(segment.count - left_out)
    if left_out:
        metrics.of(metrics.REPEATED, segment.endpoint).inc(left_out)
    if claim is not None and repeated and outcome.repeats[claim.source] != claim.digest:
        tell(segment, KeyReused("this key came before with another payload"))
        return
    for waiter in segment.waiters:
        if not waiter.done():
            waiter.set_result(repeated)
