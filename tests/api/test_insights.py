"""Insights through the front door: real speech, real models, and texts."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from urllib.parse import quote

import numpy as np
import pytest

from aural.api.body import LONGER_FIELDS, MAX_FIELD_BYTES
from aural.audio.decode import decode
from aural.types import SAMPLE_RATE
from tests.api.insights import LOBSTER, transcribed
from tests.api.wire import form, speech, wav
from tests.conftest import Recording, Server, words
from tests.insight.conform import conforming_events, conforms


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_keywords_of_real_speech_with_their_times(
    whisper: Server, clips: dict[str, Recording], response_format: str
) -> None:
    asked = {"skills": ["keywords", "talk"], "keywords": ["lobster", "crab"]}
    status, answer = transcribed(whisper, clips[LOBSTER].bytes, response_format=response_format, insights=asked)
    assert status == 200
    conforms(answer["insights"])
    found = [word for one in answer["insights"]["utterances"] for word in one["keywords"]]
    assert [word["phrase"] for word in found] == ["lobster", "lobster"]
    times = [word["begin_offset_ms"] for word in found]
    assert 500 < times[0] < 1500 < times[1] < 2500
    assert "words" not in answer
    assert answer["insights"]["call"]["talk"]["total_ms"] == round(clips[LOBSTER].duration_s * 1000)


def test_a_stream_ends_with_its_insights(whisper: Server, clips: dict[str, Recording]) -> None:
    body, kind = form(clips[LOBSTER].bytes, model="whisper-tiny.en", stream="true", insights="terms")
    status, answer = whisper.send("POST", "/v1/audio/transcriptions", body, Content_Type=kind)
    assert status == 200
    last = json.loads(answer.decode().strip().splitlines()[-1].removeprefix("data: "))
    assert last["type"] == "transcript.text.done"
    conforms(last["insights"])
    assert "lobster" in [term["text"] for term in last["insights"]["call"]["topics"]]


def test_invocations_have_them_in_every_form(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = clips[LOBSTER].bytes
    data = base64.b64encode(audio).decode()
    asked = {"model": "whisper-tiny.en", "insights": {"skills": ["terms"]}}
    answers = [
        whisper.post("/invocations?model=whisper-tiny.en&insights=terms", audio, Content_Type="audio/flac"),
        whisper.post(
            "/invocations",
            audio,
            Content_Type="audio/flac",
            X_Amzn_SageMaker_Custom_Attributes="model=whisper-tiny.en,insights={%22skills%22: [%22terms%22]}",
        ),
        *(
            whisper.post("/invocations", json.dumps(document | asked).encode(), Content_Type="application/json")
            for document in (
                {"audio_input": audio.hex()},
                {"audio": {"data": data}},
                {"transcription": {"audio": {"data": data}}},
            )
        ),
    ]
    for status, answer in answers:
        assert status == 200, answer
        conforms(answer["insights"])
        assert answer["insights"]["call"]["topics"][0]["text"] == "lobster"


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_streams_of_invocations_end_with_them(whisper: Server, clips: dict[str, Recording], accept: str) -> None:
    path = "/invocations?model=whisper-tiny.en&insights=terms"
    status, body = whisper.send("POST", path, clips[LOBSTER].bytes, Content_Type="audio/flac", Accept=accept)
    assert status == 200
    last = json.loads(body.decode().strip().splitlines()[-1].removeprefix("data: "))
    assert last["type"] == "done"
    conforms(last["insights"])
    assert last["insights"]["call"]["topics"][0]["text"] == "lobster"


def test_plain_text_has_no_room_for_them(fake: Server) -> None:
    audio = speech("hello there")
    for query, status in (("insights=terms", 400), ("insights=false", 200)):
        heard = fake.metric("aural_audio_seconds_total")
        got, answer = fake.send("POST", f"/invocations?{query}", audio, Content_Type="audio/wav", Accept="text/plain")
        assert got == status, answer
        assert (fake.metric("aural_audio_seconds_total") > heard) == (status == 200)


def test_two_channels_are_kept_apart(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = wav(two_channels(clips))
    status, answer = transcribed(whisper, audio, response_format="verbose_json", channels="separate", insights=ROLES)
    assert status == 200
    roles = [(one["participant_role"], bool(one["keywords"])) for one in answer["insights"]["utterances"]]
    assert roles[0] == ("AGENT", True)
    assert roles[-1] == ("CUSTOMER", False)
    assert {segment["channel"] for segment in answer["segments"]} == {0, 1}
    assert [segment["start"] for segment in answer["segments"]] == sorted(s["start"] for s in answer["segments"])
    assert set(answer["insights"]["call"]["talk"]["speakers"]) == {"AGENT", "CUSTOMER"}


def two_channels(clips: dict[str, Recording]) -> np.ndarray:
    """One after the other, left and right: shape (n, 2)."""
    agent = decode(clips[LOBSTER].bytes, limit_s=60).samples
    customer = decode(clips["LJ001-0002"].bytes, limit_s=60).samples
    both = np.zeros((len(agent) + len(customer), 2), np.float32)
    both[: len(agent), 0], both[len(agent) :, 1] = agent, customer
    return both


ROLES = {"skills": ["keywords", "talk"], "keywords": ["lobster"], "roles": ["AGENT", "CUSTOMER"]}


@pytest.mark.parametrize("kind", ["audio/wav", "audio/pcm;rate=16000;channels=2"])
def test_invocations_keep_two_channels_apart(whisper: Server, clips: dict[str, Recording], kind: str) -> None:
    both = two_channels(clips)
    audio = wav(both) if kind == "audio/wav" else (both * 32767).astype("<i2").tobytes()
    attributes = "model=whisper-tiny.en,channels=separate,timestamps=segment,insights=" + quote(json.dumps(ROLES))
    status, answer = whisper.post(
        "/invocations", audio, Content_Type=kind, X_Amzn_SageMaker_Custom_Attributes=attributes
    )
    assert status == 200, answer
    found = answer["insights"]["utterances"]
    assert [found[0]["participant_role"], found[-1]["participant_role"]] == ["AGENT", "CUSTOMER"]
    assert {segment["channel"] for segment in answer["timestamps"]["segment"]} == {0, 1}


@pytest.mark.parametrize(("channels", "shape"), [("mixed", 2), ("mixed", 1), ("separate", 1)])
def test_nobodys_role_is_known_where_channels_are_not_apart(
    whisper: Server, clips: dict[str, Recording], channels: str, shape: int
) -> None:
    audio = wav(two_channels(clips)) if shape == 2 else clips[LOBSTER].bytes
    status, answer = transcribed(whisper, audio, channels=channels, insights=ROLES)
    assert status == 200, answer
    assert {one["participant_role"] for one in answer["insights"]["utterances"]} == {None}
    assert set(answer["insights"]["call"]["talk"]["speakers"]) == {"channel 0"}


@pytest.mark.parametrize(
    ("query", "kind", "status", "param"),
    [
        ("channels=separate", "audio/wav", 415, "file"),
        ("channels=separate", "audio/pcm;rate=16000;channels=3", 415, "file"),
        ("channels=both", "audio/wav", 400, "channels"),
    ],
)
def test_channels_that_cannot_be_kept_apart(fake: Server, query: str, kind: str, status: int, param: str) -> None:
    three = np.zeros((SAMPLE_RATE, 3), np.float32)
    audio = wav(three) if kind == "audio/wav" else (three * 32767).astype("<i2").tobytes()
    got, answer = fake.post(f"/invocations?{query}", audio, Content_Type=kind)
    assert (got, answer["error"]["param"]) == (status, param), answer


def test_a_stream_has_no_channels_apart(fake: Server) -> None:
    headers = {"Content_Type": "audio/wav", "Accept": "application/x-ndjson"}
    status, answer = fake.post("/invocations?channels=separate", speech("hello"), **headers)
    assert (status, answer["error"]["param"]) == (400, "channels")


def test_a_translation_is_understood_as_english(whisper: Server, clips: dict[str, Recording]) -> None:
    asked = json.dumps(["terms", "emotion"])
    body, kind = form(clips["fleurs-es-003"].bytes, model="whisper-base", language="es", insights=asked)
    status, answer = whisper.post("/v1/audio/translations", body, Content_Type=kind)
    assert status == 200, answer
    assert {"earth", "movement"} & set(words(answer["text"]))
    found = answer["insights"]["utterances"]
    assert {one["language"] for one in found} == {"en"}
    assert {tuple(one["engine"]["models"]) for one in found} == {("bge-small-en-v1.5-int8",)}


def test_thousands_of_phrases_come_through_a_form(whisper: Server, clips: dict[str, Recording]) -> None:
    asked = {"skills": ["keywords"], "keywords": [*(f"northline product number {i}" for i in range(9_999)), "lobster"]}
    assert len(json.dumps(asked)) > 4 * MAX_FIELD_BYTES
    status, answer = transcribed(whisper, clips[LOBSTER].bytes, insights=asked)
    assert status == 200, answer
    assert answer["insights"]["call"]["keywords"] == [{"phrase": "lobster", "count": 2}]


@pytest.mark.parametrize(("field", "most"), [("prompt", MAX_FIELD_BYTES), ("insights", LONGER_FIELDS["insights"])])
def test_a_field_that_is_too_long_is_named(fake: Server, field: str, most: int) -> None:
    body, kind = form(speech("hello"), **{field: "a" * (most + 1)})
    status, answer = fake.post("/v1/audio/transcriptions", body, Content_Type=kind)
    assert (status, answer["error"]["param"]) == (400, field)
    assert f"{most // 1024} KiB" in answer["error"]["message"]


def test_formats_without_room_for_insights_refuse_them(whisper: Server, clips: dict[str, Recording]) -> None:
    status, answer = transcribed(whisper, clips[LOBSTER].bytes, response_format="srt", insights="terms")
    assert (status, answer["error"]["param"]) == (400, "insights")


@pytest.mark.slow
def test_the_command_line_reads_them_out(whisper: Server, clips: dict[str, Recording]) -> None:
    path = str(clips[LOBSTER].path)
    asked = '{"skills": ["keywords", "terms"], "keywords": ["lobster"]}'
    flags = ("--url", whisper.url, "--model", "whisper-tiny.en", "--insights", asked)

    def shown(command: str, *more: str) -> str:
        line = [sys.executable, "-m", "aural", command, *flags, *more, path]
        done = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for command in ("transcribe", "live"):
        assert "When is a lobster not a lobster?" in shown(command)
        assert "keywords: lobster (2)" in shown(command)
    told = [json.loads(line) for line in shown("live", "--format", "json").splitlines()]
    assert "lobster" in words(next(one["text"] for one in told if one["type"] == "utterance"))
    assert conforming_events(told) >= 2
