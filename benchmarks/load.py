"""The load: a closed loop of callers over plain HTTP/1.1, in a process of its own.

Each caller keeps one connection and asks again as soon as it is answered. The job comes as one line of JSON on standard
input, and what happened goes as one line to standard output. Connections and answers are those of `aural bench`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from aural.bench.http import Address, Ask, Connection, RequestFailed
from aural.bench.protocols import PROTOCOLS
from aural.bench.records import Answer

PAUSE_AFTER_ERROR_S = 0.1
LONGEST_CELL_S = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """One cell: who is asked, what, by how many and for how long."""

    port: int
    path: str
    content_type: str
    bodies: list[str]
    """Files with the request bodies, by item."""
    order: list[int]
    """Items in the order in which they are asked for, round and round."""
    callers: int
    seconds: float = 0.0
    at_least: int = 0
    """The window stays open for so many seconds and so many answers."""
    once: bool = False
    """Ask for every item of the order once instead; the window is all of it."""
    drain: bool = True
    """Wait for the answers that are still due when the window closes; otherwise hang up."""
    timeout_s: float = 120.0


@dataclass(slots=True)
class Outcome:
    answers: list[Answer] = field(default_factory=list)
    opened: float = 0.0
    closed: float = 0.0
    client_cpu_s: float = 0.0
    """CPU seconds of this process while the window was open."""


class Cell:
    """Callers at work on one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._asks = [Ask(job.path, (Path(body).read_bytes(),), job.content_type) for body in job.bodies]
        self._heard = PROTOCOLS["invocations-raw"].heard
        self._items: Iterator[int] = iter(job.order) if job.once else cycle(job.order)
        self._began = time.monotonic()
        self._cpu_at_opening = 0.0
        self._outcome = Outcome()
        self._callers: asyncio.Future[list[None]]

    async def run(self) -> Outcome:
        self._callers = asyncio.gather(*(self._call(caller) for caller in range(self._job.callers)))
        with suppress(asyncio.CancelledError):
            await self._callers
        if self._job.once:
            self._outcome.opened = self._began
            self._outcome.closed = time.monotonic()
            self._outcome.client_cpu_s = time.process_time()
        return self._outcome

    async def _call(self, caller: int) -> None:
        address = Address("http", "127.0.0.1", self._job.port, "")
        with closing(Connection(address, timeout_s=self._job.timeout_s)) as connection:
            while not self._outcome.closed and (item := next(self._items, None)) is not None:
                text = error = ""
                start = time.monotonic()
                try:
                    reply = await connection.ask(self._asks[item])
                    text = self._heard(reply.status, reply.body).text
                except RequestFailed as failure:
                    error = str(failure)
                self._outcome.answers.append(Answer(item, caller, start, time.monotonic(), text, error))
                self._watch()
                if error:
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    def _watch(self) -> None:
        """Open the window after the first round of answers, close it when enough were seen."""
        if self._job.once:
            return
        now, answered = self._outcome.answers[-1].end, len(self._outcome.answers)
        if answered == self._job.callers:
            self._outcome.opened, self._cpu_at_opening = now, time.process_time()
        in_window = answered - self._job.callers
        enough = in_window >= self._job.at_least and now - self._outcome.opened >= self._job.seconds
        if in_window > 0 and not self._outcome.closed and (enough or now - self._began > LONGEST_CELL_S):
            self._outcome.closed = now
            self._outcome.client_cpu_s = time.process_time() - self._cpu_at_opening
            if not self._job.drain:
                self._callers.cancel()


def from_json(line: str) -> Outcome:
    raw: dict[str, Any] = json.loads(line)
    return Outcome(**{**raw, "answers": [Answer(*answer) for answer in raw["answers"]]})


def to_json(outcome: Outcome) -> str:
    return json.dumps({**asdict(outcome), "answers": [tuple(asdict(answer).values()) for answer in outcome.answers]})


if __name__ == "__main__":
    print(to_json(asyncio.run(Cell(Job(**json.loads(sys.stdin.readline()))).run())))
