"""The metrics of this process through Ray's own exporter, so that those of every replica can be scraped at one place.

Ray puts `ray_` before the names and adds the deployment and replica. Everything goes out as a gauge, since counters of
Ray's cannot be set; `rate()` and `histogram_quantile()` do not mind.
"""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from ray.serve.metrics import Gauge

EVERY_S = 5.0
PREFIX = "aural_"


class Export:
    """Publishes a registry until it is stopped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._gauges: dict[str, Gauge] = {}
        self._task = asyncio.create_task(self._run(), name="export metrics")

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            for family in self._registry.collect():
                if family.name.startswith(PREFIX):
                    self._publish(family.samples)
            await asyncio.sleep(EVERY_S)

    def _publish(self, samples: list[Sample]) -> None:
        for sample in samples:
            if not sample.name.endswith("_created"):
                gauge = self._gauges.get(sample.name) or self._gauge(sample)
                gauge.set(sample.value, tags=sample.labels)

    def _gauge(self, sample: Sample) -> Gauge:
        tags = tuple(sample.labels)
        gauge = Gauge(sample.name, description=sample.name, tag_keys=tags)  # type: ignore[arg-type]  # of any length
        self._gauges[sample.name] = gauge
        return gauge
