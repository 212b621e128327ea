"""The load: a closed loop of callers over plain HTTP/1.1, in a process of its own.

Each caller keeps one connection and asks again as soon as it is answered. The job comes as one line of JSON on standard
input, and what happened goes as one line to standard output. Only the standard library is imported, so that the client
starts fast and stays small.
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

from benchmarks.records import Answer

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


class RequestFailed(Exception):
    """A request without a usable answer; the message is the kind of error."""


class Connection:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> str:
        """The text that the server heard; raises RequestFailed."""
        try:
            async with asyncio.timeout(self._job.timeout_s):
                status, answer = await self._exchange(body)
        except TimeoutError:
            self.close()
            raise RequestFailed("timeout") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise RequestFailed(type(error).__name__) from None
        if status != 200:
            raise RequestFailed(f"http-{status}")
        return _text(answer)

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._job.port)
        reader, writer = self._streams
        writer.write(
            f"POST {self._job.path} HTTP/1.1\r\nHost: 127.0.0.1:{self._job.port}\r\n"
            f"Content-Type: {self._job.content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return status, answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Cell:
    """Callers at work on one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bodies = [Path(body).read_bytes() for body in job.bodies]
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
        with closing(Connection(self._job)) as connection:
            while not self._outcome.closed and (item := next(self._items, None)) is not None:
                text = error = ""
                start = time.monotonic()
                try:
                    text = await connection.ask(self._bodies[item])
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


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
    if "content-length" not in headers:
        raise RequestFailed("no content-length")
    return int(first.split()[1]), headers


def _text(answer: bytes) -> str:
    try:
        text = json.loads(answer)["text"]
    except (ValueError, KeyError, TypeError):
        raise RequestFailed("no text in the answer") from None
    if not str(text).strip():
        raise RequestFailed("empty text")
    return str(text)


def from_json(line: str) -> Outcome:
    raw: dict[str, Any] = json.loads(line)
    return Outcome(**{**raw, "answers": [Answer(*answer) for answer in raw["answers"]]})


def to_json(outcome: Outcome) -> str:
    return json.dumps({**asdict(outcome), "answers": [tuple(asdict(answer).values()) for answer in outcome.answers]})


if __name__ == "__main__":
    print(to_json(asyncio.run(Cell(Job(**json.loads(sys.stdin.readline()))).run())))
