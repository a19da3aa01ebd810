"""Panels as data: what one shows, and in which of our few manners; and where they stand."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dashboards.model import (
    GRAFANA,
    SCHEMA_VERSION,
    Dashboard,
    DashboardLink,
    Datasource,
    Defaults,
    FieldConfig,
    GridPos,
    Link,
    Override,
    Panel,
    Property,
    Target,
    Variable,
)

COLUMNS = 24
TAG = "collector"

POSTGRESQL = Datasource(type="grafana-postgresql-datasource", uid="${datasource}")
PROMETHEUS = Datasource(type="prometheus", uid="${datasource}")

_WINDOW = "5m"
"""Rows of the aggregates are no closer."""
_SCRAPE = "15s"


class Sql(msgspec.Struct, frozen=True):
    """A query of the database; of a chart it has a sorted column `time`."""

    text: str


class Prom(msgspec.Struct, frozen=True):
    """A query of Prometheus, and how its series are called."""

    expr: str
    legend: str


class Row(msgspec.Struct, frozen=True):
    """A heading above the panels that follow."""

    title: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A panel before it has a place. `w` and `h` are columns and rows of the grid."""

    type: str
    title: str
    description: str
    queries: Sequence[Sql | Prom]
    unit: str
    w: int
    h: int
    custom: dict[str, Any] = {}
    options: dict[str, Any] = {}
    overrides: list[Override] = []
    links: list[Link] = []
    min: float | None = 0
    max: float | None = None
    decimals: int | None = None
    thresholds: list[tuple[float | None, str]] = []
    interval: str | None = None


def chart(
    title: str,
    description: str,
    *queries: Sql | Prom,
    unit: str,
    w: int = 12,
    h: int = 8,
    stack: bool = False,
    bars: bool = False,
    max: float | None = None,
    interval: str | None = None,
    overrides: Sequence[Override] = (),
    links: Sequence[Link] = (),
) -> View:
    """Values over time."""
    custom: dict[str, Any] = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else 25 if stack else 8,
        "showPoints": "auto",
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return View(
        type="timeseries",
        title=title,
        description=description,
        queries=queries,
        unit=unit,
        w=w,
        h=h,
        custom=custom,
        options=options,
        max=max,
        interval=interval,
        overrides=list(overrides),
        links=list(links),
    )


def stat(
    title: str,
    description: str,
    query: Sql | Prom,
    *,
    unit: str,
    calc: str = "lastNotNull",
    w: int = 6,
    decimals: int | None = None,
    thresholds: Sequence[tuple[float | None, str]] = ((None, "blue"),),
    interval: str | None = None,
) -> View:
    """One number, from a series by `calc`, with the series behind it where there is one."""
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "reduceOptions": {"calcs": [calc], "fields": "", "values": False},
    }
    return View(
        type="stat",
        title=title,
        description=description,
        queries=[query],
        unit=unit,
        w=w,
        h=4,
        options=options,
        decimals=decimals,
        thresholds=list(thresholds),
        interval=interval,
    )


def table(
    title: str,
    description: str,
    query: Sql,
    *,
    unit: str = "short",
    w: int = 12,
    h: int = 10,
    overrides: Sequence[Override] = (),
) -> View:
    """Rows, in the order of the query."""
    return View(
        type="table",
        title=title,
        description=description,
        queries=[query],
        unit=unit,
        w=w,
        h=h,
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True},
        options={"showHeader": True, "cellHeight": "sm"},
        overrides=list(overrides),
        min=None,
    )


def column(
    name: str, unit: str | None = None, *, gauge: bool = False, links: Sequence[Link] = (), says: str | None = None
) -> Override:
    """How the column or series of this name is shown; `gauge`: a bar for a share of one; `says`: what stands there in
    place of any value.
    """
    properties = [Property(id="unit", value=unit)] if unit is not None else []
    if gauge:
        properties += [
            Property(id="custom.cellOptions", value={"type": "gauge", "mode": "basic"}),
            Property(id="min", value=0),
            Property(id="max", value=1),
        ]
    if says is not None:
        text = {"type": "regex", "options": {"pattern": ".+", "result": {"text": says, "index": 0}}}
        properties.append(Property(id="mappings", value=[text]))
    if links:
        properties.append(Property(id="links", value=list(links)))
    return Override(matcher={"id": "byName", "options": name}, properties=properties)


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    views: Iterable[View | Row],
    variables: Sequence[Variable],
    links: Sequence[DashboardLink] = (),
    since: str = "now-6h",
    refresh: str = "1m",
) -> Dashboard:
    """A dashboard of these panels, which stand from left to right and from the top down."""
    return Dashboard(
        uid=uid,
        title=title,
        description=description,
        panels=_placed(views),
        templating={"list": list(variables)},
        links=[_OTHERS, *links],
        tags=[TAG],
        time={"from": since, "to": "now"},
        schema_version=SCHEMA_VERSION,
        annotations={"list": [_ALERTS]},
        refresh=refresh,
        graph_tooltip=1,  # the crosshair is in all panels at once
        timezone="browser",
        editable=True,
        version=1,
    )


_OTHERS = DashboardLink(
    title="Collector", type="dashboards", icon="external link", tags=[TAG], as_dropdown=True, keep_time=True
)

_ALERTS = {
    "builtIn": 1,
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "enable": True,
    "hide": True,
    "iconColor": "rgba(0, 211, 255, 1)",
    "name": "Annotations & Alerts",
    "type": "dashboard",
}


def _placed(views: Iterable[View | Row]) -> list[Panel]:
    panels: list[Panel] = []
    x = y = height = 0
    for number, view in enumerate(views, 1):
        w, h = (COLUMNS, 1) if isinstance(view, Row) else (view.w, view.h)
        if x + w > COLUMNS:
            x, y, height = 0, y + height, 0
        place = GridPos(x=x, y=y, w=w, h=h)
        panels.append(_row(number, view, place) if isinstance(view, Row) else _panel(number, view, place))
        x, height = x + w, max(height, h)
    return panels


def _row(number: int, row: Row, place: GridPos) -> Panel:
    return Panel(id=number, type="row", title=row.title, grid_pos=place, collapsed=False, panels=[])


def _panel(number: int, view: View, place: GridPos) -> Panel:
    of_database = isinstance(view.queries[0], Sql)
    steps = [{"value": value, "color": color} for value, color in view.thresholds]
    defaults = Defaults(
        unit=view.unit,
        color={"mode": "thresholds" if steps else "palette-classic"},
        custom=view.custom,
        min=view.min,
        max=view.max,
        decimals=view.decimals,
        thresholds={"mode": "absolute", "steps": steps} if steps else None,
        links=view.links,
    )
    return Panel(
        id=number,
        type=view.type,
        title=view.title,
        description=view.description,
        grid_pos=place,
        datasource=POSTGRESQL if of_database else PROMETHEUS,
        targets=[_target(chr(ord("A") + at), query, view.type) for at, query in enumerate(view.queries)],
        field_config=FieldConfig(defaults=defaults, overrides=view.overrides),
        options=view.options,
        interval=view.interval or (_WINDOW if of_database else _SCRAPE),
        plugin_version=GRAFANA,
    )


def _target(ref_id: str, query: Sql | Prom, kind: str) -> Target:
    if isinstance(query, Sql):
        return Target(
            ref_id=ref_id,
            datasource=POSTGRESQL,
            editor_mode="code",
            format="table" if kind == "table" else "time_series",
            raw_query=True,
            raw_sql=query.text,
        )
    return Target(
        ref_id=ref_id,
        datasource=PROMETHEUS,
        editor_mode="code",
        expr=query.expr,
        legend_format=query.legend,
        range=True,
    )
