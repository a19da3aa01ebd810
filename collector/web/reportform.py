"""What a report is asked for, as a form that only changes the URL. Pure."""

from typing import get_args
from urllib.parse import parse_qsl, urlencode, urlsplit

import htpy as h

from collector.report.model import CpuReport, Statistic
from collector.web.icicle import condition
from collector.web.parts import moment

FILTERS = ("version", "event", "where")
"""Parameters that choose sessions; `where` may come several times."""
_FIELDS = ("hours", "from", "to", "threshold", "statistic", "depth")

Pair = tuple[str, str]


def form(report: CpuReport) -> h.Element:
    """Window, threshold, statistic; filters that are set stay, and each can be taken away."""
    pairs = parse_qsl(urlsplit(report.href).query)
    kept = [pair for pair in pairs if pair[0] not in _FIELDS]
    return h.form(".filters", method="get", action="/reports/cpu", aria_label="Report")[
        moment("from", "From (UTC)", report.since),
        moment("to", "To (UTC)", report.to),
        _number("threshold", "Over, % of a core", f"{report.threshold:.10g}", step="any", least="0"),
        h.label[
            h.span["Of a session's samples"],
            h.select(name="statistic")[
                (h.option(value=each, selected=each == report.statistic)[each] for each in get_args(Statistic))
            ],
        ],
        _number("depth", "Levels", str(report.depth), step="1", least="1"),
        h.label[h.span["Only where"], h.input(type="text", name="where", placeholder="os=windows", spellcheck="false")],
        (h.input(type="hidden", name=name, value=value) for name, value in kept),
        h.button(type="submit")["Show"],
        h.ul(".chips", aria_label="Filters")[_chips(report, pairs)] if report.filters else None,
    ]


def _chips(report: CpuReport, pairs: list[Pair]) -> list[h.Element]:
    """The filters, each a link to the report without it; they stand in the URL in the same order."""
    places = [place for place, (name, _) in enumerate(pairs) if name in FILTERS]
    chips = []
    for given, place in zip(report.filters, places, strict=True):
        rest = urlencode(pairs[:place] + pairs[place + 1 :], safe=":")
        words = condition(given)
        chips.append(h.li[h.a(".chip", href=f"/reports/cpu?{rest}", aria_label=f"Without {words}")[words, " ×"]])
    return chips


def _number(name: str, title: str, value: str, *, step: str, least: str) -> h.Element:
    return h.label[h.span[title], h.input(type="number", name=name, value=value, step=step, min=least)]
