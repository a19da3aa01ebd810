"""The report as a tree of sentences. Pure: no I/O."""

from collections.abc import Iterator

from collector.report.model import CpuReport, Node
from collector.report.sentences import of

NOTHING = "Nothing stands out."
WORST = 3
"""Sessions that the text names."""


_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    ord("\n"): "\N{RETURN SYMBOL}",
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    # Line separators, and what turns the direction of the text that follows.
    **{code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))},
}


def visible(text: str) -> str:
    """What devices said, for a terminal: no character that it would obey."""
    return text.translate(_VISIBLE)


def as_text(report: CpuReport) -> str:
    """Lines, each ended by a newline."""
    return "".join(f"{line}\n" for line in lines(report))


def lines(report: CpuReport) -> Iterator[str]:
    """The headline, the tree, what the first node comes to, and the worst sessions at the end of its path. Names
    may have any characters.
    """
    return map(visible, _lines(report))


def _lines(report: CpuReport) -> Iterator[str]:
    yield report.sentence
    yield from _below(report.tree, "")
    if not report.tree:
        if report.hot:
            yield NOTHING
        return
    yield ""
    yield report.tree[0].finding
    yield report.tree[0].base_rate
    path = list(_first_path(report.tree))
    if worst := path[-1].worst[:WORST]:
        named = ", ".join(f"{each.session} ({each.cpu:.10g}%)" for each in worst)
        yield f"Worst sessions of {', '.join(of(node) for node in path)}: {named}"


def _below(nodes: list[Node], indent: str) -> Iterator[str]:
    for number, node in enumerate(nodes, 1):
        last = number == len(nodes)
        yield f"{indent}{'└' if last else '├'} {node.sentence}"
        yield from _below(node.children, indent + ("  " if last else "│ "))


def _first_path(nodes: list[Node]) -> Iterator[Node]:
    """From the first node to its first leaf."""
    while nodes:
        yield nodes[0]
        nodes = nodes[0].children
