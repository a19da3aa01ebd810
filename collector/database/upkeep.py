"""What the database does by itself with old rows, brought into line with the settings.

The table `retention` says for how long rows are kept, on every PostgreSQL; housekeeping deletes by it. On TimescaleDB
policies drop chunks, make them columnar and refresh aggregates; they are altered, added and removed to match.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from collector.database.retention import KEPT, MARGIN, Kept, age, check, shown
from collector.migrate import TIMESCALEDB, current, lock
from collector.settings import Settings
from collector.store.admin import Admin, connected

WHOLE_WINDOWS = timedelta(hours=1)
"""A refresh is told a range with this on either side: only windows that are in it as a whole are computed."""
DROP_EVERY = timedelta(hours=1)
"""How often TimescaleDB looks for chunks to drop."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of policy: its job, what that calls the age it acts on, words for people, and queries."""

    job: str
    age: str
    said: str
    add: str
    remove: str


DROP = Kind("policy_retention", "drop_after", "kept {}", "add_retention", "remove_retention")
COLUMNAR = Kind("policy_compression", "compress_after", "columnar after {}", "add_columnstore", "remove_columnstore")
REFRESH = Kind(
    "policy_refresh_continuous_aggregate", "start_offset", "refreshed over the last {}", "add_refresh", "remove_refresh"
)


class Policy(msgspec.Struct, frozen=True):
    """What a background job acts on, and how often."""

    after: timedelta | None
    end: timedelta | None = None
    every: timedelta | None = None
    """None: as often as TimescaleDB thinks right."""


Policies = dict[tuple[str, str], tuple[int, Policy]]
"""By job and table: a policy's number, and what it says."""


class Change(msgspec.Struct, frozen=True):
    """Something that is to be different: a sentence for people, and the query that makes it so."""

    said: str
    query: str
    parameters: dict[str, Any]


def bring_into_line(url: str, settings: Settings) -> list[str]:
    """Make a migrated database do as the settings say, all of it or nothing; returns what is different now, as
    sentences. Safe to run twice, and by two at once.

    Raises SettingError where the settings would harm what is stored.
    """
    check(settings)
    with connected(url) as admin, admin.transaction():
        lock(admin)
        changes = differences(admin, settings)
        for change in changes:
            admin.query(change.query, change.parameters)
    return _sentences(changes)


def differences(admin: Admin, settings: Settings) -> list[Change]:
    """Where the database does otherwise."""
    _, engine = current(admin)
    changes = list(_of_rows(admin, settings, engine))
    if engine == TIMESCALEDB:
        policies = {(job, table): (number, Policy(*said)) for number, job, table, *said in admin.query("policies")}
        chunks: dict[str, timedelta] = dict(admin.query("chunk_intervals"))
        for kept in KEPT:
            if kept.columnstore is not None:
                changes += _of_hypertable(settings, kept, policies, chunks)
    return changes


def _of_rows(admin: Admin, settings: Settings, engine: str | None) -> Iterator[Change]:
    told = {name: row for name, *row in admin.query("kept")}
    for kept in KEPT:
        table = kept.table if engine == TIMESCALEDB else kept.plain or kept.table
        keep = age(settings, kept.keep)
        wanted = {"keep": keep, "relation": table, "time_column": kept.time, "condition": kept.only}
        if told.get(kept.name) != list(wanted.values()):
            was = [told[kept.name][0]] if kept.name in told else []
            yield Change(_sentence(kept.name, "kept {}", keep, *was), "keep", {"name": kept.name, **wanted})
    for name in told.keys() - {kept.name for kept in KEPT}:
        yield Change(f"{name}: not known any more", "keep_no_more", {"name": name})


def pending(admin: Admin, settings: Settings) -> list[str]:
    """What `collector migrate` would make different, as sentences."""
    return _sentences(differences(admin, settings))


def wiping_refreshes(admin: Admin) -> list[str]:
    """Policies, whoever made them, by which a refresh wipes an aggregate; as sentences."""
    return [
        f"{aggregate} is refreshed over {'everything' if back is None else f'the last {shown(back)}'}, but rows of "
        f"{source} are dropped after {shown(keep)}: a refresh over rows that are gone wipes what they came to; "
        "`collector migrate` puts the collector's own policies right"
        for aggregate, source, back, keep in admin.query("wiping_refreshes", {"margin": MARGIN})
    ]


def refresh_old(admin: Admin, table: str, first: datetime, last: datetime, now: datetime) -> bool:
    """Take rows between two moments into a continuous aggregate, if its policy does not look that far back; returns
    whether it did not.
    """
    _, engine = current(admin)
    for _, job, aggregate, back, *_ in admin.query("policies") if engine == TIMESCALEDB else []:
        if (job, aggregate) == (REFRESH.job, table) and back is not None and first < now - back:
            admin.query(
                "refresh_range", {"table": table, "since": first - WHOLE_WINDOWS, "until": last + WHOLE_WINDOWS}
            )
            return True
    return False


def _of_hypertable(
    settings: Settings, kept: Kept, policies: Policies, chunks: dict[str, timedelta]
) -> Iterator[Change]:
    keep, columnar = age(settings, kept.keep), age(settings, kept.columnstore)
    if kept.refresh is None:
        chunk, found = age(settings, "chunk_h"), chunks.get(kept.table)
        if found not in (None, chunk):
            said = _sentence(kept.table, "chunks of {}", chunk, found)
            yield Change(said, "set_chunk_interval", {"table": kept.table, "chunk": chunk})
    else:
        refresh = Policy(age(settings, kept.refresh.back), kept.refresh.end, kept.refresh.every)
        yield from _of_policy(REFRESH, kept.table, refresh, policies)
    yield from _of_policy(DROP, kept.table, Policy(keep, every=DROP_EVERY), policies)
    yield from _of_policy(COLUMNAR, kept.table, Policy(columnar), policies)


def _of_policy(kind: Kind, table: str, wanted: Policy, policies: Policies) -> Iterator[Change]:
    """A policy that is wanted without an age is none."""
    number, found = policies.get((kind.job, table), (None, None))
    if found is None:
        if wanted.after is not None:
            yield Change(_sentence(table, kind.said, wanted.after), kind.add, _parameters(table, wanted))
    elif wanted.after is None:
        yield Change(_sentence(table, kind.said, None, found.after), kind.remove, {"table": table})
    elif found != msgspec.structs.replace(wanted, every=wanted.every or found.every):
        parameters = _parameters(table, wanted) | {"job": number, "key": kind.age}
        yield Change(_sentence(table, kind.said, wanted.after, found.after), "alter_policy", parameters)


def _parameters(table: str, policy: Policy) -> dict[str, Any]:
    return {"table": table, **msgspec.structs.asdict(policy)}


def _sentences(changes: list[Change]) -> list[str]:
    said: dict[str, str] = {}
    for change in changes:  # what is told to the table and to a policy is said once
        said.setdefault(change.said.partition(", was ")[0], change.said)
    return list(said.values())


def _sentence(table: str, words: str, now: timedelta | None, *was: timedelta | None) -> str:
    before = f", was {shown(was[0])}" if was and was[0] != now else ""
    return f"{table}: {words.format(shown(now)).replace('after forever', 'never')}{before}"
