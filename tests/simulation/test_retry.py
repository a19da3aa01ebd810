"""When a device tries again, and how long it waits before it does."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.load.retry import CAP_S, FIRST_S, MAX_RETRY_AFTER_S, RETRIED_STATUS, Again, is_taken_over, pause_s

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 10_000))
def test_the_pause_grows_with_the_failures_up_to_a_bound(seed: int, failures: int) -> None:
    assert 0 <= pause_s(Random(seed), failures) <= min(CAP_S, FIRST_S * 2.0 ** min(failures, 60))


def test_devices_that_fail_together_do_not_come_back_together() -> None:
    pauses = [pause_s(Random(seed), 3) for seed in range(1000)]
    assert len(set(pauses)) == 1000
    assert min(pauses) < 0.1 * FIRST_S * 8
    assert max(pauses) > 0.9 * FIRST_S * 8


@given(seeds, st.integers(0, 100), st.floats(0, 10 * MAX_RETRY_AFTER_S))
def test_what_the_server_asks_for_is_waited_for_and_no_hour(seed: int, failures: int, after_s: float) -> None:
    waited_s = pause_s(Random(seed), failures, after_s)
    assert min(after_s, MAX_RETRY_AFTER_S) <= waited_s <= MAX_RETRY_AFTER_S + 1


def test_only_answers_that_may_pass_are_retried() -> None:
    assert {429, 503} <= RETRIED_STATUS
    assert not RETRIED_STATUS & {400, 401, 403, 404, 413, 415, 422, 500}


@pytest.mark.parametrize(
    ("error", "taken_over"), [(Again("409"), True), (Again("503"), False), (TimeoutError(), False)]
)
def test_a_key_taken_over_is_told_from_other_trouble(error: Exception, taken_over: bool) -> None:
    assert is_taken_over(error) == taken_over
