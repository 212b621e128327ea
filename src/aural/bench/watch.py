"""The client watches itself: a benchmark whose client was the bottleneck measured the client."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from aural.bench.records import Watch

Clock = Callable[[], float]
PERIOD_S = 0.02


@dataclass
class Gauge:
    """How many requests are in flight, integrated over time."""

    clock: Clock
    now: int = 0
    most: int = 0
    _area: float = 0.0
    _since: float = 0.0

    def change(self, by: int, at: float) -> None:
        """At `at` so many more are in flight."""
        self._area += self.now * (at - self._since)
        self._since = at
        self.now += by
        self.most = max(self.most, self.now)

    @property
    def area(self) -> float:
        return self._area + self.now * (self.clock() - self._since)


@dataclass
class Watcher:
    """Filled while the block of `watching` runs, complete after it."""

    gauge: Gauge
    seen: Watch = field(default_factory=Watch)


@asynccontextmanager
async def watching(clock: Clock, period_s: float = PERIOD_S) -> AsyncIterator[Watcher]:
    lags: list[float] = []
    sampling = asyncio.create_task(_sample(lags, clock, period_s))
    watcher = Watcher(Gauge(clock))
    gc.freeze()  # what is there by now is not looked through again and again while the clock runs
    cpu = time.process_time()
    try:
        yield watcher
    finally:
        gc.unfreeze()
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
        lag = float(np.percentile(lags, 99)) if lags else 0.0
        watcher.seen = Watch(time.process_time() - cpu, lag, watcher.gauge.area)


async def _sample(lags: list[float], clock: Clock, period_s: float) -> None:
    while True:
        asleep = clock()
        await asyncio.sleep(period_s)
        lags.append(max(0.0, clock() - asleep - period_s))
