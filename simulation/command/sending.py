"""What a command does with its options: send or write the traffic, show the result, and choose the exit status."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from simulation.command import view
from simulation.command.exits import BREACHED, DIFFERENT, INTERRUPTED, OK, UNREACHABLE, USAGE, fail
from simulation.command.kinds import messages
from simulation.command.options import Options
from simulation.command.run import Summary, run, write_summary
from simulation.scenario import model as scenarios
from simulation.scenario.model import Scenario
from simulation.truth.client import KeyNeededError, ReadError, UnreachableError
from simulation.truth.saved import LedgerError
from simulation.truth.verdict import differing


def scenario_of(seed: int, path: Path | None, save: Path | None) -> Scenario:
    """The devices of a file, or of the seed; saved where asked to. UsageError where a file cannot be used."""
    from simulation.scenario.strategies import draw  # Hypothesis takes a while to load, and a saved scenario needs none

    try:
        scenario = scenarios.read(path) if path is not None else draw(seed)
        if save is not None:
            scenarios.save(scenario, save)
    except scenarios.ScenarioError as exc:
        raise click.UsageError(str(exc)) from exc
    return scenario


def write_traffic(options: Options, target: IO[bytes]) -> None:
    """The traffic as JSON lines."""
    for message in messages(options):
        target.write(message.body)
        target.write(b"\n")


def send(options: Options, summary_json: Path | None, quiet: bool) -> int:
    """Send, show what came of it, and return the exit status."""
    console = Console()
    if not quiet:
        what = f"{_devices(options)}, seed {options.seed}, run {options.run}"
        console.print(f"{what} → {options.settings.url}", highlight=False, soft_wrap=True)
    try:
        summary = asyncio.run(run(options, None if quiet else console))
        if summary_json is not None:
            write_summary(summary, summary_json)
    except UnreachableError as exc:
        return fail(UNREACHABLE, str(exc))
    except KeyNeededError as exc:
        return fail(USAGE, str(exc))
    except ReadError as exc:
        return fail(DIFFERENT, str(exc))
    except (LedgerError, OSError) as exc:
        return fail(USAGE, str(exc))
    except KeyboardInterrupt:
        return fail(INTERRUPTED, "interrupted while comparing")
    if summary.verify is not None and (differing(summary.verify) or not quiet):
        view.show(console, view.verdict(summary.verify))
    return _status(summary)


def _devices(options: Options) -> str:
    """What sends, for a person."""
    scenario = options.scenario
    words = {
        "stats": f"{len(scenario.profiles)} device profiles",
        "payloads": f"{len(scenario.profiles)} device profiles",
        "analytics": f"{scenario.audience.users} users",
        "sessions": f"{options.clients or scenario.clients} desktop clients",
    }
    return ", ".join(dict.fromkeys(words[kind] for kind in options.kinds))


def _status(summary: Summary) -> int:
    """A wrong number outweighs a slow one."""
    if summary.verify is not None and differing(summary.verify):
        return DIFFERENT
    for part in summary.parts or [summary]:
        if part.scheduled and not part.acknowledged:
            return fail(UNREACHABLE, f"the collector has acknowledged nothing of {part.kind}")
    if breached := [verdict.threshold for verdict in summary.thresholds if not verdict.ok]:
        return fail(BREACHED, f"breached: {', '.join(breached)}")
    return OK
