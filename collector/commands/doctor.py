"""`collector doctor`: which database is in use, and what it lacks."""

from collections.abc import Iterator

import msgspec

from collector.commands.surroundings import shortage_of_connections, trouble_with_certificate, trouble_with_queue
from collector.database.chosen import Database
from collector.database.retention import check, shown
from collector.database.roles import INGEST, READ, rights_missing, shortcomings
from collector.database.upkeep import pending, wiping_refreshes
from collector.errors import SettingError, StoreDown
from collector.migrate import TIMESCALEDB, can_timescaledb, current, licence, migrations
from collector.settings import Settings
from collector.store.admin import Admin, connected

OLDEST_TIMESCALEDB = (2, 20)
"""The oldest release whose columnstore commands the schema uses."""
BROKEN_JOBS = {"18.7", "17.12", "16.16"}
MENDED_JOBS = {(2, 27): 3, (2, 28): 4, (2, 31): 2, (2, 32): 1}
"""These servers make every background job of TimescaleDB fail, except from these patches of a minor version on, and in
newer ones (its release notes).
"""


class Policy(msgspec.Struct):
    """A background job of TimescaleDB; `late`: it has not succeeded for three times its interval."""

    job: int
    name: str
    table: str
    every: str
    last_status: str | None
    config: str
    scheduled: bool
    late: bool

    def __str__(self) -> str:
        return f"{self.name.removeprefix('policy_').replace('_', ' ')} of {self.table} (job {self.job})"


class Diagnosis(msgspec.Struct):
    """What `collector doctor` found; `problems` need doing something, `missing` is what a community TimescaleDB would
    add, and what the database's roles lack.
    """

    server: str
    private: bool
    engine: str | None
    available: bool
    """Whether the server has TimescaleDB, in this database or to be created in it."""
    timescaledb: str | None
    licence: str | None
    schema: int
    schema_of_program: int
    settings: dict[str, str]
    kept: dict[str, str]
    """For how long rows are kept."""
    policies: list[Policy]
    missing: list[str]
    problems: list[str]


def diagnose(database: Database, settings: Settings) -> Diagnosis:
    """Ask the database, and compare with what is set. Raises StoreDown where it cannot be reached."""
    with connected(database.url) as admin:
        version, engine = current(admin)
        timescaledb = admin.value("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        found = Diagnosis(
            server=admin.value("SELECT current_setting('server_version')").split()[0],
            private=database.private is not None,
            engine=engine,
            available=can_timescaledb(admin),
            timescaledb=timescaledb,
            licence=licence(admin),
            schema=version,
            schema_of_program=migrations()[-1].version,
            settings={
                name: admin.value("SELECT current_setting(%s)", (name,))
                for name in ("fsync", "synchronous_commit", "full_page_writes")
            },
            kept={},
            policies=[Policy(*row) for row in admin.query("jobs")]
            if version and timescaledb and licence(admin) == "timescale"
            else [],
            missing=[],
            problems=[],
        )
        _judge(found, admin)
        if found.schema == found.schema_of_program:
            _look_at_upkeep(found, admin, settings)
            _look_at_roles(found, admin, settings.read_database_url)
        found.problems += shortage_of_connections(admin, settings)
    found.problems += [*trouble_with_queue(settings), *trouble_with_certificate(settings)]
    return found


def _look_at_roles(found: Diagnosis, admin: Admin, read_url: str | None) -> None:
    found.missing += shortcomings(admin)
    _judge_rights(found, admin, INGEST)
    if read_url is None:
        _judge_rights(found, admin, READ)
        return
    try:
        with connected(read_url) as reader:
            _judge_rights(found, reader, READ)
    except StoreDown as exc:
        found.problems.append(f"COLLECTOR_READ_DATABASE_URL: {exc}")


def _judge_rights(found: Diagnosis, admin: Admin, role: str) -> None:
    if lacking := rights_missing(admin, role):
        found.problems.append(lacking)


def _look_at_upkeep(found: Diagnosis, admin: Admin, settings: Settings) -> None:
    found.kept = {name: shown(keep) for name, keep, *_ in admin.query("kept")}
    if found.engine == TIMESCALEDB:
        found.problems += wiping_refreshes(admin)
    try:
        check(settings)
    except SettingError as exc:
        found.problems.append(f"`collector migrate` would refuse the settings: {exc}")
    if different := pending(admin, settings):
        said = "; ".join(different)
        found.problems.append(f"old rows are not treated as the settings say, run `collector migrate`: {said}")


def _judge(found: Diagnosis, admin: Admin) -> None:
    if found.schema < found.schema_of_program and (found.schema or not found.private):  # its own it makes when needed
        found.problems.append(
            f"schema {found.schema} is older than the program's {found.schema_of_program}: run `collector migrate`"
        )
    if found.schema > found.schema_of_program:
        found.problems.append(
            f"schema {found.schema} is newer than the program's {found.schema_of_program}: upgrade the collector"
        )
    if found.settings["fsync"] != "on":
        found.problems.append("fsync is off: a crash of the machine loses what was acknowledged")
    if found.settings["synchronous_commit"] == "off":
        found.problems.append("synchronous_commit is off: a crash of the server loses what was acknowledged")
    if found.settings["full_page_writes"] == "off":
        found.problems.append(
            "full_page_writes is off: a crash of the machine can leave half-written pages; set it to on, unless the "
            "storage writes pages whole"
        )
    if found.timescaledb:
        _judge_timescaledb(found, found.timescaledb)
        found.problems += _trouble_with_jobs(admin, found.policies)
    if found.engine not in (None, TIMESCALEDB):
        found.missing += [
            "columnar storage",
            "incremental aggregates (stats_5m is computed at each read)",
            "retention chunk by chunk (housekeeping deletes row by row)",
        ]
        if found.licence != "apache" and found.available:
            found.problems.append(
                "the server has community TimescaleDB, but this schema was made without it; dump into a new database"
            )


def _jobs_mended(version: tuple[int, ...]) -> bool:
    major, minor_number, patch = (*version, 0)[:3]
    minor = major, minor_number
    return minor > max(MENDED_JOBS) or patch >= MENDED_JOBS.get(minor, patch + 1)


def _judge_timescaledb(found: Diagnosis, text: str) -> None:
    version = tuple(int(part) for part in text.split("-")[0].split("."))
    if version < OLDEST_TIMESCALEDB:
        found.problems.append(f"TimescaleDB {text} is older than {'.'.join(map(str, OLDEST_TIMESCALEDB))}")
    if found.server in BROKEN_JOBS and not _jobs_mended(version):
        found.problems.append(
            f"PostgreSQL {found.server} makes every job of TimescaleDB {text} fail: upgrade TimescaleDB"
        )
    if found.licence != "timescale":
        found.missing.append("the community edition (timescaledb.license = timescale)")


def _trouble_with_jobs(admin: Admin, policies: list[Policy]) -> Iterator[str]:
    """Why windows are not refreshed, chunks not dropped or not made columnar."""
    if admin.value("SELECT current_setting('timescaledb.restoring', true)") == "on":
        yield (
            "timescaledb.restoring is on: no job runs, and aggregates miss what comes in; end the restore with "
            "SELECT timescaledb_post_restore()"
        )
    workers = admin.value("SELECT current_setting('timescaledb.max_background_workers', true)")
    if workers == "0":
        yield (
            "timescaledb.max_background_workers is 0: no job runs; raise it, and max_worker_processes along with it, "
            "and restart the server"
        )
    for policy in policies:
        if not policy.scheduled:
            yield f"paused: {policy}; SELECT alter_job({policy.job}, scheduled => true) lets it run"
        elif policy.last_status == "Failed":
            yield f"failed at its last run: {policy}; timescaledb_information.job_errors and the server's log say why"
        elif policy.late and workers != "0":
            yield (
                f"no success for three times its interval of {policy.every}: {policy}; the server's log says whether "
                "its scheduler runs and has a worker for it (timescaledb.max_background_workers)"
            )
