"""At which of several moments a node's conditions held, by the rule for one session. Pure: no I/O."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from collector.report.bands import Happened, lasting
from collector.report.columns import columns_of
from collector.report.loading import scalars
from collector.report.measurements import Sought


def first_moment(times: Iterable[datetime], happened: Iterable[Happened], sought: Sought) -> datetime | None:
    """The first of these, in order, at which an event that fulfils all was in force; None where there is none."""
    during = [one for one in lasting(happened) if sought.name in (None, one.event)]
    said = columns_of([scalars(one.properties) for one in during])
    fulfil = np.ones(len(during), np.bool_)
    for told in sought.told:
        fulfil &= said.fulfilling(told.dimension, told.op, told.value, len(during))
    chosen = [one for one, holds in zip(during, fulfil.tolist(), strict=True) if holds]
    return next((time for time in times if any(one.holds_at(time) for one in chosen)), None)
