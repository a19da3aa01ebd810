"""A session's page: its line, its events in lanes, its numbers; of any session that clients can send."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.report.model import Band, CpuPoint
from collector.web import session
from tests.harness.html import Page
from tests.web.examples import HOSTILE, SINCE
from tests.web.examples import session as example

ASKED = session.Asked("/sessions/desktop-7", "/reports/cpu?threshold=30", "/sessions/desktop-7?format=json", 30.0)
SECOND = timedelta(seconds=1)


def shown(asked: session.Asked = ASKED, **changes: object) -> Page:
    page = Page(session.render(example(**changes), asked))  # type: ignore[arg-type]
    page.check_alone(session.look())
    return page


def test_it_has_the_line_the_lanes_and_the_way_back() -> None:
    page = shown()
    assert [path for path in page.of("path") if path.get("class") == "line c1"]
    assert [path for path in page.of("path") if path.get("class") == "threshold"]
    assert len([rect for rect in page.of("rect") if (rect.get("class") or "").startswith("band")]) == 5
    assert {"login", "indexing", "incoming_file"} <= set(page.contents["text"])
    assert ASKED.report in page.links()
    assert "filename_length: 90" in page.text
    assert "cores: 8" in page.text
    assert "version 6.04" in page.text


def test_nothing_in_the_range() -> None:
    nothing: dict[str, Any] = {"since": None, "to": None, "samples": 0, "highest": None, "points": [], "bands": []}
    page = shown(**nothing)
    assert "Nothing is known" in page.text
    assert ASKED.here not in page.links(), "it is that page"
    page = shown(msgspec.structs.replace(ASKED, since=SINCE), **nothing)
    assert "in this range" in page.text
    assert ASKED.here in page.links()


def test_a_session_of_one_message_and_one_without_samples() -> None:
    one = CpuPoint(SINCE, 12.5)
    assert "12.5" in shown(since=SINCE, to=SINCE, samples=1, highest=one, points=[one], bands=[]).text
    page = shown(points=[], samples=0, highest=None)
    assert "no samples" in page.text
    assert "indexing" in page.text


def test_whatever_a_client_says_stays_text() -> None:
    band = Band(HOSTILE, SINCE, SINCE + SECOND, '{"k<b>": "</script>"}')
    page = shown(name=HOSTILE, version=HOSTILE, properties='{"<b>": ["</style>"]}', bands=[band])
    assert "b" not in page.contents
    assert page.contents["h1"] == [HOSTILE]


def test_a_line_is_broken_where_the_client_was_silent() -> None:
    times = [SINCE + 10 * SECOND * place for place in range(5)]
    points = [CpuPoint(time, 1.0) for time in [*times, times[-1] + timedelta(minutes=10)]]
    _, values = session.broken(points)
    assert values == [1.0] * 5 + [None, 1.0]


@given(st.lists(st.floats(0, 6400), max_size=40), st.lists(st.integers(1, 5000), min_size=40, max_size=40))
def test_no_point_is_lost(cpus: list[float], waits: list[int]) -> None:
    time, points = SINCE, []
    for cpu, wait in zip(cpus, waits, strict=False):
        points.append(CpuPoint(time, cpu))
        time += wait * SECOND
    times, values = session.broken(points)
    assert [value for value in values if value is not None] == cpus
    assert times == sorted(times)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 900), st.integers(0, 900)), max_size=60))
def test_every_band_is_in_one_lane(drawn: list[tuple[int, int, int]]) -> None:
    bands = [
        Band(f"event {name}", SINCE + since * SECOND, SINCE + (since + length) * SECOND, None)
        for name, since, length in drawn
    ]
    found = session.lanes(bands)
    assert len(found) <= session.LANES + 1
    assert sum(len(lane.bands) for lane in found) == len(bands)
    assert len({lane.name for lane in found}) == len(found)


@pytest.mark.parametrize("properties", [None, "{}", "[1]", "null", '"text"', '{"a": {"b": [1, null]}}'])
def test_properties_of_any_shape(properties: str | None) -> None:
    assert shown(properties=properties, bands=[Band("e", SINCE, SINCE + SECOND, properties)]).text
