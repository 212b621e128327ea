"""Async tests on the server's own event loop, and a scheduler whose engine does as it is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import uvloop

from aural.engines.base import ModelSpec
from aural.engines.fake import speak
from aural.metrics import Metrics
from aural.serving.policy import Policy
from aural.serving.scheduler import Limits, Scheduler
from aural.types import Clip

PATIENCE_S = 120.0
"""Whatever takes longer hangs."""


def in_loop(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test. It fails on everything that the loop would only have logged, such as a task whose exception
    nobody retrieved."""

    @wraps(scenario)
    def test(*args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []

        async def run() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(PATIENCE_S):
                await scenario(*args, **kwargs)
            gc.collect()
            await asyncio.sleep(0)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
        assert not complaints

    return test


async def until(condition: Callable[[], object]) -> None:
    """Poll; `in_loop` ends a test whose condition never comes true."""
    while not condition():  # noqa: ASYNC110 - conditions of other processes have no event
        await asyncio.sleep(0.01)


def fake_scheduler(
    *,
    replicas: int = 1,
    orders: Path | None = None,
    max_batch: int = 8,
    window_s: float = 0.0,
    max_wait_s: float = 60.0,
    max_queue_audio_s: float = 3600.0,
    metrics: Metrics | None = None,
) -> Scheduler:
    """A scheduler over workers of the fake engine, not started. `orders` is the folder that they take orders from."""
    specs = [ModelSpec("fake", "fake", orders)] * replicas
    policy = Policy(max_batch, max_batch * 30 * 16_000, window_s)
    return Scheduler(specs, policy, Limits(max_wait_s, max_queue_audio_s), metrics or Metrics())


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[Scheduler]:
    try:
        await scheduler.start()
        yield scheduler
    finally:
        await scheduler.stop()


def said(text: str) -> Clip:
    return Clip(speak(text))


async def heard(scheduler: Scheduler, text: str) -> str:
    """The text that a clip with this text comes back with."""
    transcript = await scheduler.submit(said(text))
    return "".join(segment.text for segment in transcript.segments)


async def outcomes(scheduler: Scheduler, *texts: str) -> list[object]:
    """For each text what was heard, or the error; all submitted in one turn of the loop."""
    results = await asyncio.gather(*(scheduler.submit(said(text)) for text in texts), return_exceptions=True)
    return [one if isinstance(one, BaseException) else one.segments[0].text for one in results]


def kinds(results: list[object]) -> list[object]:
    return [type(one) if isinstance(one, BaseException) else one for one in results]
