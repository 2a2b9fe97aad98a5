"""Who logged out stays out, on every host and after a restart."""

from sqlalchemy import func, select

from feedback_store.database import Database
from feedback_store.entrance import REMEMBER_SECONDS, SHARED, Entrance
from feedback_store.privacy_models import EndedSessionRow
from feedback_store.seals import Seals

KEY, TOKEN = b"k" * 32, "a token of eight or more"


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def door(database: Database, clock: Clock) -> Entrance:
    return Entrance(database, TOKEN, Seals(KEY), clock=clock)


def test_a_log_out_outlives_the_host(database: Database) -> None:
    clock = Clock()
    here, there = door(database, clock), door(database, clock)
    one, other = here.log_in(SHARED), here.log_in(SHARED)
    assert here.caller(None, one) is SHARED
    assert there.caller(None, one) is SHARED
    here.log_out(one)
    assert here.caller(None, one) is None
    assert here.caller(None, one, reading=False) is None
    restarted = door(database, clock)
    assert restarted.caller(None, one) is None
    assert restarted.caller(None, other) is SHARED
    clock.now_s += REMEMBER_SECONDS
    assert there.caller(None, one) is None
    here.log_out(one)  # twice is once
    here.log_out("forged")
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(EndedSessionRow)) == 1
    for entrance in (here, there, restarted):
        entrance.close()
