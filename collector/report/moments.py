"""At which of several moments a node's conditions held, by the rule for one session. Pure: no I/O."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from collector.report.bands import Happened, lasting
from collector.report.measurements import Sought
from collector.report.model import Condition
from collector.report.values import is_number, text_of

_decoder = msgspec.json.Decoder(dict[str, object])


def first_moment(times: Iterable[datetime], happened: Iterable[Happened], sought: Sought) -> datetime | None:
    """The first of these, in order, at which an event that fulfils all was in force; None where there is none."""
    chosen = [
        one
        for one in lasting(happened)
        if sought.name in (None, one.event) and all(_tells(one.properties, told) for told in sought.told)
    ]
    return next((time for time in times if any(one.holds_at(time) for one in chosen)), None)


def _tells(properties: str | None, told: Condition) -> bool:
    """As `cpu_fulfils` in the database."""
    try:
        value = _decoder.decode(properties).get(told.dimension) if properties else None
    except (msgspec.MsgspecError, RecursionError):
        return False
    if not isinstance(value, str | bool | int | float):
        return False
    if told.op == "=":
        return text_of(value) == text_of(told.value)
    if not is_number(value) or not is_number(told.value):
        return False
    return value > told.value if told.op == ">" else value <= told.value
