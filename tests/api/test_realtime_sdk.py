"""OpenAI's own SDK, unmodified, in a transcription session with real weights."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import openai
import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from aural.types import SAMPLE_RATE, Samples
from tests.conftest import Server, word_errors

PATIENCE_S = 120.0
CHUNK_S = 0.1
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
QUESTION = "when is a lobster not a lobster when it is a crayfish"


@asynccontextmanager
async def connected(server: Server, **query: str) -> AsyncIterator[AsyncRealtimeConnection]:
    """A session as the SDK's documentation opens one, its first event read."""
    client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    async with client, client.realtime.connect(extra_query={"intent": "transcription", **query}) as connection:
        assert (await connection.recv()).type == "session.created"
        yield connection


def pcm16(samples: Samples, rate: int = SAMPLE_RATE) -> bytes:
    """PCM16 at a multiple of 8 kHz, by linear interpolation."""
    places = np.arange(round(len(samples) * rate / SAMPLE_RATE)) * SAMPLE_RATE / rate
    return (np.interp(places, np.arange(len(samples)), samples) * 32767).astype("<i2").tobytes()


async def send(connection: AsyncRealtimeConnection, audio: bytes, rate: int = SAMPLE_RATE) -> None:
    step = round(CHUNK_S * rate) * 2
    for start in range(0, len(audio), step):
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio[start : start + step]).decode())


async def until(connection: AsyncRealtimeConnection, kind: str) -> list[Any]:
    """Events up to one of this kind."""
    seen = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in connection:
            assert event.type != "error", event
            seen.append(event)
            if event.type == kind:
                return seen
    raise AssertionError(f"the connection ended before {kind}: {[event.type for event in seen]}")


def run(scenario: Callable[[], Any]) -> None:
    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-1", "gpt-4o-mini-transcribe"])
def test_a_session_with_server_vad(whisper: Server, lobster: Samples, name: str) -> None:
    async def scenario() -> None:
        async with connected(whisper) as connection:
            heard = {"format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": {"type": "near_field"}}
            audio = {"input": heard | {"transcription": {"model": name, "language": "en"}}}
            await connection.session.update(session={"type": "transcription", "audio": audio})  # type: ignore[arg-type]
            updated = await connection.recv()
            assert updated.type == "session.updated"
            assert updated.session.audio.input.transcription.model == name
            assert updated.session.audio.input.noise_reduction is None
            await send(connection, pcm16(lobster, 24_000), 24_000)
            events = await until(connection, COMPLETED)
        kinds = [event.type for event in events]
        order = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            COMPLETED,
        ]
        assert [kind for kind in kinds if kind != DELTA] == order
        assert "".join(event.delta for event in events if event.type == DELTA) == events[-1].transcript
        assert word_errors([QUESTION], [events[-1].transcript]) < 0.1
        assert events[-1].usage.type == "duration"
        item = {event.item_id for event in events if hasattr(event, "item_id")}
        assert item == {events[-1].item_id}

    run(scenario)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_client_commits(whisper: Server, lobster: Samples, rate: int) -> None:
    async def scenario() -> None:
        async with connected(whisper) as connection:
            heard = {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": None}
            await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})  # type: ignore[arg-type]
            await send(connection, pcm16(lobster, rate), rate)
            await connection.input_audio_buffer.commit()
            events = await until(connection, COMPLETED)
        assert "input_audio_buffer.speech_started" not in [event.type for event in events]
        assert word_errors([QUESTION], [events[-1].transcript]) < 0.1

    run(scenario)
