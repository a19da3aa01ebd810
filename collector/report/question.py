"""What a report is asked for, as the parameters of its URL, and back. Pure: no I/O.

    hours=12&threshold=30&statistic=max&min_support=0.05&depth=3&version=6.04&event=indexing&where=filename_length>42

`where` may come several times: a key of `properties`, then `=`, `>` or `<=`, then the value; a key that has one of
these characters is a JSON string, in quotes.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec

from collector.errors import BadRequest
from collector.report.model import Condition, Op, Statistic
from collector.report.values import plain, text_of
from collector.times import parse_time

BUCKET = timedelta(minutes=5)
"""What is measured is added up by so much: windows are made of whole buckets."""
HOURS, MAX_HOURS = 12.0, 24 * 90
"""As long as the sums are kept."""
MAX_THRESHOLD = 102_400.0
"""1,024 cores."""
MIN_SUPPORT, LOWEST_MIN_SUPPORT = 0.05, 0.01
"""Of the hot sessions of a node, what a condition has to cover to be shown below it: by default, and at least."""
DEPTH, MAX_DEPTH = 3, 5
MAX_CONDITIONS = 8
MAX_CHARACTERS = 1_000
"""Of a condition."""

_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)  # what is computed with stays a time
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_OP = re.compile(r"<=|[=>]")
_STATISTICS: dict[str, Statistic] = {"max": "max", "mean": "mean", "p95": "p95"}
_OPS: dict[str, Op] = {"=": "=", ">": ">", "<=": "<="}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A report's parameters. Of `hours`, and of `since` and `until`, one is given; a window up to now moves with it."""

    hours: float | None = HOURS
    since: datetime | None = None
    until: datetime | None = None
    threshold: float = 30.0
    """Percent of a core."""
    statistic: Statistic = "max"
    min_support: float = MIN_SUPPORT
    depth: int = DEPTH
    conditions: tuple[Condition, ...] = ()

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """Whole buckets that cover what was asked for."""
        until = self.until or now + timedelta(milliseconds=1)  # what came in at this moment, too
        since = self.since or (self.until or now) - timedelta(hours=self.hours or 0)
        return _floor(since), _ceiling(until)

    def fixed(self, since: datetime, until: datetime) -> "Question":
        """The same with a window that stays."""
        return msgspec.structs.replace(self, hours=None, since=since, until=until)


USUAL = Question()
"""What is asked where nothing is said."""


def ask(parameters: Iterable[tuple[str, str]]) -> Question:
    """The question of a URL's parameters. Raises BadRequest for a bad value; unknown names are somebody else's."""
    given: dict[str, str] = {}
    conditions: list[Condition] = []
    for name, value in parameters:
        if name == "where":
            conditions.append(parse_condition(value))
        elif name in ("version", "event"):
            conditions.append(Condition(name, "=", _text(value, name)))
        else:
            given[name] = value
    if len(conditions) > MAX_CONDITIONS:
        raise BadRequest(f"where: at most {MAX_CONDITIONS} conditions")
    if len({condition.dimension for condition in conditions if condition.op == "="}) < sum(
        condition.op == "=" for condition in conditions
    ):
        raise BadRequest("where: two values of one key cannot both hold")
    since, until = (_moment(given[name], name) if name in given else None for name in ("from", "to"))
    if since is not None and "hours" in given:
        raise BadRequest("hours, from: give one of them")
    hours = _given(given, "hours", HOURS, 0, MAX_HOURS) if since is None else None
    if hours == 0:
        raise BadRequest("hours: more than 0")
    if since is not None and until is not None and since >= until:
        raise BadRequest("from, to: the window's start is not before its end")
    return Question(
        hours=hours,
        since=since,
        until=until,
        threshold=_given(given, "threshold", USUAL.threshold, 0, MAX_THRESHOLD),
        statistic=_statistic(given.get("statistic", USUAL.statistic)),
        min_support=_given(given, "min_support", USUAL.min_support, LOWEST_MIN_SUPPORT, 1),
        depth=int(_given(given, "depth", USUAL.depth, 1, MAX_DEPTH, whole=True)),
        conditions=tuple(conditions),
    )


PARAMETERS = frozenset(
    {"hours", "from", "to", "threshold", "statistic", "min_support", "depth", "version", "event", "where"}
)


def href(question: Question, path: str = "/reports/cpu") -> str:
    """The URL of a question: what is not said has its default, but for the threshold, which is what one changes."""
    parameters: list[tuple[str, str]] = []
    if question.hours is not None:
        parameters.append(("hours", f"{question.hours:g}"))
    for name, moment in (("from", question.since), ("to", question.until)):
        if moment is not None:
            parameters.append((name, moment.isoformat().replace("+00:00", "Z")))
    parameters.append(("threshold", f"{question.threshold:.10g}"))
    if question.statistic != USUAL.statistic:
        parameters.append(("statistic", question.statistic))
    if question.min_support != USUAL.min_support:
        parameters.append(("min_support", f"{question.min_support:.10g}"))
    if question.depth != USUAL.depth:
        parameters.append(("depth", str(question.depth)))
    for condition in question.conditions:
        if condition.dimension in ("version", "event"):
            parameters.append((condition.dimension, text_of(condition.value)))
        else:
            parameters.append(("where", format_condition(condition)))
    return f"{path}?{urlencode(parameters, safe=':')}"


def parse_condition(text: str) -> Condition:
    """`os=windows`, `filename_length>42`, `size<=1000`, `"a=b"=c`. Raises BadRequest."""
    if len(text) > MAX_CHARACTERS:
        raise BadRequest(f"where: at most {MAX_CHARACTERS} characters")
    quoted = _QUOTED.match(text)
    found = _OP.search(text, quoted.end() if quoted else 0)
    unclosed = text.startswith('"') and quoted is None
    if found is None or found.start() == 0 or unclosed or (quoted and found.start() != quoted.end()):
        raise BadRequest(f"where: KEY=VALUE, KEY>NUMBER or KEY<=NUMBER; given {text[:40]!r}")
    key = text[: found.start()]
    if quoted:
        try:
            key = msgspec.json.decode(key, type=str)
        except msgspec.MsgspecError as exc:
            raise BadRequest(f"where: the key is no JSON string; given {text[:40]!r}") from exc
    op, value = _OPS[found.group()], text[found.end() :]
    if op == "=":
        return Condition(_text(key, "where"), op, _text(value, "where", least=0))
    if key in ("version", "event"):
        raise BadRequest(f"where: {key} is no number")
    return Condition(_text(key, "where"), op, plain(_number(value, "where", -math.inf, math.inf)))


def format_condition(condition: Condition) -> str:
    """What `parse_condition` reads."""
    key = condition.dimension
    if not key or _OP.search(key) or key.startswith('"'):
        key = msgspec.json.encode(key).decode()
    return f"{key}{condition.op}{text_of(condition.value)}"


def _moment(text: str, name: str) -> datetime:
    moment = parse_time(text, name)
    if moment >= _END:
        raise BadRequest(f"{name}: after the year 9998")
    return moment


def _text(value: str, name: str, least: int = 1) -> str:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"{name}: has a character that cannot be stored")
    if not least <= len(value) <= MAX_CHARACTERS:
        raise BadRequest(f"{name}: {least} to {MAX_CHARACTERS} characters")
    return value


def _given(given: dict[str, str], name: str, usual: float, least: float, most: float, *, whole: bool = False) -> float:
    return _number(given[name], name, least, most, whole=whole) if name in given else usual


def _number(text: str, name: str, least: float, most: float, *, whole: bool = False) -> float:
    try:
        number = float(text) if len(text) <= 40 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or not least <= number <= most or (whole and not number.is_integer()):
        bounds = f", {least:g} to {most:g}" if math.isfinite(most) else ""
        raise BadRequest(f"{name}: a {'whole ' if whole else ''}number{bounds}; given {text[:40]!r}")
    return number


def _statistic(text: str) -> Statistic:
    if text not in _STATISTICS:
        raise BadRequest(f"statistic: max, mean or p95; given {text[:40]!r}")
    return _STATISTICS[text]


def _floor(moment: datetime) -> datetime:
    return moment - (moment - _ORIGIN) % BUCKET


def _ceiling(moment: datetime) -> datetime:
    return moment + (_ORIGIN - moment) % BUCKET
