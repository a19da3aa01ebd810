"""The kinds of traffic: what is sent, where to, how it is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Any

import aiohttp
from msgspec import Struct

from simulation.command.options import Options
from simulation.load.engine import STATS_LANES, MakeLanes, client_lanes, endpoint_lanes
from simulation.traffic import desktops, hits
from simulation.traffic.message import Message
from simulation.traffic.payloads import payloads_per_s, traffic
from simulation.traffic.viewers import customer_name
from simulation.truth.client import hour_counts
from simulation.truth.diaries import Diaries
from simulation.truth.hours import Hours
from simulation.truth.ledger import Ledger
from simulation.truth.saved import AnySaved, Several
from simulation.truth.verify import found_sums

ENDLESS_S = 3600.0  # of a run without a duration: hours that begin later are taken for untouched before it
QUEUED = "q"  # tells the queue's viewers from those of /stats: the same ones twice would look like counting twice


class Kind(Struct, frozen=True):
    """`messages` are endless; `per_s` is how many are expected in a second of real time. Both take options of it."""

    unit: str
    lanes: MakeLanes
    messages: Callable[[Options], Iterator[Message[Any]]]
    per_s: Callable[[Options], float]


def _traffic(options: Options, apart: str = "") -> Iterator[Message[Any]]:
    return traffic(
        options.scenario,
        seed=options.seed,
        run=options.run,
        timing=options.timing,
        own_customers=options.own_customers,
        apart=apart,
    )


def _hits(options: Options) -> Iterator[Message[Any]]:
    return hits.hits(options.scenario, seed=options.seed, run=options.run, timing=options.timing)


def _clients(options: Options) -> int:
    return options.clients or options.scenario.clients


def _sessions(options: Options) -> Iterator[Message[Any]]:
    clients = _clients(options)
    return desktops.messages(
        options.scenario, seed=options.seed, run=options.run, clients=clients, timing=options.timing
    )


def _payloads_per_s(options: Options) -> float:
    return payloads_per_s(options.scenario, options.timing)


KINDS = {
    "stats": Kind("payloads", STATS_LANES, _traffic, _payloads_per_s),
    "payloads": Kind("payloads", endpoint_lanes("/payloads"), lambda o: _traffic(o, QUEUED), _payloads_per_s),
    "analytics": Kind(
        "hits",
        endpoint_lanes("/analytics", lambda message: (message.payload.query, b"")),
        _hits,
        lambda o: hits.hits_per_s(o.scenario, o.timing),
    ),
    "sessions": Kind(
        "messages", client_lanes, _sessions, lambda o: desktops.messages_per_s(o.scenario, _clients(o), o.timing)
    ),
}


def rate_at(options: Options, offset_s: float) -> float:
    """Messages of one kind a second at this moment: what was asked for, or what devices come to."""
    if options.stages is not None and options.rate is not None:
        return options.stages.rate(offset_s) * options.rate / options.stages.mean_rate
    return KINDS[options.name].per_s(options)


def messages(options: Options) -> Iterator[Message[Any]]:
    """The traffic of options of one kind, limited as they say."""
    endless = KINDS[options.name].messages(options)
    limit_s = options.duration_s
    limited = endless if limit_s is None else takewhile(lambda message: message.offset_s < limit_s, endless)
    return limited if options.count is None else islice(limited, options.count)


class Ledgers:
    """The truth of a run: one ledger for payloads, by whichever endpoint they came, one for hits, one for sessions."""

    def __init__(self, options: Options) -> None:
        suffix = options.run if options.own_customers else None
        customers = [customer_name(name, suffix) for name in options.scenario.customers]
        self.stats = Ledger(options.run, customers, queued="payloads" in options.kinds)
        self.hours = Hours(options.run)
        self.diaries = Diaries(options.run)
        self._options = options

    def of(self, kind: str) -> Ledger | Hours | Diaries:
        """The ledger that a kind is booked in."""
        if kind == "analytics":
            return self.hours
        return self.diaries if kind == "sessions" else self.stats

    async def look(self, http: aiohttp.ClientSession) -> None:
        """See what is there before the run: where others may have written, too, that is subtracted."""
        options, url = self._options, self._options.settings.url
        if {"stats", "payloads"} & set(options.kinds):
            self.stats.before = await found_sums(http, url, self.stats.customers)
        if "analytics" in options.kinds:
            length_s = ENDLESS_S if options.duration_s is None else options.duration_s
            for hour_ms in hits.hours_touched(options.scenario, options.timing, length_s):
                self.hours.before[hour_ms] = await hour_counts(http, url, hour_ms)

    def saved(self) -> AnySaved:
        """The ledgers as they stand, for a file or for `verify`."""
        several = {id(ledger): ledger.saved() for ledger in map(self.of, self._options.kinds)}
        parts = list(several.values())
        return parts[0] if len(parts) == 1 else Several(self._options.run, parts)
