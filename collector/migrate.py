"""The schema: numbered SQL files, applied in order, each once, in a transaction of its own.

Number N is schema/common/N_….sql, then the file N of the engine's folder. The engine is chosen when the first one is
applied, by what the server can do, and stays: `timescaledb` where its community edition is there, else `plain`. At the
end the database's roles get what they are to have (`roles`).
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from collector.database.roles import give_roles
from collector.errors import SchemaError
from collector.store.admin import Admin, connected
from collector.store.queries import schema_folder

TIMESCALEDB = "timescaledb"
PLAIN = "plain"

LOCK = 7_236_401_845_520_117
"""Advisory lock of those who migrate: any number nobody else uses in this database."""

_TABLE = """
CREATE TABLE IF NOT EXISTS collector_schema (
    version    integer     NOT NULL,
    engine     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collector_schema_once PRIMARY KEY (version),
    CONSTRAINT collector_schema_engine CHECK (engine IN ('timescaledb', 'plain'))
)"""


class Migration(msgspec.Struct, frozen=True):
    """A numbered step, as the files to run for each engine."""

    version: int
    files: dict[str, list[Path]]


def migrations(folder: Path | None = None) -> list[Migration]:
    """All steps, in order."""
    folder = folder or schema_folder()
    found: dict[int, dict[str, list[Path]]] = {}
    for part in ("common", TIMESCALEDB, PLAIN):
        for path in sorted((folder / part).glob("*.sql")):
            files = found.setdefault(int(path.name[:4]), {TIMESCALEDB: [], PLAIN: []})
            for engine in (TIMESCALEDB, PLAIN) if part == "common" else (part,):
                files[engine].append(path)
    return [Migration(version, found[version]) for version in sorted(found)]


def migrate(
    url: str, steps: list[Migration] | None = None, begin: Callable[[int], Callable[[int], None]] = lambda _: _nothing
) -> list[int]:
    """Apply what is missing; returns the versions applied. Safe to run twice, and by two at once. `begin` is told how
    many steps there are, and gives a function that is told of each that is done.

    Raises SchemaError where the database is newer than this program, StoreDown where a step fails.
    """
    steps = migrations() if steps is None else steps
    applied = []
    with connected(url) as admin:
        lock(admin)
        version, engine = current(admin)
        _refuse_newer(version, steps)
        engine = engine or choose_engine(admin)
        missing = [step for step in steps if step.version > version]
        advance = begin(len(missing))
        for step in missing:
            with admin.transaction():
                admin.run(_TABLE)
                for path in step.files[engine]:
                    admin.run(path.read_text())
                admin.run("INSERT INTO collector_schema (version, engine) VALUES (%s, %s)", (step.version, engine))
            applied.append(step.version)
            advance(1)
        give_roles(admin, jobs=engine == TIMESCALEDB)
    return applied


def lock(admin: Admin) -> None:
    """Wait until nobody else changes the schema; until the connection ends."""
    admin.run("SELECT pg_advisory_lock(%s)", (LOCK,))


def bring_up(url: str, *, own: bool) -> None:
    """Migrate a database that is the collector's own, check any other. Raises as `check` does."""
    if own:
        migrate(url)
    else:
        check(url)


def check(url: str) -> None:
    """Raises SchemaError unless the schema is this program's; StoreDown where the database is away."""
    steps = migrations()
    with connected(url) as admin:
        version, _ = current(admin)
    _refuse_newer(version, steps)
    if version < steps[-1].version:
        have = f"is at schema {version}" if version else "has no schema yet"
        raise SchemaError(f"the database {have}, this program needs {steps[-1].version}: run `collector migrate`")


def current(admin: Admin) -> tuple[int, str | None]:
    """The schema's version and engine; 0 and None where there is none."""
    if admin.value("SELECT to_regclass('collector_schema')::text") is None:
        return 0, None
    rows = admin.rows("SELECT version, engine FROM collector_schema ORDER BY version DESC LIMIT 1")
    return (rows[0][0], rows[0][1]) if rows else (0, None)


def choose_engine(admin: Admin) -> str:
    """What this server can do; creates the extension where it is there to be created."""
    if not can_timescaledb(admin):
        return PLAIN
    admin.run("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return TIMESCALEDB if licence(admin) == "timescale" else PLAIN


def can_timescaledb(admin: Admin) -> bool:
    """Whether the extension is in this database, or could be; only reads."""
    installed = admin.value("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    # Without the loader in shared_preload_libraries CREATE EXTENSION would end the connection; this setting is the
    # loader's.
    loaded = admin.value("SELECT current_setting('timescaledb.max_background_workers', true)") is not None
    available = admin.value("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'") is not None
    return installed is not None or (loaded and available)


def licence(admin: Admin) -> str | None:
    """`timescale` (community edition), `apache`, or None without TimescaleDB."""
    value: str | None = admin.value("SELECT current_setting('timescaledb.license', true)")
    return value or None


def _nothing(steps: int) -> None:
    pass


def _refuse_newer(version: int, steps: list[Migration]) -> None:
    if version > steps[-1].version:
        raise SchemaError(
            f"the database is at schema {version}, but this program only knows {steps[-1].version}: install a newer one"
        )
