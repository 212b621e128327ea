"""A model of a live session that hears as a test tells it: no process, no weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from aural.engines.base import Capabilities, ModelSpec
from aural.errors import AuralError
from aural.metrics import Metrics
from aural.serving.door import Door, Limits
from aural.serving.fleet import Fleet
from aural.serving.live import Live
from aural.serving.model import Model, Prepared
from aural.serving.policy import Priority
from aural.serving.supervisor import State
from aural.serving.transcriber import Transcriber
from aural.types import SAMPLE_RATE, Clip, Segment, Transcript

Hear = Callable[[Clip], Transcript | AuralError | None]


def words(clip: Clip) -> Transcript:
    return Transcript((Segment(" words", 0, len(clip)),))


class ToldDoor(Door):
    """Answers at once; None is no answer yet."""

    state = State.READY
    capabilities = Capabilities(("en", "de"), 30 * SAMPLE_RATE, detects_language=True)
    rtfx = 36.0
    queue_audio_s = wait_s = 0.0

    def __init__(self, name: str, hear: Hear = words, *, device: str = "cpu", index: int = 0, streams: int = 0) -> None:
        super().__init__(name, Limits(60.0, 3600.0, streams), Metrics())
        spec = ModelSpec(name, "fake", None, device=device, device_index=index)
        self.replicas = [SimpleNamespace(spec=spec, state=State.READY, memory_bytes=0)]  # type: ignore[assignment]
        self.hear = hear
        self.asked: list[Clip] = []
        self.futures: list[asyncio.Future[Transcript]] = []

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def submit(
        self, clip: Clip, *, priority: Priority = Priority.FILE, ahead_samples: int = 0
    ) -> asyncio.Future[Transcript]:
        self.asked.append(clip)
        future: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        outcome = self.hear(clip)
        if isinstance(outcome, AuralError):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)
        return future


async def live(*doors: ToldDoor, **settings: Any) -> Live:
    """Live sessions over these models, ready."""
    made = [Model(door.name, partial(Prepared, Transcriber(door, Metrics()))) for door in doors]
    fleet = Fleet(made, **settings)
    for model in made:
        await fleet._load(model)
    return Live(fleet, Metrics())
