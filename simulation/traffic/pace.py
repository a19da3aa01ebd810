"""When things happen: the day's ups and downs, and rates that change by stages. Pure.

Stages bend time instead of thinning the traffic: traffic is made for one mean rate, and its offsets are moved so that
the rate at each moment is the one that was asked for. A Poisson process stays one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from simulation.scenario.model import Day

DAY_S = 86_400
EVENING_S = 18 * 3600  # the time of day, by the devices' clocks, at which traffic begins unless it is told a date

Pace = Callable[[float], float]


def steady(offset_s: float) -> float:
    """The pace of a constant rate."""
    return offset_s


class Stage(Struct, frozen=True):
    """For `length_s` the rate goes, in a straight line, from where it is to `rate` messages a second."""

    length_s: float
    rate: float


class Stages:
    """A rate that changes by stages, from `first_rate` on. As a function: the moment, in seconds from the start, at
    which a message is due that would be due at `offset_s` at the mean rate.
    """

    def __init__(self, stages: Sequence[Stage], first_rate: float = 0.0) -> None:
        self._starts_s, self._counts, self._rates = [0.0], [0.0], [first_rate]
        for stage in stages:
            rate = self._rates[-1]
            self._starts_s.append(self._starts_s[-1] + stage.length_s)
            self._counts.append(self._counts[-1] + stage.length_s * (rate + stage.rate) / 2)
            self._rates.append(stage.rate)
        self.length_s, self.count = self._starts_s[-1], self._counts[-1]
        if not self.count:
            raise ValueError("the stages come to no message at all")

    @property
    def mean_rate(self) -> float:
        """Messages a second over all stages."""
        return self.count / self.length_s

    def rate(self, offset_s: float) -> float:
        """Messages a second at this moment; after the last stage, its."""
        at = bisect_right(self._starts_s, offset_s) - 1
        if at >= len(self._starts_s) - 1:
            return self._rates[-1]
        part = (offset_s - self._starts_s[at]) / (self._starts_s[at + 1] - self._starts_s[at])
        return self._rates[at] + part * (self._rates[at + 1] - self._rates[at])

    def __call__(self, offset_s: float) -> float:
        wanted = offset_s * self.mean_rate
        if wanted >= self.count:
            return self.length_s + (offset_s - self.length_s)
        at = bisect_right(self._counts, wanted) - 1
        length_s = self._starts_s[at + 1] - self._starts_s[at]
        # As parts of the stage, whose rate then goes from `first` to 2 - first: the smallest rates do not underflow.
        count = self._counts[at + 1] - self._counts[at]
        part = (wanted - self._counts[at]) / count
        first = min(2.0, self._rates[at] * length_s / count)
        # first * t + (1 - first) * t² = part, in the form that also holds where the rate stays.
        both = first + math.sqrt(max(0.0, first * first + 4 * (1 - first) * part))
        return self._starts_s[at] + (length_s * min(1.0, 2 * part / both) if both else 0.0)


class Arrivals:
    """Moments of a Poisson process, in device time, with `per_s` on average; by the time of day where `day` is given.

    `clock_s`: the time of day at moment 0. (Lewis and Shedler's thinning: candidates come at the highest rate, and are
    taken with the probability that the rate at their moment has.)
    """

    def __init__(self, random: Random, per_s: float, day: Day | None, clock_s: float) -> None:
        self._random = random
        self._day = day
        self._clock_s = clock_s
        self._highest_per_s = per_s * (1 if day is None else 1 + day.swing_permille / 1000)

    def after(self, now_s: float) -> float:
        """The next one."""
        random, day = self._random, self._day
        while True:
            now_s += random.expovariate(self._highest_per_s)
            if day is None or random.random() * (1 + day.swing_permille / 1000) < level(day, self._clock_s + now_s):
                return now_s


def level(day: Day, clock_s: float) -> float:
    """The rate at a time of day, as a part of the mean."""
    angle = 2 * math.pi * (clock_s - day.peak_hour * 3600) / DAY_S
    return 1 + day.swing_permille / 1000 * math.cos(angle)


class Timing(Struct, frozen=True):
    """How fast the devices' time passes, and which moments it is about.

    `speed`: seconds of device time in a second. `rate`: mean messages a second of real time, instead of what the
    scenario's devices come to; it has no ups and downs but those of `pace`. `start_ms`: the moment of the start, epoch
    milliseconds, by which messages tell when they were. They are of the moment at which they are sent; or, where the
    traffic is of the `past`, time passes in them as fast as for the devices.
    """

    speed: float = 60.0
    rate: float | None = None
    pace: Pace = steady
    start_ms: int = 1_767_225_600_000
    past: bool = False

    def offset_s(self, device_s: float) -> float:
        """The moment, in seconds from the start, at which so much device time has passed."""
        return self.pace(device_s / self.speed)

    def time_ms(self, offset_s: float) -> int:
        """What a right clock shows at that moment."""
        return self.start_ms + int(offset_s * 1000 * (self.speed if self.past else 1))

    def arrivals(self, random: Random, per_s: float, day: Day) -> Arrivals:
        """Arrivals with `per_s` in a second of device time, on average."""
        clock_s = self.start_ms / 1000 % DAY_S if self.past else EVENING_S
        return Arrivals(random, per_s, day if self.rate is None else None, clock_s)

    def level(self, day: Day) -> float:
        """How busy it is at the start, as a part of the mean."""
        if self.rate is not None:
            return 1.0
        return level(day, self.start_ms / 1000 % DAY_S if self.past else EVENING_S)
