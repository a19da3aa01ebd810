"""The report as a tree of sentences. Pure: no I/O."""

from collections.abc import Iterator

from collector.report.model import CpuReport, Node

NOTHING = "Nothing stands out."
WORST = 3
"""Sessions to look at that the text names."""


def as_text(report: CpuReport) -> str:
    """Lines, each ended by a newline."""
    return "".join(f"{line}\n" for line in lines(report))


def lines(report: CpuReport) -> Iterator[str]:
    """The headline, the tree, what the first node comes to, and sessions to look at."""
    yield report.sentence
    yield from _below(report.tree, "")
    if not report.tree:
        if report.hot:
            yield NOTHING
        return
    yield ""
    yield report.tree[0].finding
    yield report.tree[0].base_rate
    worst = _first_leaf(report.tree[0]).worst
    if worst:
        yield "Sessions to look at: " + ", ".join(f"{each.session} ({each.cpu:.10g}%)" for each in worst[:WORST])


def _below(nodes: list[Node], indent: str) -> Iterator[str]:
    for number, node in enumerate(nodes, 1):
        last = number == len(nodes)
        yield f"{indent}{'└' if last else '├'} {node.sentence}"
        yield from _below(node.children, indent + ("  " if last else "│ "))


def _first_leaf(node: Node) -> Node:
    while node.children:
        node = node.children[0]
    return node
