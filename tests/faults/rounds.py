"""How many rounds of faults, and from which seed.

COLLECTOR_FAULT_ROUNDS is their number, for faults that have rounds; COLLECTOR_FAULT_SEED repeats the choices of a run.
"""

import os
import random

from tests.harness.ledger import Verdict

ROUNDS = int(os.environ.get("COLLECTOR_FAULT_ROUNDS") or 20)
SEED = int(os.environ.get("COLLECTOR_FAULT_SEED") or random.SystemRandom().randrange(2**31))


def seed_line() -> str:
    """What a run says of itself, so that it can be repeated."""
    return f"faults: {ROUNDS} rounds, COLLECTOR_FAULT_SEED={SEED}"


def random_of(*names: object) -> random.Random:
    """The random choices of one round of one test, the same whichever tests run beside it."""
    return random.Random(f"{SEED} {' '.join(map(str, names))}")


_TALLIES: dict[str, list[Verdict]] = {}


def tally(fault: str, verdict: Verdict) -> None:
    """Note the outcome of a round, for the end of the run."""
    _TALLIES.setdefault(fault, []).append(verdict)


def tally_lines() -> list[str]:
    """A line a fault, how many rounds and the lines of all of them together; and the sum of all faults."""
    if not _TALLIES:
        return []
    lines = [f"  {fault}: {_summed(verdicts)}" for fault, verdicts in _TALLIES.items()]
    return [*lines, f"  all together: {_summed([each for verdicts in _TALLIES.values() for each in verdicts])}"]


def _summed(verdicts: list[Verdict]) -> str:
    sums = {
        "sent": sum(verdict.sent for verdict in verdicts),
        "acknowledged": sum(verdict.acknowledged for verdict in verdicts),
        "stored": sum(verdict.stored for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "twice": sum(len(verdict.twice) for verdict in verdicts),
    }
    return f"{len(verdicts)} rounds, lines " + ", ".join(f"{number} {what}" for what, number in sums.items())
