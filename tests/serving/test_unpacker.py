"""A container on its way into a session: in order, bounded, and without a thread left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import numpy as np
import pytest

from aural.audio.encoding import to_float32
from aural.errors import BadAudio
from aural.serving.stream import Stream
from aural.serving.unpacker import MOST_WAITING_BYTES, Unpacker
from aural.types import SAMPLE_RATE, Samples
from tests.audio.build import tone, wav

PATIENCE_S = 60.0
SOUND = tone(10.0)
BODY = wav(SOUND.tobytes(), size=0xFFFFFFFF)


class Sink:
    """What an unpacker knows of a stream; takes sound only while it is open."""

    def __init__(self) -> None:
        self.heard = b""
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def append(self, data: bytes) -> None:
        await self.is_open.wait()
        self.heard += data

    @property
    def samples(self) -> Samples:
        return to_float32(self.heard, "pcm_f32le")


@asynccontextmanager
async def unpacking() -> AsyncIterator[tuple[Unpacker, Sink, asyncio.Task[None]]]:
    sink = Sink()
    unpacker = Unpacker(cast("Stream", sink))
    running = asyncio.create_task(unpacker.run())
    try:
        yield unpacker, sink, running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, BadAudio):
            await running


def run(scenario: Callable[[], Awaitable[Any]]) -> None:
    async def patient() -> None:
        await asyncio.wait_for(scenario(), PATIENCE_S)
        while unpackers():  # noqa: ASYNC110 - a thread has no event
            await asyncio.sleep(0.01)

    asyncio.run(patient())


def unpackers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "unpack"]


def test_all_that_came_is_heard_when_it_is_settled_and_the_rest_when_it_ends() -> None:
    async def scenario() -> None:
        async with unpacking() as (unpacker, sink, running):
            half = len(BODY) // 2
            await unpacker.append(BODY[:half])
            await unpacker.settle()
            assert len(sink.samples) == pytest.approx(5 * SAMPLE_RATE, abs=SAMPLE_RATE // 2)
            await unpacker.append(BODY[half:])
            await unpacker.finish()
            await running
            assert np.array_equal(sink.samples, SOUND[:, 0] / np.float32(32768))

    run(scenario)


def test_who_sends_faster_than_is_heard_waits() -> None:
    async def scenario() -> None:
        async with unpacking() as (unpacker, sink, _):
            sink.is_open.clear()
            sent = 0

            async def send() -> None:
                nonlocal sent
                await unpacker.append(BODY[:44])
                for _ in range(100):
                    await unpacker.append(SOUND.tobytes()[:32_000])
                    sent += 32_000

            sending = asyncio.create_task(send())
            while sent < MOST_WAITING_BYTES:  # noqa: ASYNC110 - it is the sender that is watched
                await asyncio.sleep(0.01)
            for _ in range(100):
                await asyncio.sleep(0)
            assert sent < MOST_WAITING_BYTES + 5 * 32_000
            sink.is_open.set()
            await sending
            await unpacker.finish()
            assert len(sink.samples) == 100 * SAMPLE_RATE

    run(scenario)


def test_what_cannot_be_decoded_is_raised_and_nobody_waits_for_it() -> None:
    async def scenario() -> None:
        async with unpacking() as (unpacker, _, running):
            await unpacker.append(b"no sound at all, only words")
            with pytest.raises(BadAudio, match="text"):
                await running
            await unpacker.append(bytes(2 * MOST_WAITING_BYTES))
            await unpacker.append(bytes(2 * MOST_WAITING_BYTES))
            await unpacker.settle()
            await unpacker.finish()

    run(scenario)


@pytest.mark.parametrize("body", [b"", BODY[:1000], BODY * 10])
def test_no_thread_is_left_when_nobody_listens_any_more(body: bytes) -> None:
    async def scenario() -> None:
        async with unpacking() as (unpacker, _, _):
            await unpacker.append(body)

    run(scenario)
