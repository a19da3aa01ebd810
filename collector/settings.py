"""Settings: read once, from `COLLECTOR_…` variables, into one frozen Struct. A bad one fails at start with its name."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from collector.errors import SettingError

KIB = 1024
MIB = 1024 * KIB


Count = Annotated[int, Meta(ge=1)]
# Bounded, because neither timers nor PostgreSQL's intervals go on for ever.
Seconds = Annotated[float, Meta(gt=0, le=1e6)]
Days = Annotated[float, Meta(gt=0, le=1e6)]
# An hour has to be over, and more, before it is forgotten.
DaysOfHours = Annotated[float, Meta(ge=1, le=1e6)]

ORIGINS = r"^(\*|https?://[^\s/,*]+(\s*,\s*https?://[^\s/,*]+)*)\Z"
"""`*`, or scheme, host and port as a browser's `Origin` has them, without a path."""

PREFIX = "COLLECTOR_"
# Where a variable's name is not the prefix and the field's.
VARIABLES = {"database_url": "DATABASE_URL"}
OF_TESTS = ("DRILLDOWN_", "FAULT_", "ROOTCAUSE", "TEST_")
"""How names after the prefix begin that `make` and the tests take."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, its default, and why the default is that."""

    database_url: str | None = None
    """libpq URI or conninfo of the database; without it the collector starts a private PostgreSQL for itself."""
    read_database_url: str | None = None
    """Where GET endpoints read, for instance a replica; default: `DATABASE_URL`."""
    data_dir: Path | None = None
    """Where the private PostgreSQL keeps its data; default: `/var/lib/collector` for root, else under `~/.local/share`.
    """
    postgres_bin: Path | None = None
    """Folder of the server binaries that the private PostgreSQL uses."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """Port to listen on."""
    api_keys: Annotated[str, Meta(pattern=r"^(auto|on|off)\Z")] = "auto"
    """Whether requests need an API key: on, off, or auto, which is on unless `COLLECTOR_HOST` is a loopback address."""
    ssl_certificate: Path | None = None
    """PEM file of the certificate, and of those above it, to serve HTTPS with."""
    ssl_keyfile: Path | None = None
    """PEM file of the certificate's key, without a password."""
    ssl_protocol_min: Annotated[str, Meta(pattern=r"^tls1\.[23]\Z")] = "tls1.3"
    """The oldest TLS taken, tls1.2 or tls1.3."""
    headers_s: Seconds = 75.0
    """Seconds in which the headers of a request have to come, counted from the request before: clients that send every
    30 s find their connection open, and so do proxies, which close theirs after 60 s.
    """
    line_s: Seconds = 60.0
    """Seconds in which a line that has begun, or a single body, has to be complete; what the database makes it wait
    does not count.
    """
    idle_s: Seconds = 900.0
    """Seconds after which a stream that sends nothing is ended: a client that vanished would hold its place for ever,
    and one that sends every 30 s has missed thirty times.
    """
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Server processes; each has its own writers."""
    connections: Count = 4096
    """Connections that a worker has at most, idle ones and open streams, too; whoever comes then waits until one ends.
    Each is an open file: fewer, where the system allows fewer.
    """
    batch_rows: Count = 20_000
    """Rows of one transaction at most: at 200,000 rows/s a tenth of a second, so that a stream's receipts stay fresh.
    """
    batch_bytes: Count = 4 * MIB
    """Received bytes of one transaction at most."""
    batch_age_ms: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    """How long a row waits for company before its transaction begins; longer saves transactions, and costs latency."""
    backlog_rows: Count = 60_000
    """Rows a writer holds that are not committed yet; when it is full, producers wait."""
    backlog_bytes: Count = 12 * MIB
    """Received bytes a writer holds; decoded they take about four times as much memory."""
    single_wait_s: Seconds = 10.0
    """How long a single payload waits to be stored before it is answered 503: less than the common client timeout of 30
    s.
    """
    drain_s: Seconds = 8.0
    """How long requests under way may take after SIGTERM; Kubernetes kills after 30 s by default."""
    kafka_bootstrap: str | None = None
    """Brokers of the queue behind /payloads, `host:port,host:port`; without it the queue is a table of the database."""
    kafka_topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}\Z")] = "payloads"
    """The topic of that queue."""
    kafka_options: str | None = None
    """Properties of librdkafka for TLS and SASL, `security.protocol=SSL,ssl.ca.location=…`, or `@FILE` with one a line.
    """
    kafka_session_s: Annotated[float, Meta(ge=1, le=1800)] = 10.0
    """For how long a consumer of the topic may be silent before others take over its partitions."""
    consume: bool = True
    """Whether `serve` processes the queue behind /payloads, too; else `collector consume` has to."""
    cors_origins: Annotated[str, Meta(pattern=ORIGINS)] | None = None
    """Origins of web pages that may post measurements, `https://app.example,https://other.example`, or `*`; without it
    browsers let no page of another origin do that.
    """
    max_single_bytes: Count = 64 * KIB
    """A single payload's size, decompressed; a longer one is answered 413."""
    max_line_bytes: Count = 64 * KIB
    """A line's size, decompressed; a longer one is a rejected line."""
    key_retention_h: Seconds = 24.0
    """Hours for which an Idempotency-Key is remembered after its last commit."""
    token_retention_days: Days | Literal["forever"] = 90.0
    """Days for which a token is known to have started a session, and an imported file to be imported, or `forever`."""
    payload_retention_days: Days | Literal["forever"] = 30.0
    """Days for which payloads are kept, or `forever`; the windows of `stats` that they add up to stay."""
    payload_columnstore_days: Days | Literal["never"] = 1.0
    """Days after which payloads become columnar, or `never`; TimescaleDB only."""
    stats_retention_days: Days | Literal["forever"] = "forever"
    """Days for which windows of `stats` are kept, or `forever`; not less than payloads."""
    stats_columnstore_days: Days | Literal["never"] = 7.0
    """Days after which windows of `stats` become columnar, or `never`; more than COLLECTOR_STATS_REFRESH_DAYS."""
    stats_refresh_days: Days = 3.0
    """Days back that `stats` takes in payloads that come late; a queue may lag this far. Less than payloads are kept: a
    refresh over rows that are gone would wipe their windows.
    """
    session_retention_days: Days = 30.0
    """Days for which messages of /sessions are kept; older ones are not taken any more."""
    session_columnstore_days: Days | Literal["never"] = 1.0
    """Days after which messages of /sessions become columnar, or `never`; TimescaleDB only."""
    cpu_retention_days: Days | Literal["forever"] = 90.0
    """Days for which the sums behind the CPU report are kept, or `forever`."""
    cpu_columnstore_days: Days | Literal["never"] = 2.0
    """Days after which the sums behind the CPU report become columnar, or `never`; TimescaleDB only."""
    hit_retention_days: Days | Literal["forever"] = 30.0
    """Days for which single clicks and impressions are kept, or `forever`; the counts of their hours stay."""
    hit_columnstore_days: Days | Literal["never"] = 1.0
    """Days after which single clicks and impressions become columnar, or `never`; TimescaleDB only."""
    analytics_retention_days: DaysOfHours | Literal["forever"] = "forever"
    """Days for which the counts of an hour are kept, or `forever`; events of older hours are not taken any more."""
    user_retention_days: DaysOfHours | Literal["forever"] = "forever"
    """Days for which the users of an hour are kept, or `forever`: without them its unique users are final, and events
    of older hours are not taken any more.
    """
    rejected_retention_days: Days | Literal["forever"] = 30.0
    """Days for which quarantined lines are kept, or `forever`."""
    chunk_h: Annotated[float, Meta(ge=1 / 60, le=24 * 30)] = 6.0
    """Hours of a chunk of TimescaleDB: the newest chunks, with their indexes, should fit into a quarter of the memory.
    """
    log_level: Annotated[str, Meta(pattern=r"^(debug|info|warning|error)\Z")] = "info"
    """debug, info, warning or error."""
    log_json: bool = False
    """Logs as JSON lines on a terminal, too; elsewhere they always are."""


def variable(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return VARIABLES.get(field, PREFIX + field.upper())


def load(environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Settings from the environment, flags given (not None) going first.

    Raises SettingError naming the variable, or the flag, whose value is not valid.
    """
    environment = os.environ if environment is None else environment
    chosen: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = variable(field.name)
        value = flags.get(field.name)
        if value is None:
            value = environment.get(name) or None
        else:
            name = "--" + field.name.replace("_", "-")
        if value is None:
            continue
        try:
            chosen[field.name] = msgspec.convert(value, field.type, strict=False, dec_hook=_path)
        except (msgspec.ValidationError, ValueError) as exc:
            raise SettingError(f"{name}: {exc}, given {value!r}") from exc
    return Settings(**chosen)


def unknown(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Variables that look like settings and are none, with the setting that each is most like, if one is."""
    there = {variable(field).removeprefix(PREFIX): variable(field) for field in Settings.__struct_fields__}
    found: dict[str, str | None] = {}
    for name in sorted(environment):
        rest = name.removeprefix(PREFIX)
        if rest != name and name not in there.values() and not rest.startswith(OF_TESTS):
            like = difflib.get_close_matches(rest, there, 1)
            found[name] = there[like[0]] if like else None
    return found


def exported(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for the server's worker processes."""
    values = {}
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if value is not None:
            values[variable(field.name)] = str(value).lower() if isinstance(value, bool) else str(value)
    return values


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    raise NotImplementedError
