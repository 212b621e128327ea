"""Deepgram's own SDK, unmodified, against the real server with real weights."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import numpy as np
import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import (
    ListenV1Configure,
    ListenV1ConfigureSuccess,
    ListenV1Metadata,
    ListenV1Results,
    ListenV1SpeechStarted,
    ListenV1UtteranceEnd,
)
from websockets.exceptions import InvalidStatus

from aural.audio.decode import decode
from tests.conftest import Recording, Server, word_errors, words

pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")  # of names that Deepgram's SDK imports

PATIENCE_S = 120.0
FRAME_BYTES = 3200
LOBSTERS = "when is a lobster not a lobster when it is a crayfish"
RAW = {"encoding": "linear16", "sample_rate": 16_000}


def pcm16(clip: Recording) -> bytes:
    """The clip with a second and a half of silence after it."""
    heard = decode(clip.bytes, limit_s=60).samples
    return (np.pad(heard, (0, 24_000)) * 32_767).astype("<i2").tobytes()


def frames(audio: bytes) -> list[bytes]:
    return [audio[i : i + FRAME_BYTES] for i in range(0, len(audio), FRAME_BYTES)]


def environment(server: Server) -> DeepgramClientEnvironment:
    socket = server.url.replace("http", "ws")
    return DeepgramClientEnvironment(base=server.url, production=socket, agent=socket, agent_rest=server.url)


def text(results: list[Any]) -> str:
    return " ".join(one.channel.alternatives[0].transcript for one in results if one.is_final)


def test_the_async_client_hears_a_sentence(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = pcm16(clips["libri-367-130732-0001"])

    async def talk() -> list[Any]:
        client = AsyncDeepgramClient(api_key="none", environment=environment(whisper))
        asked = {"interim_results": True, "vad_events": True, "utterance_end_ms": 1000, "smart_format": True}
        async with client.listen.v1.connect(model="nova-3", **RAW, **asked) as connection:
            for frame in frames(audio):
                await connection.send_media(frame)
            await connection.send_keep_alive()
            await connection.send_close_stream()
            return [message async for message in connection]

    messages = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    results = [one for one in messages if isinstance(one, ListenV1Results)]
    assert word_errors([LOBSTERS], [text(results)]) < 0.1
    assert any(one.speech_final for one in results)
    heard = [word for one in results if one.is_final for word in one.channel.alternatives[0].words]
    assert [word.word for word in heard] == words(text(results))
    assert heard[-1].punctuated_word.endswith(".")
    starts = [word.start for word in heard]
    assert starts == sorted(starts)
    assert 0 < heard[0].start < heard[-1].end <= len(audio) / 32_000
    assert isinstance(messages[0], ListenV1SpeechStarted)
    (end,) = [one for one in messages if isinstance(one, ListenV1UtteranceEnd)]
    assert end.last_word_end == heard[-1].end
    lengths = [one.duration for one in results if one.is_final]
    metadata = messages[-1]
    assert isinstance(metadata, ListenV1Metadata)
    assert metadata.sha256 == hashlib.sha256(audio).hexdigest()
    assert metadata.duration == pytest.approx(len(audio) / 32_000)
    assert sum(lengths) == pytest.approx(metadata.duration, abs=1e-6)


def test_the_sync_client_finalizes(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = pcm16(clips["LJ001-0002"])[:-24_000]
    client = DeepgramClient(api_key="none", environment=environment(whisper))
    seen: list[Any] = []
    with client.listen.v1.connect(model="whisper-tiny.en", endpointing=False, **RAW) as connection:

        def note(message: Any) -> None:
            seen.append(message)
            if isinstance(message, ListenV1Results) and message.from_finalize:
                connection.send_close_stream()

        connection.on(EventType.MESSAGE, note)
        for frame in frames(audio):
            connection.send_media(frame)
        connection.send_finalize()
        connection.start_listening()
    results = [one for one in seen if isinstance(one, ListenV1Results)]
    assert word_errors(["in being comparatively modern"], [text(results)]) < 0.3
    assert [one.from_finalize for one in results][-1]


def test_keyterms_change_while_the_stream_goes_on(whisper: Server) -> None:
    async def talk() -> Any:
        client = AsyncDeepgramClient(api_key="none", environment=environment(whisper))
        async with client.listen.v1.connect(model="nova-3", **RAW) as connection:
            await connection.send_configure(ListenV1Configure(keyterms=["lobster"]))
            return await connection.recv()

    answer = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert isinstance(answer, ListenV1ConfigureSuccess)
    assert answer.keyterms == ["lobster"]


def test_the_sdk_sees_why_it_is_refused(whisper: Server) -> None:
    client = DeepgramClient(api_key="none", environment=environment(whisper))
    with (
        pytest.raises(InvalidStatus) as caught,
        client.listen.v1.connect(model="nova-3", diarize=True, **RAW),
    ):
        pass
    assert caught.value.response.status_code == 400


def test_a_file_is_heard(whisper: Server, clips: dict[str, Recording]) -> None:
    client = DeepgramClient(api_key="none", environment=environment(whisper))
    body = clips["libri-367-130732-0001"].bytes
    answer = client.listen.v1.media.transcribe_file(request=body, model="nova-3", smart_format=True, utterances=True)
    (spoken,) = answer.results.channels[0].alternatives
    assert word_errors([LOBSTERS], [spoken.transcript]) < 0.1
    assert [word.word for word in spoken.words] == words(spoken.transcript)
    assert words(" ".join(one.transcript for one in answer.results.utterances)) == words(spoken.transcript)
    assert answer.metadata.sha256 == hashlib.sha256(body).hexdigest()
    with pytest.raises(ApiError) as caught:
        client.listen.v1.media.transcribe_file(request=b"nothing of the kind", model="nova-3")
    assert caught.value.status_code == 415
    with pytest.raises(ApiError) as caught:
        client.listen.v1.media.transcribe_url(url="http://127.0.0.1/speech.wav", model="nova-3")
    assert caught.value.status_code == 400


def test_a_container_is_heard_without_a_word_about_it(whisper: Server, clips: dict[str, Recording]) -> None:
    body = clips["fleurs-en-004"].bytes  # Opus in Ogg, at 48 kHz

    async def talk() -> list[Any]:
        client = AsyncDeepgramClient(api_key="none", environment=environment(whisper))
        async with client.listen.v1.connect(model="nova-3") as connection:
            for frame in frames(body):
                await connection.send_media(frame)
            await connection.send_close_stream()
            return [message async for message in connection]

    *results, metadata = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert word_errors([clips["fleurs-en-004"].text], [text(results)]) < 0.2
    assert metadata.sha256 == hashlib.sha256(body).hexdigest()
    assert metadata.duration == pytest.approx(4.32, abs=0.1)
