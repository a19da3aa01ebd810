"""Who may import what: the driver in one package, I/O out of the pure modules."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import collector
import simulation

PACKAGE = Path(collector.__file__).parent
MESSAGES = sorted(f"messages.{path.stem}" for path in (PACKAGE / "messages").glob("[!_]*.py"))
PAGES = ("words", "scales", "charts", "layout", "parts", "icicle", "report", "reportform", "session", "problem")
PURE = [
    *MESSAGES,
    *("lines", "segment", "batch", "progress", "store.rows", "store.session_rows", "times", "errors"),
    *(f"report.{name}" for name in ("model", "question", "sentences", "values")),
    *(f"web.{name}" for name in PAGES),
]
IO = {"psycopg", "psycopg_pool", "litestar", "granian", "socket", "subprocess", "aiohttp", "httpx"}


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            package = PACKAGE.parent.joinpath(*node.module.split(".")).is_dir()
            found |= {f"{node.module}.{alias.name}" if package else node.module for alias in node.names}
    return found


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_only_the_store_imports_the_driver() -> None:
    importers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if roots(imported(path)) & {"psycopg", "psycopg_pool"}
    }
    assert importers == {"store"}


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_no_io(module: str) -> None:
    names = imported(PACKAGE / f"{module.replace('.', '/')}.py")
    assert not roots(names) & IO
    ours = {name.partition(".")[2] for name in names if name.startswith("collector.")}
    assert ours <= set(PURE)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_load_without_driver_and_server(module: str) -> None:
    code = f"import sys, collector.{module}; print(*[name for name in sys.modules if '.' not in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"psycopg", "psycopg_pool", "litestar", "granian"}


def test_only_the_app_the_routes_and_serve_know_the_web_framework() -> None:
    importers = {
        path.relative_to(PACKAGE).with_suffix("").parts[0]
        for path in PACKAGE.rglob("*.py")
        if roots(imported(path)) & {"litestar", "granian"}
    }
    assert importers <= {"app", "routes", "http", "serve", "openapi"}
    assert {"app", "routes"} <= importers


def test_what_is_imported_is_declared() -> None:
    """With the wheel alone nothing else is there: what tests need brings much more along."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(each for extra in ("embedded", "kafka", "simulation") for each in extras[extra]),
    ]
    declared = {re.split(r"[\[>=;<~! ]", each)[0].lower().replace("_", "-") for each in wanted}
    distributions = packages_distributions()
    ours = {"collector", "schema", "simulation", "dashboards"}
    for package in (PACKAGE, Path(simulation.__file__).parent):
        for path in package.rglob("*.py"):
            for name in roots(imported(path)) - ours - sys.stdlib_module_names:
                found = {each.lower().replace("_", "-") for each in distributions[name]}
                assert found & declared, f"{path.name} imports {name}"


def test_a_server_does_not_carry_what_only_a_report_computes_with() -> None:
    code = "import sys, collector.app; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_app_depends_on_routes() -> None:
    importers = {
        path.relative_to(PACKAGE).with_suffix("").parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.startswith("collector.routes") for name in imported(path))
    }
    assert importers <= {"app", "routes", "openapi"}


SIMULATION = Path(simulation.__file__).parent
FLOW = ["scenario", "traffic", "load", "truth", "command"]


@pytest.mark.parametrize("package", FLOW)
def test_the_simulator_flows_in_one_direction(package: str) -> None:
    """Each package knows only those before it; and none of them the collector, whose words it has to know by itself."""
    allowed = set(FLOW[: FLOW.index(package) + 1])
    for path in (SIMULATION / package).rglob("*.py"):
        names = imported(path)
        used = {name.split(".")[1] for name in names if name.startswith("simulation.")}
        assert used <= allowed, path
        assert "collector" not in roots(names), path
