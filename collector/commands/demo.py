"""`collector demo`: a server, simulated devices of every kind and a live table, on one machine; at its end the proof of
the numbers.

The server is a child process. It ends with the demo, whatever ends that: SIGTERM, then SIGKILL, and on Linux the kernel
sends it SIGTERM if this process is killed.
"""

import asyncio
import contextlib
import math
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from collector.embedded import default_data_dir
from collector.errors import CollectorError, SettingError
from collector.processes import ends_with_parent
from collector.settings import Settings, exported

if TYPE_CHECKING:
    import aiohttp

    from simulation.command.screen import Screen
    from simulation.load.engine import Stop
    from simulation.load.fleet import Fleet

HOST = "127.0.0.1"
READY_S = 120.0  # the first start makes the private database; a slow disk takes its time
KILL_MARGIN_S = 10.0  # beyond what the server allows itself for draining, before it is killed
LOG_TAIL_LINES = 20
CONNECTIONS, STREAMS = 8, 2
SETTLE_S = 15.0


class DemoError(CollectorError):
    """The demo cannot go on; the message is for a person."""


def demo(
    settings: Settings,
    *,
    port: int = 8080,
    seed: int = 1,
    speed: float = 60.0,
    rate: float | None = None,
    duration_s: float | None = None,
    command: Sequence[str] | None = None,
) -> int:
    """Run until Ctrl-C, or for `duration_s`. Returns the exit status: 0 if stats, analytics and sessions agree with the
    devices.

    1: it doesn't; 2: the simulator is not installed. DemoError where the server fails. `command` starts the server; by
    default `collector serve` of this installation, on `port` or, where that is taken, a free one.
    """
    from simulation.cli import missing_extra

    for name, value in (("speed", speed), ("rate", rate), ("duration", duration_s)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingError(f"--{name}: a number over 0 is needed, given {value}")
    if (missing := missing_extra()) is not None:
        click.echo(missing, err=True)
        return 2
    return asyncio.run(_demo(settings, port, seed, speed, rate, duration_s, command))


async def _demo(
    settings: Settings,
    port: int,
    seed: int,
    speed: float,
    rate: float | None,
    duration_s: float | None,
    command: Sequence[str] | None,
) -> int:
    from simulation.command import run as runs
    from simulation.command import view
    from simulation.command.kinds import KINDS, Ledgers
    from simulation.command.options import Options
    from simulation.command.screen import Screen
    from simulation.load.engine import Settings as LoadSettings
    from simulation.load.engine import Stop
    from simulation.scenario.strategies import draw
    from simulation.truth.client import ReadError, UnreachableError, connect
    from simulation.truth.saved import save
    from simulation.truth.verdict import differing
    from simulation.truth.verify import verify

    console, stop = Console(), Stop()
    data_dir = (settings.data_dir or default_data_dir()).expanduser()
    log = data_dir / "demo.log"
    with runs.stop_on_signals(stop):
        port = free_port(port)
        url = f"http://{HOST}:{port}"
        console.print("starting the collector; its log is", str(log), highlight=False, soft_wrap=True)
        async with _server(settings, port, log, command) as process, connect() as http:
            if not await _ready(http, url, process, log, stop):
                return 0
            options = Options(
                scenario=draw(seed),
                seed=seed,
                run=secrets.token_hex(2),
                kinds=tuple(KINDS),
                settings=LoadSettings(url=url, connections=CONNECTIONS, streams=STREAMS, settle_s=SETTLE_S),
                speed=speed,
                rate=rate,
                duration_s=duration_s,
            )
            ledgers = Ledgers(options)
            try:
                await ledgers.look(http)
            except (ReadError, UnreachableError) as exc:
                raise DemoError(f"{exc}\n{_tail(log)}") from exc
            load = runs.fleet(http, options, ledgers, stop)
            screen = Screen(http, url, load, ledgers, speed, str(options.scenario.plant.cause))
            await _run(load, screen, console, process, stop)
            save(ledgers.saved(), data_dir / "demo-ledger.json")
            view.show(console, view.summary(load, options.name, []))
            if process.returncode is not None:
                raise DemoError(f"the server ended by itself, with status {process.returncode}\n{_tail(log)}")
            try:
                results = await verify(http, url, ledgers.saved(), lambda text: view.show(console, text))
            except (ReadError, UnreachableError) as exc:
                raise DemoError(f"{exc}\n{_tail(log)}") from exc
            view.show(console, view.verdict(results))
    return 1 if differing(results) or not all(result.acknowledged for result in results) else 0


async def _run(
    load: "Fleet", screen: "Screen", console: Console, process: asyncio.subprocess.Process, stop: "Stop"
) -> None:
    """The load with its screen, until it ends, or the server does: then there is nothing to settle with."""

    def give_up(task: asyncio.Task[int]) -> None:
        if not task.cancelled():
            stop.soft.set()
            stop.hard.set()

    showing = asyncio.create_task(screen.show(console))
    ended = asyncio.create_task(process.wait())
    ended.add_done_callback(give_up)
    try:
        await load.run()
        if not stop.hard.is_set():
            await screen.look()  # what stays on the screen is the end
    finally:
        for task in (showing, ended):
            task.cancel()
        results = await asyncio.gather(showing, ended, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


async def _ready(
    http: "aiohttp.ClientSession", url: str, process: asyncio.subprocess.Process, log: Path, stop: "Stop"
) -> bool:
    """Wait for /health/ready; False if Ctrl-C came first. DemoError where the server ends or takes too long."""
    import aiohttp

    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.soft.wait())
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_S
    try:
        while loop.time() < deadline:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with http.get(f"{url}/health/ready", timeout=aiohttp.ClientTimeout(total=2)) as response:
                    if response.status == 200:
                        return True
            await asyncio.wait([ended, stopped], timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                return False
            if ended.done():
                raise DemoError(f"the server did not start\n{_tail(log)}")
        raise DemoError(f"the server was not ready within {READY_S:g} s\n{_tail(log)}")
    finally:
        for task in (ended, stopped):
            task.cancel()
        await asyncio.gather(ended, stopped, return_exceptions=True)


@contextlib.asynccontextmanager
async def _server(
    settings: Settings, port: int, log: Path, command: Sequence[str] | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server as a child, in a session of its own: Ctrl-C is for the demo, which ends the server in turn."""
    command = command or (sys.executable, "-m", "collector", "serve", "--host", HOST, "--port", str(port))
    try:
        # The modes that the private PostgreSQL gives this folder, which it may be the first to need.
        log.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **exported(settings), "COLLECTOR_HOST": HOST, "COLLECTOR_PORT": str(port)},
                start_new_session=True,
                preexec_fn=ends_with_parent(),
            )
    except OSError as exc:
        raise DemoError(f"cannot start the server with its log at {log}: {exc.strerror}") from exc
    try:
        yield process
    finally:
        await _end(process, settings.drain_s + KILL_MARGIN_S)


async def _end(process: asyncio.subprocess.Process, bound_s: float) -> None:
    """SIGTERM, and SIGKILL to the whole group after `bound_s`."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(bound_s):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def free_port(preferred: int) -> int:
    """The preferred port of the loopback, or a free one where it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise DemoError(f"no free port on {HOST}")


def _tail(log: Path) -> str:
    """The log's last lines, under its name."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join([f"its log, {log}, ends with:", *(f"  {line}" for line in lines[-LOG_TAIL_LINES:])])
