"""The load: one request after the other, callers that never rest, or arrivals that wait for nobody.

A closed loop lets a slow server slow the load down, so it says what throughput is possible and nothing of the latency
that callers would see who come when they please. An open loop sends on a schedule (Poisson) and counts latency from the
moment that the schedule names, so that the wait at an overloaded server is in the figures (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Contract

from aural.bench.clips import Item
from aural.bench.http import Ask, Reply, RequestFailed
from aural.bench.protocols import Protocol, Wish
from aural.bench.records import Answer, Asked, Done, Load
from aural.bench.targets import Target
from aural.bench.watch import PERIOD_S, Clock, Gauge, watching
from aural.errors import BenchError

MOST_IN_FLIGHT = 2_000
"""Arrivals beyond so many unanswered requests are not sent, but recorded as failures."""
NOT_SENT = "not sent: too many in flight"
PREPARED = 4
"""Requests that lie ready beyond one per caller."""

OnAnswer = Callable[[Answer], None]


class Feed(Contract):
    """Requests, ready to be sent, each with the number of its item."""

    async def next(self) -> tuple[int, Ask]: ...


class Kitchen:
    """Builds requests ahead, in a thread: the WAV and base64 of a minute take milliseconds, which no clock may see."""

    def __init__(self, items: Iterator[Item], protocol: Protocol, wish: Wish, path: str, first: int = 0) -> None:
        self._items = items
        self._make = partial(protocol.ask, wish=wish, base_path=path)
        self._ready: asyncio.Queue[tuple[int, Item, Ask] | BenchError]
        self._cooking: asyncio.Task[None] | None = None
        self._number = first
        self.served: list[Asked] = []
        """Every item that was handed out, in order, without its samples."""

    async def start(self, callers: int) -> None:
        self._ready = asyncio.Queue(callers + PREPARED)
        self._stocked = asyncio.Event()
        self._cooking = asyncio.create_task(self._cook())
        await self._stocked.wait()

    async def next(self) -> tuple[int, Ask]:
        made = await self._ready.get()
        if isinstance(made, BenchError):
            raise made
        number, item, ask = made
        self.served.append(item.asked)
        return number, ask

    async def stop(self) -> None:
        if self._cooking is not None:
            self._cooking.cancel()
            with suppress(asyncio.CancelledError):
                await self._cooking

    async def _cook(self) -> None:
        try:
            while True:
                item, ask = await asyncio.to_thread(self._one)
                await self._put((self._number, item, ask))
                self._number += 1
        except BenchError as error:
            await self._put(error)

    async def _put(self, made: tuple[int, Item, Ask] | BenchError) -> None:
        if self._ready.full() or isinstance(made, BenchError):
            self._stocked.set()
        await self._ready.put(made)

    def _one(self) -> tuple[Item, Ask]:
        item = next(self._items)
        return item, self._make(item)


@dataclass
class Driver:
    """Asks a target as a `Load` says. `on_answer` hears of every request, also of those of the warm-up."""

    target: Target
    protocol: Protocol
    feed: Feed
    on_answer: OnAnswer
    clock: Clock = time.perf_counter
    seed: int = 7
    period_s: float = PERIOD_S
    began: float = math.inf
    """When the warm-up of the present load was over."""

    async def run(self, load: Load) -> Done:
        """Raises CancelledError when interrupted; what was answered until then has been reported."""
        try:
            return await self._run(load)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _run(self, load: Load) -> Done:
        await self.target.open(load.callers)
        await self._callers(load.callers, load.warm_up, Gauge(self.clock))
        self.began = self.clock()
        async with watching(self.clock, self.period_s) as watcher:
            if load.kind in ("single", "closed"):
                await self._callers(load.callers, load.requests, watcher.gauge, self.began + (load.limit_s or math.inf))
            else:
                await self._arrivals(load, watcher.gauge)
        return Done(load, self.began, self.clock(), watcher.seen)

    async def _callers(self, callers: int, requests: int, gauge: Gauge, until: float = math.inf) -> None:
        """So many callers share so many requests."""
        numbers = iter(range(requests))

        async def call(caller: int) -> None:
            for _ in numbers:
                if self.clock() >= until:
                    break
                item, ask = await self.feed.next()
                await self._ask(item, ask, caller, gauge)

        async with asyncio.TaskGroup() as group:
            for caller in range(min(callers, requests)):
                group.create_task(call(caller))

    async def _arrivals(self, load: Load, gauge: Gauge) -> None:
        chance = random.Random(f"{load.name} {self.seed}")
        due = self.clock()
        async with asyncio.TaskGroup() as group:
            for number in range(load.requests):
                item, ask = await self.feed.next()
                due += chance.expovariate(load.rate)
                await asyncio.sleep(max(0.0, due - self.clock()))
                if gauge.now >= MOST_IN_FLIGHT:
                    now = self.clock()
                    self.on_answer(Answer(item, number, now, now, error=NOT_SENT, due=due))
                else:
                    group.create_task(self._ask(item, ask, number, gauge, due))

    async def _ask(self, item: int, ask: Ask, caller: int, gauge: Gauge, due: float | None = None) -> None:
        start = self.clock()
        gauge.change(1, start)
        outcome = await self._exchange(ask)
        end = self.clock()  # before anything is parsed
        gauge.change(-1, end)
        text = error = detail = ""
        heard_s: float | None = None
        try:
            if isinstance(outcome, RequestFailed):
                raise outcome
            heard = self.protocol.heard(outcome.status, outcome.body)
            text, heard_s = heard.text, heard.audio_s
        except RequestFailed as failure:
            error, detail = str(failure), failure.detail
        sent = 0 if isinstance(outcome, RequestFailed) else outcome.sent_bytes
        self.on_answer(Answer(item, caller, start, end, text, error, due, sent, heard_s, detail))

    async def _exchange(self, ask: Ask) -> Reply | RequestFailed:
        try:
            return await self.target.ask(ask)
        except RequestFailed as failure:
            return failure
