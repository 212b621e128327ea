"""A model's replica on a cluster: one worker with its engine, and the queue before it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import ray

from aural import assembly, logs
from aural.errors import AuralError, EngineFailed
from aural.metrics import Metrics
from aural.scale.autoscale import IN_FLIGHT
from aural.scale.export import Export
from aural.scale.wire import Description, Outcome
from aural.serving.policy import Priority
from aural.serving.scheduler import Scheduler
from aural.serving.supervisor import State
from aural.settings import ModelSettings, Settings
from aural.types import Clip

log = logging.getLogger("aural.scale")


class ModelReplica:
    """Hears clips one by one for whoever asks, in batches of its own making: the scheduler, the policy and the
    supervised worker are those of `aural serve`."""

    async def __init__(self, settings: Settings, asked: ModelSettings) -> None:  # type: ignore[misc]  # Ray awaits it
        logs.configure(settings.log_level, settings.log_format)
        resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        self._metrics = Metrics()
        self._model = assembly.model(on_this(asked, resources), self._metrics)
        await self._model.begin(await asyncio.to_thread(self._model.prepare))
        assert self._model.tenure is not None
        door = self._model.tenure.transcriber.scheduler
        assert isinstance(door, Scheduler)
        self._door = door
        self._export = Export(self._metrics.registry)

    async def hear(self, clip: Clip, priority: Priority, ahead_samples: int) -> Outcome:
        """See `aural.scale.wire.Remote`. The first clip of a file is refused when it would wait too long."""
        try:
            if priority is Priority.FILE and not ahead_samples:
                self._door.admit()
            return await self._door.submit(clip, priority=priority, ahead_samples=ahead_samples)
        except AuralError as error:
            return error

    async def describe(self) -> Description:
        can = replace(self._door.capabilities, understanding=False)  # questions go to a vLLM past the queue
        return Description(can, self._door.rtfx)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Ray every few seconds."""
        return {IN_FLIGHT: self._door.in_flight_audio_s}

    async def check_health(self) -> None:
        """Asked by Ray; raising has the replica replaced."""
        if self._door.state in (State.FAILED, State.STOPPED):
            raise EngineFailed(f"{self._door.name} is {self._door.state.value}")

    async def __del__(self) -> None:
        """Awaited by Ray after the last call was answered."""
        if hasattr(self, "_export"):
            self._export.stop()
        if hasattr(self, "_model"):
            await self._model.end()


def on_this(asked: ModelSettings, resources: dict[str, float]) -> ModelSettings:
    """The settings of a model for one replica with what Ray has given to it."""
    device = "cuda" if resources.get("GPU") else "cpu"
    return replace(asked, device=device, replicas=1, threads=asked.threads or max(1, int(resources.get("CPU", 1))))
