"""What the report on CPU says: the contract of its JSON, and what every renderer works with. Pure: no I/O.

Shares are 0 to 1, CPU is in percent of a core, times are UTC. A session counts where it has a CPU sample in the window;
it is hot where its statistic is strictly over the threshold.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Statistic = Literal["max", "mean", "p95"]
Op = Literal["=", ">", "<="]
Scalar = str | bool | int | float
Time = Annotated[datetime, Meta(tz=True)]


class Condition(msgspec.Struct, frozen=True):
    """One step of the way from all sessions to a node. `>` and `<=` compare numbers."""

    dimension: str
    """`version`, `event`, or a key of `properties`."""
    op: Op
    value: Scalar


class WorstSession(msgspec.Struct):
    """A session to look at."""

    session: str
    cpu: float
    """The statistic of its samples that the node is about, in percent of a core."""
    at: Time
    """The moment of the highest of these samples."""
    href: str
    """Its page, with the report's window."""


class Node(msgspec.Struct, kw_only=True):
    """Sessions that one more condition chooses from those of the node above, and how they compare with the rest.

    A node of `event`, and every node below one, is about what was measured while that event was in force: it counts
    sessions in which it was, and which were hot while it was. The outside of such a node is the other events in force,
    each session with each of them.
    """

    dimension: str
    """`version`, `event`, or a key of `properties`."""
    op: Op
    value: Scalar
    threshold: float
    """Over which a session is hot in this node and below: the report's, or a higher one that tells more."""
    sessions: int
    hot: int
    outside_sessions: int
    """In neither this node nor one listed before it."""
    outside_hot: int
    share_inside: float
    """Of `sessions` that are hot."""
    share_outside: float
    """Of `outside_sessions` that are hot."""
    risk_ratio: float | None
    """share_inside / share_outside; null where nothing outside is hot."""
    risk_ratio_low: float
    """The lower end of its 95 % confidence interval: "at least so many times as likely"."""
    covers: float
    """Of the hot sessions of the node above, how many are hot here."""
    hot_time: float
    """Of the samples over the threshold in the node above, how many are in this one,"""
    all_time: float
    """and of all samples there: the base rate."""
    q_value: float
    """Of the test (Benjamini-Hochberg over all candidates of its level)."""
    sentence: str
    """A line of the tree: "80% of them ran version 6.04 (12% of the others did)"."""
    finding: str
    """The whole of it: "6.04 is at least 3.1 times as likely to run hot as the others, and covers 80 % of the hot
    sessions"."""
    base_rate: str
    """What stands beside it: "42 % of the hot time was indexing, against 12 % of all time"."""
    href: str
    """The report that continues from here, with absolute times."""
    worst: list[WorstSession]
    """Highest first, a few."""
    children: "list[Node]"
    """Best first."""


class CpuReport(msgspec.Struct, kw_only=True, rename={"since": "from"}):
    """The drill-down: best node first, each with what tells most within it."""

    since: Time
    """The window's start,"""
    to: Time
    """and its end, which is not in it."""
    threshold: float
    """In percent of a core; strictly over it is hot."""
    statistic: Statistic
    min_support: float
    """The share of the hot sessions above that a node must cover."""
    depth: int
    """Levels of the tree at most."""
    filters: list[Condition]
    """What was asked for: only sessions, and samples, that fulfil all of them."""
    sessions: int
    """That have a sample in the window and fulfil the filters."""
    hot: int
    share: float
    """hot / sessions; 0 where there are none."""
    sentence: str
    """The first line: "Last 12 hours: 30% of 4,210 sessions had CPU over 30%."."""
    href: str
    """This report, with absolute times."""
    worst: list[WorstSession]
    answer: list[list[Condition]] = msgspec.field(default_factory=list)
    """What explains most, in short: conditions that hold together; or more than one, of which each does a part. Empty
    where nothing stands out.
    """
    tree: list[Node]


class CpuPoint(msgspec.Struct):
    """The highest sample of a stretch of time, at its own moment; of a short session each sample is a point."""

    time: Time
    cpu: float


class Band(msgspec.Struct):
    """A stretch of time in which an event was in force. Bands may overlap."""

    event: str
    since: Time
    to: Time
    properties: str | None
    """JSON, as it came with the event."""


class SessionCpu(msgspec.Struct, kw_only=True):
    """A session's CPU over time, with its events as bands: what its page shows."""

    session: str
    version: str | None
    """The last one it said."""
    properties: str | None
    """JSON: those that are the session's own, not an event's."""
    since: Time | None
    """Of the first and the last message in the window; null where there is none."""
    to: Time | None
    samples: int
    highest: CpuPoint | None
    points: list[CpuPoint]
    """In order; no more than were asked for."""
    bands: list[Band]
    """By their start; no more than were asked for, the longest ones then."""
    bands_left_out: int
