"""The report, from what the drill-down found: sentences, links, and sessions to look at. Pure: no I/O."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec
import numpy as np

from collector.report import sentences
from collector.report.drilldown import Branch, Found
from collector.report.measured import shares_of_time
from collector.report.measurements import Known
from collector.report.model import Condition, CpuReport, Node, WorstSession
from collector.report.question import BUCKET, USUAL, Question, href
from collector.report.statistics import risk_ratio_low
from collector.report.view import View

WORST = 5
"""Sessions that a node lists."""
CANDIDATES = 100
"""Hot sessions of which p95 is computed for that."""
AROUND = timedelta(minutes=30)
"""What the link to a session shows before and after its highest sample."""


class Seen(msgspec.Struct, frozen=True):
    """A session in a view: its row in the table, its statistic there (of p95 the share over the threshold), its highest
    sample, and what was in force: which event, and conditions on what an event said.
    """

    row: int
    cpu: float
    highest: float
    event: str | None
    told: tuple[Condition, ...]


def views_of(found: Found) -> Iterator[View]:
    """Of the whole and of every node, in the order of `report`."""
    yield found.view
    waiting = list(reversed(found.tree))
    while waiting:
        branch = waiting.pop()
        yield branch.view
        waiting += reversed(branch.children)


def worst_of(view: View) -> list[Seen]:
    """The hot sessions with the highest statistic, worst first. p95 does not follow from sums: these are CANDIDATES by
    the share of samples over the threshold, of which `worst_by` chooses.
    """
    measured = view.measured
    assert measured.highest is not None
    mean = measured.total / np.maximum(1, measured.samples)
    over = measured.over[view.at] / np.maximum(1, measured.samples)
    cpu = {"max": measured.highest, "mean": mean, "p95": over}[view.table.statistic]
    hot = np.flatnonzero(view.hot > 0)
    most = CANDIDATES if view.table.statistic == "p95" else WORST
    first = hot[np.lexsort((view.rows[hot], -measured.highest[hot], -cpu[hot]))[:most]]
    return [
        Seen(
            int(view.rows[at]),
            float(cpu[at]),
            float(measured.highest[at]),
            view.event,
            view.told_in(int(view.rows[at])),
        )
        for at in first.tolist()
    ]


def worst_by(seen: list[Seen], p95: Mapping[Seen, float]) -> list[tuple[Seen, float]]:
    """With their statistic; of p95 those that have the highest."""
    worst = [(each, p95.get(each, each.cpu)) for each in seen]
    return sorted(worst, key=lambda each: -each[1])[:WORST]


def report(
    found: Found,
    question: Question,
    since: datetime,
    until: datetime,
    p95: Mapping[Seen, float],
    known: Mapping[Seen, Known],
) -> CpuReport:
    """The report of a window; `p95`, where that is the statistic, is of what `worst_of` found in `views_of`, `known` of
    what `worst_by` left of that.
    """
    fixed = question.fixed(since, until)
    writer = _Writer(fixed, p95, known)
    view = found.view
    share = view.hot_count / view.count if view.count else 0.0
    return CpuReport(
        since=since,
        to=until,
        threshold=question.threshold,
        statistic=question.statistic,
        min_support=question.min_support,
        depth=question.depth,
        filters=list(question.conditions),
        sessions=view.count,
        hot=view.hot_count,
        share=share,
        sentence=sentences.headline(question, since, until, view.count, share),
        href=href(fixed),
        worst=writer.worst(view),
        answer=[sorted(path, key=lambda condition: condition.dimension) for path in found.combinations[: found.answer]],
        tree=[writer.node(branch, ()) for branch in found.tree],
    )


class _Writer:
    """Writes nodes; `question` has the window's absolute times."""

    def __init__(self, question: Question, p95: Mapping[Seen, float], known: Mapping[Seen, Known]) -> None:
        self._question = question
        self._p95 = p95
        self._known = known

    def node(self, branch: Branch, path: tuple[Condition, ...]) -> Node:
        split, above, inside = branch.split, branch.above, branch.view
        condition = split.condition
        path = (*path, condition)
        share_outside = split.outside_hot / split.outside_sessions if split.outside_sessions else 0.0
        share_inside = inside.hot_count / inside.count
        low = _low(inside, share_outside, split.test_sessions)
        hot_above = above.hot[above.places()[inside.rows]]
        covers = int((inside.hot * hot_above).sum()) / above.hot_count
        cold = above.count - above.hot_count
        others = (inside.count - int(hot_above.sum())) / cold if cold else 0.0
        hot_time, all_time = shares_of_time(inside.measured, above.measured, split.at)
        statistic, threshold = self._question.statistic, inside.threshold
        in_part = above.event is not None or above.chosen is not None or split.within
        return Node(
            dimension=condition.dimension,
            op=condition.op,
            value=condition.value,
            threshold=threshold,
            sessions=inside.count,
            hot=inside.hot_count,
            outside_sessions=split.outside_sessions,
            outside_hot=split.outside_hot,
            share_inside=share_inside,
            share_outside=share_outside,
            risk_ratio=share_inside / share_outside if share_outside else None,
            risk_ratio_low=low,
            covers=covers,
            hot_time=hot_time,
            all_time=all_time,
            q_value=split.q_value,
            sentence=sentences.line(condition, statistic, threshold, covers, others, in_part=in_part),
            finding=sentences.finding(condition, statistic, threshold, low, covers),
            base_rate=sentences.base_rate(condition, hot_time, all_time),
            href=href(
                msgspec.structs.replace(
                    self._question, threshold=threshold, conditions=(*self._question.conditions, *path)
                )
            ),
            worst=self.worst(inside),
            children=[self.node(child, path) for child in branch.children],
        )

    def worst(self, view: View) -> list[WorstSession]:
        """Highest first."""
        listed = []
        for seen, cpu in worst_by(worst_of(view), self._p95):
            known = self._known.get(seen)
            if known is None:
                continue
            around = {"from": known.at - AROUND, "to": known.at + AROUND + BUCKET}
            page = {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in around.items()}
            if view.threshold != USUAL.threshold:
                page["threshold"] = f"{view.threshold:.10g}"
            address = f"/sessions/{quote(known.session, safe='')}?{urlencode(page, safe=':')}"
            listed.append(WorstSession(known.session, cpu, known.at, address))
        return listed


def _low(inside: View, share_outside: float, test_sessions: int) -> float:
    counts = inside.hot_count, inside.count, share_outside * test_sessions, test_sessions
    return float(risk_ratio_low(*(np.array([count]) for count in counts))[0])
