"""API keys: what they look like, what is kept of them, and how many requests each may make."""

import hashlib
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from collector.access.keys import HEAD_BYTES, ApiKey, digest_of, head_of, is_key, new_key

rates = st.floats(0.01, 10_000)
gaps = st.lists(st.floats(0, 30), min_size=1, max_size=200)


def test_a_new_key_is_like_no_other_and_carries_its_id() -> None:
    made = [new_key() for _ in range(200)]
    assert len({key for _, key in made}) == len({identity for identity, _ in made}) == 200
    for identity, key in made:
        assert is_key(key.encode())
        assert key.encode().startswith(head_of(identity))
        assert len(head_of(identity)) == HEAD_BYTES
        assert len(key) == 55
        assert set(identity) <= set(string.ascii_lowercase + string.digits)


def test_its_sha_256_is_kept_and_tells_it_from_others() -> None:
    identity, key = new_key()
    known = ApiKey(identity, "read", None, digest_of(key.encode()))
    assert known.digest == hashlib.sha256(key.encode()).digest()
    assert known.is_(key.encode())
    for other in (key[:-1], key + "a", key.swapcase(), "", new_key()[1]):
        assert not known.is_(other.encode())
    assert key not in repr(known)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda data: b"ck_" + data)))
def test_whatever_comes_looks_like_a_key_or_not(data: bytes) -> None:
    assert is_key(data) == (re.match(rb"ck_.{8}_", data, re.DOTALL) is not None)


@given(rates, gaps)
def test_no_more_than_the_rate_gets_through(rate: float, gaps: list[float]) -> None:
    """In any stretch of time: what a full bucket holds, and what has run in since."""
    key = ApiKey("a", "ingest", rate, b"")
    now = 1_000.0
    through: list[float] = []
    for gap in gaps:
        now += gap
        if key.take(now) == 0:
            through.append(now)
    burst = max(1.0, rate)
    for first in range(len(through)):
        for last in range(first, len(through)):
            assert last - first + 1 <= burst + rate * (through[last] - through[first]) + 1e-6


@given(rates, st.lists(st.floats(1.001, 5), max_size=100))
def test_who_keeps_to_the_rate_is_never_refused(rate: float, spacings: list[float]) -> None:
    key = ApiKey("a", "ingest", rate, b"")
    now = 1_000.0
    for spacing in spacings:
        assert key.take(now) == 0
        now += spacing / rate


@given(rates, gaps)
def test_who_waits_as_told_gets_through(rate: float, gaps: list[float]) -> None:
    key = ApiKey("a", "ingest", rate, b"")
    now = 1_000.0
    for gap in gaps:
        now += gap / rate / 10
        wait_s = key.take(now)
        if wait_s:
            now += wait_s + 1e-6
            assert key.take(now) == 0


def test_without_a_rate_there_is_no_limit() -> None:
    key = ApiKey("a", "ingest", None, b"")
    assert all(key.take(0.0) == 0 for _ in range(1_000))
