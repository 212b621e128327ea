"""WS /v1/listen tells of utterances: where they end, what language they are in, what could not be heard."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.listen import (
    CLOSE,
    FINALIZE,
    LOBSTERS,
    RAW,
    Message,
    all_of,
    finals,
    heard,
    kinds,
    listening,
    pcm16,
    play,
    run,
    text,
    until,
)
from tests.conftest import Recording, Server, serving, word_errors


def test_without_endpointing_speech_is_told_and_utterance_end_comes(whisper: Server, spoken: Samples) -> None:
    query = f"{RAW}&endpointing=false&interim_results=true&utterance_end_ms=1000&vad_events=true"

    async def scenario() -> list[Message]:
        async with listening(whisper, query) as connection:
            await play(connection, pcm16(np.pad(spoken, (0, SAMPLE_RATE))))
            messages = await until(connection, lambda message: message["type"] == "UtteranceEnd")
            assert word_errors([LOBSTERS], [text(messages)]) < 0.2
            await connection.send(CLOSE)
            return messages + await all_of(connection)

    messages = run(scenario)
    assert kinds(messages)[0] == "SpeechStarted"
    assert kinds(messages).count("UtteranceEnd") == 1
    (end,) = [one["last_word_end"] for one in messages if one["type"] == "UtteranceEnd"]
    words = [word for one in finals(messages) for word in one["channel"]["alternatives"][0]["words"]]
    assert end == words[-1]["end"]
    assert [one["speech_final"] for one in finals(messages)].count(True) == 1


def test_finalize_of_silence_is_answered(fake: Server) -> None:
    async def scenario() -> list[Message]:
        async with listening(fake) as connection:
            await connection.send(bytes(16_000))
            await connection.send(FINALIZE)
            return await until(connection, lambda message: message.get("from_finalize", False))

    (answer,) = run(scenario)
    assert (answer["start"], answer["duration"], answer["is_final"]) == (0, 0.5, True)
    assert text([answer]) == ""


def test_a_language_is_detected(whisper: Server, clips: dict[str, Recording]) -> None:
    speech = decode(clips["fleurs-es-003"].bytes, limit_s=60).samples
    messages = heard(whisper, pcm16(speech), f"{RAW}&model=whisper-base&language=multi")
    languages = [one["channel"]["alternatives"][0].get("languages") for one in finals(messages)]
    assert ["es"] in languages
    assert "tierra" in text(messages)


COUNTING = """
from aural.engines.base import Capabilities
from aural.types import SAMPLE_RATE, Segment, Transcript

class Counting:
    capabilities = Capabilities(languages=("en",), longest_clip=30 * SAMPLE_RATE, hotwords=True)

    def transcribe(self, clips):
        return [self._hear(clip) for clip in clips]

    def _hear(self, clip):
        if "fail" in clip.options.hotwords and not clip.is_draft:
            raise RuntimeError("told to")
        return Transcript((Segment("".join(f" w{i}" for i in range(2 * len(clip) // SAMPLE_RATE)), 0, len(clip)),))

def load(spec):
    return Counting()
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Hears a word each half second, and does not know when it was said. With the keyterm `fail` its finals fail."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "counting.py").write_text(COUNTING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    with serving("--model", "counting=counting:load", "--replicas", "1", PYTHONPATH=path) as server:
        yield server


def test_utterance_end_needs_no_times_of_words_and_no_audio_after_the_words(counting: Server, spoken: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(counting, f"{RAW}&interim_results=true&utterance_end_ms=1000") as connection:
            await play(connection, pcm16(np.pad(spoken, (0, SAMPLE_RATE))))
            return await until(connection, lambda message: message["type"] == "UtteranceEnd")

    *results, end = run(scenario)
    words = [word for one in finals(results) for word in one["channel"]["alternatives"][0]["words"]]
    assert [word["word"] for word in words] == [f"w{i}" for i in range(len(words))]
    assert 3 < end["last_word_end"] <= len(spoken) / SAMPLE_RATE
    assert words[-1]["end"] == end["last_word_end"]


def test_what_could_not_be_heard_is_told_and_the_stream_goes_on(counting: Server, spoken: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(counting, f"{RAW}&keyterm=fail") as connection:
            await play(connection, pcm16(spoken))
            before = await until(connection, lambda message: message.get("speech_final", False))
            await connection.send('{"type":"Configure","keyterms":["canoe"]}')
            await play(connection, pcm16(spoken))
            await connection.send(CLOSE)
            return before + await all_of(connection)

    messages = run(scenario)
    (error,) = [one for one in messages if one["type"] == "Error"]
    assert (error["variant"], "could not be heard" in error["description"]) == ("engine_failed", True)
    first, second = [one for one in finals(messages) if one["speech_final"]]
    failed_to = first["start"] + first["duration"]
    assert second["start"] >= failed_to > 3
    said = [one["channel"]["alternatives"][0]["words"] for one in finals(messages) if one["start"] >= failed_to]
    assert any(said)
    assert kinds(messages)[-1] == "Metadata"
