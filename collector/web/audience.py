"""Analytics: this hour beside the same hour of yesterday, and a day of hours. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import htpy as h

from collector.store.hits import Counts
from collector.web import parts, words
from collector.web.charts import FEW_TIMES, Bin, Frame, Series, bars
from collector.web.scales import ticks

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SHOWN_HOURS = 24
_NONE = Counts()


def audience(now: datetime, counted: Mapping[datetime, Counts], *, filtered: bool = False) -> h.Element:
    """`counted`: by the start of the hour, of two days; hours without a hit are left out. `filtered`: the page shows
    some customers, which this does not know.
    """
    this = now.replace(minute=0, second=0, microsecond=0)
    hours = [this - HOUR * back for back in reversed(range(SHOWN_HOURS))]
    pairs = [(counted.get(hour, _NONE), counted.get(hour - DAY, _NONE)) for hour in hours]
    today, yesterday = pairs[-1]
    csv = f"/analytics/range?format=csv&from={words.iso(hours[0] - DAY)}"
    return parts.card(
        "audience",
        parts.unfiltered("Audience", filtered=filtered),
        h.p(".sub")[
            f"This hour, {words.clock(this)} – {words.clock(this + HOUR)} UTC; beside it yesterday's whole hour"
        ],
        h.dl(".figures")[
            _beside("Unique users", today.unique_users, yesterday.unique_users),
            _beside("Clicks", today.clicks, yesterday.clicks),
            _beside("Impressions", today.impressions, yesterday.impressions),
        ],
        h.p(".sub")["Unique users by hour; a line has the day before"],
        _chart(hours, pairs),
        h.div(".under")[_table(hours, pairs), h.p(".more")[h.a(href=csv, download=True)["CSV"]]],
    )


def _beside(title: str, value: int, before: int) -> h.Element:
    note = h.span(".note")["yesterday ", parts.number(before)]
    return h.div[h.dt[title], h.dd[h.span(".value")[parts.number(value)], note]]


def _chart(hours: list[datetime], pairs: list[tuple[Counts, Counts]]) -> h.Element:
    bins = [
        Bin(hour, hour + HOUR, f"{words.between(hour, hour + HOUR)} UTC\n{_told(one, before)}")
        for hour, (one, before) in zip(hours, pairs, strict=True)
    ]
    high = max(each.unique_users for pair in pairs for each in pair)
    return bars(
        f"Unique users by hour: {', '.join(words.exact(one.unique_users) for one, _ in pairs)}",
        bins,
        [Series("users", "c3", [one.unique_users for one, _ in pairs])],
        words.count,
        Frame(bins[0].since, bins[-1].until, ticks(high, 3, whole=True), 96, FEW_TIMES),
        filling=True,
        over=Series("the day before", "before", [before.unique_users for _, before in pairs]),
    )


def _told(one: Counts, before: Counts) -> str:
    users = f"users {words.exact(one.unique_users)}, the day before {words.exact(before.unique_users)}"
    return f"{users}\nclicks {words.exact(one.clicks)}\nimpressions {words.exact(one.impressions)}"


def _table(hours: list[datetime], pairs: list[tuple[Counts, Counts]]) -> h.Element:
    columns = ["Hour (UTC)", "Users", "the day before", "Clicks", "Impressions"]
    rows: list[parts.Row] = [
        [
            parts.time(hour, words.between(hour, hour + HOUR)),
            parts.number(one.unique_users),
            parts.number(before.unique_users),
            parts.number(one.clicks),
            parts.number(one.impressions),
        ]
        for hour, (one, before) in zip(reversed(hours), reversed(pairs), strict=True)
    ]
    return parts.fold("hours", "Table", parts.table("Users, clicks and impressions by hour", columns, rows))
