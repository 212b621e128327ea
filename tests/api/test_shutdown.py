"""SIGTERM in mid-sentence: live sessions on every route are heard to an end within the time of all requests."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import httpx
import numpy as np
import pytest
import websockets

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.realtime import Client, client, pcm16
from tests.conftest import Recording, Server, serving, wait_until, word_errors, words

LIMIT_S = 40.0
PATIENCE_S = 120.0
QUESTION = "when is a lobster not a lobster when it is a crayfish"
REALTIME, STREAM = "/v1/realtime?intent=transcription", "/invocations-bidirectional-stream"
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


async def call(server: Server, audio: Samples, begun: list[str]) -> tuple[list[dict[str, Any]], int | None]:
    """A session of Deepgram's that says half: its messages and the close code."""
    address = (
        server.url.replace("http", "ws", 1) + "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true"
    )
    messages = []
    async with websockets.connect(address, proxy=None) as socket:
        await socket.send(pcm16(audio[: 2 * SAMPLE_RATE]))
        async for frame in socket:
            messages.append(json.loads(frame))
            begun.append("/v1/listen")
    return messages, socket.close_code


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
            calling = asyncio.create_task(call(server, lobster, begun))
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
        finals = [one for one in messages if one["type"] == "Results" and one["is_final"]]
        said = " ".join(one["channel"]["alternatives"][0]["transcript"] for one in finals)
        assert "lobster" in words(said)
        assert (messages[-1]["type"], code) == ("Metadata", 1000)
        assert (await following) == "WEBVTT\n"

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
