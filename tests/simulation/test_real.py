"""The simulator against the real collector: every number of every kind agrees, on each engine."""

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from simulation import cli
from simulation.command.pulse import Pulse
from simulation.command.run import Summary
from simulation.truth.client import connect
from tests.conftest import Serve
from tests.harness.server import ServerProcess
from tests.simulation.test_cli import simulate

FIXED = ("--count", "2000", "--rate", "1000", "--verify", "--speed", "600")


@pytest.mark.parametrize("kind", [*cli.ALL, "all"])
def test_every_number_agrees(server: ServerProcess, tmp_path: Path, kind: str) -> None:
    """At this speed networks of desktop clients fail every second, so that logs are uploaded, too."""
    result, truth = tmp_path / "result.json", tmp_path / "truth.json"
    fixed = (kind, "--url", server.url, *FIXED, "--ledger", truth, "--summary-json", result)
    status, output = asyncio.run(simulate(*fixed))
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.acknowledged + summary.repeated == summary.scheduled == 2000
    assert (summary.unknown, summary.rejected, summary.errors) == (0, 0, {})
    status, output = asyncio.run(simulate("verify", truth, "--url", server.url))
    assert status == 0, output


@pytest.mark.parametrize("kind", ["stats", "all"])
def test_every_number_agrees_with_faults(server: ServerProcess, tmp_path: Path, kind: str) -> None:
    result = tmp_path / "result.json"
    fixed = (kind, "--url", server.url, *FIXED, "--chaos", "--connections", "8", "--summary-json", result)
    status, output = asyncio.run(simulate(*fixed))
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert (summary.unknown, summary.rejected, summary.errors) == (0, 0, {})
    assert summary.copies > 0


def test_the_pulse_of_a_collector_is_told_by_its_metrics(server: ServerProcess) -> None:
    async def look() -> Pulse:
        async with connect() as http:
            pulse = Pulse(http, server.url)
            assert (pulse.backlog, pulse.lag) == ("not told", "not told")
            await pulse.look()
            return pulse

    status, output = asyncio.run(simulate("payloads", "--url", server.url, "--count", "50", "--rate", "500"))
    assert status == 0, output
    pulse = asyncio.run(look())
    assert re.fullmatch(r"\d+ rows, \d+ payloads in the queue", pulse.backlog)
    assert pulse.lag == "none" or pulse.lag.endswith(" s, the oldest in the queue")


def test_traffic_of_the_past_agrees(server: ServerProcess) -> None:
    for kind in ("sessions", "analytics"):
        fixed = ("--count", "2000", "--rate", "1000", "--verify", "--start", "-2d", "--speed", "7200")
        status, output = asyncio.run(simulate(kind, "--url", server.url, *fixed))
        assert status == 0, output


def test_a_second_run_on_the_same_database_agrees_too(server: ServerProcess) -> None:
    for _ in range(2):
        status, output = asyncio.run(simulate("all", "--url", server.url, *FIXED, "--customers-as-is"))
        assert status == 0, output


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_two_collectors_and_a_restart_in_between_lose_nothing(
    best_database_url: str, serve: Serve, tmp_path: Path, how: str
) -> None:
    """A run against a collector that is ended and started again meanwhile; afterwards another one is asked."""
    truth = tmp_path / "truth.json"

    async def scenario() -> tuple[int, str]:
        first = serve(best_database_url)
        running = asyncio.create_task(
            simulate(
                "all", "--url", first.url, "--duration", "6s", "--rate", "400", "--speed", "600", "--ledger", truth
            )
        )
        await asyncio.sleep(3)  # in the middle of it
        await asyncio.to_thread(getattr(first, how))
        await asyncio.to_thread(first.start)
        status, output = await running
        assert status == 0, output
        return await simulate("verify", truth, "--url", serve(best_database_url).url)

    status, output = asyncio.run(scenario())
    assert status == 0, output
