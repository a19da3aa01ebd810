"""Structured logs on standard error: readable lines on a terminal, JSON lines elsewhere. What other libraries log goes
the same way. Whatever is in a field, an event is one line, and moves no cursor; only a traceback on a terminal has
more.
"""

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from collector.settings import Settings, unknown

TRACEBACK = "exception"
_LAYOUT = "\n\t"


def configure(settings: Settings, *, quiet: bool = False) -> None:
    """Set up structlog for this process; `quiet` where what is usual is not worth a line beside what a command says."""
    level_name = "warning" if quiet and settings.log_level == "info" else settings.log_level
    as_json = settings.log_json or not sys.stderr.isatty()
    # Tracebacks as Python prints them: the other formatters show the values of variables, keys among them.
    terminal = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    render: Processor = structlog.processors.JSONRenderer() if as_json else terminal
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        printable,
    ]
    level = logging.getLevelNamesMapping()[level_name.upper()]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    others = logging.StreamHandler(sys.stderr)
    others.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[others], level=max(level, logging.WARNING), force=True)


def warn_of_unknown_settings() -> None:
    """One line about variables that look like settings and are none: a misspelt one changes nothing otherwise."""
    if names := unknown(os.environ):
        told = [name if like is None else f"{name} (is it {like}?)" for name, like in names.items()]
        structlog.get_logger().warning("these variables are no settings", unknown=", ".join(told))


def printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Every text of the event as it can be printed: control characters and the like as Python writes them."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            kept = _LAYOUT if name == TRACEBACK else ""
            event[name] = "".join(
                each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in value
            )
    return event
