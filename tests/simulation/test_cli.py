"""The command line: exit status, files, help."""

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from simulation import cli
from simulation.run import Summary
from tests.simulation.standin import Faults, Standin, serving

ROOT = Path(__file__).parents[2]


async def simulate(*arguments: str | Path) -> tuple[int, str]:
    """Run the program; its exit status and everything it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulation.cli",
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def against(faults: Faults, *arguments: str | Path, plants: bool = False) -> tuple[int, str]:
    """`simulate stats` of a few payloads on a stand-in."""

    async def scenario() -> tuple[int, str]:
        async with serving(Standin(faults)) as standin:
            standin.plants = plants
            fixed = ("--url", standin.url, "--count", "400", "--rate", "2000")
            return await simulate("stats", *fixed, *arguments)

    return asyncio.run(scenario())


def test_a_run_that_agrees_exits_0_and_leaves_its_files(tmp_path: Path) -> None:
    result, truth, home = tmp_path / "result.json", tmp_path / "truth.json", tmp_path / "home.json"
    files: tuple[str | Path, ...] = ("--summary-json", result, "--ledger", truth, "--save", home)
    status, output = against(Faults(), "--verify", "--threshold", "errors<1", *files)
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.acknowledged == summary.scheduled == 400
    assert summary.verify is not None
    assert summary.verify.differences == []
    assert summary.latency_ms["all"].count == 400
    assert "verified" in output
    assert "\x1b" not in output, "no colours where there is no terminal"

    async def later() -> tuple[int, str]:
        async with serving(Standin()) as empty:
            return await simulate("verify", truth, "--url", empty.url)

    status, output = asyncio.run(later())
    assert status == 1
    assert "differences" in output
    status, output = against(Faults(), "--scenario", home, "--verify", "--quiet")
    assert (status, output) == (0, "")


def test_a_planted_difference_exits_1() -> None:
    status, output = against(Faults(), "--verify", "--quiet", plants=True)
    assert status == 1
    assert "+1" in output


def test_customers_as_they_are_are_compared_with_what_was_there_before() -> None:
    async def scenario() -> None:
        async with serving(Standin()) as standin:
            fixed = ("stats", "--url", standin.url, "--count", "300", "--rate", "2000", "--customers-as-is", "--verify")
            for _ in range(2):
                status, output = await simulate(*fixed)
                assert status == 0, output
            assert len(standin.stored) == 600
            assert not any("-1-" in payload.customer for payload in standin.stored)

    asyncio.run(scenario())


def test_a_breached_threshold_exits_99() -> None:
    status, output = against(Faults(), "--threshold", "p50<1us")
    assert status == 99
    assert "p50<1us" in output


def test_no_collector_exits_3() -> None:
    async def nowhere() -> str:
        async with serving(Standin()) as standin:
            return standin.url

    url = asyncio.run(nowhere())
    status, output = asyncio.run(simulate("stats", "--url", url))
    assert status == 3
    assert f"cannot reach a collector at {url}" in output


def test_a_collector_that_acknowledges_nothing_exits_3() -> None:
    status, output = against(Faults(refuse=401), "--verify")
    assert status == 3
    assert "acknowledged nothing" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--speed", "fast"], "--speed"),
        (["--duration", "1x"], "write 500ms"),
        (["--duration", "0s"], "--duration"),
        (["--connections", "0", "--streams", "0"], "nothing can be sent"),
        (["--threshold", "p99<50"], "unit"),
        (["--url", "localhost:8080"], "--url"),
        (["--scenario", "none.json"], "none.json"),
        (["--header", "broken"], "Name: value"),
        (["--run", "a b"], "--run"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(cli.cli, ["stats", *arguments])
    assert result.exit_code == 2
    assert named in result.output


def test_a_bad_ledger_exits_2(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    result = CliRunner().invoke(cli.cli, ["verify", str(tmp_path / "bad.json")])
    assert result.exit_code == 2
    assert "not a ledger" in result.output


def test_written_traffic_is_the_same_each_time(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    for path, seed in ((first, "4"), (second, "4"), (other, "5")):
        done = CliRunner().invoke(cli.cli, ["stats", "--seed", seed, "--write", str(path), "--count", "3000"])
        assert done.exit_code == 0, done.output
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert first.read_bytes().count(b"\n") == 3000


def test_help_shows_every_option_and_examples() -> None:
    output = CliRunner().invoke(cli.cli, ["stats", "--help"], terminal_width=200).output
    assert "simulate stats --rate 2000" in output
    for option in cli.stats.params:
        assert option.opts[0] in output
        assert getattr(option, "help", None), f"{option.name} explains itself"


def test_examples_of_the_help_are_commands_that_exist() -> None:
    output = CliRunner().invoke(cli.cli, ["--help"]).output
    examples = re.findall(r"^\s+simulate (\w+) (.*)$", output, re.M)
    assert len(examples) >= 4
    for name, arguments in examples:
        known = {flag for option in cli.cli.commands[name].params for flag in option.opts}
        assert set(re.findall(r"--[a-z-]+", arguments)) <= known


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.missing_extra() is None
    monkeypatch.setattr(cli, "EXTRA", ("aiohttp", "surely_not_installed"))
    assert cli.missing_extra() == "the simulator needs surely_not_installed: pip install 'collector[simulation]'"
