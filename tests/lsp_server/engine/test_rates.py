"""The token bucket: never more than the rate allows, never less, and not without end in memory."""

from hypothesis import given
from hypothesis import strategies as st

from lsp_server.engine.rates import MAX_CALLERS, Rates

PAUSES = st.lists(st.floats(0, 30), max_size=200)


@given(st.integers(1, 120), PAUSES)
def test_in_no_span_is_more_taken_than_allowed(per_minute: int, pauses: list[float]) -> None:
    rates, now, taken = Rates(per_minute), 0.0, []
    for pause in pauses:
        now += pause
        if rates.wait_s("ada", now) == 0:
            taken.append(now)
    for begin in range(len(taken)):
        for end in range(begin, len(taken)):
            allowed = per_minute + (taken[end] - taken[begin]) * per_minute / 60
            assert end - begin + 1 <= allowed + 1e-6


@given(st.integers(1, 6000), PAUSES)
def test_who_waits_as_told_is_let_through(per_minute: int, pauses: list[float]) -> None:
    rates, now = Rates(per_minute), 0.0
    for pause in pauses:
        now += pause / 100
        wait_s = rates.wait_s("ada", now)
        assert 0 <= wait_s <= 60 / per_minute
        if wait_s:
            now += wait_s + 1e-6
            assert rates.wait_s("ada", now) == 0


@given(PAUSES)
def test_nobody_waits_for_others(pauses: list[float]) -> None:
    rates = Rates(60)
    for number, pause in enumerate(pauses):
        rates.wait_s("greedy", pause)
        assert rates.wait_s(f"caller {number}", pause) == 0


def test_a_flood_of_callers_does_not_fill_the_memory() -> None:
    rates = Rates(60)
    for number in range(3 * MAX_CALLERS):
        rates.wait_s(f"caller {number}", number / 1e6)
    assert len(rates._buckets) <= MAX_CALLERS
