"""Deepgram's own SDK, unmodified, against the real server with real weights; then what the SDK would not send."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from aural.audio.decode import decode
from tests.api.conftest import KEY
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
    (end,) = [one for one in messages if isinstance(one, ListenV1UtteranceEnd)] or [None]
    assert end is None or end.last_word_end == heard[-1].end
    metadata = messages[-1]
    assert isinstance(metadata, ListenV1Metadata)
    assert metadata.sha256 == hashlib.sha256(audio).hexdigest()
    assert metadata.duration == pytest.approx(len(audio) / 32_000)


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


@asynccontextmanager
async def listening(server: Server, query: str = "", **named: Any) -> AsyncIterator[ClientConnection]:
    url = f"{server.url.replace('http', 'ws')}/v1/listen?encoding=linear16&sample_rate=16000{query}"
    async with connect(url, proxy=None, **named) as socket:
        yield socket


async def all_of(socket: ClientConnection) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await socket.recv()))
    return messages


@pytest.mark.parametrize("closing", ['{"type":"CloseStream"}', b'{"type":"CloseStream"}', b""])
def test_a_stream_ends_in_three_ways(fake: Server, closing: str | bytes) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int | None]:
        async with listening(fake) as socket:
            await socket.send(bytes(3200))
            await socket.send(closing)
            return await all_of(socket), socket.close_code

    messages, code = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert messages[-1]["type"] == "Metadata"
    assert (messages[-1]["duration"], code) == (0.1, 1000)


@pytest.mark.parametrize("text", ["hello", "[1]", '{"kind":"KeepAlive"}', '{"type":"Sing"}'])
def test_text_that_is_no_order_is_told_and_ends_the_stream(fake: Server, text: str) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int | None]:
        async with listening(fake) as socket:
            await socket.send(text)
            return await all_of(socket), socket.close_code

    (error,), code = asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert (error["type"], error["variant"], code) == ("Error", "invalid_request", 1008)


@pytest.mark.parametrize(
    ("query", "status"), [("&sentiment=true", 400), ("&model=nobody", 404), ("&sample_rate=12", 400)]
)
def test_refusals_come_before_the_handshake(fake: Server, query: str, status: int) -> None:
    async def talk() -> None:
        async with listening(fake, query):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(talk())
    response = caught.value.response
    assert response.status_code == status
    body = json.loads(response.body or b"")
    assert body["request_id"] == response.headers["dg-request-id"]
    assert body["err_msg"]
    assert response.headers["dg-error"]


def test_browsers_show_their_key_as_a_subprotocol(guarded: Server) -> None:
    async def talk(*subprotocols: str) -> str | None:
        async with listening(guarded, subprotocols=list(subprotocols)) as socket:
            await socket.send('{"type":"CloseStream"}')
            await all_of(socket)
            return socket.subprotocol

    assert asyncio.run(talk("token", KEY)) == "token"
    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(talk("token", "wrong"))
    assert caught.value.response.status_code == 401


def test_a_caller_who_hangs_up_leaves_nothing_behind(fake: Server) -> None:
    async def talk() -> None:
        for _ in range(5):
            async with listening(fake) as socket:
                await socket.send(bytes(64_000))
                socket.transport.abort()
        async with listening(fake) as socket:
            await socket.send('{"type":"CloseStream"}')
            assert (await all_of(socket))[-1]["type"] == "Metadata"

    asyncio.run(asyncio.wait_for(talk(), PATIENCE_S))
    assert fake.get("/ping")[0] == 200
