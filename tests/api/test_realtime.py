"""The Realtime wire beyond what the SDK shows: dialects, refusals, extensions, neighbours, faults, roll-over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import websockets

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.conftest import KEY
from tests.api.realtime import COMPLETED, DELTA, RATE, Client, client, pcm16
from tests.conftest import Recording, Server, serving, word_errors, words

QUESTION = "when is a lobster not a lobster when it is a crayfish"
STREAM = "/invocations-bidirectional-stream"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "realtime"}, "session.type"),
    ({"colour": "red"}, "session.colour"),
    ({"include": ["item.input_audio_transcription.logprobs"]}, "session.include"),
    ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
    ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 5}}}}, "session.audio.input.format.rate"),
    ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16000}}}}, "session.audio.input.format.rate"),
    ({"audio": {"input": {"noise_reduction": {"type": "loud"}}}}, "session.audio.input.noise_reduction.type"),
    ({"audio": {"input": {"transcription": {"language": "klingon"}}}}, "language"),
    ({"audio": {"input": {"transcription": {"model": "gpt-9"}}}}, "model"),
    ({"audio": {"input": {"transcription": {"delay": "low"}}}}, "session.audio.input.transcription.delay"),
    ({"audio": {"input": {"turn_detection": {"type": "none"}}}}, "session.audio.input.turn_detection.type"),
    (
        {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
        "session.audio.input.turn_detection.threshold",
    ),
    (
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "mad"}}}},
        "session.audio.input.turn_detection.eagerness",
    ),
    ({"audio": {"input": {"transcription": {"prompt": "a" * 4001}}}}, "session.audio.input.transcription.prompt"),
    (
        {"audio": {"input": {"transcription": {"keywords": ["word"] * 700}}}},
        "session.audio.input.transcription.keywords",
    ),
    ({"audio": "loud"}, "session.audio"),
    ({"audio": None}, "session.audio"),
    ({"audio": {"input": None}}, "session.audio.input"),
]


def test_what_cannot_be_honoured_is_refused_by_name_and_changes_nothing(whisper: Server) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            before = one.events[0]["session"]
            for number, (patch, param) in enumerate(REFUSED):
                await one.tell("session.update", event_id=f"mine_{number}", session=patch)
                error = (await one.next())["error"]
                assert (error["param"], error["event_id"]) == (param, f"mine_{number}"), error
            await one.tell("session.update", session={})
            assert (await one.until("session.updated"))["session"] == before

    run(scenario)


@pytest.mark.parametrize(
    "frame",
    ["nonsense", "[1]", "{}", '{"type": "response.create"}', '{"type": "input_audio_buffer.append", "audio": "%%"}'],
)
def test_odd_frames_are_answered_and_the_session_goes_on(whisper: Server, frame: str) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.socket.send(frame)
            assert (await one.next())["error"]["type"] == "invalid_request_error"
            await one.tell("input_audio_buffer.commit", event_id="mine")
            error = (await one.next())["error"]
            assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
            await one.tell("input_audio_buffer.clear")
            assert (await one.next())["type"] == "input_audio_buffer.cleared"

    run(scenario)


def test_drafts_words_details_and_the_ledger(whisper: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask(include=["aural.drafts", "aural.words", "aural.details"])
            await one.play(pcm16(lobster)[1:] + b"\0")
            await one.play(pcm16(lobster))
            await one.tell("aural.finish")
            await one.rest()
            assert one.socket.close_code == 1000
        totals = one.events[-1]["totals_ms"]
        assert one.events[-1]["type"] == "aural.ended"
        assert totals["received"] == pytest.approx(2 * len(lobster) / 16, abs=1)
        assert totals["received"] == pytest.approx(totals["final"] + totals["suppressed"], abs=2)
        assert QUESTION in " ".join(words(one.text))
        for done in one.of(COMPLETED):
            times = [time for word in done["words"] for time in (word["start"], word["end"])]
            assert times == sorted(times)
            assert " ".join(word["word"] for word in done["words"]) == done["transcript"].strip()
            assert all(done["start_ms"] <= 1000 * time <= done["end_ms"] + 1 for time in times)
            deltas = [event["delta"] for event in one.of(DELTA) if event["item_id"] == done["item_id"]]
            assert "".join(deltas) == done["transcript"]

    run(scenario)


def test_one_stream_never_harms_another(whisper: Server, lobster: Samples) -> None:
    async def honest() -> str:
        async with client(whisper) as one:
            await one.ask()
            await one.play(pcm16(lobster))
            await one.tell("aural.finish")
            await one.rest()
            return one.text

    async def rude(frame: bytes | str) -> None:
        async with client(whisper) as one:
            await one.ask()
            await one.play(pcm16(lobster)[:90_000])
            await one.socket.send(frame)
            one.socket.transport.abort()

    async def scenario() -> None:
        rudeness = [rude(b""), rude("{"), rude(os.urandom(30_001))]
        texts = await asyncio.gather(honest(), honest(), *rudeness, return_exceptions=True)
        assert word_errors([QUESTION] * 2, texts[:2]) < 0.1

    run(scenario)


def test_silence_and_noise_make_no_words(whisper: Server, clips: dict[str, Recording]) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask()
            for name in ("nonspeech-dog", "silence-digital-10s"):
                await one.play(pcm16(decode(clips[name].bytes, limit_s=60).samples))
            rng = np.random.default_rng(1)
            await one.play(pcm16(rng.normal(0, 0.02, 10 * SAMPLE_RATE).astype(np.float32)))
            await one.tell("aural.finish")
            await one.rest()
        assert one.events[-1]["type"] == "aural.ended"
        assert not one.of(DELTA)
        assert not one.text

    run(scenario)


def test_a_key_is_wanted_and_may_come_as_a_subprotocol(guarded: Server) -> None:
    async def scenario() -> None:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with client(guarded):
                pass
        assert refusal.value.response.status_code == 401
        for name in (f"openai-insecure-api-key.{KEY}", f"aural-key.{encoded(KEY)}"):
            async with client(guarded, protocols=["realtime", name]) as one:
                assert one.socket.subprotocol == "realtime"
                assert one.events[0]["type"] == "session.created"
        for name in (f"aural-key.{KEY}", "aural-key.a", f"aural-key.{encoded('other')}"):
            with pytest.raises(websockets.InvalidStatus):
                async with client(guarded, protocols=["realtime", name]):
                    pass

    run(scenario)


def encoded(key: str) -> str:
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


SHORT_LIVED = """
from aural.api import bidirectional
from aural.api.realtime import Term
bidirectional.TERM = Term(longest_s=3.0)
from aural.cli import main
main()
"""


@pytest.fixture(scope="module")
def alone() -> Iterator[Server]:
    """One worker, one session, and three seconds for each on SageMaker's route."""
    size = ("--replicas", "1", "--max-batch", "1", "--max-streams", "1")
    with serving("--model", "whisper-tiny.en", *size, program=("-c", SHORT_LIVED)) as server:
        yield server


async def refused(server: Server) -> None:
    """A client for whom there is no place."""
    async with client(server) as one:
        [refusal] = await one.rest()
    assert refusal["error"]["code"] == "overloaded"
    assert refusal["error"]["retry_after_s"] > 0
    assert one.socket.close_code == 1013


def test_sessions_too_many_are_told_when_to_come_again_and_harm_nobody(alone: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        async with client(alone) as one:
            await one.ask()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(one.play(pcm16(lobster)))
                for _ in range(20):
                    tasks.create_task(refused(alone))
            await one.until(COMPLETED)
            assert word_errors([QUESTION], [one.text]) < 0.1

    run(scenario)


async def vacant(server: Server) -> None:
    """Returns when the session before is gone."""
    while server.metric("aural_live_sessions"):  # noqa: ASYNC110 - another process has no event
        await asyncio.sleep(0.05)


def test_a_worker_that_dies_in_mid_sentence_costs_no_word(alone: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        await vacant(alone)
        async with client(alone) as one:
            await one.ask(include=["aural.drafts"])
            await one.play(pcm16(lobster[: 2 * SAMPLE_RATE]))
            await one.until("aural.draft")
            [worker] = alone.health()["models"][0]["replicas"]
            os.kill(worker["pid"], signal.SIGKILL)
            await one.play(pcm16(lobster[2 * SAMPLE_RATE :]))
            await one.until(COMPLETED)
            assert word_errors([QUESTION], [one.text]) < 0.1

    run(scenario)


async def term(server: Server, audio: bytes, resume: str | None) -> tuple[Client, dict[str, Any]]:
    """A session on SageMaker's route until the server ends it; events go in binary frames."""
    await vacant(server)
    path = f"{STREAM}?resume={resume}" if resume else STREAM
    async with client(server, path) as one:
        heard = {"input": {"format": {"type": "audio/pcm", "rate": RATE}}}
        await one.socket.send(json.dumps({"type": "session.update", "session": {"audio": heard}}).encode())
        await one.play(audio)
        notice = await one.until("aural.going_away")
        *_, end = await one.rest()
        assert (end["error"]["code"], one.socket.close_code) == ("session_expired", 1000)
        return one, notice


def test_sagemaker_sessions_roll_over_without_a_word_lost_or_doubled(alone: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        audio = pcm16(np.concatenate([lobster, lobster, lobster]))
        sessions: list[Client] = []
        resume, place = None, 0
        while place < len(audio) - 4 * SAMPLE_RATE:
            one, notice = await term(alone, audio[place:], resume)
            sessions.append(one)
            resume, place = notice["resume"], notice["audio_end_ms"] * 32
        text = " ".join(one.text for one in sessions)
        assert word_errors([" ".join([QUESTION] * 3)], [text]) < 0.06
        items = [event for one in sessions for event in one.of("input_audio_buffer.committed")]
        assert [item["previous_item_id"] for item in items] == [None, *(item["item_id"] for item in items[:-1])]

    run(scenario)
