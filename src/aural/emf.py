"""Metrics in CloudWatch's embedded metric format: one JSON line a minute on standard output, which SageMaker ships to
CloudWatch Logs and CloudWatch reads there. No permission, no network, no agent.

Source: CloudWatch Embedded Metric Format Specification.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

NAMESPACE = "aural"
EVERY_S = 60.0
MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Sums:
    """Samples of the registry by name, each summed over its labels."""

    values: Mapping[str, float]

    def since(self, before: Sums, name: str) -> float:
        """What a counter grew by."""
        return self.values.get(name, 0.0) - before.values.get(name, 0.0)


def read(registry: CollectorRegistry) -> Sums:
    values: dict[str, float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_bucket"):
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return Sums(values)


METRICS: dict[str, tuple[str, Callable[[Sums, Sums], float]]] = {
    "AudioSeconds": ("Seconds", lambda now, before: now.since(before, "aural_audio_seconds_total")),
    "EngineSeconds": ("Seconds", lambda now, before: now.since(before, "aural_engine_seconds_total")),
    "Requests": ("Count", lambda now, before: now.since(before, "aural_requests_total")),
    "Refused": ("Count", lambda now, before: now.since(before, "aural_refused_total")),
    "WorkerRestarts": ("Count", lambda now, before: now.since(before, "aural_worker_restarts_total")),
    "QueueWaitMs": ("Milliseconds", lambda now, before: _mean_ms(now, before, "aural_queue_wait_seconds")),
    "QueueAudioSeconds": ("Seconds", lambda now, before: now.values.get("aural_queue_audio_seconds", 0.0)),
    "RequestsInFlight": ("Count", lambda now, before: now.values.get("aural_requests_in_flight", 0.0)),
    "StreamSessions": ("Count", lambda now, before: now.values.get("aural_live_sessions", 0.0)),
}
"""Name: unit, and its value out of two readings."""


def line(now: Sums, before: Sums, endpoint: str, at_s: float) -> str:
    """One line: the metrics between two readings, under the dimension EndpointName."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["EndpointName"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in METRICS.items()],
    }
    document = {
        "_aws": {"Timestamp": int(at_s * MS_PER_S), "CloudWatchMetrics": [directive]},
        "EndpointName": endpoint,
        **{name: round(value(now, before), 3) for name, (_, value) in METRICS.items()},
    }
    return json.dumps(document)


async def publish(registry: CollectorRegistry, endpoint: str, every_s: float = EVERY_S) -> None:
    """Print a line again and again, until cancelled."""
    before = read(registry)
    while True:
        await asyncio.sleep(every_s)
        now = read(registry)
        print(line(now, before, endpoint, time.time()), file=sys.stdout, flush=True)
        before = now


def _mean_ms(now: Sums, before: Sums, name: str) -> float:
    count = now.since(before, f"{name}_count")
    return now.since(before, f"{name}_sum") / count * MS_PER_S if count else 0.0
