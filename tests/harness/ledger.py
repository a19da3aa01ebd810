"""What was sent and what was acknowledged, line by line; and whether the table agrees. Pure, but for one query.

A line's identity is its token, which no two lines share, so that the check is not by sums: a line that was
acknowledged must be there, no line may be there twice, and none that was said not to be stored may be there at all.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec
import psycopg

SHOWN = 5


class Verdict(msgspec.Struct, frozen=True):
    """How a ledger and the table compare, in numbers and with examples."""

    sent: int
    acknowledged: int
    stored: int
    lost: list[str]
    """Acknowledged, and not there."""
    twice: list[str]
    """There more than once."""
    denied: list[str]
    """There, though the client was told that it was not stored."""
    strange: list[str]
    """There, though nobody sent it."""

    @property
    def good(self) -> bool:
        """Nothing is lost, twice, denied or strange."""
        return not (self.lost or self.twice or self.denied or self.strange)

    def __str__(self) -> str:
        parts = [f"sent {self.sent}, acknowledged {self.acknowledged}, stored {self.stored}"]
        for name in ("lost", "twice", "denied", "strange"):
            found: list[str] = getattr(self, name)
            shown = f" ({', '.join(sorted(found)[:SHOWN])})" if found else ""
            parts.append(f"{name} {len(found)}{shown}")
        return ", ".join(parts)


class Ledger:
    """The clients' side of the truth, for the payloads of one customer."""

    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.denied: set[str] = set()

    def acknowledge(self, tokens: Iterable[str]) -> None:
        """The collector has said that these are stored."""
        self.acknowledged.update(tokens)

    def verdict(self, stored: Counter[str]) -> Verdict:
        """Compare with the tokens of the table."""
        return Verdict(
            sent=len(self.sent),
            acknowledged=len(self.acknowledged),
            stored=stored.total(),
            lost=[token for token in self.acknowledged if not stored[token]],
            twice=[token for token, times in stored.items() if times > 1],
            denied=[token for token in self.denied if stored[token]],
            strange=[token for token in stored if token not in self.sent],
        )

    def check(self, database_url: str) -> Verdict:
        """Compare with the table. Raises AssertionError with the verdict where it is not good."""
        verdict = self.verdict(stored_tokens(database_url, self.customer))
        assert verdict.good, f"{self.customer}: {verdict}"
        return verdict


def stored_tokens(database_url: str, customer: str) -> Counter[str]:
    """How often each token of a customer is in the table `payload`."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT token, count(*) FROM payload WHERE customer = %s GROUP BY token", (customer,)
        ).fetchall()
    return Counter(dict(rows))
