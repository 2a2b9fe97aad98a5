"""A database for each test of the store; `store_material` holds what goes into it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_store.database import Database, default_url

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(default_url(tmp_path))
    yield opened
    opened.close()
