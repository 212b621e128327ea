"""Understanding beside captions: one process that yields to all others, and a queue with a bound. What is live goes
first; what there is no room for is skipped, and said so."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aural.errors import EngineFailed, Overloaded
from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance
from aural.metrics import Metrics
from aural.serving.insight_messages import Analyse, Analysed, Learning, Warm, WarmUp
from aural.serving.messages import Mishap, pack
from aural.serving.supervisor import WorkerProcess, spawn

log = logging.getLogger("aural.insights")

MODULE = "aural.serving.insight_worker"
MOST_WAITING = 256
"""Orders that may wait. An order is one utterance of a stream, or up to `CHUNK` of a file."""
CHUNK = 16
CHUNK_CHARACTERS = 2_000
"""Utterances of a file that are looked at in one go: a live one waits for so many, or for so much text, at most."""
LIVE, FILE = 0, 1
STALL_S = 60.0
"""An order that takes longer has a worker that hangs."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BUSY_RETRY_S = 2.0
SLOTS = 64
"""Of what callers ask, that the worker keeps; who comes after so many others is told again."""
ANY = Asked()
REHEARSAL = (Utterance("", "hello"), Utterance("", "你好", language="zh"))
"""Looked at first: what the server's file asks is learnt then, and not when the first caller speaks."""


@dataclass(order=True)
class _Order:
    urgency: int
    number: int
    utterances: tuple[Utterance, ...] = field(compare=False)
    asked: Asked = field(compare=False)
    answer: asyncio.Future[tuple[Findings, ...]] = field(compare=False)


class _Slots:
    """What the worker has been told, by identity: to compare thousands of phrases would take as long as to send
    them."""

    def __init__(self) -> None:
        self._told: OrderedDict[int, tuple[Asked, int]] = OrderedDict()

    def message(self, order: _Order) -> Analyse:
        asked = order.asked
        known = self._told.pop(id(asked), None)
        slot = known[1] if known else self._free()
        self._told[id(asked)] = asked, slot
        return Analyse(order.utterances, slot, None if known else asked)

    def _free(self) -> int:
        if len(self._told) < SLOTS:
            return len(self._told)
        _, (_, slot) = self._told.popitem(last=False)
        return slot


class Insights:
    """The skills, in a process of their own. Starts with the first order, or when told to."""

    def __init__(self, metrics: Metrics, own: Asked = ANY) -> None:
        """`own` is what callers get who do not say: the worker learns it first."""
        self.models: tuple[str, ...] = ()
        self._metrics = metrics
        self._own = own
        self._waiting: asyncio.PriorityQueue[_Order] = asyncio.PriorityQueue()
        self._open = 0
        """Orders that callers wait for."""
        self._numbers = itertools.count()
        self._slots = _Slots()
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

    def admit(self) -> None:
        """Raises Overloaded when there is no room for one more order."""
        if self._open >= MOST_WAITING:
            self._metrics.insights_skipped.inc()
            raise Overloaded(f"{MOST_WAITING} utterances wait for insights already", BUSY_RETRY_S)

    async def one(self, utterance: Utterance, asked: Asked) -> Findings:
        """Of a live utterance; raises Overloaded at once when there is no room, and EngineFailed."""
        [findings] = await self._found(LIVE, (utterance,), asked)
        return findings

    async def many(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        """Of a file or a text, chunk by chunk, so that it never fills the queue; raises Overloaded and EngineFailed."""
        found: list[Findings] = []
        for chunk in _chunks(utterances):
            found += await self._found(FILE, chunk, asked)
        return tuple(found)

    async def _found(self, urgency: int, utterances: tuple[Utterance, ...], asked: Asked) -> tuple[Findings, ...]:
        self.admit()
        self.start()
        self._open += 1
        began = time.perf_counter()
        try:
            findings = await self._put(urgency, utterances, asked)
            self._metrics.insights.inc(len(findings))
            return findings
        finally:
            self._open -= 1
            self._metrics.insight_s.observe(time.perf_counter() - began)

    def _put(
        self, urgency: int, utterances: tuple[Utterance, ...], asked: Asked
    ) -> asyncio.Future[tuple[Findings, ...]]:
        answer: asyncio.Future[tuple[Findings, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Order(urgency, next(self._numbers), utterances, asked, answer))
        return answer

    async def _work(self) -> None:
        """Order after order; the worker is there before the first one comes."""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await self._running()
        while True:
            order = await self._waiting.get()
            if order.answer.done():
                continue
            try:
                self._settle(order, await self._ask(order))
            except asyncio.CancelledError:
                order.answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - whatever broke, the next order shall find a worker that answers
                await self._end()
                log.warning("insight worker lost", extra={"error": f"{type(error).__name__}: {error}"})
                if not order.answer.done():
                    order.answer.set_exception(EngineFailed("the worker of the insights died under this text"))

    def _settle(self, order: _Order, reply: object) -> None:
        if order.answer.done():
            return
        match reply:
            case Analysed(findings):
                order.answer.set_result(findings)
            case Learning():  # behind all who came meanwhile, files too: it may take a while
                order.urgency, order.number = FILE, next(self._numbers)
                self._waiting.put_nowait(order)
            case Mishap(message):
                order.answer.set_exception(EngineFailed(f"insights failed on this text: {message}"))
            case _:
                order.answer.set_exception(EngineFailed(f"the worker of the insights said {type(reply).__name__}"))

    async def _ask(self, order: _Order) -> object:
        worker = await self._running()
        message = self._slots.message(order)
        is_long = message.asked is not None and message.asked.phrases
        parts = await asyncio.to_thread(pack, message) if is_long else pack(message)
        async with asyncio.timeout(STALL_S):
            return await worker.exchange(parts)

    async def _running(self) -> WorkerProcess:
        if self._worker is None:
            self._slots = _Slots()
            self._worker = await spawn(os.environ | ENVIRONMENT, MODULE)
            try:
                await self._warm_up(self._worker)
            except BaseException:  # what it may say later is no answer to what it is asked next
                await self._end()
                raise
        return self._worker

    async def _warm_up(self, worker: WorkerProcess) -> None:
        async with asyncio.timeout(STALL_S):
            reply = await worker.ask(WarmUp())
        if isinstance(reply, Warm):
            self.models = reply.models
        log.info("insights ready", extra={"models": self.models})
        self._put(FILE, REHEARSAL, self._own).add_done_callback(_forgotten)

    async def _end(self) -> None:
        if self._worker:
            await self._worker.end()
        self._worker = None


def _chunks(utterances: Sequence[Utterance]) -> Iterator[tuple[Utterance, ...]]:
    chunk: list[Utterance] = []
    for one in utterances:
        size = sum(len(other.text) for other in chunk) + len(one.text)
        if len(chunk) == CHUNK or (chunk and size > CHUNK_CHARACTERS):
            yield tuple(chunk)
            chunk = []
        chunk.append(one)
    if chunk:
        yield tuple(chunk)


def _forgotten(answer: asyncio.Future[tuple[Findings, ...]]) -> None:
    """Nobody waits for it: what went wrong will be told to who asks."""
    if not answer.cancelled():
        answer.exception()
