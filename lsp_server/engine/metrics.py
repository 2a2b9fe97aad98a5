"""Turns what a host does into figures in Prometheus' text format, at `/metrics`.

What happens is counted as it happens; what is (queue, adapter, store, nights) is looked up when
somebody asks, the store at most every `STORE_SECONDS`. No name of a user, file or text is in it.
"""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.figures import StoreFigures, store_figures
from feedback_store.schemas import IngestReport
from lsp_server.engine.engine import Answer

STORE_SECONDS = 15.0
_STAGES = ("queue", "prompt", "prefill", "decode", "engine")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class State:
    """What is, at the moment of asking."""

    model: str
    adapter: str | None
    num_waiting: int  # completions that wait to be written


class Metrics:
    """The figures of one host."""

    def __init__(self, database: Database, state: Callable[[], State]) -> None:
        """Look up with `state` what is; nothing is looked up before somebody asks."""
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "HTTP requests", "method", "route", "status")
        self._durations = Histogram(
            "hone_request_seconds", "Until the answer was sent", ["route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._stages = Histogram(
            "hone_completion_stage_seconds", "Where the time of a completion went", ["stage"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._tokens = self._counter("tokens", "Tokens", "kind")
        self._events = self._counter("events", "Events that editors reported", "status")
        self._swaps = self._counter("swaps", "Changes of the adapter that serves")
        self._registry.register(_Looked(database, state))

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(seconds)

    def answered(self, answer: Answer) -> None:
        """Count a completion."""
        for stage in _STAGES:
            self._stages.labels(stage).observe(getattr(answer.timings, f"{stage}_ms") / 1000)
        self._tokens.labels("prompt").inc(len(answer.prompt.ids))
        self._tokens.labels("cached").inc(answer.num_cached_tokens)
        self._tokens.labels("generated").inc(sum(len(one.token_ids) for one in answer.generations))

    def ingested(self, report: IngestReport) -> None:
        """Count the events of a batch."""
        for status, count in Counts(item.status for item in report.items).items():
            self._events.labels(status).inc(count)

    def swapped(self) -> None:
        """Count a swap."""
        self._swaps.inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' format; may wait for the database."""
        return generate_latest(self._registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"hone_{name}_total", about, labels, registry=self._registry)


def routes(metrics: Metrics) -> APIRouter:
    """Return `/metrics`."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    async def metrics_text() -> Response:
        """Say how the host is doing, in Prometheus' text format."""
        text = await asyncio.to_thread(metrics.text)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


class _Looked(Collector):
    """Looks things up when somebody asks."""

    def __init__(self, database: Database, state: Callable[[], State]) -> None:
        self._database, self._state = database, state
        self._figures: StoreFigures | None = None
        self._looked_at = float("-inf")

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the names are known once somebody asks."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield what is now."""
        state = self._state()
        serving = {"model": state.model, "adapter": state.adapter or "none"}
        yield InfoMetricFamily("hone_serving", "What serves", value=serving)
        yield _gauge("recorder_queue", "Completions that wait to be written", state.num_waiting)
        figures = self._store()
        yield _gauge("store_up", "1 when the store can be read", figures is not None)
        if figures is not None:
            yield from _of_store(figures)

    def _store(self) -> StoreFigures | None:
        if time.monotonic() - self._looked_at >= STORE_SECONDS:
            self._looked_at = time.monotonic()
            try:
                self._figures = store_figures(self._database)
            except DatabaseError:
                self._figures = None
        return self._figures


def _of_store(figures: StoreFigures) -> Iterator[Metric]:
    yield _gauge("store_bytes", "Size of the database", figures.num_bytes)
    hits = GaugeMetricFamily(
        "hone_scan_hits", "Completions barred, by what was found", labels=["kind"]
    )
    for kind, count in figures.hits.items():
        hits.add_metric([kind], count)
    yield hits
    if figures.last_backup_at is not None:
        made_at = figures.last_backup_at.timestamp()
        yield _gauge("backup_timestamp_seconds", "When the last backup was made", made_at)
    if figures.last_night is not None:
        night = figures.last_night
        yield _gauge(
            "night_timestamp_seconds", "When the last night began", night.began_at.timestamp()
        )
        result = GaugeMetricFamily("hone_night_result", "1 for how it ended", labels=["status"])
        result.add_metric([night.status], 1)
        yield result
        if night.exit_code is not None:
            yield _gauge("night_exit_code", "0 promoted, 3 kept what is live", night.exit_code)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hone_{name}", about, value=float(value))
