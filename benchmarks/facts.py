"""Turns this machine and checkout into the facts that every result carries, and writes results."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `hone serve` runs; before torch is loaded
os.environ.setdefault("HF_HUB_OFFLINE", "1")

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "peft", "trl", "pygls", "fastapi", "sqlalchemy", "httpx")


def facts() -> dict[str, Any]:
    """Return commit, dirty flag, hardware, versions and load of this run."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "pace_ms": pace_ms(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def pace_ms() -> float:
    """Return how long a million steps of a bare Python loop take now, the median of five.

    Where other people's machines share the processor it doubles within minutes, and every figure
    in time with it.
    """
    return round(1e3 * statistics.median(_million_steps_s() for _ in range(5)), 1)


def write(name: str, figures: Mapping[str, Any], about: Mapping[str, Any]) -> Path:
    """Write one result file, `about` taken before the run; return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**about, **figures}, indent=2) + "\n", encoding="utf-8")
    return path


def quantile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of `values`."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Return median, p95, p99 and largest of `values`."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    told = {name: round(quantile(values, share), digits) for name, share in shares.items()}
    return {**told, "max": round(max(values), digits), "n": len(values)}


def _million_steps_s() -> float:
    begun, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return time.perf_counter() - begun


def _git(*arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return answer.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
