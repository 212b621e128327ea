"""Audio that comes to a live session in a container: a thread of its own decodes it, so that neither the event loop nor
the ear of the others waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from aural.audio.unpack import unpack
from aural.live.settings import Format
from aural.serving.stream import Stream
from aural.types import SAMPLE_RATE, Samples

UNPACKED = Format("pcm_f32le", SAMPLE_RATE, 1)
"""What a session hears of a container."""
MOST_WAITING_BYTES = 256 * 1024

Result = TypeVar("Result")


class Unpacker:
    """Bytes of one container in, samples out to one stream. `run` goes on until the container ends."""

    def __init__(self, stream: Stream) -> None:
        """`stream` has the format `UNPACKED`."""
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._change = asyncio.Condition()
        self._waiting: deque[memoryview] = deque()
        self._is_starved = False
        """All that came is decoded."""
        self._is_over = False
        """No more comes."""
        self._is_done = False

    async def run(self) -> None:
        """Raises BadAudio for what cannot be decoded."""
        try:
            await _in_thread(self._unpack)
        finally:
            await self._note_end()

    async def append(self, data: bytes) -> None:
        """More of the container, cut anywhere. Waits while too much is not decoded. What comes after the end counts as
        never sent."""
        if self._is_over:
            return
        async with self._change:
            await self._change.wait_for(lambda: self._is_done or sum(map(len, self._waiting)) < MOST_WAITING_BYTES)
            if not self._is_done:
                self._waiting.append(memoryview(data))
                self._change.notify_all()

    async def settle(self) -> None:
        """Returns when the stream has all the sound in what came so far."""
        async with self._change:
            await self._change.wait_for(lambda: self._is_done or (self._is_starved and not self._waiting))

    async def finish(self) -> None:
        """No more comes. Returns when the stream has all of it."""
        async with self._change:
            self._is_over = True
            self._change.notify_all()
            await self._change.wait_for(lambda: self._is_done)

    def _unpack(self) -> None:
        unpack(lambda size: self._await(self._next(size)), lambda sound: self._await(self._tell(sound)))

    def _await(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _tell(self, sound: Samples) -> None:
        await self._stream.append(sound.tobytes())

    async def _next(self, size: int) -> bytes:
        async with self._change:
            self._is_starved = not self._waiting
            self._change.notify_all()
            await self._change.wait_for(lambda: self._waiting or self._is_over)
            self._is_starved = False
            return self._taken(size)

    def _taken(self, size: int) -> bytes:
        if not self._waiting:
            return b""
        first = self._waiting.popleft()
        if len(first) > size:
            self._waiting.appendleft(first[size:])
        self._change.notify_all()
        return bytes(first[:size])

    async def _note_end(self) -> None:
        """The thread has ended, or ends soon: nobody waits for it any more."""
        async with self._change:
            self._is_done = self._is_over = True
            self._waiting.clear()
            self._change.notify_all()


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Run the work in a thread that no exit of the process waits for."""
    ended: Future[None] = Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the future is awaited
            ended.set_exception(error)
        else:
            ended.set_result(None)

    Thread(target=run, name="unpack", daemon=True).start()
    return asyncio.wrap_future(ended)
