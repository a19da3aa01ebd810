"""The command line: exit status, files, help."""

import asyncio
import re
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from simulation import cli
from simulation.command.run import Summary
from tests.simulation.standin import Faults, Standin, serving

KINDS = (*cli.ALL, "all")
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


def against(faults: Faults, *arguments: str | Path, plants: bool = False, kind: str = "stats") -> tuple[int, str]:
    """`simulate stats`, or another kind, of a few payloads on a stand-in."""

    async def scenario() -> tuple[int, str]:
        async with serving(Standin(faults)) as standin:
            standin.plants = plants
            fixed = ("--url", standin.url, "--count", "400", "--rate", "2000")
            return await simulate(kind, *fixed, *arguments)

    return asyncio.run(scenario())


def test_a_run_that_agrees_exits_0_and_leaves_its_files(tmp_path: Path) -> None:
    result, truth, home = tmp_path / "result.json", tmp_path / "truth.json", tmp_path / "home.json"
    files: tuple[str | Path, ...] = ("--summary-json", result, "--ledger", truth, "--save", home)
    status, output = against(Faults(), "--verify", "--threshold", "errors<1", *files)
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.acknowledged + summary.repeated == summary.scheduled == 400
    assert summary.verify is not None
    assert [verdict.differences for verdict in summary.verify] == [[]]
    assert summary.latency_ms["all"].count == summary.acknowledged
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_every_kind_agrees_and_can_be_compared_later(tmp_path: Path, kind: str) -> None:
    result, truth = tmp_path / "result.json", tmp_path / "truth.json"

    async def scenario() -> None:
        async with serving(Standin()) as standin:
            fixed = (kind, "--url", standin.url, "--count", "400", "--rate", "2000", "--verify")
            status, output = await simulate(*fixed, "--ledger", truth, "--summary-json", result)
            assert status == 0, output
            status, output = await simulate("verify", truth, "--url", standin.url)
            assert status == 0, output
            assert output.count("verified:") == (3 if kind == "all" else 1)
            standin.messages.clear()
            standin.hits.clear()
            standin.plants = True
            status, output = await simulate("verify", truth, "--url", standin.url)
            assert status == 1, output

    asyncio.run(scenario())
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert (summary.kind, summary.acknowledged + summary.repeated) == (kind, 400)
    assert [part.kind for part in summary.parts] == ([*cli.ALL] if kind == "all" else [])
    assert sum(part.scheduled for part in summary.parts) == (400 if kind == "all" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_faults_agrees_and_says_what_was_done(tmp_path: Path, kind: str) -> None:
    result = tmp_path / "result.json"
    # Enough for a busy machine, too, which puts more messages into a request, and makes fewer requests to disturb.
    status, output = against(Faults(), "--chaos", "--verify", "--count", "1600", "--summary-json", result, kind=kind)
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert summary.errors == {}
    assert sum(summary.chaos.values()) > 10
    assert "chaos: " in output
    assert " stored once more" in output


def test_a_run_of_the_past_tells_times_gone_by(tmp_path: Path) -> None:
    written = tmp_path / "sessions.jsonl"
    fixed = ("--start", "2026-01-01T00:00:00Z", "--speed", "3600", "--duration", "10s", "--write", str(written))
    done = CliRunner().invoke(cli.cli, ["sessions", *fixed])
    assert done.exit_code == 0, done.output
    times = [msgspec.json.decode(line)["time"] for line in written.read_bytes().splitlines()]
    start_ms, skew_ms = 1_767_225_600_000, 600_000
    assert min(times) >= start_ms - skew_ms
    assert start_ms + 9 * 3_600_000 <= max(times) <= start_ms + 10 * 3_600_000 + skew_ms


def test_a_run_of_the_past_agrees() -> None:
    fixed = ("--start", "-2d", "--speed", "7200", "--verify")
    for kind in ("sessions", "analytics"):
        status, output = against(Faults(), *fixed, kind=kind)
        assert status == 0, output


def test_stages_are_the_rate_and_the_length(tmp_path: Path) -> None:
    result = tmp_path / "result.json"

    async def scenario() -> None:
        async with serving(Standin()) as standin:
            fixed = ("analytics", "--url", standin.url, "--stages", "1s:400,1s:400", "--summary-json", result)
            status, output = await simulate(*fixed)
            assert status == 0, output

    asyncio.run(scenario())
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert 500 <= summary.scheduled <= 700


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_summary_and_the_comparison(tmp_path: Path, number: signal.Signals) -> None:
    result = tmp_path / "result.json"

    async def scenario() -> tuple[int | None, str]:
        async with serving(Standin()) as standin:
            fixed = ("all", "--url", standin.url, "--duration", "1h", "--rate", "400", "--verify")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "simulation.cli", *fixed, "--summary-json", str(result)),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            await asyncio.wait_for(standin.progress.wait(), 60)
            process.send_signal(number)
            output, _ = await process.communicate()
            return process.returncode, output.decode()

    status, output = asyncio.run(scenario())
    assert status == 0, output
    summary = msgspec.json.decode(result.read_bytes(), type=Summary)
    assert 0 < summary.acknowledged < 400 * 60
    assert summary.verify is not None
    assert "scheduled" in output
    assert "verified" in output


def test_the_live_view_can_be_kept_as_a_picture_that_loads_nothing(tmp_path: Path) -> None:
    picture = tmp_path / "live.svg"
    status, output = against(Faults(), "--picture", picture, kind="all")
    assert status == 0, output
    root = ElementTree.fromstring(picture.read_bytes())
    text = " ".join(" ".join(root.itertext()).replace("\xa0", " ").split())
    for word in ("simulate all", "acknowledged", "p99.9", "backlog", "lag", "stats", "sessions"):
        assert word in text
    assert re.findall(r"https?://[^\s\"')]*", picture.read_text()) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize("kind", ["stats", "payloads", "analytics", "all"])
def test_a_planted_difference_exits_1(kind: str) -> None:
    status, output = against(Faults(), "--verify", "--quiet", plants=True, kind=kind)
    assert status == 1
    assert "+1" in output


def test_times_that_are_off_exit_1() -> None:
    status, output = against(Faults(off_ms=60_000), "--verify", "--quiet", kind="sessions")
    assert status == 1
    assert "milliseconds off" in output


def test_one_kind_of_which_nothing_is_acknowledged_is_named() -> None:
    status, output = against(Faults(refuse=404), kind="all")
    assert status == 3
    assert "acknowledged nothing of stats" in output


def test_customers_as_they_are_are_compared_with_what_was_there_before() -> None:
    async def scenario() -> None:
        async with serving(Standin()) as standin:
            fixed = ("stats", "--url", standin.url, "--count", "300", "--rate", "2000", "--customers-as-is", "--verify")
            for _ in range(2):
                status, output = await simulate(*fixed)
                assert status == 0, output
            assert 580 < len(standin.stored) <= 600
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
        (["--stages", "30s"], "write 30s:100,2m:2000"),
        (["--stages", "1s:0"], "no message"),
        (["--stages", "1s:10", "--duration", "5s"], "the stages say"),
        (["--start", "2026-01-01T00:00:00"], "no moment"),
        (["--start", "-1h", "--speed", "600"], "reaches the present after 6.0 s"),
        (["--start", "2999-01-01T00:00:00Z"], "reaches the present"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(cli.cli, ["stats", *arguments])
    assert result.exit_code == 2
    assert named in result.output


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("stats", ["--clients", "3"]), ("sessions", ["--streams", "3"]), ("analytics", ["--customers-as-is"])],
)
def test_options_are_offered_where_they_make_sense(kind: str, arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.cli, [kind, *arguments])
    assert result.exit_code == 2
    assert "No such option" in result.output


def test_a_bad_ledger_exits_2(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    result = CliRunner().invoke(cli.cli, ["verify", str(tmp_path / "bad.json")])
    assert result.exit_code == 2
    assert "not a ledger" in result.output


@pytest.mark.parametrize("kind", cli.ALL)
def test_written_traffic_is_the_same_each_time(tmp_path: Path, kind: str) -> None:
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    for path, seed in ((first, "4"), (second, "4"), (other, "5")):
        done = CliRunner().invoke(cli.cli, [kind, "--seed", seed, "--write", str(path), "--count", "3000"])
        assert done.exit_code == 0, done.output
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert first.read_bytes().count(b"\n") == 3000


@pytest.mark.parametrize("kind", cli.ALL)
def test_a_saved_scenario_gives_the_traffic_of_its_seed(tmp_path: Path, kind: str) -> None:
    drawn, replayed, home = (tmp_path / name for name in ("drawn", "replayed", "home.json"))
    fixed = (kind, "--seed", "4", "--count", "3000", "--write")
    for path, how in ((drawn, "--save"), (replayed, "--scenario")):
        done = CliRunner().invoke(cli.cli, [*fixed, str(path), how, str(home)])
        assert done.exit_code == 0, done.output
    assert drawn.read_bytes() == replayed.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_help_shows_every_option(kind: str) -> None:
    output = CliRunner().invoke(cli.cli, [kind, "--help"], terminal_width=200).output
    assert "Exit status" in output
    for option in cli.cli.commands[kind].params:
        assert option.opts[0] in output
        assert getattr(option, "help", None), f"{option.name} explains itself"
    assert f"Examples:\n    simulate {kind}" in output


def test_examples_of_the_help_are_commands_that_exist() -> None:
    output = CliRunner().invoke(cli.cli, ["--help"]).output
    examples = re.findall(r"^\s+simulate (\w+) (.*)$", output, re.M)
    assert len(examples) >= 6
    for name, arguments in examples:
        known = {flag for option in cli.cli.commands[name].params for flag in option.opts}
        assert set(re.findall(r"--[a-z-]+", arguments)) <= known


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.missing_extra() is None
    monkeypatch.setattr(cli, "EXTRA", ("aiohttp", "surely_not_installed"))
    assert cli.missing_extra() == "the simulator needs surely_not_installed: pip install 'collector[simulation]'"
