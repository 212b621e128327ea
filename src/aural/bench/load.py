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
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol as Contract

from aural.bench.clips import Item
from aural.bench.http import Ask, Reply, RequestFailed
from aural.bench.protocols import Protocol, Wish
from aural.bench.records import Answer, Asked, Done, Load
from aural.bench.targets import MOST_IN_FLIGHT, Target
from aural.bench.watch import PERIOD_S, Clock, Gauge, watching

NOT_SENT = "not sent: too many in flight"
MOST_PREPARED = 10_000
"""Requests that lie ready; what a cell needs beyond them is made while it runs."""
PRECISE_S = 0.05
"""So near to an arrival a thread waits for it: timers of event loops are precise to a millisecond."""

OnAnswer = Callable[[Answer], None]
Sleep = Callable[[float], Awaitable[None]]


async def sleep(seconds: float) -> None:
    """Not longer than that, so ask again."""
    if seconds > PRECISE_S:
        await asyncio.sleep(seconds - PRECISE_S)
    else:
        await asyncio.to_thread(time.sleep, seconds)


class Feed(Contract):
    """Requests, ready to be sent, each with the number of its item."""

    def next(self) -> tuple[int, Ask]: ...


class Kitchen:
    """Makes requests before the clock starts. Each is small, for the audio in it is not copied."""

    def __init__(self, items: Iterator[Item], protocol: Protocol, wish: Wish, path: str, first: int = 0) -> None:
        self._made = ((item.asked, protocol.ask(item, wish, path)) for item in items)
        self._ready: deque[tuple[Asked, Ask]] = deque()
        self._first = first
        self.served: list[Asked] = []
        """Every item that was handed out, in order, without its samples."""

    async def prepare(self, load: Load) -> list[Asked]:
        """Make what the load will need; the items of it. Raises BenchError when the recordings do not suffice."""
        await asyncio.to_thread(self._cook, min(load.warm_up + load.requests, MOST_PREPARED))
        return [asked for asked, _ in self._ready]

    def _cook(self, count: int) -> None:
        self._ready.extend(islice(self._made, count))

    def next(self) -> tuple[int, Ask]:
        asked, ask = self._ready.popleft() if self._ready else next(self._made)
        self.served.append(asked)
        return self._first + len(self.served) - 1, ask


@dataclass
class Driver:
    """Asks a target as a `Load` says. `on_answer` hears of every request, also of those of the warm-up."""

    target: Target
    protocol: Protocol
    feed: Feed
    on_answer: OnAnswer
    clock: Clock = time.perf_counter
    sleep: Sleep = sleep
    seed: int = 7
    period_s: float = PERIOD_S
    enough: Callable[[], bool] = lambda: False
    """Asked before each arrival: whether no more are needed."""
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
                item, ask = self.feed.next()
                await self._ask(item, ask, caller, gauge)

        async with asyncio.TaskGroup() as group:
            for caller in range(min(callers, requests)):
                group.create_task(call(caller))

    async def _arrivals(self, load: Load, gauge: Gauge) -> None:
        chance = random.Random(f"{load.name} {self.seed}")
        due = self.clock()
        async with asyncio.TaskGroup() as group:
            for number in range(load.requests):
                if self.enough():
                    break
                item, ask = self.feed.next()
                due += chance.expovariate(load.rate)
                await self._until(due)
                if gauge.now >= MOST_IN_FLIGHT:
                    now = self.clock()
                    self.on_answer(Answer(item, number, now, now, error=NOT_SENT, due=due))
                else:
                    group.create_task(self._ask(item, ask, number, gauge, due))

    async def _until(self, due: float) -> None:
        await asyncio.sleep(0)  # those who are late as well let others go on
        while (left := due - self.clock()) > 0:
            await self.sleep(left)

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
        self.on_answer(Answer(item, caller, start, end, text, error, due, outcome.sent_bytes, heard_s, detail))

    async def _exchange(self, ask: Ask) -> Reply | RequestFailed:
        try:
            return await self.target.ask(ask)
        except RequestFailed as failure:
            return failure
