"""Viewers: sessions that arrive, play one title for a while, and lose their network at times. All in device time."""

from __future__ import annotations

import math
from itertools import accumulate
from random import Random

from simulation.scenario.model import Profile, Scenario

MAX_SESSION_S = 12 * 3600  # a log-normal has a long tail; nobody watches for a week
OFFLINE_S = 90.0  # how long a network that fails is away, on average
LATE_S = 60.0  # how late a payload is that comes late, on average


def mean_length_s(profile: Profile) -> float:
    """Mean of the log-normal: median * exp(sigma² / 2)."""
    return profile.session_median_s * math.exp(profile.session_sigma**2 / 2)


def payloads_per_session(scenario: Scenario) -> float:
    """Expected payloads of an arriving session, repeats included; the half is the last, shorter one."""
    total = sum(profile.weight for profile in scenario.profiles)
    return (
        sum(
            p.weight * (mean_length_s(p) / p.interval_s + 0.5) * (1 + p.twice_permille / 1000)
            for p in scenario.profiles
        )
        / total
    )


def arrivals_per_s(scenario: Scenario, speed: float, rate: float | None) -> float:
    """Sessions arriving in a second of device time: what keeps `viewers` watching, or sends `rate` payloads/s."""
    if rate is not None:
        return rate / speed / payloads_per_session(scenario)
    total = sum(profile.weight for profile in scenario.profiles)
    return scenario.viewers / (sum(p.weight * mean_length_s(p) for p in scenario.profiles) / total)


def fails_permille(profile: Profile) -> float:
    """How often the network fails at a payload, so that `offline_permille` of the payloads find none."""
    share = profile.offline_permille / 1000
    return 1000 * min(1.0, share * profile.interval_s / (OFFLINE_S * (1 - share)))


class Session:
    """One viewer, from the moment `born_s` on."""

    __slots__ = (
        "born_s",
        "content",
        "customer",
        "length_s",
        "number",
        "offline_until_s",
        "profile",
        "sent_ms",
        "sequence",
        "token",
    )

    def __init__(self, number: int, token: str, profile: Profile, customer: str, content: str) -> None:
        self.number = number
        self.token = token
        self.profile = profile
        self.customer = customer
        self.content = content
        self.born_s = 0.0
        self.length_s = 0.0
        self.sequence = 0
        self.sent_ms = 0  # sessionDuration of the payload before
        self.offline_until_s = 0.0

    def due_s(self) -> float:
        """When it makes its next payload."""
        return self.born_s + min((self.sequence + 1) * self.profile.interval_s, self.length_s)

    @property
    def over(self) -> bool:
        """Its last payload was made."""
        return self.sent_ms >= int(self.length_s * 1000)


class Viewers:
    """Draws sessions: which device, which title, how long. Tokens begin with `tokens`."""

    def __init__(self, scenario: Scenario, random: Random, tokens: str, suffix: str | None) -> None:
        self._random = random
        self._tokens = tokens
        self._suffix = suffix
        self._count = 0
        self._profiles = scenario.profiles
        self._weights = list(accumulate(p.weight for p in scenario.profiles))
        # Of the sessions that are under way at a moment, long ones are seen more often, in proportion to their length.
        self._running_weights = list(accumulate(p.weight * mean_length_s(p) for p in scenario.profiles))
        self._titles = {p.name: list(accumulate(title.weight for title in p.titles)) for p in scenario.profiles}

    def fresh(self, now_s: float) -> Session:
        """A session that starts now."""
        [profile] = self._random.choices(self._profiles, cum_weights=self._weights)
        session = self._session(profile)
        session.born_s = now_s
        session.length_s = self._length_s(profile, 0.0)
        return session

    def running(self) -> Session:
        """A session that is under way at moment 0. A log-normal biased by length is one with mu + sigma²."""
        [profile] = self._random.choices(self._profiles, cum_weights=self._running_weights)
        session = self._session(profile)
        session.length_s = self._length_s(profile, profile.session_sigma**2)
        age_s = self._random.random() * session.length_s
        session.born_s = -age_s
        session.sequence = int(age_s // profile.interval_s)
        session.sent_ms = session.sequence * profile.interval_s * 1000
        return session

    def _session(self, profile: Profile) -> Session:
        [title] = self._random.choices(profile.titles, cum_weights=self._titles[profile.name])
        self._count += 1
        customer = customer_name(title.customer, self._suffix)
        return Session(self._count, f"{self._tokens}-{self._count:x}", profile, customer, title.content)

    def _length_s(self, profile: Profile, shift: float) -> float:
        mu = math.log(profile.session_median_s) + shift
        return max(1.0, min(self._random.lognormvariate(mu, profile.session_sigma), MAX_SESSION_S))


def customer_name(customer: str, run: str | None) -> str:
    """A customer's name on the wire: a run has customers of its own, so that its sums stand alone in the database."""
    return customer if run is None else f"{customer}-{run}"
