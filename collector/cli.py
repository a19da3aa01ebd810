"""The command `collector`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from collector import __version__
from collector.commands.keys import keys
from collector.commands.options import EXIT_FAILED, EXIT_USAGE, data_options, show_json
from collector.commands.rejected import rejected
from collector.commands.report import report
from collector.endpoints import IMPORTED
from collector.errors import CollectorError, SettingError
from collector.settings import load


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="collector")
def cli() -> None:
    """Takes measurements from devices over HTTP and stores every one before it says so.

    The database is the one of DATABASE_URL, else a private PostgreSQL that starts by itself. Settings come from
    COLLECTOR_… variables; flags go first. `collector demo` shows everything on one machine.

    Exit status: 0 done, 1 failed, 2 wrong usage or setting.
    """


for group in (keys, rejected, report):
    cli.add_command(group)


@cli.command()
@click.option("--host", help="Address to listen on.  [COLLECTOR_HOST, 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [COLLECTOR_PORT, 8080]")
@click.option("--workers", type=int, help="Server processes.  [COLLECTOR_WORKERS, 1]")
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring the schema of DATABASE_URL up to date first.")
@click.option("--no-consume", is_flag=True, help="Leave the queue behind /payloads to `collector consume`.")
@click.option("--keys", "ask_for_keys", is_flag=True, help="Requests need an API key, on a loopback address, too.")
@click.option("--open", "let_in", is_flag=True, help="Requests need no API key, wherever they come from.")
@click.option("--ssl-certificate", type=click.Path(path_type=Path), help="Serve HTTPS.  [COLLECTOR_SSL_CERTIFICATE]")
@click.option("--ssl-keyfile", type=click.Path(path_type=Path), help="Its key.  [COLLECTOR_SSL_KEYFILE]")
@data_options
def serve(*, migrate_first: bool, no_consume: bool, ask_for_keys: bool, let_in: bool, **flags: Any) -> None:
    """Serve the endpoints until SIGTERM; requests under way are finished first.

    On an address that others can reach, requests need an API key (`collector keys`), unless told --open.
    """
    if ask_for_keys and let_in:
        raise click.UsageError("--keys and --open are each other's opposite")
    api_keys = "on" if ask_for_keys else "off" if let_in else None
    settings = load(**flags, consume=False if no_consume else None, api_keys=api_keys)
    from collector.serve import serve as run

    run(settings, migrate_first=migrate_first)


@cli.command()
@click.option("--metrics-port", type=int, help="Serve /metrics on this port of COLLECTOR_HOST.")
@click.option("--open", "let_in", is_flag=True, help="The metrics need no API key, wherever the request comes from.")
@data_options
def consume(*, metrics_port: int | None, let_in: bool, **flags: Any) -> None:
    """Process the queue behind /payloads until SIGTERM, beside any number of others."""
    settings = load(**flags, api_keys="off" if let_in else None)
    from collector.commands.consume import consume as run

    run(settings, metrics_port=metrics_port)


@cli.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(list(IMPORTED)),
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
    from collector.commands.importing import import_files

    sys.exit(import_files(settings, files, to, as_json=as_json))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@data_options
def migrate(*, as_json: bool, **flags: Any) -> None:
    """Bring the schema up to date, and how long rows are kept into line with the settings; does nothing where all is.

    A setting by which rows of `stats` would be lost is refused with exit status 2.
    """
    settings = load(**flags)
    from collector.commands.printed import progress_bar
    from collector.database.chosen import database_of
    from collector.database.retention import check
    from collector.database.roles import shortcomings
    from collector.database.upkeep import bring_into_line
    from collector.migrate import migrate as run
    from collector.store.admin import connected

    check(settings)
    with database_of(settings) as database:
        with progress_bar("schema") as begin:
            applied = run(database.url, begin=begin)
        changed = bring_into_line(database.url, settings)
        with connected(database.url) as admin:
            lacking = shortcomings(admin)
    if lacking:
        click.echo("the database's roles are not all they should be: see `collector doctor`", err=True)
    if as_json:
        show_json({"applied": applied, "changed": changed})
    else:
        said = [f"applied {', '.join(map(str, applied))}"] if applied else []
        click.echo("\n".join(said + changed) or "up to date")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.option("--url", "url_only", is_flag=True, help="Only the database's address, for other programs.")
@data_options
def doctor(*, as_json: bool, url_only: bool, **flags: Any) -> None:
    """Which database is in use, what it lacks, and what is wrong; exit status 1 where something is."""
    from collector.commands.doctor import diagnose
    from collector.commands.printed import show_diagnosis
    from collector.database.chosen import database_of

    settings = load(**flags)
    with database_of(settings) as database:
        if url_only:
            click.echo(database.url)
            return
        found = diagnose(database, settings)
    if as_json:
        show_json(found)
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

    from collector.database.chosen import database_of

    with database_of(load(**flags)) as database:
        own = database.private.installation.bin_dir / "psql" if database.private else None
        program = str(own) if own and own.exists() else shutil.which("psql")
        if program is None:
            raise CollectorError("psql is not installed")
        status = subprocess.run([program, "-d", database.url, *args], check=False).returncode  # noqa: S603 (the user's own command)
    sys.exit(status)


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Of a duration as `simulate` takes one."""
    from simulation.command.parameters import Duration

    return None if value is None else Duration().convert(value, param, ctx)


@cli.command()
@click.option("--port", type=int, help="Port to listen on; another free one if it is taken.  [COLLECTOR_PORT, 8080]")
@click.option("--seed", type=int, default=1, show_default=True, help="Which devices, and what they do.")
@click.option("--speed", type=float, default=60, show_default=True, help="The devices' time runs this much faster.")
@click.option(
    "--duration", callback=seconds, metavar="DURATION", help="End by itself after this time: 90, 500ms, 60s, 5m, 1h."
)
@data_options
def demo(*, seed: int, speed: float, duration: float | None, **flags: Any) -> None:
    """Everything on one machine: database, server, simulated devices; Ctrl-C ends it and checks the numbers."""
    settings = load(**flags)
    from collector.commands.demo import demo as run

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
