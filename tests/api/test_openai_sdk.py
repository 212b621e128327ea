"""The official `openai` package, unmodified, as its users call it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.api.conftest import KEY
from tests.api.wire import speech, wav
from tests.conftest import Recording, Server, wait_until, word_errors, words

Clips = dict[str, Recording]
LOBSTER = "libri-367-130732-0001"
CHINESE = "fleurs_zh_1883_clip5"
CUE_TIME = r"\d\d:\d\d:\d\d[.,]\d\d\d"


def client_of(server: Server, key: str = "none", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, **options)


@pytest.fixture(scope="module")
def client(whisper: Server) -> Iterator[OpenAI]:
    with client_of(whisper) as client:
        yield client


@pytest.fixture(scope="module")
def fake_client(fake: Server) -> Iterator[OpenAI]:
    with client_of(fake) as client:
        yield client


def error_rate(clip: Recording, text: str) -> float:
    """Share of the clip's words that are missing from the text."""
    expected = words(clip.text)
    heard = set(words(text))
    return sum(word not in heard for word in expected) / len(expected)


@contextmanager
def refused(status: int, kind: type[openai.APIStatusError] = openai.APIStatusError, **facts: Any) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.status_code == status
    assert {name: getattr(caught.value, name) for name in facts} == facts


def test_json(client: OpenAI, clips: Clips) -> None:
    clip = clips[LOBSTER]
    answer = client.audio.transcriptions.create(model="whisper-1", file=clip.path)
    assert error_rate(clip, answer.text) < 0.2
    assert answer.usage is not None
    assert answer.usage.model_dump() == {"type": "duration", "seconds": 5.0}


@pytest.mark.parametrize("name", ["LJ001-0002", "fleurs-en-004"])
def test_any_container(client: OpenAI, clips: Clips, name: str) -> None:
    answer = client.audio.transcriptions.create(model="whisper-base", file=clips[name].path, language="en")
    assert error_rate(clips[name], answer.text) < 0.25


def test_text(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en", file=clips[LOBSTER].path, response_format="text"
    )
    assert isinstance(answer, str)
    assert error_rate(clips[LOBSTER], answer) < 0.2
    assert answer == answer.strip() + "\n"


def test_srt(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en", file=clips[LOBSTER].path, response_format="srt"
    )
    assert isinstance(answer, str)
    assert re.fullmatch(rf"(\d+\n{CUE_TIME} --> {CUE_TIME}\n[^\n]+\n\n?)+", answer.replace(".", ","))
    assert answer.startswith("1\n00:00:0")
    assert "," in answer.splitlines()[1]


def test_vtt(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en", file=clips[LOBSTER].path, response_format="vtt"
    )
    assert isinstance(answer, str)
    assert re.fullmatch(rf"WEBVTT\n\n({CUE_TIME} --> {CUE_TIME}\n[^\n]+\n\n?)+", answer)


def test_verbose_json_has_segments_by_default(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-base", file=clips[LOBSTER].path, response_format="verbose_json"
    )
    assert (answer.language, answer.duration, answer.words) == ("english", 4.38, None)
    assert answer.segments
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text
    assert all(0 <= segment.start < segment.end <= answer.duration for segment in answer.segments)
    assert all(segment.tokens and segment.avg_logprob < 0 for segment in answer.segments)


def test_verbose_json_has_words_when_asked(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en",
        file=clips[LOBSTER].path,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert answer.words
    assert answer.segments
    assert words(" ".join(word.word for word in answer.words)) == words(answer.text)
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer.duration


def test_verbose_json_has_words_alone_when_only_they_are_asked(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en",
        file=clips[LOBSTER].path,
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert answer.words
    assert answer.segments is None


@pytest.mark.parametrize("name", ["silence-digital-10s", "nonspeech-dog"])
def test_nobody_speaks(client: OpenAI, clips: Clips, name: str) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en", file=clips[name].path, response_format="verbose_json"
    )
    assert (answer.text, answer.segments) == ("", [])
    suppressed = answer.model_extra["suppressed"]  # type: ignore[index]
    assert {gap["reason"] for gap in suppressed} <= {"no_speech", "low_confidence", "repetition", "speech_rate"}
    assert (suppressed[0]["start"], suppressed[-1]["end"]) == (0.0, answer.duration)


@pytest.mark.parametrize(
    ("language", "expected", "other"),
    [
        (None, "项开车", "項開車"),
        ("zh-TW", "項開車", "项开车"),
    ],
)
def test_chinese_comes_in_the_characters_asked_for(
    client: OpenAI, clips: Clips, language: str | None, expected: str, other: str
) -> None:
    given = {"language": language} if language else {}
    answer = client.audio.transcriptions.create(model="whisper-base", file=clips[CHINESE].path, **given)
    assert set(expected) <= set(answer.text)
    assert not set(other) & set(answer.text)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translation_from_spanish(client: OpenAI, clips: Clips) -> None:
    answer = client.audio.translations.create(model="whisper-base", file=clips["fleurs-es-003"].path)
    assert {"earth", "movement"} <= set(words(answer.text))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translation_from_german(client: OpenAI, shared_clips: list[Recording]) -> None:
    clip = next(clip for clip in shared_clips if clip.path.name == "fleurs-de-003.ogg")
    answer = client.audio.translations.create(model="whisper-base", file=clip.path, response_format="verbose_json")
    assert {"men", "women"} <= set(words(answer.text))
    assert answer.segments


def test_a_prompt_and_hotwords_are_heeded(client: OpenAI, clips: Clips) -> None:
    plain, *led = (
        client.audio.transcriptions.create(model="whisper-tiny.en", file=clips[LOBSTER].path, **asked).text.lower()
        for asked in ({}, {"prompt": "Krayfish, Krayfish soup."}, {"extra_body": {"hotwords": "Krayfish"}})
    )
    assert "crayfish" in plain
    assert all("krayfish" in text for text in led)


def test_stream(client: OpenAI, long_wav: bytes) -> None:
    events = list(client.audio.transcriptions.create(model="whisper-tiny.en", file=("long.wav", long_wav), stream=True))
    *deltas, done = events
    assert len(deltas) > 1
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text  # type: ignore[union-attr]
    assert [word for word in words(done.text) if word in ("crayfish", "modern")] == ["crayfish", "modern"] * 2


def test_a_stream_says_what_the_whole_says(client: OpenAI, long_wav: bytes) -> None:
    whole = client.audio.transcriptions.create(model="whisper-tiny.en", file=("long.wav", long_wav))
    *_, done = client.audio.transcriptions.create(model="whisper-tiny.en", file=("long.wav", long_wav), stream=True)
    assert word_errors([whole.text], [done.text]) < 0.1  # type: ignore[union-attr]


def test_times_of_long_audio_are_in_its_clock(client: OpenAI, long_wav: bytes) -> None:
    answer = client.audio.transcriptions.create(
        model="whisper-tiny.en", file=("long.wav", long_wav), response_format="verbose_json"
    )
    assert answer.segments
    edges = [time for segment in answer.segments for time in (segment.start, segment.end)]
    assert edges == sorted(edges)
    assert 37 < edges[-1] <= answer.duration
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))


def test_a_failure_within_a_stream_is_an_error_of_it(fake_client: OpenAI) -> None:
    file = ("two.wav", speech("all is well", "fail", every_s=28))
    stream = fake_client.audio.transcriptions.create(model="fake", file=file, stream=True)
    assert next(stream).delta == "all is well"  # type: ignore[union-attr]
    with pytest.raises(openai.APIError, match="told to fail"):
        next(stream)


def test_async_and_many_at_once(fake: Server) -> None:
    """Nobody gets another's text."""
    texts = [f"caller {number} speaks" for number in range(24)]

    async def ask() -> list[str]:
        async with AsyncOpenAI(base_url=f"{fake.url}/v1", api_key="none", max_retries=0) as client:
            asks = (client.audio.transcriptions.create(model="fake", file=("a.wav", speech(text))) for text in texts)
            return [answer.text for answer in await asyncio.gather(*asks)]

    assert asyncio.run(ask()) == texts


def test_async_stream(fake: Server) -> None:
    async def ask() -> list[Any]:
        async with AsyncOpenAI(base_url=f"{fake.url}/v1", api_key="none", max_retries=0) as client:
            file = ("a.wav", speech("first", "second", "third", every_s=28))
            stream = await client.audio.transcriptions.create(model="fake", file=file, stream=True)
            return [event async for event in stream]

    *deltas, done = asyncio.run(ask())
    assert [event.delta for event in deltas] == ["first", " second", " third"]
    assert done.text == "first second third"


def test_models(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert list(models) == ["whisper-tiny.en", "whisper-base"]
    can = client.models.retrieve("whisper-base").model_extra["capabilities"]  # type: ignore[index]
    assert can["tasks"] == ["transcribe", "translate"]
    assert {"en", "zh", "de"} <= set(can["languages"])
    english = models["whisper-tiny.en"].model_extra["capabilities"]  # type: ignore[index]
    assert (english["languages"], english["detects_language"]) == (["en"], False)


def test_unknown_models(client: OpenAI, clips: Clips) -> None:
    with refused(404, openai.NotFoundError, param="model", code="model_not_found"):
        client.audio.transcriptions.create(model="whisper-9", file=clips[LOBSTER].path)
    with refused(404, openai.NotFoundError, code="model_not_found"):
        client.models.retrieve("whisper-9")


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"language": "fr"}, "language", "unsupported_parameter"),
        ({"language": "klingon"}, "language", "invalid_request"),
        ({"include": ["logprobs"]}, "include", "unsupported_parameter"),
        ({"chunking_strategy": {"type": "server_vad"}}, "chunking_strategy", "unsupported_parameter"),
        ({"response_format": "diarized_json"}, "response_format", "invalid_request"),
        ({"response_format": "srt", "stream": True}, "stream", "invalid_request"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities", "invalid_request"),
        ({"temperature": 1.5}, "temperature", "invalid_request"),
        ({"extra_body": {"beam_size": 2.5}}, "beam_size", "invalid_request"),
        ({"extra_body": {"diarize": True}}, "diarize", "invalid_request"),
    ],
)
def test_what_cannot_be_honoured_is_named(
    client: OpenAI, clips: Clips, asked: dict[str, Any], param: str, code: str
) -> None:
    with refused(400, openai.BadRequestError, param=param, code=code):
        client.audio.transcriptions.create(model="whisper-tiny.en", file=clips[LOBSTER].path, **asked)


@pytest.mark.parametrize(
    ("asked", "param"),
    [({"prompt": "x"}, "prompt"), ({"temperature": 0.5}, "temperature"), ({"language": "de"}, "language")],
)
def test_each_model_says_what_it_cannot(fake_client: OpenAI, asked: dict[str, Any], param: str) -> None:
    with refused(400, openai.BadRequestError, param=param, code="unsupported_parameter"):
        fake_client.audio.transcriptions.create(model="fake", file=("a.wav", speech("hello")), **asked)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_an_english_model_does_not_translate(client: OpenAI, clips: Clips) -> None:
    with refused(400, openai.BadRequestError, param="task", code="unsupported_parameter"):
        client.audio.translations.create(model="whisper-tiny.en", file=clips[LOBSTER].path)


def test_what_is_not_audio(client: OpenAI) -> None:
    with refused(415, param="file", code="invalid_audio"):
        client.audio.transcriptions.create(model="whisper-1", file=("a.pdf", b"%PDF-1.7 hello"))


def test_what_is_too_large(strict: Server) -> None:
    with client_of(strict) as client, refused(413, code="body_too_large"):
        client.audio.transcriptions.create(model="fake", file=("a.wav", b"RIFF" + bytes(8_000_000)))
    with client_of(strict) as client, refused(413, code="audio_too_long"):
        client.audio.transcriptions.create(model="fake", file=("a.wav", wav(np.zeros(61 * 4000), rate=4000)))


def test_an_engine_that_fails(fake_client: OpenAI) -> None:
    with refused(500, openai.InternalServerError, code="engine_failed"):
        fake_client.audio.transcriptions.create(model="fake", file=("a.wav", speech("fail")))


def test_a_wrong_key(guarded: Server) -> None:
    with client_of(guarded, "wrong") as client, refused(401, openai.AuthenticationError, code="invalid_api_key"):
        client.models.list()
    with client_of(guarded, KEY) as client:
        assert [model.id for model in client.models.list()] == ["fake"]


def test_no_place_left(guarded: Server) -> None:
    def is_busy() -> bool:
        models = json.loads(guarded.send("GET", "/health", x_api_key=KEY)[1])["models"]
        return any(replica["busy"] for replica in models[0]["replicas"])

    with client_of(guarded, KEY) as client, ThreadPoolExecutor() as pool:
        ask = partial(client.audio.transcriptions.create, model="fake")
        first = pool.submit(ask, file=("a.wav", speech("first sleep1000")))
        wait_until(is_busy, 120)
        with pytest.raises(openai.InternalServerError) as caught:
            ask(file=("a.wav", speech("second")))
        assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert first.result().text == "first sleep1000"
