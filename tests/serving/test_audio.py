"""Audio that is long, or in which nobody speaks, through the front door with real models."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import reduce
from itertools import chain
from operator import add
from typing import Any

import jiwer
import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Reason, Samples
from tests.api.wire import converse, form, request, wav
from tests.conftest import Recording, Server, words
from tests.engines.ears import SOUNDS

CHINESE = "fleurs_zh_1883_clip5"
SPOKEN = ("libri-367-130732-0001", "fleurs-en-004", "LJ001-0002")
PAUSE = np.zeros(SAMPLE_RATE // 2, np.float32)
SILENCE = np.zeros(20 * SAMPLE_RATE, np.float32)
ROOM = np.random.default_rng(0).normal(0, 0.001, 20 * SAMPLE_RATE).astype(np.float32)


def loud(clip: Recording) -> Samples:
    """Its samples, as loud as the next one's: Whisper does not hear 80 dB below the loudest sound of a clip."""
    samples = decode(clip.bytes, limit_s=60).samples
    return (0.5 * samples / abs(samples).max()).astype(np.float32)


def verbose(server: Server, samples: Samples, **fields: Any) -> dict[str, Any]:
    body, kind = form(wav(samples), response_format="verbose_json", **fields)
    data = request("/v1/audio/transcriptions", body, Content_Type=kind, Connection="close")
    reply = asyncio.run(asyncio.wait_for(converse(server.url, data), 120))
    assert reply.status == 200, reply
    return reply.json


def assert_times(heard: Mapping[str, Any], duration_s: float) -> None:
    """Monotonic, within the audio, and no text in a suppressed stretch."""
    assert heard["duration"] == pytest.approx(duration_s, abs=0.001)
    for parts in (heard["segments"], heard["words"], heard["suppressed"]):
        clock = [0.0, *chain.from_iterable((part["start"], part["end"]) for part in parts), heard["duration"]]
        assert clock == sorted(clock)
    for segment in heard["segments"]:
        for gap in heard["suppressed"]:
            assert segment["end"] <= gap["start"] or segment["start"] >= gap["end"]
    assert heard["text"] == "".join(segment["text"] for segment in heard["segments"]).strip()


@pytest.fixture(scope="module")
def heard_english(whisper, clips) -> dict[str, Any]:
    """Three sentences, silence, again, the noise of a room, and again: 76 s."""
    sentences = reduce(add, ([loud(clips[name]), PAUSE] for name in SPOKEN))
    audio = np.concatenate([*sentences, SILENCE, *sentences, ROOM, *sentences])
    times = {"timestamp_granularities": ["segment", "word"]}
    return verbose(whisper, audio, model="whisper-tiny.en", **times) | {"expected_s": len(audio) / SAMPLE_RATE}


def test_all_of_it_is_heard_and_nothing_else(heard_english, clips):
    expected = " ".join(clips[name].text for name in SPOKEN * 3)
    assert jiwer.wer(" ".join(words(expected)), " ".join(words(heard_english["text"]))) < 0.2


def test_times_are_in_the_clock_of_the_file(heard_english):
    assert heard_english["expected_s"] > 2 * 30
    assert_times(heard_english, heard_english["expected_s"])


def test_words_are_those_of_the_text(heard_english):
    assert words(" ".join(word["word"] for word in heard_english["words"])) == words(heard_english["text"])


def test_nobody_speaks_in_the_silence(heard_english, clips):
    spoken = sum(len(loud(clips[name])) + len(PAUSE) for name in SPOKEN) / SAMPLE_RATE
    for begins in (spoken, 2 * spoken + 20):
        within = [w for w in heard_english["words"] if w["start"] > begins + 1 and w["end"] < begins + 19]
        assert within == []


def test_chinese_is_joined_without_spaces_in_one_language(whisper, clips):
    sentence = loud(clips[CHINESE])
    audio = np.concatenate([sentence, PAUSE] * 3)
    heard = verbose(whisper, audio, model="whisper-base", timestamp_granularities=["segment", "word"])
    assert_times(heard, len(audio) / SAMPLE_RATE)
    assert heard["language"] == "chinese"
    assert not any(segment["text"].startswith(" ") for segment in heard["segments"])
    expected = re.sub(r"\W", "", clips[CHINESE].text) * 3
    assert jiwer.cer(expected, re.sub(r"\W", "", heard["text"])) < 0.35


@pytest.mark.parametrize("samples", [pytest.param(SILENCE, id="digital"), pytest.param(ROOM, id="a room")])
def test_silence_is_suppressed_with_its_reason(whisper, samples):
    heard = verbose(whisper, np.tile(samples, 2), model="whisper-tiny.en", timestamp_granularities=["segment", "word"])
    assert_times(heard, 40.0)
    assert heard["text"] == ""
    gaps = heard["suppressed"]
    assert [gap["reason"] for gap in gaps] == ["no_speech"] * len(gaps)
    assert [0.0, *(gap["end"] for gap in gaps)] == [*(gap["start"] for gap in gaps), 40.0]


@pytest.mark.parametrize("model", ["whisper-tiny.en", pytest.param("whisper-base", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sound", [*SOUNDS, "a dog"])
def test_what_nobody_said_is_not_written(whisper, clips, sound, model):
    samples = loud(clips["nonspeech-dog"]) if sound == "a dog" else SOUNDS[sound]()
    times = {"timestamp_granularities": ["segment", "word"]}
    heard = verbose(whisper, samples, model=model, language="en", **times)
    assert heard["text"] == ""
    [gap] = heard["suppressed"]
    assert (gap["start"], gap["end"]) == (0, heard["duration"])
    assert gap["reason"] in list(Reason)
