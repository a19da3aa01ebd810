"""Who runs PostgreSQL: the caller, or, because PostgreSQL refuses to run as root, a system user of its own."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TypedDict

import msgspec

from collector.embedded.errors import EmbeddedError

SYSTEM_USER = "collector"
# useradd locks /etc/passwd and fails at once when somebody else holds the lock.
USERADD_ATTEMPTS = 10
COMMAND_TIMEOUT_S = 30.0


class SwitchUser(TypedDict, total=False):
    """Arguments of subprocess that make the child another user."""

    user: int
    group: int
    extra_groups: list[int]


class Account(msgspec.Struct, frozen=True):
    """The operating system user that owns the data directory and runs the server."""

    name: str
    uid: int
    gid: int

    @property
    def switch(self) -> SwitchUser:
        """What subprocess needs to run a program as this user; nothing when it is the caller."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a short program as this user. Raises EmbeddedError where the caller may not change users."""
        try:
            return subprocess.run(  # noqa: S603 - an argument list, no shell; programs of the installation
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                cwd="/",
                env=server_environment(),
                **self.switch,
            )
        except subprocess.TimeoutExpired as exc:
            raise EmbeddedError(f"{command[0]} did not end within {COMMAND_TIMEOUT_S:.0f} s") from exc
        except PermissionError as exc:
            if self.switch:
                raise EmbeddedError(f"root may not run programs as user {self.name!r} here: {exc}") from exc
            raise

    def unreachable(self, path: Path) -> Path | None:
        """The first folder on the way to `path`, itself included, that this user may not enter, or None."""
        # The shell asks the kernel, so that access control lists and mounts count too.
        way = [*reversed(path.parents), path]
        found = self.run("/bin/sh", "-c", 'for d; do [ -x "$d" ] || { printf %s "$d"; exit 1; }; done', "sh", *way)
        return Path(found.stdout) if found.returncode else None


def server_environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: no PG… variables, none of the caller's secrets, English messages."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


def server_account() -> Account:
    """The caller, or for root the system user "collector", which is created when there is none."""
    uid = os.geteuid()
    if uid != 0:
        return Account(user_name(uid), uid, os.getegid())
    entry = _system_user() or _create_system_user()
    if entry.pw_uid == 0:
        raise EmbeddedError(f"user {SYSTEM_USER!r} is root by another name, and PostgreSQL refuses to run as root")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def user_name(uid: int) -> str:
    """The name of a user for messages; its number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None


def _create_system_user() -> pwd.struct_passwd:
    # cron and others leave the administrator's folders out of PATH.
    useradd = shutil.which("useradd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    command = [useradd or "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", "--comment", "private PostgreSQL of the collector", SYSTEM_USER]
    reason = ""
    for _ in range(USERADD_ATTEMPTS):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as exc:
            reason = str(exc)
            break
        # Another process may have been faster; then useradd failed and the user is there.
        if entry := _system_user():
            return entry
        reason = done.stderr.strip()
        time.sleep(0.2)
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER!r} could not be created ({reason}): "
        f"create it, or run the collector as an ordinary user"
    )
