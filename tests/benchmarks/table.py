"""The table that `make bench` prints, and what every measurement works with."""

import statistics
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.harness.engines import Engine
from tests.harness.server import ServerProcess


class Table:
    """Markdown, a line a figure: what, value, yardstick, ratio, target."""

    def __init__(self) -> None:
        self.lines = ["| what | measured | yardstick | ratio | target |", "|---|---:|---:|---:|---:|"]

    def ratio(self, what: str, pairs: list[tuple[float, float]], unit: str, target: float | str = "") -> None:
        """The median of the ratios, beside the medians of both."""
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(mine / other for mine, other in pairs)
        self.lines.append(f"| {what} | {ours:,.0f} {unit} | {theirs:,.0f} {unit} | **{ratio:.2f}** | {target} |")

    def figure(self, what: str, value: str, target: str = "") -> None:
        """A figure without a yardstick."""
        self.lines.append(f"| {what} | {value} | | | {target} |")


class Bench(msgspec.Struct):
    """A server on a database of an engine; `say` shows what is being measured."""

    engine: Engine
    server: ServerProcess
    folder: Path
    rows: int
    """Of a stream of payloads; others have half of them."""
    rounds: int
    seconds: int
    """Of a run of single messages."""
    say: Callable[[str], None]
    table: Table

    @property
    def psql(self) -> Path:
        """The program."""
        return self.engine.installation.bin_dir / "psql"
