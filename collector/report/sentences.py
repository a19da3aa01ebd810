"""The report in sentences. Pure: no I/O."""

from datetime import datetime

from collector.report.model import Condition, Node, Statistic
from collector.report.question import Question
from collector.report.values import text_of

_OF_STATISTIC: dict[Statistic, tuple[str, str]] = {
    "max": ("CPU over", ""),
    "mean": ("a mean CPU over", " on average"),
    "p95": ("a 95th percentile of CPU over", " at the 95th percentile"),
}
"""What a session had, and what is added where something was over."""


def percent(share: float) -> str:
    """Whole percent; but 0% is none and 100% all."""
    whole = round(100 * share)
    if (whole == 0 and share > 0) or (whole == 100 and share < 1):
        return f"{min(99.9, max(0.1, 100 * share)):.1f}%"
    return f"{whole}%"


def cpu(threshold: float) -> str:
    """A threshold."""
    return f"{threshold:.10g}%"


def times(ratio: float) -> str:
    """A ratio, so that it is never said to be more than it is."""
    return f"{int(ratio):,}" if ratio >= 100 else f"{int(ratio * 10) / 10:g}"


def of(condition: Condition | Node) -> str:
    """What a condition asks for: "version 6.04", "os windows", "filename_length over 42", "indexing"."""
    value = text_of(condition.value) or '""'
    if condition.dimension == "event":
        return value
    return f"{condition.dimension} {({'=': '', '>': 'over ', '<=': 'at most '})[condition.op]}{value}"


def headline(question: Question, since: datetime, until: datetime, sessions: int, share: float) -> str:
    """The first line of a report."""
    asked = [of(condition) for condition in question.conditions if condition.dimension != "event"]
    during = "".join(f" while {of(condition)}" for condition in question.conditions if condition.dimension == "event")
    window = ", ".join([_window(question, since, until), *asked])
    if not sessions:
        return f"{window}: no session had CPU measured{during}."
    count = "1 session" if sessions == 1 else f"{sessions:,} sessions"
    had, _ = _OF_STATISTIC[question.statistic]
    return f"{window}: {percent(share)} of {count} had {had} {cpu(question.threshold)}{during}."


def _window(question: Question, since: datetime, until: datetime) -> str:
    if question.hours is not None and question.until is None:
        return f"Last {'hour' if question.hours == 1 else f'{question.hours:g} hours'}"
    end = f"{until:%H:%M}" if since.date() == until.date() else f"{until:%Y-%m-%d %H:%M}"
    return f"{since:%Y-%m-%d %H:%M} to {end} UTC"


def line(
    condition: Condition, statistic: Statistic, threshold: float, covers: float, others: float, *, in_part: bool
) -> str:
    """A line of the tree. `others`: the share of those that are not hot which fulfil it; `in_part`: the node above is
    about a part of sessions, and "them" are sessions in it.
    """
    _, added = _OF_STATISTIC[statistic]
    what = of(condition)
    if condition.dimension == "event":
        return f"{percent(covers)} were over {cpu(threshold)}{added} while {what}"
    if in_part:
        return f"{percent(covers)} of those with {what} ({percent(others)} of the others)"
    did = "ran" if condition.dimension == "version" else "had"
    return f"{percent(covers)} of them {did} {what} ({percent(others)} of the others did)"


def finding(condition: Condition, statistic: Statistic, threshold: float, low: float, covers: float) -> str:
    """The whole of a node in one sentence."""
    _, added = _OF_STATISTIC[statistic]
    what = of(condition)
    covered = f"and covers {percent(covers)} of the hot sessions"
    if condition.dimension == "event":
        return (
            f"While {what} a session is at least {times(low)} times as likely to be over {cpu(threshold)}{added} as "
            f"during other events, {covered}."
        )
    subject = text_of(condition.value) if condition.dimension == "version" else f"a session with {what}"
    subject = subject[:1].upper() + subject[1:]
    return f"{subject} is at least {times(low)} times as likely to run hot as the others, {covered}."


def base_rate(condition: Condition, hot_time: float, all_time: float) -> str:
    """What stands beside it."""
    what = of(condition) if condition.dimension == "event" else f"with {of(condition)}"
    return f"{percent(hot_time)} of the hot time was {what}, against {percent(all_time)} of all time."
