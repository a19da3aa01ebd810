"""The command `collector report`."""

from pathlib import Path
from typing import Any

import click

from collector.commands.options import data_options
from collector.errors import BadRequest, CollectorError
from collector.settings import load


@click.group()
def report() -> None:
    """What the stored measurements say.  [DATABASE_URL]"""


@report.command()
@click.option("--hours", metavar="NUMBER", help="The window: so many hours up to --to, or up to now.  [12]")
@click.option("--from", "from_", metavar="TIME", help="The window's start, in place of --hours.")
@click.option("--to", metavar="TIME", help="The window's end.")
@click.option("--threshold", metavar="PERCENT", help="Of a core; over it is hot.  [30]")
@click.option("--statistic", metavar="max|mean|p95", help="What of a session's samples is compared.  [max]")
@click.option("--min-support", metavar="SHARE", help="Of the hot sessions, what a line covers at least.  [0.05]")
@click.option("--depth", metavar="NUMBER", help="Levels of the tree.  [3]")
@click.option("--version", help="Only this version.")
@click.option("--event", help="Only what was measured during this event.")
@click.option("--where", multiple=True, metavar="CONDITION", help="os=windows, filename_length>42, …; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="As a page of its own, that loads nothing, into this file.",
)
@data_options
def cpu(*, as_json: bool, html: Path | None, database_url: str | None, data_dir: Path | None, **asked: Any) -> None:
    """Who runs hot, doing what: a tree of sentences that are found in the data."""
    from collector.commands.cpu_report import as_json as laid_out
    from collector.commands.cpu_report import cpu_report, show
    from collector.report.question import ask

    parameters = [(name.rstrip("_"), value) for name, value in asked.items() if isinstance(value, str)]
    try:
        question = ask([*parameters, *(("where", condition) for condition in asked["where"])])
    except BadRequest as exc:
        raise click.UsageError(str(exc)) from exc
    found = cpu_report(load(database_url=database_url, data_dir=data_dir), question)
    if html is not None:
        from collector.web.report import render_file

        try:
            html.write_text(render_file(found))
        except OSError as exc:
            raise CollectorError(f"{html}: {exc.strerror}") from exc
    if as_json:
        click.echo(laid_out(found))
    else:
        show(found)
