"""Turns what a loop recorded into its show filter, and an exam into what that says of it.

In a replay everything is shown, so that arms stay comparable; what the filter would have hidden is
worked out afterwards. This module knows nothing of steps, arms or reports.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feedback_store.database import Database, default_url
from feedback_store.visits import load_window
from lsp_server.engine.show_filter import ShowFilter
from trainer import show_filter


def fitted(data: Path) -> dict[str, Any]:
    """Return the filter that a night would fit on all that a data folder holds, as JSON values."""
    database = Database.open(default_url(data))
    try:
        visits = load_window(database, since=datetime.fromtimestamp(0, UTC))
    finally:
        database.close()
    found, verdict = show_filter.fit(show_filter.seen_offers(visits))
    return {"filter": found.to_json() if found else None, "verdict": verdict.as_dict()}


def with_chances(run: Mapping[str, Any], fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a closed-loop run with the filter's chance in every request."""
    if fitted["filter"] is None:
        return dict(run)
    found = ShowFilter.from_json(fitted["filter"])
    requests = [
        {**one, "chance": found.chance_of(one["features"])} if one.get("features") else one
        for one in run["requests"]
    ]
    return {**run, "requests": requests}
