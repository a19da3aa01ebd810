"""The page on adding an endpoint, followed: what it shows goes into a copy of the package and runs there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from collector.messages.kind import Kind
from tests.documents import ROOT, blocks
from tests.harness.engines import Engine, folder
from tests.harness.server import environment

PAGE = ROOT / "docs" / "adding-an-endpoint.md"
COPIED = (
    "collector",
    "schema",
    "simulation",
    "tests",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "docs",
    "Makefile",
)
MOST_S = 280
OVER_ALL = ("contract/test_openapi", "test_docs", "test_upkeep")
"""Tests that are about every endpoint there is."""
CHOSEN = "temperatures or described or examples or valid_openapi or bodies or samples or nothing_is_pending"


def files() -> dict[str, str]:
    """The files that the page shows, by their paths."""
    found = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 3
    return dict(found)


def changes() -> dict[str, list[tuple[str, str]]]:
    """The lines that it changes, as they are and as they will be."""
    made = {}
    for path, diff in re.findall(r"<!-- change: (\S+) -->\n```diff\n(.*?)```", PAGE.read_text(), re.DOTALL):
        lines = diff.splitlines()
        assert [line[0] for line in lines] == ["-", "+"] * (len(lines) // 2)
        made[path] = [(old[1:], new[1:]) for old, new in zip(lines[::2], lines[1::2], strict=True)]
    return made


def next_number() -> str:
    return f"{max(int(path.name[:4]) for path in (ROOT / 'schema').glob('*/*.sql') if path.name[0].isdigit()) + 1:04}"


def follow(target: Path) -> list[str]:
    """A copy of the package in which the page was followed; returns the files that are new."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, target / name)
    for path, replaced in changes().items():
        text = (target / path).read_text()
        for old, new in replaced:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (target / path).write_text(text)
    written = []
    for path, text in files().items():
        written.append(path.replace("NNNN", next_number()))
        assert not (target / written[-1]).exists()
        (target / written[-1]).write_text(text)
    return written


def run(target: Path, *command: str) -> None:
    given = environment({"PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"})
    if "COLLECTOR_POSTGRES_BIN" in os.environ:
        given["COLLECTOR_POSTGRES_BIN"] = os.environ["COLLECTOR_POSTGRES_BIN"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=target,
        env=given,
        capture_output=True,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-10_000:]}\n{done.stderr[-5_000:]}"


def test_one_module_one_sql_file_and_one_test_make_an_endpoint(best_engine: Engine) -> None:
    """Its own test, and those of the contract over all endpoints, run for real; and it is typed and laid out."""
    with folder("adding") as target:
        written = follow(target)
        code = [path for path in written if path.endswith(".py")]
        run(target, "ruff", "check", *code, *changes())
        run(target, "ruff", "format", "--check", *code)
        run(target, "mypy", "--strict", *code, *changes())
        files = ["tests/test_temperature.py", *(f"tests/{name}.py" for name in OVER_ALL)]
        run(target, "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, "-k", CHOSEN)


def test_the_page_has_no_block_that_nobody_follows() -> None:
    text = PAGE.read_text()
    shown = [block for block in blocks(PAGE) if block.language != "text"]
    assert len(shown) == len(re.findall(r"^<!-- (?:file|change)", text, re.MULTILINE))


# Kinds


class Measured(msgspec.Struct):
    """A message with every type that a column takes."""

    name: str
    number: int | None
    share: float = 0.0
    good: bool = True
    state: Literal["on", "off"] | None = None


def kind(message: type[msgspec.Struct], **changes: object) -> Kind:
    fields = {"path": "/x", "table": "x", "summary": "Store x", "examples": ({},), "keep": 1.0, "columnstore": 1.0}
    return Kind(message=message, **{**fields, **changes})  # type: ignore[arg-type]


def test_columns_are_the_fields() -> None:
    assert kind(Measured).columns == ("name", "number", "share", "good", "state", "received_at")


@pytest.mark.parametrize("annotation", [list[int], dict[str, int], bytes, msgspec.Raw, "datetime", Measured])
def test_a_field_that_is_no_column_is_refused(annotation: object) -> None:
    from datetime import datetime

    given = datetime if annotation == "datetime" else annotation
    with pytest.raises(TypeError, match=r"Odd\.field"):
        kind(msgspec.defstruct("Odd", [("field", given)]))


def test_nul_is_told_by_the_name_that_was_sent() -> None:
    message = msgspec.defstruct("Sent", [("two_words", str)], rename="camel")
    decoded = kind(message).reader().decode(b'{"twoWords":"a\\u0000"}\n{"twoWords":"b"}\n', 2, 0)
    assert [reject.detail for reject in decoded.rejects] == ["NUL characters cannot be stored - at `$.twoWords`"]
    assert decoded.indices == [1]
