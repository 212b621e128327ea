"""A fleet over real worker processes of the fake engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aural.engines.base import ModelSpec
from aural.engines.fake import speak
from aural.metrics import Metrics
from aural.serving.fleet import Fleet
from aural.serving.model import Model, Prepared
from aural.serving.policy import Policy
from aural.serving.scheduler import Limits, Scheduler
from aural.serving.transcriber import Transcriber
from aural.types import Options, Pcm

MIB = 2**20


def fleet(*models: tuple[str, str], orders: Path | None = None, need_mb: int = 0, **settings: Any) -> Fleet:
    """A fleet of models, each with its name and family."""
    metrics, limits = Metrics(), Limits(60.0, 3600.0)

    def prepare(name: str, family: str) -> Prepared:
        scheduler = Scheduler([ModelSpec(name, family, orders)], Policy(), limits, metrics)
        return Prepared(Transcriber(scheduler, metrics), need_mb * MIB)

    def build(table: Mapping[str, Any]) -> Model:
        return Model(table["name"], partial(prepare, table["name"], table.get("family", "fake")))

    made = [Model(model[0], partial(prepare, *model), idle_s=settings.get("idle_s", 0.0)) for model in models]
    return Fleet(made, build=build, **{key: value for key, value in settings.items() if key != "idle_s"})


@asynccontextmanager
async def started(*names: str, **settings: Any) -> AsyncIterator[Fleet]:
    running = fleet(*((name, "fake") for name in names), **{"sweep_s": 600.0, **settings})
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


async def heard(running: Fleet, name: str, text: str) -> str:
    async with running.use(name) as transcriber:
        transcript = await transcriber.transcribe(Pcm(speak(text)), Options())
    return transcript.segments[0].text.strip()
