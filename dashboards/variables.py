"""What can be chosen at the top of a dashboard."""

from dashboards.model import Variable
from dashboards.panels import POSTGRESQL

DATABASE_UID = "collector-database"
METRICS_UID = "collector-prometheus"
"""Of the data sources that are provisioned; fixed, so that addresses of panels stay."""

MAX_CHOICES = 1_000
"""Of a list that people choose from; the others can be typed in."""


def database() -> Variable:
    """Which PostgreSQL."""
    return _datasource("Database", POSTGRESQL.type, "collector", DATABASE_UID)


def metrics() -> Variable:
    """Which Prometheus."""
    return _datasource("Prometheus", "prometheus", "collector metrics", METRICS_UID)


def choice(name: str, label: str, sql: str, *, of_all: str | None = None) -> Variable:
    """Values of the column `name`, any number of them or all.

    `IN ($name)` gets the chosen ones in quotes. For all of them it is `IN (name)`, which is true of every row and costs
    nothing, however many there are; `of_all` where queries have another expression there.
    """
    return Variable(
        name=name,
        label=label,
        type="query",
        datasource=POSTGRESQL,
        query=sql,
        definition=sql,
        refresh=2,
        multi=True,
        include_all=True,
        all_value=of_all or name,
        current={"text": ["All"], "value": ["$__all"]},
    )


def text(name: str, label: str, description: str, value: str) -> Variable:
    """Something to be typed; in SQL it is `${name:sqlstring}`, which has its quotes."""
    return Variable(
        name=name,
        label=label,
        description=description,
        type="textbox",
        query=value,
        current={"text": value, "value": value},
        options=[{"selected": True, "text": value, "value": value}],
    )


def _datasource(label: str, kind: str, name: str, uid: str) -> Variable:
    return Variable(
        name="datasource",
        label=label,
        type="datasource",
        query=kind,
        refresh=1,
        multi=False,
        include_all=False,
        current={"text": name, "value": uid},
    )
