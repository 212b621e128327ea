"""POST /invocations: each form in its own shape, options from wherever they come, and what is not taken."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from aural.engines.fake import speak
from tests.api.wire import form, speech, wav
from tests.conftest import Recording, Server, words

Clips = dict[str, Recording]
HELLO = speech("hello there")
HEX = HELLO.hex()
BASE64 = base64.b64encode(HELLO).decode()
LOBSTER = "libri-367-130732-0001"


def post_json(server: Server, document: Any) -> tuple[int, dict[str, Any]]:
    return server.post("/invocations", json.dumps(document).encode(), Content_Type="application/json")


def mulaw(samples: np.ndarray) -> bytes:
    """ITU-T G.711 by its formula, at the rate that comes in."""
    biased = np.minimum(np.abs(samples) * 32768, 32635).astype(int) + 132
    exponent = np.floor(np.log2(biased)).astype(int) - 7
    code = (exponent << 4) | ((biased >> (exponent + 3)) & 15)
    return (~(np.where(samples < 0, 0x80, 0) | code) & 0xFF).astype(np.uint8).tobytes()


@pytest.mark.parametrize("audio", [BASE64, {"data": BASE64}, f"data:audio/wav;base64,{BASE64}"])
def test_parakeet_audio(fake: Server, audio: str | dict[str, str]) -> None:
    status, answer = post_json(fake, {"audio": audio})
    assert (status, answer["text"], sorted(answer)) == (200, "hello there", ["model", "processing_time", "text"])


def test_parakeet_timestamps(fake: Server) -> None:
    status, answer = post_json(fake, {"audio": BASE64, "timestamps": "segment"})
    (segment,) = answer["timestamps"]["segment"]
    assert (status, segment["start"], segment["end"], segment["text"]) == (200, 0.0, 0.22, " hello there")


def test_whisper(fake: Server) -> None:
    assert post_json(fake, {"audio_input": HEX, "language": "english"}) == (200, {"text": "hello there"})


def test_voxtral(fake: Server) -> None:
    status, answer = post_json(fake, {"transcription": {"audio": {"data": BASE64}, "language": "en"}, "model": "fake"})
    assert (status, sorted(answer)) == (200, ["created", "model", "object", "transcription"])
    assert answer["transcription"]["text"] == "hello there"
    assert answer["transcription"]["duration"] == 0.22


def test_multipart(fake: Server) -> None:
    body, kind = form(HELLO, response_format="verbose_json")
    status, answer = fake.post("/invocations", body, Content_Type=kind)
    assert (status, answer["text"], answer["task"]) == (200, "hello there", "transcribe")


@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-wav", "video/mp4", "application/octet-stream"])
def test_raw(fake: Server, kind: str) -> None:
    status, answer = fake.post("/invocations", HELLO, Content_Type=kind)
    facts = {"text": "hello there", "language": "en", "duration": 0.22, "model": "fake", "suppressed": []}
    assert status == 200
    assert answer.pop("processing_time") >= 0
    assert answer == facts


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("audio/pcm;rate=16000", HELLO[44:]),
        ("audio/pcm; Rate=16000; encoding=pcm_f32le", speak("hello there").tobytes()),
        ("audio/pcm;rate=16000;channels=2", np.repeat(np.frombuffer(HELLO[44:], "<i2"), 2).tobytes()),
        ("audio/pcm;rate=16000;encoding=mulaw", mulaw(speak("hello there"))),
        ("audio/pcm;rate=8000;encoding=mulaw", mulaw(speak("hello there")[::2])),
        ("audio/basic", mulaw(speak("hello there")[::2])),
    ],
)
def test_headerless_samples(fake: Server, kind: str, body: bytes) -> None:
    status, answer = fake.post("/invocations", body, Content_Type=kind)
    assert (status, answer["text"], answer["duration"]) == (200, "hello there", 0.22)


def test_telephone_speech_is_heard(whisper: Server, clips: Clips) -> None:
    from aural.audio.decode import decode

    samples = decode(clips[LOBSTER].bytes, limit_s=60).samples
    status, answer = whisper.post("/invocations", mulaw(samples[::2]), Content_Type="audio/basic")
    assert status == 200
    assert "lobster" in words(answer["text"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Amzn_SageMaker_Custom_Attributes": "model=whisper-base,language=es"},
        {"X_Amzn_SageMaker_Target_Model": "whisper-base"},
    ],
)
def test_options_around_a_raw_body(whisper: Server, clips: Clips, headers: dict[str, str]) -> None:
    status, answer = whisper.post("/invocations", clips["fleurs-es-003"].bytes, Content_Type="audio/ogg", **headers)
    assert (status, answer["model"], answer["language"]) == (200, "whisper-base", "es")


def test_options_in_the_query(whisper: Server, clips: Clips) -> None:
    query = "model=whisper-base&task=translate&language=es&timestamps=word"
    status, answer = whisper.post(f"/invocations?{query}", clips["fleurs-es-003"].bytes, Content_Type="audio/ogg")
    assert status == 200
    assert {"earth", "movement"} <= set(words(answer["text"]))
    assert answer["timestamps"]["word"]


def test_the_body_goes_before_what_is_around_it(fake: Server) -> None:
    body = json.dumps({"audio": BASE64, "model": "fake"}).encode()
    assert fake.post("/invocations?model=nobody", body, Content_Type="application/json")[0] == 200
    assert fake.post("/invocations?model=nobody", HELLO, Content_Type="audio/wav")[0] == 404


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/plain", b"hello there\n"),
        ("text/html, text/plain;q=0.5", b"hello there\n"),
    ],
)
def test_plain_text(fake: Server, accept: str, expected: bytes) -> None:
    assert fake.send("POST", "/invocations", HELLO, Content_Type="audio/wav", Accept=accept) == (200, expected)


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/jsonlines", "text/event-stream"])
def test_streams(fake: Server, accept: str) -> None:
    audio = speech("first", "second", every_s=28)
    status, body = fake.send("POST", "/invocations", audio, Content_Type="audio/wav", Accept=accept)
    prefix = "data: " if accept == "text/event-stream" else ""
    lines = [json.loads(line.removeprefix(prefix)) for line in body.decode().split("\n") if line]
    assert status == 200
    assert [line["type"] for line in lines] == ["segment", "segment", "done"]
    assert lines[-1]["text"] == "first second"
    assert lines[-1]["duration"] == 56.0
    gaps = lines[-1]["suppressed"]
    assert [gap["reason"] for gap in gaps] == ["no_speech"] * len(gaps)


@pytest.mark.parametrize(
    ("document", "status", "param"),
    [
        ({"audio": BASE64, "num_beams": 4}, 400, "num_beams"),
        ({"audio_input": HEX, "max_length": 9}, 400, "max_length"),
        ({"transcription": {"audio": BASE64, "top_p": 1}}, 400, "top_p"),
        ({"transcription": {"audio": BASE64}, "max_tokens": 1}, 400, "max_tokens"),
        ({"audio": "/etc/passwd"}, 400, "audio"),
        ({"audio": "file:///etc/passwd"}, 400, "audio"),
        ({"audio": "https://example.com/a.wav"}, 400, "audio"),
        ({"audio": {"path": "/etc/passwd"}}, 400, "audio"),
        ({"audio": {"data": BASE64, "url": "http://127.0.0.1/"}}, 400, "audio"),
        ({"transcription": {"audio": {"path": "/etc/hosts"}}}, 400, "audio"),
        ({"audio": 7}, 400, "audio"),
        ({"audio": BASE64[:-1]}, 400, "audio"),
        ({"audio_input": 7}, 400, "audio_input"),
        ({"audio_input": HEX[:-1]}, 400, "audio_input"),
        ({"audio_input": "0x" + HEX}, 400, "audio_input"),
        ({"audio": "", "language": "en"}, 415, "file"),
        ({"audio": BASE64, "language": 7}, 400, "language"),
        ({"audio": BASE64, "language": "fr"}, 400, "language"),
        ({"audio": BASE64, "task": "translate"}, 400, "task"),
        ({"audio": BASE64, "task": "sing"}, 400, "task"),
        ({"audio": BASE64, "timestamps": "phoneme"}, 400, "timestamps"),
        ({"audio": BASE64, "temperature": "hot"}, 400, "temperature"),
        ({"audio": BASE64, "temperature": True}, 400, "temperature"),
        ({"audio": BASE64, "beam_size": 1.5}, 400, "beam_size"),
        ({"audio": BASE64, "model": "nobody"}, 404, "model"),
        ({"text": "hello"}, 400, None),
        ({"transcription": {"text": "hello"}}, 400, None),
        ({}, 400, None),
        ([BASE64], 400, None),
    ],
)
def test_what_is_not_taken_is_named(fake: Server, document: Any, status: int, param: str | None) -> None:
    got, answer = post_json(fake, document)
    assert (got, answer["error"]["param"]) == (status, param), answer


@pytest.mark.parametrize(
    ("target", "headers", "status", "param"),
    [
        ("?diarize=true", {}, 400, "diarize"),
        ("?language=en&language=en", {}, 400, "language"),
        ("?beam_size=many", {}, 400, "beam_size"),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "route=/v1/models"}, 400, "route"),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "route=/v1/audio/transcriptions"}, 400, None),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "langauge=en"}, 400, "langauge"),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "prompt=a, b"}, 400, "b"),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "language=en,language=de"}, 400, "language"),
        ("", {"X_Amzn_SageMaker_Custom_Attributes": "prompt=%ff"}, 400, "prompt"),
        ("", {"X_Amzn_SageMaker_Target_Model": "nobody"}, 404, "model"),
        ("", {"Content_Type": "audio/pcm"}, 400, "rate"),
        ("", {"Content_Type": "audio/pcm;rate=fast"}, 400, "rate"),
        ("", {"Content_Type": "audio/pcm;rate=16000;endian=big"}, 400, "endian"),
        ("", {"Content_Type": "audio/pcm;rate=16000;encoding=opus"}, 400, "encoding"),
        ("", {"Content_Type": "audio/pcm;rate=1"}, 415, "file"),
        ("", {"Content_Type": "audio/pcm;rate=16000;channels=900"}, 415, "file"),
        ("", {"Content_Type": "text/plain"}, 415, "file"),
        ("", {"Content_Type": "image/png"}, 415, "file"),
        ("", {"Content_Encoding": "gzip"}, 415, "file"),
    ],
)
def test_what_stands_around_a_body_is_named(
    fake: Server, target: str, headers: dict[str, str], status: int, param: str | None
) -> None:
    got, answer = fake.post(f"/invocations{target}", HELLO, **{"Content_Type": "audio/wav", **headers})
    assert (got, answer["error"]["param"]) == (status, param), answer


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "an empty body"),
        (b"PK\x03\x04 and more", "a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"<html></html>", "HTML or XML"),
        (b'{"audio": 1}', "JSON"),
        (b"good morning", "text"),
        (b"#EXTM3U\nfile:///etc/passwd", "a playlist"),
        (wav(np.zeros(0)), "no samples"),
    ],
)
def test_what_is_not_audio_is_named(fake: Server, body: bytes, said: str) -> None:
    status, answer = fake.post("/invocations", body, Content_Type="audio/wav")
    assert (status, answer["error"]["code"]) == (415, "invalid_audio")
    assert said in answer["error"]["message"]


def test_a_path_is_never_opened(fake: Server) -> None:
    """Base64 that happens to spell a path is data like any other."""
    status, answer = post_json(fake, {"audio": "/etc/passwd1"})
    assert status == 415
    assert "got 9 bytes" in answer["error"]["message"]
