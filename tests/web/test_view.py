"""Ranges: whole windows, few bars, and links that say just what differs."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.web.view import MAX_BARS, MAX_RANGE, WINDOW_S, View, latest, rounded
from tests.web.examples import HOSTILE, SINCE

TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(TIMES, st.timedeltas(timedelta(seconds=1), MAX_RANGE))
def test_bars_cover_the_range_and_are_few(since: datetime, length: timedelta) -> None:
    view = View(*rounded(since, since + length))
    assert view.since <= since
    assert since + length <= view.until
    assert all(time.timestamp() % WINDOW_S == 0 for time in (view.since, view.until))
    assert view.until - view.since < length + timedelta(seconds=2 * WINDOW_S)
    steps = view.steps
    assert 1 <= len(steps) <= MAX_BARS + 1
    assert steps[0] <= view.since < steps[0] + view.step
    assert steps[-1] < view.until <= steps[-1] + view.step
    assert all(two - one == view.step for one, two in pairwise(steps))


@pytest.mark.parametrize(
    ("hours", "minutes"), [(1, 5), (6, 5), (24, 15), (72, 60), (168, 120), (720, 360), (9600, 5760)]
)
def test_steps_are_those_of_a_clock(hours: int, minutes: int) -> None:
    step = latest(SINCE, hours).step
    assert step <= timedelta(minutes=minutes) * 2
    assert step.total_seconds() % WINDOW_S == 0
    if hours <= 720:
        assert step == timedelta(minutes=minutes)


def query(href: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(href).query))


@given(st.text(), st.text())
def test_links_keep_what_is_not_changed(customer: str, content: str) -> None:
    view = latest(SINCE, 6, customer, content)
    kept = {name: value for name, value in (("customer", customer), ("content", content)) if value}
    assert query(view.href()) == {"hours": "6", **kept}
    assert query(view.href(customer=None, content=None)) == {"hours": "6"}
    assert query(view.lately(24)) == kept, "the default goes without saying"
    absolute = View(view.since, view.until, None, customer, content)
    assert query(absolute.href()) == {"from": "2026-01-01T06:00:00Z", "to": "2026-01-01T12:00:00Z", **kept}
    assert query(view.reading("/stats", format="csv")) == {**query(absolute.href()), "format": "csv"}


def test_links_are_urls_whatever_is_filtered() -> None:
    href = latest(SINCE, 24, HOSTILE).href()
    assert href.isascii()
    assert not set(href) & set("<>\"' ")
    assert query(href) == {"customer": HOSTILE}
