"""How many replicas a model should have: so many that each has its share of the audio in flight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

IN_FLIGHT = "aural_audio_in_flight_seconds"
"""What replicas report."""
QUEUED_CLIP_S = 10.0
"""What a clip counts that waits for a replica to be sent to: nobody has measured it yet."""


def wanted(in_flight_s: Mapping[Any, float], queued: float, target_s: float) -> float:
    """Replicas, not rounded: audio that they hold and that waits for one, over what each should have."""
    return (sum(in_flight_s.values()) + queued * QUEUED_CLIP_S) / target_s


class ByAudio:
    """Ray Serve's autoscaling policy over `wanted`. Bounds and delays are Ray's."""

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s

    def __call__(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        in_flight_s = (context.aggregated_metrics or {}).get(IN_FLIGHT, {})
        if not in_flight_s:  # nobody has reported yet
            return context.target_num_replicas, {}
        return wanted(in_flight_s, context.total_queued_requests or 0.0, self._target_s), {}
