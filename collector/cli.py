"""The command `collector`."""

import functools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from collector import __version__
from collector.errors import CollectorError, SettingError
from collector.settings import load

EXIT_FAILED = 1
EXIT_USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="collector")
def cli() -> None:
    """Takes measurements from devices over HTTP and stores every one before it says so.

    The database is the one of DATABASE_URL, else a private PostgreSQL that starts by itself. Settings come from
    COLLECTOR_… variables; flags go first. `collector demo` shows everything on one machine.

    Exit status: 0 done, 1 failed, 2 wrong usage or setting.
    """


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which database."""
    options = [
        click.option("--database-url", metavar="URL", help="libpq URI of the database.  [DATABASE_URL]"),
        click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Data of the private PostgreSQL.  [COLLECTOR_DATA_DIR]"
        ),
    ]
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


@cli.command()
@click.option("--host", help="Address to listen on.  [COLLECTOR_HOST, 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [COLLECTOR_PORT, 8080]")
@click.option("--workers", type=int, help="Server processes.  [COLLECTOR_WORKERS, 1]")
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring the schema of DATABASE_URL up to date first.")
@click.option("--no-consume", is_flag=True, help="Leave the queue behind /payloads to `collector consume`.")
@data_options
def serve(*, migrate_first: bool, no_consume: bool, **flags: Any) -> None:
    """Serve the endpoints until SIGTERM; requests under way are finished first."""
    settings = load(**flags, consume=False if no_consume else None)
    from collector.serve import serve as run

    run(settings, migrate_first=migrate_first)


@cli.command()
@click.option("--metrics-port", type=int, help="Serve /metrics on this port.")
@data_options
def consume(*, metrics_port: int | None, **flags: Any) -> None:
    """Process the queue behind /payloads until SIGTERM, beside any number of others."""
    settings = load(**flags)
    from collector.consume import consume as run

    run(settings, metrics_port=metrics_port)


@cli.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["sessions", "stats", "analytics"]),
    default="sessions",
    show_default=True,
    help="What the lines are: a client's log of its sessions, or what is posted to /stats or /analytics.",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@data_options
def import_(*, files: tuple[Path, ...], to: str, as_json: bool, **flags: Any) -> None:
    """Store files of JSON lines, plain, gzip or zstd. The same file again stores nothing new; one that was cut goes on.

    Exit status 1 where a line was rejected or a file not read to its end.
    """
    settings = load(**flags)
    from collector.importing import import_files

    sys.exit(import_files(settings, files, to, as_json=as_json))


@cli.command()
@data_options
def migrate(**flags: Any) -> None:
    """Bring the schema up to date; does nothing where it is."""
    from collector.database import database_of
    from collector.migrate import migrate as run

    with database_of(load(**flags)) as database:
        applied = run(database.url)
    click.echo(f"applied {', '.join(map(str, applied))}" if applied else "up to date")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@data_options
def doctor(*, as_json: bool, **flags: Any) -> None:
    """Which database is in use, what it lacks, and what is wrong; exit status 1 where something is."""
    from collector.database import database_of
    from collector.doctor import diagnose
    from collector.tables import show_diagnosis

    with database_of(load(**flags)) as database:
        found = diagnose(database)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        show_diagnosis(found)
    if found.problems:
        sys.exit(EXIT_FAILED)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def dashboards(*, folder: Path) -> None:
    """Write dashboards, alert rules and provisioning files for Grafana into FOLDER; what it has of them is replaced."""
    from collector.carried import grafana_folder

    shutil.copytree(grafana_folder(), folder, dirs_exist_ok=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        click.echo(path.relative_to(folder))


@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@data_options
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def psql(*, args: tuple[str, ...], **flags: Any) -> None:
    """psql on the database in use: collector psql -c 'SELECT * FROM stats LIMIT 5'"""
    import subprocess

    from collector.database import database_of

    with database_of(load(**flags)) as database:
        own = database.private.installation.bin_dir / "psql" if database.private else None
        program = str(own) if own and own.exists() else shutil.which("psql")
        if program is None:
            raise CollectorError("psql is not installed")
        status = subprocess.run([program, "-d", database.url, *args], check=False).returncode  # noqa: S603 (the user's own command)
    sys.exit(status)


@cli.command()
@click.option("--port", type=int, help="Port to listen on; another free one if it is taken.  [COLLECTOR_PORT, 8080]")
@click.option("--seed", type=int, default=1, show_default=True, help="Which devices, and what they do.")
@click.option("--speed", type=float, default=60, show_default=True, help="The devices' time runs this much faster.")
@click.option("--duration", type=float, default=None, metavar="SECONDS", help="End by itself after this time.")
@data_options
def demo(*, seed: int, speed: float, duration: float | None, **flags: Any) -> None:
    """Everything on one machine: database, server, simulated devices; Ctrl-C ends it and checks the numbers."""
    settings = load(**flags)
    from collector.demo import demo as run

    sys.exit(run(settings, port=settings.port, seed=seed, speed=speed, duration_s=duration))


def main() -> None:
    """The entry point: our errors become one line and an exit status."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except CollectorError as exc:
        click.echo(f"collector: {exc}", err=True)
        sys.exit(EXIT_USAGE if isinstance(exc, SettingError) else EXIT_FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
