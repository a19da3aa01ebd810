"""After a fault: the collector at rest, and its own counts."""

import time
from collections.abc import Callable

from collector import processes
from tests.harness.client import Client, Metrics

REST_S = 20.0


def await_true(condition: Callable[[], bool], timeout_s: float = REST_S) -> None:
    """Ask until it holds. Raises AssertionError when time is up."""
    assert processes.poll_until(condition, time.monotonic() + timeout_s), f"did not come true in {timeout_s:.0f} s"


def at_rest(client: Client) -> Metrics:
    """The metrics once nothing is under way. Raises AssertionError where that never is."""
    deadline = time.monotonic() + REST_S
    found = client.metrics()

    def resting() -> bool:
        nonlocal found
        found = client.metrics()
        return not found.backlog_rows and not found.total("collector_open_streams")

    assert processes.poll_until(resting, deadline), f"not at rest: {found.backlog_rows} rows in the backlog"
    return found


def balanced(client: Client) -> dict[str, float]:
    """At rest, whatever came in has been counted as something. Raises AssertionError where it does not add up."""
    counts = at_rest(client).balance()
    ended = sum(count for name, count in counts.items() if name != "received")
    assert counts["received"] == ended, f"received is not what became of it: {counts}"
    return counts
