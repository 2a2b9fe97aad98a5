"""Turns the records of nights into a list, and each into a page: data, curves, gate, log.

A night writes its record as it likes: whatever is missing or of another shape is left out, never
guessed. Knows nothing of training.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from feedback_store import runs
from feedback_store.admin import plots
from feedback_store.admin.desk import Desk
from feedback_store.admin.plots import Axes, Chart, Point, Series
from feedback_store.runs import TrainingRun

NUM_NIGHTS = 30
LOG_BYTES = 48 * 1024
_MAX_CURVES = 6
_FIRST = ("loss", "eval_loss")  # the curves worth seeing before all others


def routes(desk: Desk) -> APIRouter:
    """Return `/admin/nights` and the page of each."""
    router = desk.router()

    @router.get("/nights")
    def nights(request: Request, before: str = "") -> HTMLResponse:
        """Show the newest nights, or those before one."""
        found = runs.list_runs(desk.database, NUM_NIGHTS + 1, before=before[:64] or None)
        facts = {
            "nights": [_summary(run) for run in found[:NUM_NIGHTS]],
            "older": found[NUM_NIGHTS - 1].run_id if len(found) > NUM_NIGHTS else "",
            "is_top": not before,
        }
        return desk.pages.answer(request, "nights.html", facts)

    @router.get("/nights/{run_id}")
    def night(request: Request, run_id: str) -> HTMLResponse:
        """Show one night."""
        run = runs.find_run(desk.database, run_id)
        if run is None:
            raise HTTPException(404, f"no night {run_id[:80]!r} is on record")
        facts = _summary(run) | {
            "by_rule": runs.pairs_by_rule(desk.database, run_id),
            "charts": _charts(run.metrics.get("curve")),
            "numbers": _flat(run.decision.get("numbers")),
            "candidates": _records(run.metrics.get("candidates")),
            "choice": _mapping(run.metrics.get("choice")),
            "seconds": _flat(run.metrics.get("seconds")),
            "settings": _flat(run.settings),
            "log": _tail(desk.logs, run.log_path),
        }
        return desk.pages.answer(request, "night.html", facts)

    return router


def _summary(run: TrainingRun) -> dict[str, Any]:
    """Return what the list and the page both show."""
    counts = _mapping(run.metrics.get("counts"))
    window = run.settings.get("window_days")
    needed = run.decision.get("positions_still_needed")
    return {
        "run": run,
        "since": run.started_at - timedelta(days=window) if isinstance(window, int) else None,
        "visits": counts.get("visits"),
        "rules": sorted(_mapping(counts.get("rules")).items()),
        "counts": [(k, v) for k, v in counts.items() if isinstance(v, int | float)],
        "outcomes": sorted(_mapping(counts.get("outcomes")).items()),
        "needed": needed if isinstance(needed, int) and needed > 0 else 0,
        "minutes": (run.finished_at - run.started_at).total_seconds() / 60
        if run.finished_at
        else None,
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _records(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _flat(value: object) -> list[tuple[str, Any]]:
    """Return the plain values of an object; what is nested has a place of its own."""
    return [(k, v) for k, v in _mapping(value).items() if not isinstance(v, dict | list)]


def _charts(curve: object) -> list[Chart]:
    """Return a chart for each measure that a night logged at several steps."""
    rows = [row for row in _records(curve) if isinstance(row.get("step"), int | float)]
    names = [name for name in dict.fromkeys(k for row in rows for k in row) if name != "step"]
    names.sort(key=lambda name: name not in _FIRST)
    charts = []
    for name in names[:_MAX_CURVES]:
        points = _points(rows, name)
        drawn = plots.chart(
            name,
            [Series(name, points, dots=len(points) < 40)],
            Axes(lambda x: f"{x:g}", lambda y: f"{y:.3g}", from_zero=False),
        )
        if drawn is not None and len(points) > 1:
            charts.append(drawn)
    return charts


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    return [
        Point(float(row["step"]), float(value), f"step {row['step']:g}: {name} {value:.4g}")
        for row in rows
        if isinstance(value := row.get(name), int | float)
    ]


def _tail(logs: Path | None, log_path: str) -> str | None:
    """Return the end of a night's log; only files that lie in the folder of logs are read."""
    name = Path(log_path).name
    if logs is None or not name.startswith("night-"):
        return None
    try:
        with (logs / name).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - LOG_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    return text.partition("\n")[2] if size > LOG_BYTES else text
