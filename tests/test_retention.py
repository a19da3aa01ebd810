"""How long rows are kept, by the settings: what is said of it, and what would harm the aggregates is refused."""

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.database.retention import KEPT, MARGIN, age, check, shown
from collector.errors import SettingError
from collector.settings import Settings, variable

FIELDS = {field.name for field in msgspec.structs.fields(Settings)}
DAY = timedelta(days=1)


def test_every_age_is_a_setting_or_a_number() -> None:
    for kept in KEPT:
        ages = [kept.keep, kept.columnstore, kept.refresh and kept.refresh.back]
        assert all(given in FIELDS for given in ages if isinstance(given, str)), kept
    assert len({kept.name for kept in KEPT}) == len(KEPT)


def test_every_setting_of_an_age_is_used() -> None:
    used = {given for kept in KEPT for given in (kept.keep, kept.columnstore, kept.refresh and kept.refresh.back)}
    assert {name for name in FIELDS if re.search(r"_(retention|columnstore|refresh)_", name)} == used - {None}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("payload_retention_days", 30 * DAY),
        ("key_retention_h", DAY),
        ("chunk_h", DAY / 4),
        ("stats_retention_days", None),
        (2.5, 2.5 * DAY),
        (None, None),
    ],
)
def test_ages(given: str | float | None, expected: timedelta | None) -> None:
    assert age(Settings(), given) == expected


def test_never_is_no_age() -> None:
    assert age(Settings(hit_columnstore_days="never"), "hit_columnstore_days") is None


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (None, "forever"),
        (DAY, "1 day"),
        (30 * DAY, "30 days"),
        (timedelta(hours=30), "30 hours"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(seconds=1.5), "0:00:01.500000"),
    ],
)
def test_words(span: timedelta | None, words: str) -> None:
    assert shown(span) == words


def test_what_is_set_by_default_does_no_harm() -> None:
    check(Settings())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"payload_retention_days": 3.0}, "payload_retention_days"),
        ({"payload_retention_days": 3.25}, "payload_retention_days"),
        ({"stats_refresh_days": 40.0, "stats_columnstore_days": "never"}, "payload_retention_days"),
        ({"stats_retention_days": 29.0}, "stats_retention_days"),
        ({"stats_retention_days": 400.0, "payload_retention_days": "forever"}, "stats_retention_days"),
        ({"stats_columnstore_days": 3.0}, "stats_columnstore_days"),
    ],
)
def test_what_would_harm_the_aggregates_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError) as caught:
        check(Settings(**settings))
    assert str(caught.value).startswith(f"{variable(named)}: ")


ages = st.just("forever") | st.floats(0.01, 400)


@given(ages, ages, st.floats(0.01, 400), st.just("never") | st.floats(0.01, 400))
def test_what_is_not_refused_never_looks_at_rows_that_are_gone(
    payloads: Any, windows: Any, back: float, columnar: Any
) -> None:
    settings = Settings(
        payload_retention_days=payloads,
        stats_retention_days=windows,
        stats_refresh_days=back,
        stats_columnstore_days=columnar,
    )
    try:
        check(settings)
    except SettingError:
        return
    assert payloads == "forever" or timedelta(days=back) + MARGIN < timedelta(days=payloads)
    assert windows == "forever" or (payloads != "forever" and windows >= payloads)
    assert columnar == "never" or columnar > back
