"""Understanding beside captions: one process that yields to all others, and a queue with a bound. What is live goes
first; what there is no room for is skipped, and said so."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aural.errors import EngineFailed, Overloaded
from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance
from aural.metrics import Metrics
from aural.serving.insight_messages import Analyse, Analysed, Warm, WarmUp
from aural.serving.messages import Mishap
from aural.serving.supervisor import WorkerProcess, spawn

log = logging.getLogger("aural.insights")

MOST_WAITING = 256
"""Orders that may wait. An order is one utterance of a stream, or up to `CHUNK` of a file."""
CHUNK = 16
"""Utterances of a file that are looked at in one go: a live one waits for so many at most."""
LIVE, FILE = 0, 1
STALL_S = 60.0
"""An order that takes longer has a worker that hangs."""
THREADS = "1"
BUSY_RETRY_S = 2.0


@dataclass(order=True)
class _Order:
    urgency: int
    number: int
    message: Analyse = field(compare=False)
    answer: asyncio.Future[tuple[Findings, ...]] = field(compare=False)


class Insights:
    """The skills, in a process of their own. Starts with the first order, or when told to."""

    def __init__(self, metrics: Metrics) -> None:
        self.models: tuple[str, ...] = ()
        self._metrics = metrics
        self._waiting: asyncio.PriorityQueue[_Order] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        """Load the models now rather than with the first order."""
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="insights")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end()
        while not self._waiting.empty():
            self._waiting.get_nowait().answer.cancel()

    def admit(self, orders: int = 1) -> None:
        """Raises Overloaded when there is no room for so many orders."""
        if self._waiting.qsize() + orders > MOST_WAITING:
            self._metrics.insights_skipped.inc()
            raise Overloaded(f"{MOST_WAITING} utterances wait for insights already", BUSY_RETRY_S)

    async def one(self, utterance: Utterance, asked: Asked) -> Findings:
        """Of a live utterance; raises Overloaded at once when there is no room, and EngineFailed."""
        self.admit()
        [findings] = await self._order(LIVE, (utterance,), asked)
        return findings

    async def many(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        """Of a file or a text, chunk by chunk, so that it never fills the queue; raises Overloaded and EngineFailed."""
        found: list[Findings] = []
        for first in range(0, len(utterances), CHUNK):
            self.admit()
            found += await self._order(FILE, tuple(utterances[first : first + CHUNK]), asked)
        return tuple(found)

    async def _order(self, urgency: int, utterances: tuple[Utterance, ...], asked: Asked) -> tuple[Findings, ...]:
        self.start()
        answer: asyncio.Future[tuple[Findings, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Order(urgency, next(self._numbers), Analyse(utterances, asked), answer))
        began = time.perf_counter()
        try:
            return await answer
        finally:
            self._metrics.insight_s.observe(time.perf_counter() - began)

    async def _work(self) -> None:
        """Order after order; the worker is there before the first one comes."""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await self._running()
        while True:
            order = await self._waiting.get()
            if order.answer.done():
                continue
            try:
                self._settle(order, await self._ask(order.message))
            except asyncio.CancelledError:
                order.answer.cancel()
                raise
            except (OSError, EOFError, TimeoutError) as error:
                await self._end()
                log.warning("insight worker lost", extra={"error": f"{type(error).__name__}: {error}"})
                if not order.answer.done():
                    order.answer.set_exception(EngineFailed("the worker of the insights died under this text"))

    def _settle(self, order: _Order, reply: object) -> None:
        if order.answer.done():
            return
        if isinstance(reply, Analysed):
            self._metrics.insights.inc(len(reply.findings))
            order.answer.set_result(reply.findings)
        else:
            words = reply.message if isinstance(reply, Mishap) else "it said something else"
            order.answer.set_exception(EngineFailed(f"insights failed on this text: {words}"))

    async def _ask(self, message: Analyse) -> object:
        worker = await self._running()
        async with asyncio.timeout(STALL_S):
            return await worker.ask(message)

    async def _running(self) -> WorkerProcess:
        if self._worker is None:
            environment = os.environ | {"OMP_NUM_THREADS": THREADS, "OPENBLAS_NUM_THREADS": THREADS}
            self._worker = await spawn(environment, "aural.serving.insight_worker")
            async with asyncio.timeout(STALL_S):
                reply = await self._worker.ask(WarmUp())
            if isinstance(reply, Warm):
                self.models = reply.models
            log.info("insights ready", extra={"models": self.models})
        return self._worker

    async def _end(self) -> None:
        if self._worker:
            await self._worker.end()
        self._worker = None
