"""The report on CPU as HTML: its first sentences, and the whole of it. Pure."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import htpy as h

from collector.report.model import CpuReport, Node, WorstSession
from collector.report.sentences import times
from collector.web import parts, words
from collector.web.icicle import condition, icicle
from collector.web.layout import Sheet, page, sheet
from collector.web.reportform import form

BRIEF_NODES = 3
"""Of the tree, on the page that only points to the report."""


def look() -> Sheet:
    """Its style and script."""
    return sheet("charts.css", "pages.css", "report.css", "live.js")


def plain_look() -> Sheet:
    """The style of a file, which needs no script."""
    return sheet("charts.css", "pages.css", "report.css")


def brief(report: CpuReport | str | None) -> h.Node:
    """The first sentences, for another page; a text where there is no report, nothing while it is being made."""
    if report is None:
        return h.p(".sub")["The report is being made."]
    if isinstance(report, str):
        return h.p(".sub")[report]
    best = report.tree[:BRIEF_NODES]
    return [
        h.p(".sentence")[h.a(href=report.href)[report.sentence]],
        h.ul(".tree")[(_brief(node) for node in best)] if best else h.p(".sub")[_no_cause(report)],
    ]


def render(report: CpuReport, *, signed_in: bool = False) -> str:
    """The page."""
    return page(
        look(), "CPU report · collector", _body(report, linked=True), current="/reports/cpu", signed_in=signed_in
    )


def render_file(report: CpuReport) -> str:
    """The report as a file of its own: it has everything in it, and links to nothing."""
    return page(plain_look(), "CPU report · collector", _body(report, linked=False), alone=True)


def _body(report: CpuReport, *, linked: bool) -> h.Element:
    return h.main("#main.wide.report")[
        h.header(".top")[
            h.div[
                h.h1["CPU of clients"],
                h.p(".sub")[f"{words.between(report.since, report.to)} UTC"],
            ],
            _elsewhere(report) if linked else None,
        ],
        form(report) if linked else _asked(report),
        h.section(".card", aria_label="The finding")[
            h.p(".sentence")[report.sentence],
            h.p(".finding")[_finding(report)],
            h.div(".scroll")[icicle(report, linked=linked)] if report.tree else None,
            _key() if report.tree else None,
        ],
        parts.card(
            "tree",
            "What the hot sessions have in common",
            _tree(report, report.tree, report.sessions, linked=linked),
            live=False,
        )
        if report.tree
        else None,
        parts.card("table", "As a table", _table(report), live=False) if report.tree else None,
        parts.card("worst", "Worst of all sessions", _worst("of all", report, report.worst, linked=linked), live=False)
        if report.worst
        else None,
    ]


def _elsewhere(report: CpuReport) -> h.Element:
    joint = "&" if "?" in report.href else "?"
    return h.p(".more")[
        h.a(href="/reports/cpu")["The last 12 hours"],
        h.a(href=report.href)["Link to this report"],
        h.a(href=f"{report.href}{joint}format=json")["JSON"],
        h.a(href=f"{report.href}{joint}format=text")["Text"],
    ]


def _asked(report: CpuReport) -> h.Element:
    filters = [condition(each) for each in report.filters]
    asked = [f"{report.statistic} of a session over {report.threshold:g} %", *filters]
    return h.p(".sub")[" · ".join(asked)]


def _finding(report: CpuReport) -> str:
    if report.tree:
        return f"{report.tree[0].finding} {report.tree[0].base_rate}".strip()
    return _no_cause(report)


def _no_cause(report: CpuReport) -> str:
    if not report.sessions:
        return "No client has sent a CPU sample in this time. POST /sessions takes them."
    if not report.hot:
        return "No session was hot: a lower threshold may tell more."
    return "Nothing tells the hot sessions from the others with any certainty."


def _brief(node: Node) -> h.Element:
    below = h.ul[(h.li[h.a(href=each.href)[each.sentence]] for each in node.children[:1])] if node.children else None
    return h.li[h.a(href=node.href)[node.sentence], " ", h.span(".note")[node.finding], below]


def _key() -> h.Element:
    return h.p(".sub.key-line")[
        "A cell is as wide as the part of the hot sessions above it that it covers. Its foot: ",
        h.span(".key.hot"),
        " sessions that are hot; the mark: how many outside are.",
    ]


def _tree(report: CpuReport, nodes: Sequence[Node], sessions: int, *, linked: bool, above: str = "n") -> h.Element:
    """`sessions`: how many the node above has."""
    return h.div(".nodes")[
        (
            _node(report, node, sessions, f"{above}-{place}", opened=place == 1, linked=linked)
            for place, node in enumerate(nodes, 1)
        )
    ]


def _node(report: CpuReport, node: Node, above: int, identity: str, *, opened: bool, linked: bool) -> h.Element:
    inside = f"{words.exact(node.hot)} of {words.exact(node.sessions)}"
    outside = f"{words.exact(node.outside_hot)} of {words.exact(node.outside_sessions)}"
    facts = [
        ("Hot inside", f"{inside}, {words.percent(node.share_inside)}"),
        ("Hot outside", f"{outside}, {words.percent(node.share_outside)}"),
        ("Times as likely", f"{words.ratio(node.risk_ratio)}, at least {times(node.risk_ratio_low)}"),
        ("Covers of the hot sessions", words.percent(node.covers)),
        ("Of the hot time, and of all time", f"{words.percent(node.hot_time)}, {words.percent(node.all_time)}"),
        ("By chance (q)", f"{node.q_value:.1g}"),
    ]
    return h.details(".node", id=identity, open=opened)[
        h.summary[h.span(".said")[node.sentence], h.span(".times")[f"≥ {times(node.risk_ratio_low)} ×"]],
        h.div(".within")[
            h.p[node.finding, " ", h.span(".note")[node.base_rate]],
            h.dl(".facts")[(h.div[h.dt[title], h.dd[text]] for title, text in facts)],
            h.p(".note")[said] if (said := _outside(node, above)) else None,
            _worst(condition(node), report, node.worst, linked=linked),
            h.p[h.a(".on", href=node.href)["Continue from here"]] if linked else None,
            _tree(report, node.children, node.sessions, linked=linked, above=identity) if node.children else None,
        ],
    ]


def _outside(node: Node, above: int) -> str | None:
    """What is outside, where that is not the sessions that are left; docs/drill-down.md has why."""
    if node.dimension == "event":
        return "Outside are the other events in force, each session with each of them."
    if node.sessions + node.outside_sessions > above:
        return "A session may be on both sides: inside is what was measured while this held, outside the rest of it."
    return None


def _worst(of: str, report: CpuReport, sessions: Sequence[WorstSession], *, linked: bool) -> h.Node:
    if not sessions:
        return None
    one_day = report.since.date() == (report.to - timedelta(microseconds=1)).date()
    rows: list[parts.Row] = [
        [
            h.a(href=each.href)[parts.name(each.session)] if linked else parts.name(each.session),
            h.data(value=str(each.cpu))[f"{each.cpu:.1f}{words.NARROW}%"],
            parts.time(each.at, clock if one_day else f"{words.day(each.at)}, {clock}"),
        ]
        for each in sessions
        for clock in [words.clock(each.at, seconds=True)]
    ]
    return parts.table(f"Worst sessions, {of}", ["Worst sessions", "CPU", "when (UTC)"], rows, kind="worst")


def _table(report: CpuReport) -> h.Element:
    columns = ["Sessions", "all", "hot", "share", "share outside", "ratio", "at least", "covers", "q"]
    rows: list[parts.Row] = [
        [
            h.span(class_=f"depth d{min(depth, 6)}")[_way(node)],
            parts.number(node.sessions),
            parts.number(node.hot),
            words.percent(node.share_inside),
            words.percent(node.share_outside),
            words.ratio(node.risk_ratio),
            times(node.risk_ratio_low),
            words.percent(node.covers),
            f"{node.q_value:.1g}",
        ]
        for depth, node in _flat(report.tree)
    ]
    everything: parts.Row = [
        "all sessions", parts.number(report.sessions), parts.number(report.hot), words.percent(report.share), *[""] * 5
    ]  # fmt: skip
    return parts.table("Every node of the tree", columns, [everything, *rows])


def _flat(nodes: Sequence[Node], depth: int = 1) -> Iterator[tuple[int, Node]]:
    for node in nodes:
        yield depth, node
        yield from _flat(node.children, depth + 1)


def _way(node: Node) -> h.Node:
    over = f", over {node.threshold:g}{words.NARROW}%"
    return [parts.name(condition(node)), h.span(".note")[over]]
