"""The report on CPU as HTML: its first sentences, and the whole of it. Pure."""

import htpy as h

from collector.report.model import CpuReport, Node

BRIEF_NODES = 3
"""Of the tree, on the page that only points to the report."""


def brief(report: CpuReport | str | None) -> h.Node:
    """The first sentences, for another page; a text where there is no report, nothing while it is being made."""
    if report is None:
        return h.p(".sub")["The report is being made."]
    if isinstance(report, str):
        return h.p(".sub")[report]
    return [
        h.p(".sentence")[h.a(href=report.href)[report.sentence]],
        h.ul(".tree")[(_brief(node) for node in report.tree[:BRIEF_NODES])] if report.tree else None,
    ]


def _brief(node: Node) -> h.Element:
    below = h.ul[(h.li[h.a(href=each.href)[each.sentence]] for each in node.children[:1])] if node.children else None
    return h.li[h.a(href=node.href)[node.sentence], h.span(".note")[node.finding], below]
