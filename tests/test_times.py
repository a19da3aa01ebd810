"""Times as clients write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import BadRequest
from collector.times import LAST_MS, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.integers(0, LAST_MS))
def test_epoch_milliseconds_are_exact(epoch_ms: int) -> None:
    assert parse_time(str(epoch_ms), "from") == EPOCH + timedelta(milliseconds=epoch_ms)


@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29), timezones=offsets))
def test_rfc_3339_with_any_offset_is_the_moment_it_names(time: datetime) -> None:
    found = parse_time(time.isoformat(), "from")
    assert found == time
    assert found.utcoffset() == timedelta(0)


def test_the_edges() -> None:
    assert parse_time("0", "from") == EPOCH
    assert parse_time("1970-01-01T00:00:00Z", "from") == EPOCH
    assert parse_time("1970-01-01t01:00:00+01:00", "from") == EPOCH
    assert parse_time(str(LAST_MS), "to") == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert parse_time("9999-12-31T23:59:59.999999Z", "to").year == 9999


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "٣",
        str(LAST_MS + 1),
        "9" * 15,
        "9" * 400,
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+01:00",
        "10000-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\0",
        "\ud800",
    ],
)
def test_others_are_refused_with_the_name_of_the_parameter(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^from: "):
        parse_time(text, "from")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_bad_request(text: str) -> None:
    try:
        found = parse_time(text, "to")
    except BadRequest as exc:
        assert exc.detail.startswith("to: ")
    else:
        assert EPOCH <= found <= datetime.max.replace(tzinfo=UTC)
