"""Schemathesis against /openapi.json of a real server, all of its phases: whatever fits the document, and whatever just
does not, at every endpoint. No answer is a 5xx, and each is one that the document describes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import Serve
from tests.faults.books import balanced
from tests.harness.server import REPOSITORY, environment

EXAMPLES = 30
"""Of each operation, besides those that its schemas' edges make."""
SEED = os.environ.get("COLLECTOR_FAULT_SEED") or "1"
CONFIG = """
hooks = "tests.contract.described"
max-failures = 20

[checks]
# Ours, of `tests.contract.described`, are in their place.
content_type_conformance.enabled = false
response_schema_conformance.enabled = false
# A key that came before with other content, and an offset beyond what is committed.
negative_data_rejection.enabled = false
positive_data_acceptance.enabled = false
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]

[generation]
max-examples = {examples}
"""


def test_every_answer_is_as_described(serve: Serve, best_database_url: str, tmp_path: Path) -> None:
    server = serve(best_database_url)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(examples=EXAMPLES))
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"),
            *(f"{server.url}/openapi.json", "--continue-on-failure", "--no-color", "--seed", SEED),
        ],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    paths = server.client.get("/openapi.json").json()["paths"]
    assert re.search(rf"Tested: {sum(map(len, paths.values()))}$", done.stdout, re.MULTILINE), done.stdout
    assert int(re.findall(r"(\d+) generated", done.stdout)[0]) > 1_000, done.stdout
    balanced(server.client)
