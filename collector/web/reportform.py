"""What a report is asked for, as a form that only changes the URL. Pure."""

from typing import get_args

import htpy as h

from collector.report.model import Condition, CpuReport, Statistic
from collector.web.icicle import condition
from collector.web.parts import moment


def form(report: CpuReport) -> h.Element:
    """Window, threshold, statistic; filters that are set stay, and each can be taken away."""
    return h.form(".filters", method="get", action="/reports/cpu", aria_label="Report")[
        moment("from", "From (UTC)", report.since),
        moment("to", "To (UTC)", report.to),
        _number("threshold", "Over, % of a core", f"{report.threshold:g}", step="any", least="0"),
        h.label[
            h.span["Of a session's samples"],
            h.select(name="statistic")[
                (h.option(value=each, selected=each == report.statistic)[each] for each in get_args(Statistic))
            ],
        ],
        _number("depth", "Levels", str(report.depth), step="1", least="1"),
        (_filter(each) for each in report.filters),
        h.button(type="submit")["Show"],
    ]


def _filter(given: Condition) -> list[h.Node]:
    """A filter that stays; the words beside it say which."""
    value = f"{given.value:d}" if isinstance(given.value, bool) else str(given.value)
    return [h.input(type="hidden", name=given.dimension, value=value), h.span(".chip")[condition(given)]]


def _number(name: str, title: str, value: str, *, step: str, least: str) -> h.Element:
    return h.label[h.span[title], h.input(type="number", name=name, value=value, step=step, min=least)]
