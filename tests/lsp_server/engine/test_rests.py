"""How long a worker in the background rests."""

import threading

import pytest

from lsp_server.engine.rests import (
    MAX_REST_SECONDS,
    MAX_SHARE,
    PATIENT_SECONDS,
    SHARE,
    Rests,
    Stopped,
)


class _Clock:
    """Time that passes when told; rests pass it too."""

    def __init__(self) -> None:
        self.now, self.rested = 5.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> bool:
        self.rested.append(seconds)
        self.now += seconds
        return False


def test_work_takes_its_share_of_the_time_however_slow_the_machine() -> None:
    for piece_s in (0.002, 0.02, 0.1):
        clock = _Clock()
        rests, begun = Rests(clock.rest, clock=clock), clock.now
        for _ in range(10):
            clock.now += piece_s
            rests()
        assert 10 * piece_s / (clock.now - begun) == pytest.approx(SHARE)


def test_what_was_rested_is_not_work() -> None:
    clock = _Clock()
    rests = Rests(clock.rest, clock=clock)
    clock.now += 0.01
    rests()
    rests()
    assert clock.rested[0] > 0
    assert clock.rested[1] == 0


def test_after_a_long_piece_it_goes_on_all_the_same() -> None:
    clock = _Clock()
    rests = Rests(clock.rest, clock=clock)
    clock.now += 60
    rests()
    assert clock.rested == [MAX_REST_SECONDS]


def test_work_that_takes_long_takes_more_of_the_time_but_never_all() -> None:
    clock = _Clock()
    rests = Rests(clock.rest, clock=clock)

    def share() -> float:
        clock.now += 0.05
        rests()
        return 0.05 / (0.05 + clock.rested[-1])

    assert share() == pytest.approx(SHARE)
    clock.now += 3 * PATIENT_SECONDS
    rests()
    assert share() == pytest.approx(3 * SHARE, rel=0.05)
    clock.now += 1_000 * PATIENT_SECONDS
    rests()
    assert share() == pytest.approx(MAX_SHARE)


def test_work_ends_at_the_next_rest_when_told_to_stop() -> None:
    stopping = threading.Event()
    rests = Rests(stopping.wait)
    rests()
    stopping.set()
    with pytest.raises(Stopped):
        rests()
