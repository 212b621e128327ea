"""A client of WS /v1/listen of a few lines, for what Deepgram's SDK would not send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from aural.types import SAMPLE_RATE, Samples
from tests.audio.build import int16
from tests.conftest import Server

PATIENCE_S = 120.0
FRAME_BYTES = 6400
LOBSTERS = "when is a lobster not a lobster when it is a crayfish"
RAW = "encoding=linear16&sample_rate=16000"
CLOSE = '{"type":"CloseStream"}'
FINALIZE = '{"type":"Finalize"}'
Message = dict[str, Any]
Result = TypeVar("Result")


@asynccontextmanager
async def listening(server: Server, query: str = RAW, **named: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}", proxy=None, **named) as connection:
        yield connection


async def all_of(connection: ClientConnection) -> list[Message]:
    messages: list[Message] = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await connection.recv()))
    return messages


async def until(connection: ClientConnection, is_it: Callable[[Message], bool]) -> list[Message]:
    messages = [json.loads(await connection.recv())]
    while not is_it(messages[-1]):
        messages.append(json.loads(await connection.recv()))
    return messages


async def play(connection: ClientConnection, audio: bytes) -> None:
    for start in range(0, len(audio), FRAME_BYTES):
        await connection.send(audio[start : start + FRAME_BYTES])


def run(scenario: Callable[[], Awaitable[Result]]) -> Result:
    async def patient() -> Result:
        return await asyncio.wait_for(scenario(), PATIENCE_S)

    return asyncio.run(patient())


def heard(server: Server, audio: bytes, query: str = RAW, closing: str | bytes = CLOSE) -> list[Message]:
    """What comes of the audio, sent at once, to the close of the socket."""

    async def scenario() -> list[Message]:
        async with listening(server, query) as connection:
            await play(connection, audio)
            await connection.send(closing)
            return await all_of(connection)

    return run(scenario)


def finals(messages: list[Message]) -> list[Message]:
    return [one for one in messages if one.get("is_final")]


def text(messages: list[Message]) -> str:
    return " ".join(filter(None, (one["channel"]["alternatives"][0]["transcript"] for one in finals(messages))))


def kinds(messages: list[Message]) -> list[str]:
    return [one["type"] for one in messages]


def pcm16(samples: Samples) -> bytes:
    return int16(samples).astype("<i2").tobytes()


def resampled(samples: Samples, rate: int, form: str = "flt") -> bytes:
    """Mono samples of FFmpeg's format `form`, or its codec's if there is one of that name."""
    import av

    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format=form, layout="mono", rate=rate)
    return b"".join(one.to_ndarray().tobytes() for part in (frame, None) for one in resampler.resample(part))


async def refused(server: Server, query: str = RAW, **named: Any) -> Any:
    """The answer to a handshake that is refused, with its body as JSON."""
    with pytest.raises(InvalidStatus) as caught:
        async with listening(server, query, **named):
            pass
    response = caught.value.response
    return response, json.loads(response.body or b"")


def assert_deepgrams(response: Any, body: Message) -> None:
    assert body["request_id"] == response.headers["dg-request-id"]
    assert body["err_code"]
    assert body["err_msg"]
    assert response.headers["dg-error"]
