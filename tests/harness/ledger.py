"""What was sent and what was acknowledged, line by line; and whether the tables agree: the check that every test of
faults ends with. Pure, but for its queries.

No two lines share an identity (`tests.harness.messages`), so that the check is not by sums: a line that was
acknowledged must be there, no line may be there twice, and none that was said not to be stored may be there at all. And
the aggregates have to be what the rows come to.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec
import psycopg

from collector.store.rows import timestamp
from tests.harness.messages import hour_of

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


class Differs(AssertionError):
    """The tables are not what the ledger says. It carries the verdict, so that what is lost is counted, too."""

    def __init__(self, customer: str, verdict: Verdict) -> None:
        super().__init__(f"{customer}: {verdict}")
        self.verdict = verdict


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

    def check(self, database_url: str, *, at_end: bool = False) -> Verdict:
        """Compare with the tables. Raises Differs with the verdict where it is not good, and AssertionError where an
        aggregate is not what the rows come to. `at_end`: nothing is written afterwards.
        """
        verdict = self.verdict(stored(database_url, self.customer))
        if not verdict.good:
            raise Differs(self.customer, verdict)
        aggregates_equal_rows(database_url, self.customer, refresh=at_end)
        return verdict


STORED = """
SELECT identity, count(*)
FROM (
    SELECT token FROM payload WHERE customer = %(customer)s
    UNION ALL SELECT token FROM payload_queue WHERE customer = %(customer)s
    UNION ALL SELECT session || ':' || seq FROM session_message WHERE starts_with(session, %(customer)s || '/')
    UNION ALL SELECT "user" FROM hit WHERE starts_with("user", %(customer)s || '/')
) AS stored (identity)
GROUP BY identity
"""
"""A payload of the queue is in one of two tables."""

DIFFERENCES = {
    "stats": """
WITH given AS (
    SELECT date_bin('5 minutes', received_at, TIMESTAMPTZ '2000-01-01 00:00:00Z') + INTERVAL '5 minutes' AS time,
           customer, content, sum(cdn) AS cdn, sum(p2p) AS p2p, count(*) FILTER (WHERE started) AS sessions
    FROM payload WHERE customer = %(customer)s GROUP BY 1, 2, 3
), found AS (
    SELECT time, customer, content, cdn, p2p, sessions FROM stats WHERE customer = %(customer)s
)
(TABLE given EXCEPT TABLE found) UNION ALL (TABLE found EXCEPT TABLE given)""",
    "sessions that have started": """
SELECT token, count(*) FILTER (WHERE started), bool_or(session_duration < 300000)
FROM payload WHERE customer = %(customer)s
GROUP BY token HAVING count(*) FILTER (WHERE started) <> bool_or(session_duration < 300000)::int""",
    "analytics": """
WITH given AS (
    SELECT date_trunc('hour', time, 'UTC') AS hour, count(DISTINCT "user") AS unique_users,
           count(*) FILTER (WHERE kind = 'click') AS clicks, count(*) FILTER (WHERE kind = 'impression') AS impressions
    FROM hit WHERE time >= %(hour)s AND time < %(hour)s + INTERVAL '1 hour' GROUP BY 1
), found AS (
    SELECT hour, unique_users, clicks, impressions FROM analytics WHERE hour = %(hour)s
)
(TABLE given EXCEPT TABLE found) UNION ALL (TABLE found EXCEPT TABLE given)""",
    "users of the hour": """
(SELECT "user" FROM hit WHERE time >= %(hour)s AND time < %(hour)s + INTERVAL '1 hour'
 EXCEPT SELECT "user" FROM analytics_user WHERE hour = %(hour)s)
UNION ALL
(SELECT "user" FROM analytics_user WHERE hour = %(hour)s
 EXCEPT SELECT "user" FROM hit WHERE time >= %(hour)s AND time < %(hour)s + INTERVAL '1 hour')""",
}


def aggregates_equal_rows(database_url: str, customer: str, *, refresh: bool) -> None:
    """Every aggregate of the customer is what the rows come to; on TimescaleDB as it is read now, and (`refresh`) once
    more when all of it is materialized, which hides what is written later. Raises AssertionError.
    """
    parameters = {"customer": customer, "hour": timestamp(hour_of(customer))}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")

        def compare() -> None:
            # Nobody writes between the two halves of a comparison.
            connection.execute("SET default_transaction_isolation = 'repeatable read'")
            for name, query in DIFFERENCES.items():
                rows = connection.execute(query.encode(), parameters).fetchmany(SHOWN)
                assert not rows, f"{customer}: {name} differs from the rows: {rows}"

        def moved() -> object:
            return connection.execute(
                "SELECT count(*) FROM payload WHERE customer = %(customer)s", parameters
            ).fetchone()

        compare()
        row = connection.execute("SELECT engine FROM collector_schema LIMIT 1").fetchone()
        if refresh and row == ("timescaledb",):
            while True:
                before = moved()
                connection.execute("CALL refresh_continuous_aggregate('stats_5m', NULL, NULL)")
                try:
                    compare()
                except AssertionError:
                    # A consumer may have brought what waited in the queue, after the refresh: then once more.
                    if moved() == before:
                        raise
                else:
                    break


def stored(database_url: str, customer: str) -> Counter[str]:
    """How often each identity of a customer is stored, in whatever table."""
    with psycopg.connect(database_url) as connection:
        return Counter(dict(connection.execute(STORED.encode(), {"customer": customer}).fetchall()))


def stored_tokens(database_url: str, customer: str) -> Counter[str]:
    """How often each token of a customer is in the table `payload`."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT token, count(*) FROM payload WHERE customer = %s GROUP BY token", (customer,)
        ).fetchall()
    return Counter(dict(rows))
