"""Rates out of counters: of the last minute, by endpoint, whatever restarts in between."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.pulse import RATE_S, Look, Pulse, look, vitals


def counted(at_s: float, stats: float, analytics: float = 0.0, **more: object) -> Look:
    return Look(at_s, received={"/stats": stats, "/analytics": analytics}, **more)  # type: ignore[arg-type]


def test_a_rate_is_of_the_last_minute() -> None:
    looks = [counted(5.0 * place, 100.0 * place) for place in range(20)] + [counted(100.0, 1900 + 50)]
    found = vitals(looks)
    assert found.per_s == (1950 - 800) / 60
    assert found.curve == [20.0] * 19 + [10.0]
    assert found.curve_s == 100
    (analytics, stats) = found.endpoints
    assert (stats.path, stats.per_s, stats.received) == ("/stats", found.per_s, 1950)
    assert analytics.per_s == 0


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1e6)), min_size=1, max_size=30))
def test_a_rate_is_never_negative_and_no_more_than_the_fastest(steps: list[tuple[float, float]]) -> None:
    looks, at_s, total = [counted(0, 0)], 0.0, 0.0
    for wait_s, gained in steps:
        at_s, total = at_s + wait_s, total + gained
        looks.append(counted(at_s, total))
    found = vitals(looks)
    assert len(found.curve) == len(steps)
    assert min(found.curve) * 0.999 <= found.per_s <= max(found.curve) * 1.001


def test_what_the_queue_hands_on_is_not_taken_in_again() -> None:
    def looked(at_s: float, payloads: float) -> Look:
        return Look(at_s, received={"/payloads": payloads, "queue": payloads, "/stats": 0.0})

    found = vitals([looked(0, 0), looked(RATE_S, 600)])
    assert (found.per_s, found.curve) == (10, [10])
    assert [(each.path, each.per_s) for each in found.endpoints] == [("/payloads", 10), ("/stats", 0), ("queue", 10)]


def test_a_worker_that_ended_takes_its_counts_along() -> None:
    assert vitals([counted(0, 500), counted(RATE_S, 100)]).per_s == 0


def test_one_look_has_no_rate_yet() -> None:
    found = vitals([counted(1, 100)])
    assert (found.per_s, found.curve, found.commit_p95_s) == (0, [], None)


def test_commits_are_those_of_the_last_minute() -> None:
    slow_before = counted(0, 0, commits={0.01: 0, 0.1: 0, float("inf"): 1000})
    now = counted(RATE_S, 0, commits={0.01: 90, 0.1: 99, float("inf"): 1100})
    assert vitals([slow_before, now]).commit_p95_s == 0.1
    assert vitals([slow_before, slow_before]).commit_p95_s is None


def test_it_reads_the_metrics_by_their_names() -> None:
    registry = CollectorRegistry()
    for name in ("received", "stored", "repeated"):
        Counter(f"collector_{name}", "x", ["endpoint"], registry=registry).labels("/stats").inc(7)
    rejected = Counter("collector_rejected", "x", ["endpoint", "reason"], registry=registry)
    rejected.labels("/stats", "invalid").inc(1)
    rejected.labels("/stats", "encoding").inc(2)
    Histogram("collector_commit_seconds", "x", ["writer"], registry=registry, buckets=(0.1, 1)).labels("a").observe(0.5)
    for writer in "ab":
        backlog = registry._names_to_collectors.get("collector_backlog_rows") or Gauge(
            "collector_backlog_rows", "x", ["writer"], registry=registry
        )
        backlog.labels(writer).set(4)  # type: ignore[attr-defined]
    queue = Gauge("collector_queue_oldest_seconds", "x", ["source"], registry=registry)
    queue.labels("one").set(3)
    queue.labels("two").set(9)
    found = look(registry, 1.0)
    assert found.received == found.stored == found.repeated == {"/stats": 7}
    assert found.rejected == {"/stats": 3}
    assert found.commits == {0.1: 0, 1.0: 1, float("inf"): 1}
    assert (found.backlog_rows, found.queue_oldest_s) == (8, 9)


def test_it_looks_by_itself_until_it_is_stopped() -> None:
    async def run() -> int:
        pulse = Pulse(clock=lambda: 1.0)
        pulse.start()
        await asyncio.sleep(0)
        pulse.stop()
        return len(pulse._looks)

    assert asyncio.run(run()) == 1
