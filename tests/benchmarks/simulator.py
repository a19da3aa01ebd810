"""The simulator's own pace: messages made in a second on one core, bodies encoded. It must never limit the server."""

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from simulation.scenario.strategies import draw
from simulation.traffic.desktops import messages
from simulation.traffic.hits import hits
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing
from simulation.traffic.payloads import traffic
from tests.benchmarks.table import Bench

SEED = 1
TIMING = Timing(rate=100_000)
LEAST = 50_000
KINDS: dict[str, Callable[[], Iterator[Message[Any]]]] = {
    "stats payloads": lambda: traffic(draw(SEED), seed=SEED, run="bench", timing=TIMING),
    "messages of sessions": lambda: messages(draw(SEED), seed=SEED, run="bench", clients=100, timing=TIMING),
    "clicks and impressions": lambda: hits(draw(SEED), seed=SEED, run="bench", timing=TIMING),
}


def measure(make: Callable[[], Iterator[Message[Any]]], count: int) -> float:
    """Messages a second of the processor's time."""
    made = make()
    began_s = time.process_time()
    size = sum(len(message.body) for message in islice(made, count))
    assert size > 50 * count, "bodies are encoded"
    return count / (time.process_time() - began_s)


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table."""
    draw(SEED)
    for what, make in KINDS.items():
        bench.say(f"making {what}")
        per_s = statistics.median(measure(make, bench.rows // 5) for _ in range(bench.rounds))
        bench.table.figure(f"simulator, {what} made on one core", f"{per_s:,.0f}/s", f"{LEAST:,}/s")
