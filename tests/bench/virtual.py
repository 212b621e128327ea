"""An event loop whose clock jumps to the next timer, and endpoints of a known law that live in it. A run of hours takes
milliseconds, and every figure has a true value that no other process on the machine can disturb."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Any, TypeVar

from aural.bench.http import Ask, Reply, RequestFailed
from aural.bench.load import Driver
from aural.bench.protocols import PROTOCOLS
from aural.bench.records import Answer, Asked, Cell, Done, Load

T = TypeVar("T")
TEXT = "the quick brown fox jumps over the lazy dog"


class _Jump(selectors.DefaultSelector):
    """Instead of waiting, time passes."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()


def words(text: str = TEXT, **more: object) -> bytes:
    return json.dumps({"text": text, **more}).encode()


class Endpoint:
    """`servers` that each take one request at a time, in order. `service_s` gives the time of each request, `answer`
    what it is answered."""

    def __init__(
        self,
        service_s: Iterator[float] | float,
        servers: int = 1,
        answer: Callable[[int], Reply | RequestFailed] = lambda number: Reply(200, words()),
    ) -> None:
        self._service_s = repeat(service_s) if isinstance(service_s, float) else service_s
        self._free = asyncio.Semaphore(servers)
        self._answer = answer
        self.asked = 0

    async def open(self, connections: int) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ask(self, ask: Ask) -> Reply:
        number, service_s = self.asked, next(self._service_s)
        self.asked += 1
        async with self._free:
            await asyncio.sleep(service_s)
        answer = self._answer(number)
        if isinstance(answer, RequestFailed):
            raise answer
        return answer


class Plain:
    """The same request again and again, with a number of its own."""

    def __init__(self) -> None:
        self.number = -1

    def next(self) -> tuple[int, Ask]:
        self.number += 1
        return self.number, Ask("/", (b"RIFF",))


def measure(endpoint: Endpoint, load: Load) -> tuple[Done, list[Answer]]:
    answers: list[Answer] = []

    async def main() -> Done:
        driver = Driver(
            endpoint,
            PROTOCOLS["invocations-raw"],
            Plain(),
            answers.append,
            clock=now,
            sleep=asyncio.sleep,
            period_s=1.0,
        )
        return await driver.run(load)

    with suppress(asyncio.CancelledError):
        done = run(main())
    return done, answers


def cell(endpoint: Endpoint, load: Load) -> Cell:
    done, answers = measure(endpoint, load)
    return Cell(done, tuple(answers[load.warm_up :]), tuple(answers[: load.warm_up]))


def asked(count: int, duration_s: float = 3.0) -> list[Asked]:
    return [Asked(f"{i}", TEXT, duration_s, 1.0, ((0.0, duration_s, TEXT),)) for i in range(count)]
