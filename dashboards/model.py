"""The parts of Grafana's classic dashboard model that we use, as its JSON has them.

Schema version 42 is the newest (Grafana 12 and 13), so that nothing is migrated when it is loaded. Names and meanings
are those of Grafana's documentation of its dashboard JSON model.
"""

from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 42
GRAFANA = "13.1.3"
"""What the panels were made for, and what compose.yaml runs."""


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Camel case, and what is not said is left to Grafana."""


class Datasource(Model, frozen=True):
    """Which data source: a plug-in, and a `uid` or a variable that holds one."""

    type: str
    uid: str


class GridPos(Model, frozen=True):
    """Where a panel is on a grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


class Target(Model, frozen=True):
    """A query: of PostgreSQL by `raw_sql`, of Prometheus by `expr`."""

    ref_id: str
    datasource: Datasource
    editor_mode: str = ""
    format: Literal["time_series", "table"] | None = None
    raw_query: bool = False
    raw_sql: str | None = None
    expr: str | None = None
    legend_format: str | None = None
    range: bool = False


class Link(Model, frozen=True):
    """Where a value or a dashboard leads to."""

    title: str
    url: str
    target_blank: bool = True


class Property(Model, frozen=True):
    """A setting of one field, by the name it has in Grafana's registry of them."""

    id: str
    value: Any


class Override(Model, frozen=True):
    """Settings of the field with a name."""

    matcher: dict[str, str]
    properties: list[Property]


class Defaults(Model, frozen=True):
    """Settings of all fields of a panel."""

    unit: str
    color: dict[str, str]
    custom: dict[str, Any] = {}
    min: float | None = None
    max: float | None = None
    decimals: int | None = None
    thresholds: dict[str, Any] | None = None
    links: list[Link] = []


class FieldConfig(Model, frozen=True):
    """How values are shown."""

    defaults: Defaults
    overrides: list[Override]


class Panel(Model, frozen=True):
    """A picture of the answers to its queries; `interval` is the shortest one that `$__interval` stands for."""

    id: int
    type: str
    title: str
    grid_pos: GridPos
    description: str | None = None
    datasource: Datasource | None = None
    targets: list[Target] = []
    field_config: FieldConfig | None = None
    options: dict[str, Any] = {}
    interval: str | None = None
    plugin_version: str | None = None
    collapsed: bool | None = None
    """Of a row, which is a heading."""
    panels: list[Any] | None = None
    """Of a row that is folded away."""


class Variable(Model, frozen=True):
    """A choice at the top of the dashboard, `$name` in its queries."""

    name: str
    label: str
    type: Literal["datasource", "query", "textbox"]
    query: str
    current: dict[str, Any]
    description: str = ""
    datasource: Datasource | None = None
    definition: str | None = None
    refresh: int | None = None
    """1: when the dashboard is loaded, 2: when its time changes."""
    multi: bool | None = None
    include_all: bool | None = None
    all_value: str | None = None
    options: list[dict[str, Any]] = []


class DashboardLink(Model, frozen=True, omit_defaults=False):
    """A link beside the title; Grafana wants to hear all of it."""

    title: str
    type: Literal["dashboards", "link"]
    icon: str
    tags: list[str] = []
    url: str = ""
    tooltip: str = ""
    as_dropdown: bool = False
    include_vars: bool = False
    keep_time: bool = False
    target_blank: bool = False


class Dashboard(Model, frozen=True):
    """A dashboard, whole."""

    uid: str
    title: str
    description: str
    panels: list[Panel]
    templating: dict[str, list[Variable]]
    links: list[DashboardLink]
    tags: list[str]
    time: dict[str, str]
    schema_version: int
    annotations: dict[str, list[Any]]
    refresh: str
    graph_tooltip: int
    timezone: str
    editable: bool
    version: int
