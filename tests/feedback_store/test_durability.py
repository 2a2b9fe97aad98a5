"""What was acknowledged survives `kill -9`, also with several processes writing at once."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from store_material import NOON

from feedback_store.database import Database, damage
from feedback_store.models import EventRow
from feedback_store.schemas import OutcomeKind
from feedback_store.visits import load_window

HERE = Path(__file__).parent


def start(url: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    return subprocess.Popen(
        [sys.executable, str(HERE / "ingest_until_killed.py"), url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


def read_then_kill(process: subprocess.Popen[str], num_lines: int) -> set[str]:
    """Kill -9 in full flight; return every line that it got out whole."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(num_lines)]
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait(30)
    return {line.strip() for line in lines if line.endswith("\n")}


@pytest.mark.slow
def test_acknowledged_means_durable(database_url: str) -> None:
    url = database_url
    acknowledged: set[str] = set()
    for num_lines in (1, 80):
        processes = [start(url) for _ in range(2)]
        for process in processes:
            acknowledged |= read_then_kill(process, num_lines)
        database = Database.open(url)
        with database.reading() as session:
            found = {str(one) for one in session.scalars(select(EventRow.event_id))}
        assert len(acknowledged) >= 2 * num_lines
        assert acknowledged <= found
        assert damage(database) is None
        database.close()
    check_whole(url)


def check_whole(url: str) -> None:
    """Every completion has its outcome, folded from all its events."""
    database = Database.open(url)
    with database.reading() as session:
        accepted = set(
            session.scalars(select(EventRow.completion_id).where(EventRow.kind == "accepted"))
        )
    visits = load_window(database, since=NOON - timedelta(days=1))
    database.close()
    assert len(visits) > 50
    for visit in visits:
        expected = visit.completion.request.completion_id in accepted
        assert (visit.outcome.kind is OutcomeKind.ACCEPTED) == expected
