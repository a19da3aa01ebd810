"""What lies in the collector's data directory, and whether this server may use it.

<data_dir>/postgres       PostgreSQL's data directory, owned by the server's user
          /postgres.conf  its settings, written at each start
          /postgres.log   its log, and .1 the one before
          /postgres.json  what ran it last
          /run            its socket
          /start.lock     held while somebody starts or stops it
          /users.lock     held, shared, by everybody who uses it
"""

import hashlib
import os
import shutil
import stat
from pathlib import Path

import msgspec

from collector.embedded.account import Account, user_name
from collector.embedded.configuration import PORT
from collector.embedded.errors import EmbeddedError
from collector.embedded.installation import Installation, major_of

# sun_path has 108 bytes on Linux, 104 elsewhere, with the NUL at its end.
SOCKET_PATH_MAX_BYTES = 103
LOG_MAX_BYTES = 10 * 2**20


class LastStart(msgspec.Struct, frozen=True):
    """postgres.json: what ran the server last."""

    installation: Installation
    timescaledb: bool
    """Whether a server with TimescaleDB has ever run here: its tables need it from then on."""


class DataDirectory:
    """The collector's data directory `path`, whose server `account` runs."""

    def __init__(self, path: Path, account: Account) -> None:
        self.path = path
        self.account = account
        self.pgdata = path / "postgres"
        self.config = path / "postgres.conf"
        self.log = path / "postgres.log"
        self.marker = path / "postgres.json"
        self.start_lock = path / "start.lock"
        self.users_lock = path / "users.lock"
        digest = hashlib.sha256(os.fsencode(self.pgdata)).hexdigest()[:16]
        self.cluster_name = f"collector-{digest}"
        """Tells the processes of this server from those of others in the list of processes."""

    @property
    def socket_dir(self) -> Path:
        """Where the socket goes: inside, or, where that path is too long for the kernel, to a folder named after it."""
        inside = self.path / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}.lock")) <= SOCKET_PATH_MAX_BYTES:
            return inside
        # Not $TMPDIR or $XDG_RUNTIME_DIR: every process must come to the same name.
        root = Path("/run") if os.geteuid() == 0 and os.access("/run", os.W_OK) else Path("/tmp")  # noqa: S108 - checked below
        return root / f"{self.cluster_name}-{self.account.uid}"

    def make(self) -> None:
        """Makes the directory itself. Raises EmbeddedError where the server's user could not come to it."""
        try:
            # Root's own may be entered by the server's user; an ordinary user's is nobody else's business.
            self.path.mkdir(mode=0o755 if self.account.switch else 0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as exc:
            raise EmbeddedError(f"data directory {self.path} cannot be used{self._whose()}: {exc.strerror}") from exc
        self._check_owner()
        if self.account.switch and (closed := self.account.unreachable(self.path)):
            raise EmbeddedError(
                f"data directory {self.path} cannot be used: user {self.account.name!r}, who runs PostgreSQL since it "
                f"refuses to run as root, may not enter {closed}; choose another with COLLECTOR_DATA_DIR"
            )

    def check(self, installation: Installation) -> None:
        """Raises EmbeddedError where this PostgreSQL cannot open the data that is there."""
        if not self.has_cluster():
            return
        major = major_of((self.pgdata / "PG_VERSION").read_text().strip())
        where = f"{installation.bin_dir} ({installation.origin})"
        if major != installation.major:
            raise EmbeddedError(
                f"{self.pgdata} was made by PostgreSQL {major}, and {where} is PostgreSQL {installation.version}: set "
                f"COLLECTOR_POSTGRES_BIN to the programs of PostgreSQL {major}, or choose another COLLECTOR_DATA_DIR"
            )
        last = self.last_start()
        if last and last.timescaledb and not installation.has_timescaledb:
            raise EmbeddedError(
                f"{self.pgdata} was made with TimescaleDB, and {where} has none: set COLLECTOR_POSTGRES_BIN to the "
                f"programs of a PostgreSQL {major} with TimescaleDB, or choose another COLLECTOR_DATA_DIR"
            )

    def has_cluster(self) -> bool:
        """Whether there is a data directory already. Raises EmbeddedError for a folder that is something else."""
        if (self.pgdata / "PG_VERSION").is_file():
            return True
        if self.pgdata.is_dir() and any(self.pgdata.iterdir()):
            raise EmbeddedError(f"{self.pgdata} is not empty and no data directory of PostgreSQL: it has no PG_VERSION")
        return False

    def create_cluster(self, installation: Installation) -> None:
        """Runs initdb, unless there is a data directory; one that was cut before leaves nothing half done."""
        if self.has_cluster():
            return
        fresh = self.path / "postgres.new"
        if fresh.is_symlink():
            raise EmbeddedError(f"{fresh} is a symbolic link")
        shutil.rmtree(fresh, ignore_errors=True)
        self._own_folder(fresh)
        options = ["--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--username=postgres", "--locale=C"]
        if installation.major >= 17:
            # Sorts by code point like C, and knows letters beyond ASCII, whatever the machine has installed.
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if installation.major < 18:
            options += ["--data-checksums"]
        done = self.account.run(installation.bin_dir / "initdb", "--pgdata", fresh, *options)
        if done.returncode:
            raise EmbeddedError(f"{installation.bin_dir / 'initdb'} failed in {self.path}: {done.stderr.strip()}")
        if self.pgdata.is_dir():
            self.pgdata.rmdir()
        fresh.rename(self.pgdata)
        _sync_folder(self.path)

    def make_socket_dir(self) -> None:
        """Makes the socket's folder; nobody but the server's user and root may enter. Raises EmbeddedError if taken."""
        self._own_folder(self.socket_dir)

    def last_start(self) -> LastStart | None:
        """What ran the server last, or None."""
        try:
            return msgspec.json.decode(self.marker.read_bytes(), type=LastStart, dec_hook=_to_path)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def remember(self, installation: Installation) -> None:
        """Notes what runs the server now."""
        last = self.last_start()
        started = LastStart(installation, installation.has_timescaledb or bool(last and last.timescaledb))
        if started != last:
            self._write(self.marker, msgspec.json.format(msgspec.json.encode(started, enc_hook=str)) + b"\n")

    def write_config(self, text: str) -> None:
        """Writes the settings, readable by the server's user."""
        self._write(self.config, text.encode())

    def bound_log(self) -> None:
        """Puts a log that has grown large aside; only while the server is down."""
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.replace(self.log.with_name(self.log.name + ".1"))

    def _check_owner(self) -> None:
        try:
            found = self.pgdata.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise EmbeddedError(f"{self.pgdata} is no folder")
        if found.st_uid != self.account.uid:
            raise EmbeddedError(
                f"{self.pgdata} belongs to user {user_name(found.st_uid)!r}, and PostgreSQL would run as "
                f"{self.account.name!r}: run as the user it belongs to, or choose another COLLECTOR_DATA_DIR"
            )

    def _own_folder(self, folder: Path) -> None:
        """Makes a folder of mode 0700 that belongs to the server's user, or sees that an existing one is such."""
        try:
            folder.mkdir(mode=0o700)
            if self.account.switch:
                os.chown(folder, self.account.uid, self.account.gid, follow_symlinks=False)
        except FileExistsError:
            pass
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.account.uid or stat.S_IMODE(found.st_mode) & 0o077:
            raise EmbeddedError(f"{folder} must be a folder that only user {self.account.name!r} may enter; remove it")

    def _write(self, path: Path, content: bytes) -> None:
        """Replaces a small file whole; the start mutex keeps others away."""
        partial = path.with_name(path.name + ".new")
        partial.unlink(missing_ok=True)
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(fd, "wb") as file:
            # Whatever the umask: the server's user reads it.
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _whose(self) -> str:
        for path in (self.path, *self.path.parents):
            try:
                uid = path.stat().st_uid
            except OSError:
                continue
            return f" ({path} belongs to user {user_name(uid)!r})" if uid != os.geteuid() else ""
        return ""


def _to_path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str):
        raise NotImplementedError
    return Path(value)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
