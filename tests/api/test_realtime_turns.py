"""Formats, dialects and turns of the Realtime wire: what ends an utterance, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from aural.audio.encoding import Encoding, to_float32
from aural.types import SAMPLE_RATE, Samples
from tests.api.realtime import COMPLETED, DELTA, TRANSCRIPTION, Client, client, pcm16
from tests.conftest import Server, words

BETA = "transcription_session"
BETA_PROTOCOLS = ("realtime", "openai-beta.realtime-v1")
MS_BYTES = 2 * SAMPLE_RATE // 1000


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def g711(samples: Samples, encoding: Encoding) -> bytes:
    """8 kHz by the definition: the nearest of the 256 values."""
    table = to_float32(bytes(range(256)), encoding)
    order = np.argsort(table)
    places = np.searchsorted(table[order], samples[::2])
    return order[np.clip(places, 0, 255)].astype(np.uint8).tobytes()


def agrees(one: Client, item: str) -> bool:
    """Whether the deltas of an item are its transcript."""
    [done] = [event for event in one.of(COMPLETED) if event["item_id"] == item]
    told = "".join(event["delta"] for event in one.of(DELTA) if event["item_id"] == item)
    return bool(told == done["transcript"])


@pytest.mark.parametrize(
    ("encoding", "name", "how"),
    [
        ("mulaw", "g711_ulaw", {"OpenAI_Beta": "realtime=v1"}),
        ("alaw", "g711_alaw", {"protocols": BETA_PROTOCOLS}),
        ("mulaw", "g711_ulaw", {}),
    ],
    ids=["by header", "by subprotocol", "by first event"],
)
def test_the_beta_dialect_with_g711(
    whisper: Server, lobster: Samples, encoding: Encoding, name: str, how: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with client(whisper, **how) as one:
            greeting = "session.created" if not how else f"{BETA}.created"
            assert one.events[0]["type"] == greeting
            asked = {"input_audio_format": name, "input_audio_transcription": {"language": "en"}}
            await one.tell(f"{BETA}.update", session=asked)
            updated = await one.next()
            assert updated["type"] == f"{BETA}.updated"
            assert updated["session"]["input_audio_format"] == name
            await one.play(g711(lobster, encoding))
            await one.until(COMPLETED)
        assert len(one.of("conversation.item.created")) == 1
        assert {"lobster", "crayfish"} & set(words(one.text))

    run(scenario)


def test_refusals_in_the_beta_dialect_name_its_own_fields(whisper: Server) -> None:
    async def scenario() -> None:
        async with client(whisper, protocols=BETA_PROTOCOLS) as one:
            for patch, param in (
                ({"input_audio_format": "mp3"}, "session.input_audio_format"),
                ({"audio": {}}, "session.audio"),
                ({"input_audio_transcription": {"model": "gpt-9"}}, "model"),
            ):
                await one.tell(f"{BETA}.update", session=patch)
                assert (await one.next())["error"]["param"] == param
            await one.tell(f"{BETA}.update", session={})
            assert (await one.next())["type"] == f"{BETA}.updated"

    run(scenario)


def test_semantic_vad_with_words(whisper: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask(include=["aural.words"], input={"turn_detection": {"type": "semantic_vad"}})
            await one.play(pcm16(lobster))
            await one.tell("aural.finish")
            await one.rest()
        done = [event for event in one.of(COMPLETED) if event["transcript"]]
        assert done
        for event in done:
            assert " ".join(word["word"] for word in event["words"]) == event["transcript"].strip()

    run(scenario)


def test_silence_becomes_an_item_after_the_idle_timeout(whisper: Server) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask(input={"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}})
            await one.play(bytes(6000 * MS_BYTES))
            timeout = await one.until("input_audio_buffer.timeout_triggered")
            assert timeout["audio_end_ms"] - timeout["audio_start_ms"] >= 5000
            done = await one.until(COMPLETED)
            assert (done["item_id"], done["transcript"]) == (timeout["item_id"], "")

    run(scenario)


async def interrupted(server: Server, lobster: Samples, order: str, answer: str) -> tuple[Client, str]:
    """A session that hears the lobster, with an order after two seconds of it, and the item that was open then."""
    async with client(server) as one:
        await one.ask()
        await one.play(pcm16(lobster[: 2 * SAMPLE_RATE]))
        started = await one.until("input_audio_buffer.speech_started")
        await one.tell(order)
        await one.until(answer)
        await one.play(pcm16(lobster[2 * SAMPLE_RATE :]))
        await one.tell("aural.finish")
        await one.rest()
    return one, started["item_id"]


def test_a_commit_in_mid_utterance_ends_it_there(whisper: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        one, item = await interrupted(whisper, lobster, "input_audio_buffer.commit", "input_audio_buffer.committed")
        first, *others = [event["item_id"] for event in one.of(COMPLETED)]
        assert first == item
        assert others
        assert all(agrees(one, item) for item in (first, *others))
        assert {"lobster", "crayfish"} <= set(words(one.text))

    run(scenario)


def test_a_clear_in_mid_utterance_leaves_nothing_of_it(whisper: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        one, item = await interrupted(whisper, lobster, "input_audio_buffer.clear", "input_audio_buffer.cleared")
        told = [event["item_id"] for kind in (COMPLETED, f"{TRANSCRIPTION}.failed") for event in one.of(kind)]
        assert item not in told
        assert told
        assert one.events[-1]["totals_ms"]["cleared"] > 0

    run(scenario)


def test_a_commit_needs_a_tenth_of_a_second(whisper: Server) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask(input={"turn_detection": None})
            await one.play(bytes(99 * MS_BYTES))
            await one.tell("input_audio_buffer.commit", event_id="early")
            error = (await one.next())["error"]
            assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "early")
            assert "99.00ms" in error["message"]
            await one.play(bytes(MS_BYTES))
            await one.tell("input_audio_buffer.commit")
            assert (await one.next())["type"] == "input_audio_buffer.committed"
            assert (await one.until(COMPLETED))["transcript"] == ""

    run(scenario)


def test_nothing_is_heard_after_the_end(whisper: Server, lobster: Samples) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.ask()
            await one.play(bytes(500 * MS_BYTES))
            await one.tell("aural.finish")
            await one.play(pcm16(lobster))
            await one.rest()
        assert one.events[-1]["type"] == "aural.ended"
        assert (one.events[-1]["totals_ms"]["received"], one.socket.close_code) == (500, 1000)
        assert not one.text

    run(scenario)


def test_empty_frames_are_nothing(whisper: Server) -> None:
    async def scenario() -> None:
        async with client(whisper) as one:
            await one.socket.send(b"")
            assert (await one.ask())["type"] == "session.updated"

    run(scenario)
