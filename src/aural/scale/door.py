"""The door to a model on a cluster: no queue of its own, the replicas have theirs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aural.engines.base import Capabilities
from aural.errors import Draining, LoadFailed, NotReady, ServerLost
from aural.metrics import Metrics
from aural.scale.wire import Census, Description, Outcome, Remote, ReplicaLost
from aural.serving.door import Door, Limits
from aural.serving.policy import Priority
from aural.serving.supervisor import State
from aural.types import SAMPLE_RATE, Clip, Transcript

log = logging.getLogger("aural.scale")

ATTEMPTS = 3
"""A clip whose replica is lost is asked of another one; Ray takes a moment to notice that a machine is gone, and may
send it the same way again."""
PAUSE_S = 0.2
LOOK_EVERY_S = 5.0
"""How often the replicas are counted."""


class RemoteDoor(Door):
    """Clips go to whichever replica Ray chooses, which forms batches of what it has."""

    def __init__(self, name: str, remote: Remote, limits: Limits, metrics: Metrics) -> None:
        super().__init__(name, limits, metrics)
        self._remote = remote
        self._description: Description | None = None
        self._census = Census(0, 1)
        self._error: str | None = None
        self._in_flight: dict[asyncio.Task[Transcript], int] = {}
        self._watching: asyncio.Task[None] | None = None
        metrics.queue_audio_s.labels(name).set_function(lambda: self.queue_audio_s)
        metrics.rtfx.labels(name).set_function(lambda: self.rtfx)

    async def start(self) -> None:
        if self._draining:
            raise Draining
        try:
            self._description = await self._remote.describe()
        except LoadFailed as error:
            self._error = str(error)
            raise
        self._census = await self._remote.census()
        self._watching = asyncio.create_task(self._watch(), name=f"count {self.name}")

    async def stop(self) -> None:
        self._draining = True
        tasks = [*self._in_flight, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def submit(
        self, clip: Clip, *, priority: Priority = Priority.FILE, ahead_samples: int = 0
    ) -> asyncio.Task[Transcript]:
        if self._draining:
            raise Draining
        task = asyncio.create_task(self._hear(clip, priority, ahead_samples))
        self._in_flight[task] = len(clip)
        task.add_done_callback(self._in_flight.pop)
        return task

    @property
    def state(self) -> State:
        if self._draining:
            return State.STOPPED
        if self._error:
            return State.FAILED
        if self._description is None:
            return State.STARTING
        return State.READY if self._census.replicas else State.RESTARTING

    @property
    def capabilities(self) -> Capabilities:
        if self._description is None:
            raise NotReady(self.name, self.state.value)
        return self._description.capabilities

    @property
    def rtfx(self) -> float:
        """This ingress's share: each of them admits as if it were alone with it."""
        if self._description is None:
            return 0.0
        return self._description.rtfx * self._census.replicas / max(1, self._census.ingresses)

    @property
    def queue_audio_s(self) -> float:
        """Of this ingress, what is being heard included."""
        return sum(self._in_flight.values()) / SAMPLE_RATE

    @property
    def wait_s(self) -> float:
        """Only the replicas know: they refuse what would wait too long there."""
        return 0.0

    async def _hear(self, clip: Clip, priority: Priority, ahead_samples: int) -> Transcript:
        outcome = await self._ask(clip, priority, ahead_samples)
        if not isinstance(outcome, Transcript):
            raise outcome
        self._metrics.audio_s.labels(self.name).inc(len(clip) / SAMPLE_RATE)
        self._metrics.redone.labels(self.name).inc(outcome.redone)
        return outcome

    async def _ask(self, clip: Clip, priority: Priority, ahead_samples: int) -> Outcome:
        """What a replica answers, be it the second that is asked. A replica whose worker is being restarted passes
        the clip on; so does one that is gone."""
        last: Outcome = ServerLost(f"this audio with {self.name}")
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_S * attempt)
            try:
                last = await self._remote.hear(clip, priority, ahead_samples)
            except ReplicaLost as error:
                log.warning("replica lost", extra={"model": self.name, "error": str(error)})
                continue
            if not isinstance(last, NotReady):
                break
        return last

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with contextlib.suppress(ReplicaLost):
                self._census = await self._remote.census()
                if self._census.replicas:
                    self._description = await self._remote.describe()
