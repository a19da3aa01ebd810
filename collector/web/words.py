"""Numbers and times as people read them: units of the decimal kind, three digits that count, commas as in sentences.
Pure.
"""

import math
from datetime import UTC, datetime, timedelta

NARROW = "\u202f"
"""A narrow space that does not break, between a number and its unit."""
MINUS = "\u2212"
_UNITS = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def size(value: float) -> str:
    """Bytes: `1.24 TB`, in powers of 1000."""
    return _scaled(value, "B")


def rate(value: float) -> str:
    """Messages in a second: `0.4`, `12`, `1.24 k`."""
    return "0" if value < 0.05 else _scaled(value, "")


def count(value: float) -> str:
    """Exact up to five digits, and three that count beyond: `12,345`, `1.24 M`."""
    return exact(int(value)) if abs(value) < 100_000 else _scaled(value, "")


def exact(value: int) -> str:
    """Every digit, in groups of three."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float | None) -> str:
    """Of a share between 0 and 1: `42 %`; below a tenth with one decimal; a dash where there is none."""
    if share is None:
        return "–"
    value = share * 100
    if 0 < value < 0.05:
        return f"<{NARROW}0.1{NARROW}%"
    decimals = 1 if value and (value < 9.95 or 99 < value < 99.95) else 0
    return f"{value:.{decimals}f}{NARROW}%"


def ratio(value: float | None) -> str:
    """How many times as much, rounded to nearest: `3.7`, `24`, `140`; a dash where there is no number. For a bound,
    `report.sentences.times` never says more than it is.
    """
    if value is None:
        return "–"
    return f"{value:.1f}" if value < 9.95 else exact(round(value))


def span(seconds: float) -> str:
    """How long: `0.4 ms`, `35 ms`, `1.2 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 0.0005:
        return f"0{NARROW}s"
    if seconds < 0.9995:
        return f"{_digits(seconds * 1000)}{NARROW}ms"
    for limit, unit_s, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            value = seconds / unit_s
            return f"{value:.1f}{NARROW}{unit}" if unit == "s" and seconds < 9.95 else f"{value:.0f}{NARROW}{unit}"
    return f"{seconds / 86_400:.0f}{NARROW}d"


def last(length: timedelta) -> str:
    """A range by its length: `the last 90 minutes`, `the last 12 hours`, `the last 7 days`."""
    minutes = round(length.total_seconds() / 60)
    for unit, name in ((1440, "day"), (60, "hour")):
        if minutes >= unit and minutes % unit == 0 and (name != "day" or minutes >= 3 * unit):
            number = minutes // unit
            return f"the last {number} {name}s" if number > 1 else f"the last {name}"
    return f"the last {minutes} minutes" if minutes > 1 else "the last minute"


def clock(time: datetime, *, seconds: bool = False) -> str:
    """`14:05`, UTC."""
    return f"{time.astimezone(UTC):%H:%M:%S}" if seconds else f"{time.astimezone(UTC):%H:%M}"


def day(time: datetime) -> str:
    """`24 Nov`, UTC."""
    time = time.astimezone(UTC)
    return f"{time.day}{NARROW}{time:%b}"


def moment(time: datetime, *, seconds: bool = False) -> str:
    """`24 Nov 2026, 14:05`, UTC."""
    return f"{day(time)}{NARROW}{time.astimezone(UTC):%Y}, {clock(time, seconds=seconds)}"


def between(since: datetime, until: datetime, *, seconds: bool = False) -> str:
    """A range of time, the day said once where it is one."""
    same = since.astimezone(UTC).date() == until.astimezone(UTC).date()
    end = clock(until, seconds=seconds) if same else moment(until, seconds=seconds)
    return f"{moment(since, seconds=seconds)} – {end}"


def iso(time: datetime) -> str:
    """RFC 3339 in UTC, as endpoints take it and give it: `2026-11-24T14:05:00Z`, with milliseconds where there are."""
    time = time.astimezone(UTC)
    fraction = f".{time.microsecond // 1000:03}" if time.microsecond else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 session`, `4,210 sessions`."""
    return f"{exact(number)} {one if number == 1 else many or one + 's'}"


def _scaled(value: float, unit: str) -> str:
    if value < 0:
        return MINUS + _scaled(-value, unit)
    power = 0
    # What would be rounded to 1000 goes by the next unit.
    while value >= 999.5 and power < len(_UNITS) - 1:
        value /= 1000
        power += 1
    digits = f"{value:.0f}" if power == 0 and (unit or value == int(value)) else _digits(value)
    suffix = _UNITS[power] + unit
    return f"{digits}{NARROW}{suffix}" if suffix else digits


def _digits(value: float) -> str:
    """Three digits that count, without zeros at the end of a fraction."""
    if value <= 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(value)))
    text = f"{value:.{min(decimals, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
