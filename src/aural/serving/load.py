"""How busy replicas were of late: the number that autoscalers go by."""

from __future__ import annotations

import math

MEMORY_S = 15.0
"""The past weighs e times less for every so many seconds: more than a batch, less than an autoscaler's patience."""


class BusyShare:
    """The exponentially weighted mean over time of a share that changes in steps."""

    def __init__(self) -> None:
        self._mean = self._share = self._since = 0.0

    def set(self, share: float, now: float) -> None:
        """From now on, this share of the replicas is hearing."""
        self._mean, self._share, self._since = self.at(now), min(share, 1.0), now

    def at(self, now: float) -> float:
        """The mean at this moment, from 0 to 1."""
        return self._share + (self._mean - self._share) * math.exp((self._since - now) / MEMORY_S)
