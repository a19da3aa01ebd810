"""Messages as points and bands: the highest samples stay, and every event is in force for as long as the rule says."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.report.model import CpuPoint
from collector.store.sessions import SessionRow
from collector.web.timeline import MAX_POINTS, UNENDED, highest, timeline
from tests.web.examples import SINCE

SECOND = timedelta(seconds=1)


def row(second: int, event: str | None = None, phase: Any = None, cpu: float | None = None, **more: Any) -> SessionRow:
    fields = {"seq": None, "version": None, "properties": None, **more}
    return SessionRow(time=SINCE + second * SECOND, cpu=cpu, event=event, phase=phase, **fields)


def bands(*rows: SessionRow) -> list[tuple[str, int, int]]:
    return [
        (band.event, (band.since - SINCE) // SECOND, (band.to - SINCE) // SECOND) for band in timeline("s", rows).bands
    ]


def test_brackets() -> None:
    assert bands(row(1, "a", "begin"), row(5, "a", "end"), row(9, cpu=1)) == [("a", 1, 5)]
    assert bands(row(1, "a", "begin"), row(3, "b", "begin"), row(5, "a", "end"), row(9, "b", "end")) == [
        ("a", 1, 5),
        ("b", 3, 9),
    ]


def test_what_is_not_ended_goes_on_and_what_did_not_begin_began_before() -> None:
    assert bands(row(1, "a", "begin"), row(9, cpu=1)) == [("a", 1, 9)]
    assert bands(row(0, cpu=1), row(5, "a", "end")) == [("a", 0, 5)]


def test_without_a_phase_until_the_next_event() -> None:
    limit = UNENDED // SECOND
    assert bands(row(1, "a"), row(5, "b"), row(1000, cpu=1)) == [("a", 1, 5), ("b", 5, 5 + limit)]


@given(st.lists(st.floats(0, 1e6), max_size=3000), st.integers(1, 700))
def test_the_highest_stay(cpus: list[float], limit: int) -> None:
    samples = [CpuPoint(SINCE + place * SECOND, cpu) for place, cpu in enumerate(cpus)]
    found = highest(samples, limit)
    assert len(found) <= limit
    assert max(found, key=lambda point: point.cpu, default=None) == max(samples, key=lambda p: p.cpu, default=None)
    assert [point.time for point in found] == sorted(point.time for point in found)
    assert {(point.time, point.cpu) for point in found} <= {(point.time, point.cpu) for point in samples}


EVENTS = st.tuples(st.integers(0, 20), st.sampled_from("abc"), st.sampled_from(["begin", "end", None]))


@given(st.lists(EVENTS, max_size=50))
def test_any_order_of_events_gives_bands_within_the_session(events: list[tuple[int, str, str | None]]) -> None:
    second, rows = 0, []
    for wait, event, phase in events:
        second += wait
        rows.append(row(second, event, phase))
    found = timeline("s", rows)
    assert len(found.bands) <= len(events)
    for band in found.bands:
        assert rows[0].time <= band.since <= band.to <= rows[-1].time
    assert len(found.points) <= MAX_POINTS
