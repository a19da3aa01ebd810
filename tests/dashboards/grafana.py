"""What Grafana does to a query before a database gets it: variables in the browser, macros in its PostgreSQL plug-in.

The rules are those of Grafana 13: arguments of a macro end at the first `)` and are split at commas; `$__timeGroup`
with a comma right behind it gets an alias; comments go first. An unknown macro is an error.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from dashboards.model import Dashboard

ALL = "$__all"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_VARIABLE = re.compile(r"\$\{(\w+)(?:[.:](\w*)[^}]*)?\}|\$(\w+)(?!\w*\()")
_MACRO = re.compile(r"\$(\w+)\(([^)]*)\)")
_COMMENT = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|(--[^\n]*|/\*.*?\*/)", re.DOTALL)


class MacroError(Exception):
    """Grafana would show this instead of data."""


class Range(msgspec.Struct, frozen=True):
    """The dashboard's time range, and what `$__interval` is in it."""

    since: datetime
    until: datetime
    interval_s: int = 300

    @property
    def interval(self) -> str:
        """As Grafana writes it."""
        unit = max((name for name, length in UNITS.items() if self.interval_s % length == 0), key=lambda u: UNITS[u])
        return f"{self.interval_s // UNITS[unit]}{unit}"


class Choice(msgspec.Struct, frozen=True):
    """What is chosen of a variable; `all_value` is what it has for all."""

    values: Sequence[str]
    all_value: str | None = None
    typed: str | None = None
    """Of a text box."""

    def in_sql(self) -> str:
        """A list of quoted values. What stands for all, and what is typed, goes out as it is."""
        if self.typed is not None:
            return self.typed
        if list(self.values) == [ALL]:
            assert self.all_value is not None
            return self.all_value
        quoted = ("'" + value.replace("'", "''") + "'" for value in self.values)
        return ",".join(quoted)


def expanded(sql: str, times: Range, choices: Mapping[str, Choice], *, timescaledb: bool) -> str:
    """The SQL that reaches the database; `timescaledb` is the data source's switch. Raises MacroError."""
    return _with_macros(_without_comments(_with_variables(sql, times, choices)), times, timescaledb=timescaledb)


def _with_variables(sql: str, times: Range, choices: Mapping[str, Choice]) -> str:
    known = {name: choice.in_sql() for name, choice in choices.items()}
    known["__interval"] = times.interval
    known["__interval_ms"] = str(times.interval_s * 1000)

    def replace(found: re.Match[str]) -> str:
        value = known.get(found[1] or found[3], found[0])
        return "'" + value.replace("'", "''") + "'" if found[2] == "sqlstring" else value

    return _VARIABLE.sub(replace, sql)


def _without_comments(sql: str) -> str:
    return _COMMENT.sub(lambda found: "" if found[1] else found[0], sql)


def _with_macros(sql: str, times: Range, *, timescaledb: bool) -> str:
    def replace(found: re.Match[str]) -> str:
        name, arguments = found[1], [argument.strip(" ") for argument in found[2].split(",")]
        if name == "__timeGroup" and sql[sql.index(found[0]) + len(found[0]) :].startswith(","):
            name = "__timeGroupAlias"
        return _macro(name, arguments, times, timescaledb=timescaledb)

    return _MACRO.sub(replace, sql)


def _macro(name: str, arguments: list[str], times: Range, *, timescaledb: bool) -> str:
    since, until = (f"'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'" for moment in (times.since, times.until))
    match name:
        case "__time":
            return f'{arguments[0]} AS "time"'
        case "__timeFilter":
            return f"{arguments[0]} BETWEEN {since} AND {until}"
        case "__timeFrom":
            return since
        case "__timeTo":
            return until
        case "__timeGroup":
            if len(arguments) < 2:
                raise MacroError(f"macro {name} needs a column and an interval")
            seconds = _seconds(arguments[1].strip("'"))
            if timescaledb:
                return f"time_bucket('{seconds:.3f}s',{arguments[0]})"
            return f"floor(extract(epoch from {arguments[0]})/{seconds:g})*{seconds:g}"
        case "__timeGroupAlias":
            return _macro("__timeGroup", arguments, times, timescaledb=timescaledb) + ' AS "time"'
    raise MacroError(f"unknown macro {name!r}")


def _seconds(interval: str) -> float:
    found = re.fullmatch(r"(\d+)(ms|[smhdw])", interval)
    if found is None:
        raise MacroError(f"error parsing interval {interval}")
    return int(found[1]) / 1000 if found[2] == "ms" else float(int(found[1]) * UNITS[found[2]])


def everything(dashboard: Dashboard) -> dict[str, Choice]:
    """What is chosen of each variable at first: all of it."""
    chosen = {each.name: Choice([ALL], each.all_value) for each in dashboard.templating["list"] if each.all_value}
    typed = {each.name: Choice([], None, each.query) for each in dashboard.templating["list"] if each.type == "textbox"}
    return chosen | typed


def last(length: timedelta, interval_s: int = 300) -> Range:
    """The time range that ends now, and begins with an interval."""
    now = datetime.now(UTC)
    since_s = (now - length).timestamp() // interval_s * interval_s
    return Range(datetime.fromtimestamp(since_s, UTC), now, interval_s)
