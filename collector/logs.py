"""Structured logs on standard error: readable lines on a terminal, JSON lines elsewhere."""

import logging
import sys

import structlog

from collector.settings import Settings


def configure(settings: Settings, *, quiet: bool = False) -> None:
    """Set up structlog for this process; `quiet` where what is usual is not worth a line beside what a command says."""
    level = "warning" if quiet and settings.log_level == "info" else settings.log_level
    as_json = settings.log_json or not sys.stderr.isatty()
    render = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
