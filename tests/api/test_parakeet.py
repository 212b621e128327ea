"""A NeMo model from the front door: every route, live captions, and a worker that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from difflib import SequenceMatcher

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.streaming.events import Done
from aural.streaming.session import Wish, connect
from aural.types import SAMPLE_RATE, Samples
from tests.api.wire import form, wav
from tests.conftest import Recording, Server, serving, words
from tests.engines.ears import DIGITS, SOUNDS
from tests.serving.test_faults import answers, ask, pids, wait_for_recovery

NAME = "parakeet-digits"
SEVEN, ZERO = "seven three nine two", "zero one four five"
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--model", f"{NAME}={DIGITS}", "--replicas", "2") as running:
        yield running


def speech(*texts: str, pause_s: float = 0.5) -> Samples:
    spoken = [decode((DIGITS / f"{text.replace(' ', '-')}.flac").read_bytes(), limit_s=60).samples for text in texts]
    return np.concatenate([np.pad(one, (0, round(pause_s * SAMPLE_RATE))) for one in spoken])


def transcribed(server: Server, samples: Samples, **fields: str | list[str]) -> str:
    body, kind = form(wav(samples), model=NAME, **fields)
    status, answer = server.send("POST", "/v1/audio/transcriptions", body, Content_Type=kind)
    assert status == 200, answer
    return answer.decode()


def test_what_it_says_of_itself(server: Server) -> None:
    [model] = [one for one in json.loads(server.get("/v1/models")[1])["data"] if one["id"] == NAME]
    can = model["capabilities"]
    assert (can["languages"], can["timestamps"]) == (["en"], ["none", "segment", "word"])
    assert not any(can[name] for name in ("detects_language", "prompt", "hotwords", "temperature", "beam_search"))


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt"])
def test_text_in_every_form(server: Server, form: str) -> None:
    assert SEVEN in transcribed(server, speech(SEVEN), response_format=form)


def test_words_have_times(server: Server) -> None:
    finely = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    answer = json.loads(transcribed(server, speech(SEVEN, ZERO), **finely))
    assert (answer["text"], answer["language"]) == (f"{SEVEN} {ZERO}", "english")
    assert [word["word"].strip() for word in answer["words"]] == f"{SEVEN} {ZERO}".split()
    clock = [time for word in answer["words"] for time in (word["start"], word["end"])]
    assert clock == sorted(clock)
    assert answer["words"][4]["start"] > len(speech(SEVEN, pause_s=0)) / SAMPLE_RATE  # after the pause


def test_a_long_file_is_cut_and_joined(server: Server) -> None:
    said = [SEVEN, ZERO, ZERO, SEVEN, ZERO, SEVEN]
    heard = words(json.loads(transcribed(server, speech(*said, pause_s=4)))["text"])
    assert SequenceMatcher(None, heard, words(" ".join(said))).ratio() > 0.9  # so small a model may miss a word


def test_invocations(server: Server) -> None:
    status, answer = server.post("/invocations", wav(speech(ZERO)), Content_Type="audio/wav")
    assert (status, answer["text"]) == (200, ZERO)


@pytest.mark.parametrize("sound", SOUNDS)
def test_what_nobody_said_makes_no_words(server: Server, sound: str) -> None:
    assert json.loads(transcribed(server, SOUNDS[sound]()))["text"] == ""


def test_a_dog_makes_no_words(server: Server, clips: dict[str, Recording]) -> None:
    barking = decode(clips["nonspeech-dog"].bytes, limit_s=60).samples
    assert json.loads(transcribed(server, barking))["text"] == ""


@pytest.mark.parametrize(
    ("name", "value"), [("prompt", "numbers"), ("hotwords", "seven"), ("temperature", "0.5"), ("language", "de")]
)
def test_what_it_cannot_do_is_refused_by_name(server: Server, name: str, value: str) -> None:
    body, kind = form(wav(speech(SEVEN)), model=NAME, **{name: value})
    status, answer = server.post("/v1/audio/transcriptions", body, Content_Type=kind)
    assert (status, answer["error"]["param"]) == (400, name)


def test_live_captions(server: Server) -> None:
    audio = (speech(SEVEN, ZERO, pause_s=2.0) * 32_767).astype("<i2").tobytes()

    async def scenario() -> list[str]:
        async with connect(server.url, Wish(model=NAME)) as session:
            await session.send(audio)
            await session.finish()
            return [event.text.strip() async for event in session if isinstance(event, Done) and event.text]

    assert words(" ".join(asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S)))) == words(f"{SEVEN} {ZERO}")


def test_a_worker_killed_under_load(server: Server) -> None:
    texts = [SEVEN, ZERO] * 10
    audios = [wav(speech(text)) for text in texts]

    async def kill_meanwhile() -> list[str]:
        asked = [ask(server.url, audio) for audio in audios]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        os.kill(victim, signal.SIGKILL)
        return [reply.json["text"] for reply in await asyncio.gather(*asked)]

    victim = pids(server)[0]
    assert asyncio.run(kill_meanwhile()) == texts
    wait_for_recovery(server, restarts=1)
    assert [reply.json["text"] for reply in answers(server.url, audios[:2])] == [SEVEN, ZERO]
