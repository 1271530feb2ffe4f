"""Metrics on their way to Ray, which hands them to Prometheus.

Nothing is recorded while a request is answered. A record takes Ray 3 us, and a request would need a
dozen; what is counted anyway is read every few seconds, and its difference to the last time
recorded, in a thread.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ray.serve import metrics

from deployments.metrics.definitions import Metric

logger = logging.getLogger(__name__)

RECORD_S = 5.0
"""Half of the time after which Ray reports what has been recorded."""

Read = TypeVar("Read")
Series = tuple[Metric, tuple[tuple[str, str], ...]]


class Recorder:
    """
    Args:
        application: where Serve does not say it, since this is no replica.
    """

    def __init__(self, application: str | None = None):
        self._default = {} if application is None else {"application": application}
        self._made: dict[Metric, metrics.Counter | metrics.Gauge | metrics.Histogram] = {}
        self._totals: dict[Series, float] = {}

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """A gauge."""
        self._of_ray(metric).set(float(value), labels)

    def count(self, metric: Metric, total: float, **labels: str) -> None:
        """A counter, whose total is known."""
        series = metric, tuple(labels.items())
        if series not in self._totals:
            # Prometheus sees no increase in a counter that begins at 1, and `inc` takes no 0.
            self._of_ray(metric)._record(0.0, labels)
        if (more := total - self._totals.get(series, 0)) > 0:
            self._of_ray(metric).inc(float(more), labels)
        self._totals[series] = total

    def observe(self, metric: Metric, value: float, total: int, **labels: str) -> None:
        """A histogram, of which so many observations have had just this value."""
        series = metric, (*labels.items(), ("value", str(value)))
        for _ in range(total - int(self._totals.get(series, 0))):
            self._of_ray(metric).observe(float(value), labels)
        self._totals[series] = total

    def _of_ray(self, metric: Metric):
        made = self._made.get(metric)
        if made is None:
            made = self._made[metric] = self._make(metric)
            if self._default:
                made.set_default_tags(self._default)
        return made

    def _make(self, metric: Metric) -> metrics.Counter | metrics.Gauge | metrics.Histogram:
        name, meaning = metric.name, metric.meaning
        labels: Any = (*metric.labels, *self._default)  # Ray's annotation is of one label
        match metric.kind:
            case "counter":
                return metrics.Counter(name, meaning, labels)
            case "gauge":
                return metrics.Gauge(name, meaning, labels)
        return metrics.Histogram(name, meaning, list(metric.buckets), labels)


def record_for_ever(
    read: Callable[[], Awaitable[Read]], record: Callable[[Read], None]
) -> asyncio.Task[None]:
    """Record now and then, on the running event loop.

    Args:
        read: what there is to record, on the event loop.
        record: does so, in a thread; an error costs these figures, and is logged.
    """

    async def run() -> None:
        while True:
            await asyncio.sleep(RECORD_S)
            try:
                await asyncio.to_thread(record, await read())
            except Exception:
                logger.exception("metrics could not be recorded")

    # In a context of its own: in that of a request, it would be cancelled with the request.
    loop = asyncio.get_running_loop()
    return loop.create_task(run(), context=contextvars.Context())
