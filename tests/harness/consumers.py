"""`collector consume` as processes, and requests to /payloads that are repeated until they are accepted."""

import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.harness.client import Client
from tests.harness.ledger import Ledger
from tests.harness.server import REPOSITORY, environment
from tests.harness.wire import line_of, lines_of

STOP_S = 20.0
PATH = "/payloads"
LINES = 60


class ConsumerProcess:
    """A consumer. Ends by `terminate` or `kill`."""

    def __init__(self, log: Path, settings: Mapping[str, str]) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "collector", "consume"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=REPOSITORY,
                env=environment(settings),
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, which a stopped process obeys, too."""
        self._process.kill()
        self._process.wait(STOP_S)

    def terminate(self) -> None:
        """SIGTERM; it ends well, unless it had only just begun."""
        self._process.terminate()
        assert self._process.wait(STOP_S) in (0, -signal.SIGTERM)


class Poster:
    """A thread that posts keyed streams and keyed payloads, each until it is accepted, and some of them again."""

    def __init__(self, client: Client, ledger: Ledger, choices: random.Random) -> None:
        self._client = client
        self._ledger = ledger
        self._choices = choices
        self._stop = threading.Event()
        self._name = uuid.uuid4().hex[:8]
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Post no more; returns when what was begun is accepted. Raises AssertionError where it was not."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise AssertionError("posting failed") from self._failure

    def _run(self) -> None:
        try:
            self._post()
        except BaseException as exc:
            self._failure = exc

    def _post(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{self._name}-{number}"
            if self._choices.random() < 0.5:
                self._ledger.sent.add(name)
                self._until_accepted(line_of(self._ledger.customer, name), name, lines=False)
                self._ledger.acknowledge([name])
            else:
                tokens = [f"{name}:{at}" for at in range(LINES)]
                self._ledger.sent.update(tokens)
                self._until_accepted(lines_of(self._ledger.customer, name, 0, LINES), name, lines=True)
                self._ledger.acknowledge(tokens)

    def _until_accepted(self, body: bytes, key: str, *, lines: bool) -> None:
        post = self._client.post_lines if lines else self._client.post
        again = self._choices.random() < 0.3
        while True:
            try:
                answer = post(body, {"Idempotency-Key": key}, PATH)
            except (OSError, http.client.HTTPException):
                self._stop.wait(0.05)
                continue
            assert answer.status in (202, 503, 409), answer
            if answer.status == 202 and not again:
                return
            again = again and answer.status != 202
