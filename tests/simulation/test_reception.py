"""When something was received, by a clock that is only known from the Date of answers."""

import math
from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from simulation.load.reception import ANY_TIME, ServerClock

requests = st.lists(
    st.tuples(st.floats(0, 1000), *[st.floats(0, 3)] * 3, st.sampled_from([0.0, 0.5, 0.9])),
    min_size=1,
)


@given(st.floats(0, 2_000_000_000), requests)
def test_the_true_time_of_reception_is_always_inside(
    ahead_s: float, sent: list[tuple[float, float, float, float, float]]
) -> None:
    """`ahead_s`: the server's clock beside ours. Its Date may be a little old."""
    clock = ServerClock()
    for asked_s, way_s, work_s, back_s, old_s in sent:
        answered_s = asked_s + way_s + work_s + back_s
        date_s = max(0.0, ahead_s + asked_s + way_s + work_s - old_s)
        clock.observe(formatdate(date_s, usegmt=True), asked_s, answered_s)
        received_s = ahead_s + asked_s + way_s
        reception = clock.reception(asked_s, answered_s)
        assert reception.earliest_ms - 1 <= received_s * 1000 <= reception.latest_ms + 1
        assert clock.reception(asked_s).latest_ms == math.inf


def test_after_some_answers_it_is_known_to_two_seconds() -> None:
    clock = ServerClock()
    for step in range(20):
        asked_s = 100 + step * 0.11
        clock.observe(formatdate(5000 + asked_s, usegmt=True), asked_s, asked_s + 0.01)
    assert clock.high_s - clock.low_s < 2.2
    assert clock.low_s <= 5000 <= clock.high_s


def test_without_a_date_or_with_a_clock_that_is_set_nothing_is_known() -> None:
    clock = ServerClock()
    clock.observe(None, 1.0, 2.0)
    clock.observe("yesterday", 1.0, 2.0)
    assert clock.reception(1.0, 2.0) == ANY_TIME
    for date_s in (1000, 500, 1000):
        clock.observe(formatdate(date_s, usegmt=True), 1.0, 2.0)
    assert clock.reception(1.0, 2.0) == ANY_TIME
