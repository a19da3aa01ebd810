"""docs/scaling.md: what it calls measured is what the README's table says, and what it computes follows from that."""

import math
import re

import pytest

from collector.service import CONNECTIONS_TO_DATABASE
from tests.documents import README, SCALING

DEVICES = (10, 1_000, 100_000, 10_000_000)
EVERY_S = 30
UNITS = {"": 1, "million": 1e6, "billion": 1e9, "MB": 1e6, "GB": 1e9, "TB": 1e12}

QUEUE = "the queue in {}: 500,000 payloads processed by one consumer, against a stream to /stats"
MEASURED = {
    "single payloads, one worker, 64 connections": "single payloads at 64 connections, against a bare handler",
    "single payloads, one worker, 256 connections": "single payloads at 256 connections, against a bare handler",
    "one stream of lines, one worker": r"one stream of 1,000,000 lines, against `\copy`",
    "8 streams, one worker": r"8 streams, together 1,000,000 lines, against `\copy`",
    "the queue in a table, one consumer": QUEUE.format("a table"),
    "the queue in Kafka, one consumer": QUEUE.format("Kafka"),
    "a payload on disk": "on disk",
    "the same in the columnstore": "on disk in the columnstore",
    "memory of a worker, streams and singles at once": "peak memory of the worker through all of this",
}
"""Rows of scaling.md and of the README."""
HELD_OPEN = "memory of a worker, 2,000 open streams"
BY_HAND = "connections of clients that a worker holds, idle or not"
STANDBY = "{} with a synchronous standby ({}), against one that is not waited for"
STREAM, SINGLES = "one stream", "single payloads at 64 connections"
DISK, SHOWN = "written to its disk", "visible there"
REPLICATION = {
    "one stream, standby has it on disk (`synchronous_commit = on`)": STANDBY.format(STREAM, DISK),
    "one stream, standby shows it (`remote_apply`)": STANDBY.format(STREAM, SHOWN),
    "single payloads at 64 connections, on disk": STANDBY.format(SINGLES, DISK),
    "single payloads at 64 connections, shown": STANDBY.format(SINGLES, SHOWN),
}


def rows(text: str) -> list[list[str]]:
    """Of the tables in it, cell by cell."""
    found = re.findall(r"^\|(.+)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in found]


def section(name: str) -> str:
    """Below a heading of scaling.md."""
    return SCALING.read_text().partition(f"## {name}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def bench() -> dict[str, list[str]]:
    """The README's table by its first column; where a row is there twice, the first one."""
    text = README.read_text().partition("<!-- bench -->")[2].partition("<!-- /bench -->")[0]
    return {what: cells for what, *cells in reversed(rows(text))}


def number(text: str) -> float:
    """The first one in a text, with its unit."""
    found = re.search(r"([\d,.]*\d)(?: (million|billion|MB|GB|TB)\b)?", text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * UNITS[found[2] or ""]


def test_what_is_measured_is_in_the_readme(bench: dict[str, list[str]]) -> None:
    said = {what: rate for what, rate, mark in rows(section("What the parts do")) if mark == "**m**"}
    assert set(said) == {*MEASURED, HELD_OPEN, BY_HAND}
    for ours, theirs in MEASURED.items():
        assert number(said[ours]) == number(bench[theirs][0]), ours
    memory = [number(cells[1]) for cells in rows(README.read_text()) if cells[0] == "peak memory of the worker by then"]
    assert said[HELD_OPEN] == f"{memory[0]:.0f} to {memory[1]:.0f} MiB"
    copied = number(bench[MEASURED["one stream of lines, one worker"]][1])
    assert f"`\\copy` does {copied:,.0f} on 2 cores" in " ".join(section("What to run").split())


def test_a_standby_costs_what_the_readme_says(bench: dict[str, list[str]]) -> None:
    text = SCALING.read_text().partition("<!-- replication -->")[2].partition("<!-- /replication -->")[0]
    said = {what: ratio for what, ratio, mark in rows(text) if mark == "**m**"}
    assert said == {ours: bench[theirs][2].strip("*") for ours, theirs in REPLICATION.items()}


def test_what_is_computed_follows(bench: dict[str, list[str]]) -> None:
    """By half of each rate; rounded as people round."""
    plan = {what: cells for what, *cells in rows(section("What to run"))}
    measured = {ours: number(bench[theirs][0]) for ours, theirs in MEASURED.items()}
    row, columnar = measured["a payload on disk"], measured["the same in the columnstore"]
    single, queue = (
        measured["single payloads, one worker, 64 connections"],
        measured["the queue in Kafka, one consumer"],
    )
    held = number(next(rate for what, rate, _ in rows(section("What the parts do")) if what == BY_HAND))
    workers = plan["workers, for single posts"]
    for at, devices in enumerate(DEVICES):
        assert number(plan["devices"][at]) == devices
        rate = devices / EVERY_S
        computed = {
            "payloads a second": rate,
            "payloads a day": rate * 86_400,
            "disk a day for payloads, as they come": rate * 86_400 * row,
            "disk a day for payloads, columnar": rate * 86_400 * columnar,
            "30 days, the newest of them as it came": rate * 86_400 * (row + 29 * columnar),
        }
        for what, value in computed.items():
            assert number(plan[what][at]) == pytest.approx(value, rel=0.05), (what, devices)
        needed = math.ceil(rate / (single / 2))
        assert needed <= number(workers[at]) <= needed + 2
        assert number(plan["workers, if every device keeps its connection open"][at]) == math.ceil(devices / held)
        assert number(plan["connections to the database"][at]) == number(workers[at]) * CONNECTIONS_TO_DATABASE
    assert number(plan["consumers, if by `/payloads` and Kafka"][3]) == math.ceil(DEVICES[3] / EVERY_S / (queue / 2))
    assert f"{CONNECTIONS_TO_DATABASE} at most" in section("Workers, connections, memory")
