"""When the sound at a place of a session's audio was captured: the zero of every latency of a live caption."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque

from aural.types import SAMPLE_RATE

REMEMBERED_FRAMES = 3_000


class CaptureClock:
    """Notes each frame as it is captured."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque(maxlen=REMEMBERED_FRAMES)
        self._moments: deque[float] = deque(maxlen=REMEMBERED_FRAMES)
        self.samples = 0
        """Captured so far."""

    def note(self, samples: int, at: float | None = None) -> None:
        """A frame whose last sample was captured at `at` of the monotonic clock, now if not given."""
        self.samples += samples
        self._ends.append(self.samples)
        self._moments.append(time.monotonic() if at is None else at)

    def since(self, at_s: float) -> float | None:
        """Seconds since the sound at `at_s` was captured; None where it was forgotten or has not come."""
        place = at_s * SAMPLE_RATE
        index = bisect_left(self._ends, place)
        if index == len(self._ends) or (index == 0 and self._ends[0] - place > SAMPLE_RATE):
            return None
        early_s = (self._ends[index] - place) / SAMPLE_RATE
        return time.monotonic() - (self._moments[index] - early_s)
