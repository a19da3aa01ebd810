"""For how long rows are kept, and from when on they are columnar: a line for each kind of rows. Pure: no I/O.

The ages are settings, but what counts is what `collector migrate` has made of them in the database
(`collector.database.upkeep`): a process that is started without a variable deletes nothing that the others keep.
"""

from datetime import timedelta

import msgspec

from collector.endpoints import KINDS
from collector.errors import SettingError
from collector.settings import Settings, variable

Age = str | float
"""The name of a field of `Settings`, or a number of days."""


class Refresh(msgspec.Struct, frozen=True):
    """How an aggregate is kept up to date: `back` is how far a refresh looks for rows that came late, `end` leaves out
    what is still being written.
    """

    source: str
    """The table whose rows it adds up."""
    back: Age
    end: timedelta = timedelta(minutes=6)
    every: timedelta = timedelta(minutes=1)


class Kept(msgspec.Struct, frozen=True):
    """Rows that are kept for the same time."""

    table: str
    time: str
    """The column that says how old a row is."""
    keep: Age
    columnstore: Age | None = None
    """From when on rows are columnar; None: of an ordinary table never. With it TimescaleDB drops old rows chunk by
    chunk; all others are deleted by housekeeping.
    """
    named: str = ""
    """What the table `retention` calls the rows, if not by their table."""
    only: str = "true"
    """Which rows of the table, as SQL; $1 is the age."""
    refresh: Refresh | None = None
    """Of an aggregate that TimescaleDB refreshes."""
    plain: str | None = None
    """The table that has the rows where there is no TimescaleDB, if it is another one."""
    forget: str | None = None
    """The query that deletes the rows where there is no TimescaleDB, if they leave something behind."""

    @property
    def name(self) -> str:
        """What the table `retention` calls the rows."""
        return self.named or self.table


# Not as NOT IN: past what fits into work_mem (260,000 sessions) that is a list gone through for each row.
_SESSION_IS_GONE = (
    "NOT EXISTS (SELECT FROM cpu_session WHERE cpu_session.id = session_fact.session_id"
    " AND (open_bucket IS NULL OR open_bucket >= now() - $1))"
)

KEPT = (
    Kept("payload", "received_at", "payload_retention_days", "payload_columnstore_days", forget="forget_payloads"),
    Kept(
        *("stats_5m", "bucket", "stats_retention_days", "stats_columnstore_days"),
        refresh=Refresh("payload", "stats_refresh_days"),
        plain="stats_5m_kept",
    ),
    Kept("session_message", "time", "session_retention_days", "session_columnstore_days"),
    Kept("session_log", "logged_at", "session_retention_days"),
    Kept("session_cpu", "bucket", "cpu_retention_days", "cpu_columnstore_days"),
    # What a session said holds until it says something else, so the last of it stays for as long as the session.
    Kept("session_fact", "bucket", "cpu_retention_days", only=_SESSION_IS_GONE),
    Kept("cpu_session", "open_bucket", "cpu_retention_days", only="dirty_since IS NULL"),
    Kept("hit", "received_at", "hit_retention_days", "hit_columnstore_days"),
    Kept("analytics_hour", "hour", "analytics_retention_days"),
    Kept("analytics_user", "hour", "user_retention_days"),
    Kept("session_token", "created_at", "token_retention_days"),
    Kept("rejected", "received_at", "rejected_retention_days"),
    Kept("progress", "updated_at", "key_retention_h", named="keys", only="retention = 'keys'"),
    Kept("progress", "updated_at", "token_retention_days", named="imports", only="retention = 'imports'"),
    # After the lines themselves: a key lives longer than the line that it keeps from being stored twice.
    Kept(
        "progress",
        "updated_at",
        "rejected_retention_days",
        named="replays",
        only="retention = 'replays'",
    ),
    *(Kept(kind.table, "received_at", kind.keep, kind.columnstore) for kind in KINDS),
)
"""What `progress` says of a part of a topic is kept for ever: without it, the topic would be applied again."""


def age(settings: Settings, given: Age | None) -> timedelta | None:
    """The age that a field of the settings says; None for one that no row ever reaches."""
    value = getattr(settings, given) if isinstance(given, str) else given
    if value is None or isinstance(value, str):
        return None
    return timedelta(hours=value) if isinstance(given, str) and given.endswith("_h") else timedelta(days=value)


MARGIN = timedelta(hours=6)
"""Between the oldest payloads that a refresh looks at and those that are dropped: a refresh may have begun this long
ago.
"""


def check(settings: Settings) -> None:
    """Raises SettingError where what is kept would harm what it adds up to."""
    by_table = {kept.table: kept for kept in KEPT}
    for kept in KEPT:
        if kept.refresh is not None:
            _check_aggregate(settings, kept, kept.refresh, by_table[kept.refresh.source])


def _check_aggregate(settings: Settings, kept: Kept, refresh: Refresh, source: Kept) -> None:
    back, source_keep = age(settings, refresh.back), age(settings, source.keep)
    keep, columnar = age(settings, kept.keep), age(settings, kept.columnstore)
    assert back is not None
    if source_keep is not None and back + MARGIN >= source_keep:
        raise SettingError(
            f"{_said(source.keep)}: rows of {source.table} would be dropped after {shown(source_keep)}, but "
            f"{kept.table} is refreshed over the last {shown(back)} ({_said(refresh.back)}); a refresh over rows that "
            f"are gone wipes their sums, so they have to stay for more than {shown(back + MARGIN)}"
        )
    if keep is not None and (source_keep is None or keep < source_keep):
        raise SettingError(
            f"{_said(kept.keep)}: {kept.table} would be kept {shown(keep)}, and the rows that it adds up "
            f"{shown(source_keep)} ({_said(source.keep)}); it has to stay for as long as they do"
        )
    if columnar is not None and columnar <= back:
        raise SettingError(
            f"{_said(kept.columnstore)}: {kept.table} would be columnar after {shown(columnar)}, but is refreshed over "
            f"the last {shown(back)} ({_said(refresh.back)}); it has to be more than that"
        )


def _said(given: Age | None) -> str:
    return variable(given) if isinstance(given, str) else f"an age of {given} days"


def shown(span: timedelta | None) -> str:
    """An age for people: `30 days`, `6 hours`, `forever`."""
    if span is None:
        return "forever"
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count = span.total_seconds() / seconds
        if count == int(count) and count >= 1:
            return f"{int(count)} {unit}{'' if count == 1 else 's'}"
    return str(span)
