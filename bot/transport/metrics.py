"""Answer Prometheus, and health and readiness checks, on METRICS_LISTEN (extra `metrics`)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from tornado.web import RequestHandler

from bot.errors import SettingsError, StoreError
from bot.settings import HEALTH
from bot.transport.webhook import HealthHandler, Report, serving

if TYPE_CHECKING:
    from prometheus_client.core import Metric  # its package is optional

METRICS, READY = "/metrics", "/ready"
SETTING = "METRICS_LISTEN"


@dataclass(frozen=True, slots=True)
class MetricFigure:
    """A metric without a histogram: its values by label, the label's name, and what it counts."""

    name: str
    description: str
    values: Mapping[str, float]
    label: str = ""
    is_counter: bool = False


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: upper bounds, the number of values up to each, and the sum of all values.

    Each value is counted once; the last number is of values above all bounds.
    """

    name: str
    description: str
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


Collect: TypeAlias = Callable[[], Awaitable[Sequence[MetricFigure | Distribution]]]
"""Returns the figures of this process.

Raises StoreError if the database cannot be read.
"""


class MetricsHandler(RequestHandler):
    """Answers Prometheus; 503 if the database cannot be read."""

    def initialize(self, collect: Collect) -> None:
        """Store the function that collects the figures; tornado calls this before each request."""
        self._collect = collect

    async def get(self) -> None:
        """Return all metrics of this process in Prometheus's text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        try:
            figures = await self._collect()
        except StoreError:
            self.set_status(503)
            return
        registry = CollectorRegistry()
        registry.register(_Collector(figures))
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(registry))


class ReadyHandler(RequestHandler):
    """Answers readiness checks: 200 while this process takes new work."""

    def initialize(self, is_ready: Callable[[], bool]) -> None:
        """Store the check; tornado calls this before each request."""
        self._is_ready = is_ready

    def get(self) -> None:
        """Return the readiness."""
        is_ready = self._is_ready()
        self.set_status(200 if is_ready else 503)
        self.finish({"ready": is_ready})


@asynccontextmanager
async def serving_metrics(
    listen: str, collect: Collect, report: Report, is_ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Answer /metrics, /health and /ready while the block runs.

    Raises:
        SettingsError: The address cannot be used, or prometheus-client is missing.
    """
    try:
        import prometheus_client  # noqa: F401  so that its absence is noticed now
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{SETTING} needs another package: pip install 'understudy-bot[metrics]'"
        ) from error
    routes: list[Any] = [
        (METRICS, MetricsHandler, {"collect": collect}),
        (HEALTH, HealthHandler, {"report": report}),
        (READY, ReadyHandler, {"is_ready": is_ready}),
    ]
    async with serving(routes, listen, SETTING):
        yield


class _Collector:
    """Gives prometheus-client figures that were collected before."""

    def __init__(self, figures: Sequence[MetricFigure | Distribution]) -> None:
        self._figures = figures

    def collect(self) -> "Iterator[Metric]":
        """Return the metrics."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        for one in self._figures:
            if isinstance(one, Distribution):
                bounds = [*map(str, one.bounds), "+Inf"]
                buckets = list(zip(bounds, map(float, accumulate(one.counts)), strict=True))
                yield HistogramMetricFamily(one.name, one.description, buckets, one.total)
                continue
            kind = CounterMetricFamily if one.is_counter else GaugeMetricFamily
            family = kind(one.name, one.description, labels=[one.label] if one.label else [])
            for label, value in one.values.items():
                family.add_metric([label] if one.label else [], value)
            yield family
