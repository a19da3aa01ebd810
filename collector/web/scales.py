"""Scales of charts: ticks at numbers and times that people count in. Pure."""

import math
from datetime import UTC, datetime, timedelta

import msgspec

from collector.web.words import clock, day

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Steps between times that clocks and calendars have; weeks begin on Mondays.
_TIME_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200),
    *(86_400, 172_800, 604_800, 1_209_600, 2_419_200, 4_838_400, 9_676_800, 19_353_600),
)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
DAY_S = 86_400


class Tick(msgspec.Struct, frozen=True):
    """A time with its label; `strong` where a day begins."""

    time: datetime
    label: str
    strong: bool


def ticks(maximum: float, about: int = 4, *, whole: bool = False) -> list[float]:
    """From 0 to the first tick that is not below `maximum`, in steps of 1, 2 or 5 times a power of ten: `about` steps
    at most. `whole`: no fractions.
    """
    if not maximum > 0 or not math.isfinite(maximum):
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(maximum / about))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power * about >= maximum * (1 - 1e-12))
    if whole:
        step = max(1.0, step)
    number = max(1, math.ceil(maximum / step - 1e-9))
    return [round(step * place, 12) if step < 1 else step * place for place in range(number + 1)]


def time_ticks(since: datetime, until: datetime, about: int = 8) -> list[Tick]:
    """Round times from `since` to `until`, `about` as many at most; a day is named where it begins."""
    length_s = (until - since).total_seconds()
    step_s = next((step for step in _TIME_STEPS_S if length_s / step <= about), _TIME_STEPS_S[-1])
    found = []
    time = floor(since, step_s)
    while time <= until:
        if time >= since:
            strong = time == floor(time, DAY_S)
            label = day(time) if strong or step_s >= DAY_S else clock(time, seconds=step_s < 60)
            found.append(Tick(time, label, strong))
        time += timedelta(seconds=step_s)
    return found


def floor(time: datetime, step_s: int) -> datetime:
    """The last round time that is not after `time`: a multiple of the step since 1970, or, of weeks, a Monday."""
    origin = _MONDAY if step_s >= 7 * DAY_S else EPOCH
    return time - (time - origin) % timedelta(seconds=step_s)
