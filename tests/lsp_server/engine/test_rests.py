"""How long a worker in the background rests."""

import pytest

from lsp_server.engine.rests import MAX_REST_SECONDS, SHARE, Rests


class _Clock:
    """Time that passes when told; rests pass it too."""

    def __init__(self) -> None:
        self.now, self.rested = 5.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.rested.append(seconds)
        self.now += seconds


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
