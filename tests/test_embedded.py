"""The private PostgreSQL, with real servers: shared, stopped by the last, and back after every kind of kill."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import collector.embedded.installation as installation_module
import collector.embedded.server as server_module
from collector.embedded import EmbeddedError, Installation, PrivateServer, acquire, default_data_dir, find_installation
from collector.embedded.account import server_account
from collector.embedded.directory import LOG_MAX_BYTES
from collector.embedded.installation import COPY_PREFIX, WHEEL, reachable
from collector.processes import alive, await_end, poll_until

DEADLINE_S = 60.0
REPOSITORY = Path(__file__).resolve().parent.parent
ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not ROOT, reason="only root meets this")

# Joins, says who the server is, and lets go at the next line of input.
USER = """
import sys
from pathlib import Path
from collector.embedded import acquire
with acquire(Path(sys.argv[1]), Path(sys.argv[2])) as server:
    print(server.pid, server.url, flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


# In memory where there is room for it: initdb and a start write some 40 MB and wait for the disk.
MEMORY = Path("/dev/shm")
FAST = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30 else Path("/tmp")


@contextlib.contextmanager
def open_folder(parent: Path) -> Iterator[Path]:
    """A short folder that everybody may enter: as root the server runs as another user, who may not enter tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="collector-", dir=parent))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for pid_file in path.rglob("postmaster.pid"):
            with contextlib.suppress(ValueError, IndexError, ProcessLookupError):
                os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
        shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder(FAST) as path:
        yield path


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder from which programs can be run, which memory is not everywhere."""
    with open_folder(Path("/tmp")) as path:
        yield path


@pytest.fixture(scope="module")
def made_once(bin_dir: Path) -> Iterator[Path]:
    with open_folder(FAST) as path:
        acquire(path, bin_dir).release()
        (path / "postgres.json").unlink()
        yield path


@pytest.fixture
def used(folder: Path, made_once: Path) -> Path:
    """A data directory in which PostgreSQL has run before, which saves initdb's time."""
    subprocess.run(["cp", "-a", made_once / "postgres", folder], check=True)
    return folder


def wheel() -> Installation:
    return installation_module._of_wheel()


def with_timescaledb() -> Installation:
    found = installation_module._of_path()
    if found is None:
        pytest.skip("no pg_config with TimescaleDB on PATH")
    if server_account().unreachable(found.bin_dir):
        pytest.skip("the server's user may not enter the folder of the pg_config on PATH")
    return found


@pytest.fixture(scope="module")
def bin_dir() -> Iterator[Path]:
    """The wheel's programs, copied where the server's user could not run them in place."""
    with open_folder(Path("/tmp")) as path:
        yield reachable(wheel(), server_account(), path).bin_dir


@pytest.fixture(params=["plain", "timescaledb"])
def engine(request: pytest.FixtureRequest, bin_dir: Path) -> Installation:
    return find_installation(bin_dir) if request.param == "plain" else with_timescaledb()


def ask(server: PrivateServer, sql: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


def do(server: PrivateServer, *statements: str) -> None:
    with psycopg.connect(server.url) as connection:
        for sql in statements:
            connection.execute(sql.encode())


def pid_of(server: PrivateServer) -> int:
    pid = server.pid
    assert pid is not None
    return pid


def kill_server(server: PrivateServer) -> None:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    assert await_end(pid, DEADLINE_S)


def user_process(
    data_dir: Path, bin_dir: Path, script: str = USER, *, start_new_session: bool = False
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir), str(bin_dir)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if start_new_session else None,  # a KeyboardInterrupt that is meant
        text=True,
        start_new_session=start_new_session,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert said(process) == ["released"]
    with process:
        assert process.wait(DEADLINE_S) == 0


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with process:
        process.send_signal(number)
        process.wait(DEADLINE_S)


class TestOneUser:
    def test_data_survive_a_stop(self, disk: Path, engine: Installation) -> None:
        with acquire(disk / "data", engine.bin_dir) as server:
            first = pid_of(server)
            assert server.installation.has_timescaledb == engine.has_timescaledb
            do(server, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
        assert not alive(first)
        with acquire(disk / "data", engine.bin_dir) as server:
            assert pid_of(server) != first
            assert ask(server, "SELECT n FROM kept") == 42
        assert server.pid is None

    def test_settings(self, folder: Path, engine: Installation) -> None:
        odd = 'it\'s \\ "odd"'
        expected = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "jit": "off",
            "max_wal_size": "3GB",
            "data_checksums": "on",
            "test.odd": odd,
        }
        if engine.has_timescaledb:
            expected |= {"timescaledb.telemetry_level": "off", "timescaledb.max_background_workers": "8"}
        with acquire(folder, engine.bin_dir, settings={"max_wal_size": "3GB", "test.odd": odd}) as server:
            assert {name: ask(server, f"SHOW {name}") for name in expected} == expected
            assert ask(server, "SELECT current_database()") == "collector"
            assert ask(server, "SELECT upper('é') || lower('Ä')") == "Éä"
        with acquire(folder, engine.bin_dir, database="other") as server:
            assert ask(server, "SELECT current_database()") == "other"
            assert ask(server, "SHOW max_wal_size") == "2GB"

    def test_timescaledb_can_be_created(self, folder: Path) -> None:
        with acquire(folder, with_timescaledb().bin_dir) as server:
            do(server, "CREATE EXTENSION timescaledb")
            assert ask(server, "SELECT current_setting('timescaledb.license')") in {"timescale", "apache"}

    def test_nobody_else_comes_in(self, folder: Path, bin_dir: Path) -> None:
        with acquire(folder, bin_dir) as server:
            for name in ("postgres", "run"):
                found = (folder / name).stat()
                assert found.st_mode & 0o777 == 0o700
                assert found.st_uid == server_account().uid
            assert server.log.stat().st_mode & 0o777 == 0o600

    def test_server_is_free_of_the_caller(self, used: Path, bin_dir: Path) -> None:
        with acquire(used, bin_dir) as server:
            pid = pid_of(server)
            assert os.getsid(pid) != os.getsid(0)
            assert os.getpgid(pid) != os.getpgid(0)
            held = []
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed since
                    held.append(str(entry.readlink()))
            assert held
            assert not [name for name in held if name.endswith(".lock")]

    def test_release_twice_and_use_after(self, used: Path, bin_dir: Path) -> None:
        server = acquire(used, bin_dir)
        assert server.ensure_running() is False
        server.release()
        server.release()
        with pytest.raises(EmbeddedError, match="released"):
            server.ensure_running()

    def test_long_path(self, folder: Path, bin_dir: Path) -> None:
        data_dir = folder / ("d" * 60) / ("e" * 60)
        with acquire(data_dir, bin_dir) as server:
            assert ask(server, "SELECT 1") == 1
            outside = Path(str(ask(server, "SHOW unix_socket_directories")).strip('"'))
            assert not outside.is_relative_to(folder)
            assert outside.stat().st_mode & 0o777 == 0o700
        outside.rmdir()  # empty again
        # Somebody else's folder of that name is not trusted.
        outside.mkdir(mode=0o755)
        outside.chmod(0o755)
        try:
            with pytest.raises(EmbeddedError, match=r"only user .* may enter"):
                acquire(data_dir, bin_dir)
        finally:
            outside.rmdir()

    def test_odd_path(self, folder: Path, bin_dir: Path) -> None:
        with acquire(folder / "a b'\"$(c)%é", bin_dir) as server:
            assert ask(server, "SELECT 1") == 1

    def test_large_log_is_put_aside(self, used: Path, bin_dir: Path) -> None:
        (used / "postgres.log").write_bytes(b"x" * (LOG_MAX_BYTES + 1))
        with acquire(used, bin_dir) as server:
            assert server.log.stat().st_size < 100_000
        assert (used / "postgres.log.1").stat().st_size == LOG_MAX_BYTES + 1

    def test_default_data_dir(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert default_data_dir() == Path("/var/lib/collector")
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
        assert default_data_dir() == Path("/somewhere/collector")
        monkeypatch.setenv("XDG_DATA_HOME", "relative")
        monkeypatch.setenv("HOME", "/home/someone")
        assert default_data_dir() == Path("/home/someone/.local/share/collector")


class TestManyProcesses:
    def test_four_at_once_share_one_and_the_last_stops_it(self, folder: Path, bin_dir: Path) -> None:
        users = [user_process(folder, bin_dir) for _ in range(4)]
        answers = [said(user) for user in users]
        assert len({tuple(words) for words in answers}) == 1
        pid = int(answers[0][0])
        for user in users[:3]:
            leave(user)
            assert alive(pid)
        leave(users[3])
        assert not alive(pid)
        assert not (folder / "postgres" / "postmaster.pid").exists()

    def test_a_killed_user_counts_no_more(self, used: Path, bin_dir: Path) -> None:
        killed, other = user_process(used, bin_dir), user_process(used, bin_dir)
        pid = int(said(killed)[0])
        assert int(said(other)[0]) == pid
        end(killed, signal.SIGKILL)
        assert alive(pid)
        leave(other)
        assert not alive(pid)

    def test_a_server_left_by_a_killed_user_is_taken_over(self, used: Path, bin_dir: Path) -> None:
        killed = user_process(used, bin_dir)
        pid = int(said(killed)[0])
        end(killed, signal.SIGKILL)
        assert alive(pid)
        with acquire(used, bin_dir) as server:
            assert server.pid == pid
        assert not alive(pid)

    def test_ctrl_c_reaches_the_user_only(self, used: Path, bin_dir: Path) -> None:
        # A session of its own stands for the terminal: Ctrl-C there signals the whole process group.
        starter = user_process(used, bin_dir, start_new_session=True)
        pid = int(said(starter)[0])
        with acquire(used, bin_dir) as server:
            with starter:
                os.killpg(starter.pid, signal.SIGINT)
                assert starter.wait(DEADLINE_S) != 0
            assert server.pid == pid
            assert ask(server, "SELECT 1") == 1
        assert not alive(pid)

    def test_a_forked_child_keeps_it(self, used: Path, bin_dir: Path) -> None:
        script = """
import os, sys
from pathlib import Path
from collector.embedded import acquire
server = acquire(Path(sys.argv[1]), Path(sys.argv[2]))
print(server.pid, flush=True)
if os.fork():
    server.release()
    print("parent", flush=True)
    os.wait()
else:
    sys.stdin.readline()
    server.release()
    print("released", flush=True)
    os._exit(0)
"""
        user = user_process(used, bin_dir, script)
        pid = int(said(user)[0])
        assert said(user) == ["parent"]
        assert alive(pid)
        leave(user)
        assert not alive(pid)

    def test_a_user_that_simply_ends_lets_go(self, used: Path, bin_dir: Path) -> None:
        script = USER.replace("with acquire", "if server := acquire").replace('print("released', 'print("x')
        user = user_process(used, bin_dir, script.replace("(sys.argv[2])) as server:", "(sys.argv[2])):"))
        pid = int(said(user)[0])
        with user:
            user.communicate("\n", DEADLINE_S)
        assert not alive(pid)


class TestKills:
    def test_killed_server_comes_back_with_what_was_committed(self, folder: Path, engine: Installation) -> None:
        with acquire(folder, engine.bin_dir) as server:
            do(server, "CREATE TABLE kept (n int)")
            for round_number in range(3):
                do(server, f"INSERT INTO kept VALUES ({round_number})")
                kill_server(server)
                assert server.ensure_running() is True
                assert server.ensure_running() is False
                assert ask(server, "SELECT count(*) FROM kept") == round_number + 1

    def test_a_busy_backend_of_a_killed_server_makes_way(self, used: Path, bin_dir: Path) -> None:
        with acquire(used, bin_dir) as server, psycopg.connect(server.url) as connection:
            backend = connection.info.backend_pid
            started = threading.Event()

            def busy() -> None:
                started.set()
                with contextlib.suppress(psycopg.OperationalError):
                    connection.execute("DO 'BEGIN LOOP END LOOP; END'")

            thread = threading.Thread(target=busy)
            thread.start()
            started.wait(DEADLINE_S)
            state = f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {backend}"
            assert poll_until(lambda: ask(server, state) is True, time.monotonic() + DEADLINE_S)
            kill_server(server)
            assert alive(backend)
            assert server.ensure_running() is True
            assert not alive(backend)
            thread.join(DEADLINE_S)
            assert ask(server, "SELECT 1") == 1

    def test_after_a_power_cut_the_process_number_is_somebody_elses(self, used: Path, bin_dir: Path) -> None:
        with acquire(used, bin_dir) as server:
            do(server, "CREATE TABLE kept (n int)")
            files = [used / "postgres" / "postmaster.pid", used / "run" / ".s.PGSQL.5432.lock"]
            content = [file.read_text() for file in files]
            kill_server(server)
            # A process of the same user: PostgreSQL alone takes such a one for another server, and gives up.
            with subprocess.Popen(["/bin/sleep", "600"], **server_account().switch) as other:
                for file, text in zip(files, content, strict=True):
                    file.write_text("\n".join([str(other.pid), *text.splitlines()[1:], ""]))
                assert server.ensure_running() is True
                assert other.poll() is None
                other.kill()
            assert ask(server, "SELECT count(*) FROM kept") == 0

    def test_after_a_power_cut_files_are_empty(self, used: Path, bin_dir: Path) -> None:
        with acquire(used, bin_dir) as server:
            kill_server(server)
            (used / "postgres" / "postmaster.pid").write_text("")
            (used / "run" / ".s.PGSQL.5432.lock").write_text("")
            assert server.ensure_running() is True
            assert ask(server, "SELECT 1") == 1

    def test_everybody_notices_and_one_starts_it(self, used: Path, bin_dir: Path) -> None:
        servers = [acquire(used, bin_dir) for _ in range(3)]
        try:
            servers[0].stop("immediate")
            started: list[bool] = []
            threads = [
                threading.Thread(target=lambda s=server: started.append(s.ensure_running())) for server in servers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE_S)
            assert sorted(started) == [False, False, True]
            assert len({server.pid for server in servers}) == 1
        finally:
            for server in servers:
                server.release()
        assert servers[0].pid is None

    def test_a_socket_that_was_cleaned_away(self, used: Path, bin_dir: Path) -> None:
        with acquire(used, bin_dir) as server:
            (used / "run" / ".s.PGSQL.5432").unlink()
            assert server.ensure_running() is True
            assert ask(server, "SELECT 1") == 1

    def test_an_initdb_that_was_cut(self, folder: Path, bin_dir: Path) -> None:
        (folder / "postgres.new" / "base").mkdir(parents=True)
        with acquire(folder, bin_dir) as server:
            assert ask(server, "SELECT 1") == 1
        assert not (folder / "postgres.new").exists()


class TestClearErrors:
    def test_start_fails(self, used: Path, bin_dir: Path) -> None:
        with pytest.raises(EmbeddedError, match=r"could not start in (.|\n)*postgres\.log:(.|\n)*no_such_library"):
            acquire(used, bin_dir, settings={"shared_preload_libraries": "no_such_library"})
        with acquire(used, bin_dir) as server:
            assert ask(server, "SELECT 1") == 1

    def test_directory_of_another_major_version(self, used: Path, bin_dir: Path) -> None:
        (used / "postgres" / "PG_VERSION").write_text("14\n")
        with pytest.raises(EmbeddedError, match=r"was made by PostgreSQL 14, and .* is PostgreSQL 1"):
            acquire(used, bin_dir)

    def test_programs_of_another_major_version(self, folder: Path, bin_dir: Path) -> None:
        others = [found for found in sorted(Path("/usr/lib/postgresql").glob("*/bin")) if (found / "initdb").exists()]
        others = [found for found in others if 15 <= int(found.parent.name) != wheel().major]
        if not others:
            pytest.skip("no PostgreSQL of another major version in /usr/lib/postgresql")
        with acquire(folder, others[0]) as server:
            assert ask(server, "SELECT 1") == 1
        with pytest.raises(EmbeddedError, match=f"was made by PostgreSQL {others[0].parent.name}, and"):
            acquire(folder, bin_dir)

    @only_root
    def test_directory_of_another_user(self, used: Path, bin_dir: Path) -> None:
        nobody = pwd.getpwnam("nobody")
        os.chown(used / "postgres", nobody.pw_uid, nobody.pw_gid)
        with pytest.raises(EmbeddedError, match="belongs to user 'nobody', and PostgreSQL would run as 'collector'"):
            acquire(used, bin_dir)

    @only_root
    def test_directory_out_of_the_servers_reach(self, folder: Path, bin_dir: Path) -> None:
        (folder / "closed").mkdir(mode=0o700)
        with pytest.raises(
            EmbeddedError, match=f"may not enter {folder}/closed; choose another with COLLECTOR_DATA_DIR"
        ):
            acquire(folder / "closed" / "data", bin_dir)

    def test_directory_that_cannot_be_made(self, folder: Path, bin_dir: Path) -> None:
        (folder / "file").touch()
        with pytest.raises(EmbeddedError, match=r"data directory .*/file/data cannot be used.*: Not a directory"):
            acquire(folder / "file" / "data", bin_dir)

    def test_folder_that_is_something_else(self, folder: Path, bin_dir: Path) -> None:
        (folder / "postgres").mkdir()
        os.chown(folder / "postgres", server_account().uid, -1)
        (folder / "postgres" / "thesis.tex").touch()
        with pytest.raises(EmbeddedError, match="no data directory of PostgreSQL: it has no PG_VERSION"):
            acquire(folder, bin_dir)
        assert (folder / "postgres" / "thesis.tex").exists()

    def test_made_with_timescaledb_opened_without(self, folder: Path, bin_dir: Path) -> None:
        other = with_timescaledb()
        if other.major != wheel().major:
            pytest.skip(f"TimescaleDB here is of PostgreSQL {other.major}")
        acquire(folder, other.bin_dir).release()
        with pytest.raises(
            EmbeddedError, match=r"was made with TimescaleDB, and .* has none: set COLLECTOR_POSTGRES_BIN"
        ):
            acquire(folder, bin_dir)

    @pytest.mark.parametrize("database", ["", "Robert'); --", "a b", "x" * 64])
    def test_name_of_the_database(self, folder: Path, bin_dir: Path, database: str) -> None:
        with pytest.raises(EmbeddedError, match="no name for the private database"):
            acquire(folder, bin_dir, database=database)

    @pytest.mark.parametrize(("name", "value"), [("a b", "1"), ("", "1"), ("work_mem", "1MB\nfsync = off")])
    def test_setting_that_is_none(self, used: Path, bin_dir: Path, name: str, value: str) -> None:
        with pytest.raises(EmbeddedError, match="is no setting of PostgreSQL"):
            acquire(used, bin_dir, settings={name: value})


class TestWhichInstallation:
    def test_the_one_that_was_named(self, bin_dir: Path) -> None:
        found = find_installation(bin_dir)
        assert found.origin == "COLLECTOR_POSTGRES_BIN"
        assert found.bin_dir == bin_dir.resolve()
        assert found.version.startswith(f"{found.major}")

    def test_named_and_not_there(self, folder: Path) -> None:
        with pytest.raises(EmbeddedError, match=f"COLLECTOR_POSTGRES_BIN={folder}: no postgres in this folder"):
            find_installation(folder)

    def test_named_and_too_old(self, disk: Path) -> None:
        for program in ("initdb", "pg_ctl"):
            (disk / program).touch()
        (disk / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n")
        (disk / "postgres").chmod(0o755)
        with pytest.raises(EmbeddedError, match=r"PostgreSQL 9\.6\.24 is too old"):
            find_installation(disk)

    def test_pg_config_with_timescaledb_is_preferred(self) -> None:
        expected = with_timescaledb()
        assert find_installation(None) == expected
        assert expected.origin == "pg_config"
        assert expected.has_timescaledb

    @pytest.mark.parametrize("answer", ["exit 1", "echo /nowhere", "echo", "echo {bin_dir}"])
    def test_pg_config_that_is_of_no_use(
        self, disk: Path, bin_dir: Path, answer: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (disk / "pg_config").write_text(f"#!/bin/sh\n{answer.format(bin_dir=bin_dir)}\n")
        (disk / "pg_config").chmod(0o755)
        monkeypatch.setenv("PATH", str(disk), prepend=os.pathsep)
        assert find_installation(None) == wheel()
        assert wheel().origin == WHEEL

    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(
            EmbeddedError, match=r"pip install 'collector\[embedded\]'.*COLLECTOR_POSTGRES_BIN.*DATABASE_URL"
        ):
            find_installation(None)


def hidden_wheel(folder: Path) -> Installation:
    """The wheel's programs below a folder that only its owner may enter."""
    source = wheel().bin_dir.parent
    target = folder / "hidden" / source.parent.name / source.name
    for name in ("bin", "lib", "share"):
        shutil.copytree(source / name, target / name, symlinks=True)
    libraries = source.parent.with_suffix(".libs")
    shutil.copytree(libraries, folder / "hidden" / libraries.name)
    (folder / "hidden").chmod(0o700)
    return Installation(target / "bin", wheel().version, has_timescaledb=False, origin=WHEEL)


class TestWhoRunsIt:
    @only_root
    def test_wheel_out_of_the_servers_reach_is_copied(self, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hidden = hidden_wheel(disk)
        monkeypatch.setattr(server_module, "find_installation", lambda _: hidden)
        stale = disk / "data" / f"{COPY_PREFIX}0.1"
        stale.mkdir(parents=True)
        with acquire(disk / "data") as server:
            assert server.installation.bin_dir.is_relative_to(disk / "data")
            assert ask(server, "SELECT 1") == 1
        assert not stale.exists()
        assert (disk / "hidden").stat().st_mode & 0o777 == 0o700
        copied = server.installation.bin_dir.stat().st_ino
        with acquire(disk / "data") as server:
            assert server.installation.bin_dir.stat().st_ino == copied

    @only_root
    def test_other_programs_out_of_reach_are_refused(self, disk: Path) -> None:
        hidden = hidden_wheel(disk).bin_dir.parent
        elsewhere = hidden.rename(hidden.with_name("postgresql"))
        with pytest.raises(
            EmbeddedError, match=f"'collector' runs the private PostgreSQL, and may not enter {disk}/hidden"
        ):
            acquire(disk / "data", elsewhere / "bin")

    def test_in_reach_is_used_in_place(self, folder: Path, bin_dir: Path) -> None:
        found = find_installation(bin_dir)
        assert reachable(found, server_account(), folder) == found
        assert not list(folder.iterdir())

    @only_root
    def test_an_ordinary_user(self, folder: Path, bin_dir: Path) -> None:
        as_nobody = ordinary_user()
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        done = as_nobody(USER, str(folder / "data"), str(bin_dir))
        assert done.returncode == 0, done.stderr
        assert "released" in done.stdout
        assert (folder / "data" / "postgres").owner() == "nobody"
        # What root has made is not an ordinary user's, and the other way round.
        acquire(folder / "roots", bin_dir).release()
        done = as_nobody(USER, str(folder / "roots"), str(bin_dir))
        assert "cannot be used" in done.stderr
        assert "belongs to user 'root'" in done.stderr
        with pytest.raises(EmbeddedError, match="belongs to user 'nobody'"):
            acquire(folder / "data", bin_dir)


def ordinary_user() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python scripts as nobody; skips where that user reaches no Python that can load the package."""
    nobody = pwd.getpwnam("nobody")
    packages = os.pathsep.join([str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))])

    def run(python: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-B", "-c", *words],
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": packages, "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
        )

    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if run(python, "import collector.embedded").returncode == 0:
                return lambda *words: run(python, *words)
    pytest.skip("user nobody reaches no Python that can load the package")
