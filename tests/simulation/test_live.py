"""The live view on terminals of the widths that people have."""

import asyncio

import pytest

from tests.harness.terminal import on_a_terminal, plain
from tests.simulation.standin import Faults, Standin, serving

RUN = ("all", "--count", "400", "--rate", "400")
NARROW = ["due/s", "ack/s", "acknowledged", "waiting", "errors", "p50", "ms", "p99", "ms"]


@pytest.mark.parametrize(("columns", "more"), [(80, []), (120, ["p99.9", "ms"])])
def test_it_keeps_its_shape(columns: int, more: list[str]) -> None:
    """Every header is whole, every kind has one line, and no unit one of its own."""

    async def shown() -> list[str]:
        async with serving(Standin(Faults())) as standin:
            arguments = ("simulation.cli", *RUN, "--url", standin.url)
            return plain(await asyncio.to_thread(on_a_terminal, arguments, {}, columns=columns, statuses=[0]))

    lines = asyncio.run(shown())
    assert [line for line in lines if line.split() == NARROW + more]
    for kind in ("stats", "payloads", "analytics", "sessions", "all"):
        assert [line for line in lines if len(line.split()) == 8 + len(more) // 2 and line.split()[0] == kind], kind
    assert not [line for line in lines if "…" in line or line.strip() == "ms"]
