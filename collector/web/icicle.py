"""The tree of the report as an icicle: each row a level, a cell as wide as the part of the hot sessions that it covers.
Pure.
"""

from collections.abc import Iterator, Sequence

import htpy as h
import msgspec

from collector.report.model import Condition, CpuReport, Node
from collector.web.words import exact, percent, plural

ROW, GAP, GAUGE = 60, 3, 6
"""Pixels: a row, what is free between two, the gauge at a cell's foot."""
NARROW_CELL = 0.015
"""Of the width: a cell that is narrower is not drawn; the tree has it."""

_svg, _rect, _text, _line = h.svg, h.Element("rect"), h.Element("text"), h.Element("line")


class Cell(msgspec.Struct, frozen=True):
    """A node in its place, in shares of the width; None is the root."""

    node: Node | None
    row: int
    left: float
    width: float


def cells(tree: Sequence[Node], row: int = 1, left: float = 0.0, width: float = 1.0) -> Iterator[Cell]:
    """Nodes below a cell of this place, best first. Nodes may share sessions: where they cover more than there is
    together, all of them are drawn narrower.
    """
    covered = max(1.0, sum(node.covers for node in tree))
    for node in tree:
        own = width * node.covers / covered
        if own >= NARROW_CELL:
            yield Cell(node, row, left, own)
            yield from cells(node.children, row + 1, left, own)
        left += own


def condition(given: Node | Condition) -> str:
    """`version = 6.04`, `filename_length > 42`; of an event its name alone."""
    if given.dimension == "event":
        return str(given.value)
    value = {True: "true", False: "false"}[given.value] if isinstance(given.value, bool) else given.value
    return f"{given.dimension} {given.op.replace('<=', '≤')} {value}"


def icicle(report: CpuReport, *, linked: bool = True) -> h.Element:
    """Cells are links to the report that continues from them, where there are reports to go to."""
    placed = [Cell(None, 0, 0.0, 1.0), *cells(report.tree)]
    rows = 1 + max(cell.row for cell in placed)
    return _svg(
        ".icicle", role="group", aria_label="Hot sessions, and what they have in common", width="100%",
        height=str(rows * ROW - GAP),
    )[(_drawn(report, cell, linked=linked) for cell in placed)]  # fmt: skip


def _drawn(report: CpuReport, cell: Cell, *, linked: bool) -> h.Element:
    node = cell.node
    title = _title(report) if node is None else f"{node.sentence}\n{node.finding}"
    inside = _svg(
        x=f"{cell.left * 100:.3f}%", y=str(cell.row * ROW), width=f"{cell.width * 100:.3f}%", height=str(ROW - GAP),
    )[
        h.title[title],
        _rect(".cell", width="100%", height="100%"),
        _svg(x="0", width="100%", height=str(ROW - GAP), class_="words")[
            _text(".name", x="10", y="20")["all sessions" if node is None else condition(node)],
            _text(x="10", y="37")[_share(report, node)],
        ],
        _gauge(report.share if node is None else node.share_inside, None if node is None else node.share_outside),
        _rect(".edge", x="100%", width="2", height="100%", transform="translate(-2 0)"),
    ]  # fmt: skip
    href = report.href if node is None else node.href
    return h.a(href=href, aria_label=title)[inside] if linked else inside


def _gauge(inside: float, outside: float | None) -> list[h.Element | None]:
    """How much of the cell is hot, and, as a mark, how much of what is outside."""
    foot = {"y": str(ROW - GAP - GAUGE), "height": str(GAUGE)}
    mark = None
    if outside is not None:
        x = f"{outside * 100:.2f}%"
        mark = _line(".mark", x1=x, x2=x, y1=str(ROW - GAP - 2 * GAUGE), y2=str(ROW - GAP))
    return [_rect(".rest", width="100%", **foot), _rect(".hot", width=f"{inside * 100:.2f}%", **foot), mark]


def _share(report: CpuReport, node: Node | None) -> str:
    if node is None:
        return f"{percent(report.share)} of {exact(report.sessions)} are hot"
    return f"{percent(node.share_inside)} hot; outside {percent(node.share_outside)}"


def _title(report: CpuReport) -> str:
    return f"{report.sentence}\n{plural(report.hot, 'session')} of {exact(report.sessions)} are hot"
