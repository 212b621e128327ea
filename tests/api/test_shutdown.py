"""SIGTERM in mid-sentence: live sessions on every route are heard to an end within the time of all requests."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest
import websockets

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.listen import all_of
from tests.api.realtime import Client, client, pcm16
from tests.conftest import Recording, Server, serving, wait_until, word_errors, words

LIMIT_S = 40.0
PATIENCE_S = 120.0
QUESTION = "when is a lobster not a lobster when it is a crayfish"
REALTIME, STREAM = "/v1/realtime?intent=transcription", "/invocations-bidirectional-stream"
RAW = "encoding=linear16&sample_rate=16000"
SMALL = ("--model", "whisper-tiny.en", "--replicas", "1", "--max-streams", "8")


@pytest.fixture(scope="module")
def lobster(clips: dict[str, Recording]) -> Samples:
    return np.pad(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples, (0, SAMPLE_RATE))


async def converse(server: Server, path: str, audio: Samples, begun: list[str], stop: asyncio.Event) -> Client:
    """A Realtime session that has said half when the server is stopped, and then the rest."""
    async with client(server, path) as one:
        await one.ask(include=["aural.drafts"])
        await one.play(pcm16(audio[: 2 * SAMPLE_RATE]))
        await one.until("aural.draft")
        begun.append(path)
        await stop.wait()
        await one.play(pcm16(audio[2 * SAMPLE_RATE :]))
        await one.rest()
        return one


Messages = list[dict[str, Any]]


async def call(server: Server, audio: bytes, begun: list[str], query: str = RAW) -> tuple[Messages, int | None]:
    """A session of Deepgram's that is stopped when it is heard: its messages and the close code."""
    address = f"{server.url.replace('http', 'ws', 1)}/v1/listen?interim_results=true&{query}"
    messages = []
    async with websockets.connect(address, proxy=None) as socket:
        await socket.send(audio)
        async for frame in socket:
            messages.append(json.loads(frame))
            begun.append("/v1/listen")
    return messages, socket.close_code


async def talk_on(server: Server, stop: asyncio.Event) -> tuple[Messages, int | None]:
    """A session of Deepgram's that sends silence for as long as it is taken."""
    address = f"{server.url.replace('http', 'ws', 1)}/v1/listen?{RAW}"
    async with websockets.connect(address, proxy=None) as socket:
        await socket.send(bytes(32_000))
        await stop.wait()
        hearing = asyncio.create_task(all_of(socket))
        while not hearing.done():
            with suppress(websockets.ConnectionClosed):
                await socket.send(bytes(6400))
            await asyncio.wait([hearing], timeout=0.01)
        return await hearing, socket.close_code


def said(messages: Messages) -> str:
    finals = [one for one in messages if one["type"] == "Results" and one["is_final"]]
    return " ".join(one["channel"]["alternatives"][0]["transcript"] for one in finals)


async def follow(server: Server, session: str) -> str:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as http:
        return (await http.get(f"/v1/captions/{session}.vtt", params={"follow": "true"})).text


def test_live_sessions_end_by_themselves(lobster: Samples) -> None:
    async def scenario(server: Server) -> None:
        begun: list[str] = []
        stop = asyncio.Event()
        async with client(server, REALTIME) as idle:
            await idle.ask()
            following = asyncio.create_task(follow(server, idle.events[0]["session"]["id"]))
            conversing = [
                asyncio.create_task(converse(server, path, lobster, begun, stop)) for path in (REALTIME, STREAM)
            ]
            calling = asyncio.create_task(call(server, pcm16(lobster[: 2 * SAMPLE_RATE]), begun))
            await asyncio.to_thread(wait_until, lambda: len(set(begun)) == 3, PATIENCE_S)
            server.process.send_signal(signal.SIGTERM)
            await idle.rest()
            stop.set()
            ended = [*await asyncio.gather(*conversing), idle]
        for one in ended:
            [notice] = one.of("aural.going_away")
            assert notice["resume"]
            assert one.of("aural.ended")
            assert one.events[-1]["error"]["code"] == "draining"
            assert one.socket.close_code == 1012
        for one in ended[:2]:
            assert word_errors([QUESTION], [one.text]) < 0.1
            assert one.of("aural.going_away")[0]["audio_end_ms"] > 4000
        messages, code = await calling
        assert "lobster" in words(said(messages))
        assert (messages[-1]["type"], code) == ("Metadata", 1000)
        assert (await following) == "WEBVTT\n"

    with serving(*SMALL) as server:
        asyncio.run(asyncio.wait_for(scenario(server), PATIENCE_S))
        assert server.process.wait(LIMIT_S) == 0


def test_containers_are_heard_to_their_end(clips: dict[str, Recording]) -> None:
    """Of FLAC the decoder holds back seconds; of a header alone nothing can be heard, and that is no error. Whoever
    sends on is not told off."""

    async def scenario(server: Server) -> None:
        begun: list[str] = []
        stop = asyncio.Event()
        flac = clips["libri-367-130732-0001"].bytes
        calling = [asyncio.create_task(call(server, audio, begun, "")) for audio in (flac, flac[:50])]
        calling.append(asyncio.create_task(talk_on(server, stop)))
        await asyncio.to_thread(wait_until, lambda: bool(begun), PATIENCE_S)
        await asyncio.to_thread(wait_until, lambda: server.metric("aural_live_sessions") == 3, PATIENCE_S)
        server.process.send_signal(signal.SIGTERM)
        stop.set()
        ended = await asyncio.gather(*calling)
        assert word_errors([QUESTION], [said(ended[0][0])]) < 0.1
        for messages, code in ended:
            assert (messages[-1]["type"], code) == ("Metadata", 1000)

    with serving(*SMALL) as server:
        asyncio.run(asyncio.wait_for(scenario(server), PATIENCE_S))
        assert server.process.wait(LIMIT_S) == 0


def test_who_speaks_on_is_cut_off_with_a_place_to_go_on_at(lobster: Samples) -> None:
    """No pause comes: in the middle of the server's time the utterance is ended where it is."""

    async def scenario(server: Server) -> None:
        async with client(server, REALTIME) as one:
            await one.ask(include=["aural.drafts"])
            await one.play(pcm16(lobster[: 2 * SAMPLE_RATE]))
            await one.until("aural.draft")
            server.process.send_signal(signal.SIGTERM)
            await one.rest()
            [notice] = one.of("aural.going_away")
            assert notice["audio_end_ms"] == 2000
            assert "lobster" in words(one.text)
            assert one.socket.close_code == 1012

    with serving(*SMALL, "--drain-s", "6") as server:
        asyncio.run(asyncio.wait_for(scenario(server), PATIENCE_S))
        assert server.process.wait(LIMIT_S) == 0


def test_nobody_is_waited_for_longer_than_for_requests() -> None:
    """With no time at all sessions are cut off."""

    async def scenario(server: Server) -> None:
        async with client(server, REALTIME) as one:
            await one.ask()
            server.process.send_signal(signal.SIGTERM)
            await one.rest()
            assert one.socket.close_code == 1012

    with serving("--model", "fake", "--replicas", "1", "--drain-s", "0") as server:
        asyncio.run(asyncio.wait_for(scenario(server), PATIENCE_S))
        assert server.process.wait(LIMIT_S) == 0
