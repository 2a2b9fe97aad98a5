"""`hone store refold`, through a real process."""

import json
from pathlib import Path

from commands import run
from sqlalchemy import update
from store_material import served, shown, wire

from feedback_store.completions import record_completions
from feedback_store.database import Database, default_url
from feedback_store.events import append
from feedback_store.models import OutcomeRow


def refold(home: Path, *arguments: str) -> str:
    result = run(home, "store", "refold", *arguments, "--data", "data")
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_outcomes_are_folded_anew_and_counted(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database = Database.open(default_url(tmp_path / "data"))
    ones = [served() for _ in range(3)]
    record_completions(database, ones)
    append(database, [wire(shown(one.request.completion_id)) for one in ones])
    with database.session() as session:
        session.execute(update(OutcomeRow).values(suggestion="wrong"))
    database.close()
    assert refold(tmp_path) == "3 completions folded anew, 3 came out different\n"
    assert json.loads(refold(tmp_path, "--json")) == {"completions": 3, "changed": 0}
