"""Numbers and times in words: short, right to three digits, and never of more than they are."""

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.web import words

NARROW = words.NARROW
POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6, "Z": 7, "Y": 8}


def plain(text: str) -> str:
    return text.replace(NARROW, " ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (999.6, "1 kB"),
        (1000, "1 kB"),
        (1234, "1.23 kB"),
        (12_340, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (1_240_000_000_000, "1.24 TB"),
        (5e26, "500 YB"),
        (5e28, "50000 YB"),
    ],
)
def test_sizes(value: float, said: str) -> None:
    assert plain(words.size(value)) == said


@given(st.floats(1, 1e26))
def test_a_size_is_right_to_three_digits(value: float) -> None:
    number, unit = plain(words.size(value)).split()
    assert unit.endswith("B")
    said = float(number) * 1000 ** POWERS[unit[:-1]]
    assert math.isclose(said, value, rel_tol=0.0051) or (value < 1000 and abs(said - value) <= 0.5)
    assert float(number) < 1000
    assert len(number) <= 4


@given(st.integers(-(10**30), 10**30))
def test_every_digit_is_there(value: int) -> None:
    said = words.exact(value)
    assert int(said.replace(",", "").replace(words.MINUS, "-")) == value
    assert re.fullmatch(rf"{words.MINUS}?\d{{1,3}}(,\d{{3}})*", said)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"),
        (0, "0 %"),
        (0.0001, "< 0.1 %"),
        (0.012, "1.2 %"),
        (0.42, "42 %"),
        (0.994, "99.4 %"),
        (0.9999, "100 %"),
        (1, "100 %"),
    ],
)
def test_percent(share: float | None, said: str) -> None:
    assert plain(words.percent(share)) == said


@given(st.floats(0, 0.9999).filter(lambda share: 0 < share < 0.9994))
def test_what_is_not_everything_is_not_said_to_be(share: float) -> None:
    assert plain(words.percent(share)) not in {"0 %", "100 %"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.002, "2 ms"),
        (0.0123, "12.3 ms"),
        (1.25, "1.2 s"),
        (12, "12 s"),
        (300, "5 min"),
        (3600, "60 min"),
        (7200, "2 h"),
        (86_400, "24 h"),
        (345_600, "4 d"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    assert plain(words.span(seconds)) == said


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (1, "the last hour"),
        (12, "the last 12 hours"),
        (24, "the last 24 hours"),
        (72, "the last 3 days"),
        (1.5, "the last 90 minutes"),
    ],
)
def test_ranges_by_length(hours: float, said: str) -> None:
    assert words.last(timedelta(hours=hours)) == said


def test_times_are_utc_and_say_a_day_once() -> None:
    since = datetime(2026, 11, 4, 14, 5, tzinfo=UTC)
    assert plain(words.between(since, since + timedelta(minutes=5))) == "4 Nov 2026, 14:05 – 14:10"
    assert plain(words.between(since, since + timedelta(days=1))) == "4 Nov 2026, 14:05 – 5 Nov 2026, 14:05"
    assert words.iso(since) == "2026-11-04T14:05:00Z"
    assert words.iso(since.replace(microsecond=7000)) == "2026-11-04T14:05:00.007Z"


def test_one_has_no_plural() -> None:
    assert plain(words.plural(1, "row")) == "1 row"
    assert plain(words.plural(4210, "row")) == "4,210 rows"


@pytest.mark.parametrize(
    ("ratio", "said"), [(None, "–"), (0.5, "0.5"), (3.14, "3.1"), (9.96, "10"), (137.2, "137"), (1234.5, "1,234")]
)
def test_ratios(ratio: float | None, said: str) -> None:
    assert plain(words.ratio(ratio)) == said
