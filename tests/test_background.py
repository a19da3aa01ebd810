"""A task that a defect ends takes its process with it, which is started anew: a real consumer, and a real worker."""

import contextlib
import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.contract.driver import payload
from tests.faults.books import await_true
from tests.harness.consumers import STOP_S
from tests.harness.server import REPOSITORY, environment
from tests.strategies import encoded

DEFECT = """
from pathlib import Path

from {module} import {owner}

sound, trigger = {owner}.{method}, Path({trigger!r})


def defective(*arguments):
    if trigger.exists():
        trigger.unlink()
        raise ValueError("a defect, once")
    return sound(*arguments)


{owner}.{method} = defective
"""


@pytest.fixture
def trigger(tmp_path: Path) -> Path:
    """A file: once it is there, what was made defective is so the next time."""
    return tmp_path / "trigger"


def defective(folder: Path, trigger: Path, module: str, method: str) -> str:
    """A PYTHONPATH by which a method ("Class.name" of a module) is defective in every Python."""
    owner, _, name = method.partition(".")
    text = DEFECT.format(module=module, owner=owner, method=name, trigger=str(trigger))
    (folder / "sitecustomize.py").write_text(text)
    return str(folder)


def test_a_consumer_ends_with_an_exit_status_that_says_so(
    serve: Serve, best_database_url: str, tmp_path: Path, trigger: Path
) -> None:
    server = serve(best_database_url, COLLECTOR_CONSUME="false")
    log = tmp_path / "consumer.log"
    path = defective(tmp_path, trigger, "collector.queue.table", "TableConsumer._count")
    with log.open("ab") as output:
        consumer = subprocess.Popen(
            [sys.executable, "-m", "collector", "consume"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=REPOSITORY,
            env=environment({"DATABASE_URL": best_database_url, "PYTHONPATH": path}),
        )
    try:
        await_true(lambda: "consuming" in log.read_text())
        trigger.touch()
        assert server.client.post(encoded(payload("acme", 1)), path="/payloads").status == 202
        assert consumer.wait(STOP_S) == 1
    finally:
        consumer.kill()
        consumer.wait(STOP_S)
    said = log.read_text()
    assert "a defect, once" in said
    assert said.splitlines()[-1] == "collector: the consumer has ended by an error"


@pytest.mark.parametrize("workers", [1, 2])
def test_another_worker_takes_the_place_of_one_that_lost_a_writer(
    serve: Serve, best_database_url: str, tmp_path: Path, trigger: Path, workers: int
) -> None:
    path = defective(tmp_path, trigger, "collector.batch", "Backlog.take")
    server = serve(best_database_url, workers=workers, PYTHONPATH=path)
    await_true(lambda: len(server.worker_pids()) == workers)
    before = set(server.worker_pids())
    trigger.touch()
    with contextlib.suppress(http.client.HTTPException, OSError):  # at its end the connection may close first
        assert server.client.post(encoded(payload("acme", 1))).status == 503
    await_true(lambda: len(before & set(server.worker_pids())) == workers - 1)
    await_true(lambda: len(server.worker_pids()) == workers)
    server.await_answer("/health/ready")
    assert server.client.post(encoded(payload("acme", 2))).status == 204
    assert "a defect, once" in server.log_tail()
    assert server.terminate() == 0
