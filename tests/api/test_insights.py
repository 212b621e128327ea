"""Insights through the front door: real speech, real models, and texts."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from aural.api.body import LONGER_FIELDS, MAX_FIELD_BYTES
from aural.api.server import create_app
from aural.app import build_service, running_fleet
from aural.audio.decode import decode
from aural.errors import Overloaded
from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance
from aural.metrics import Metrics
from aural.settings import Settings
from aural.types import SAMPLE_RATE
from tests.api.wire import form, speech, wav
from tests.conftest import Recording, Server, words
from tests.insight.conform import conforming_events, conforms, published
from tests.serving.loop import in_loop

LOBSTER = "libri-367-130732-0001"
CALL = [
    {"text": "thank you for calling northline broadband how can i help", "role": "agent", "start": 0, "end": 4},
    {"text": "my internet has been down for three days and i am furious", "role": "customer", "start": 5, "end": 9},
    {"text": "i have booked an engineer for tomorrow morning", "role": "agent", "start": 10, "end": 13},
    {"text": "i will send you a text message to confirm", "role": "agent", "start": 13, "end": 15},
    {"text": "my card is 4111 1111 1111 1111", "role": "customer", "start": 20, "end": 24},
]


def transcribed(server: Server, audio: bytes, **fields: Any) -> tuple[int, dict[str, Any]]:
    given = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in fields.items()}
    body, kind = form(audio, **{"model": "whisper-tiny.en", **given})
    return server.post("/v1/audio/transcriptions", body, Content_Type=kind)


def understood(server: Server, **table: Any) -> tuple[int, dict[str, Any]]:
    return server.post("/v1/insights", json.dumps(table).encode(), Content_Type="application/json")


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


class Full:
    """Insights without room."""

    async def many(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        raise Overloaded("256 utterances wait for insights already", 2.0)


@in_loop
async def test_without_room_a_text_is_refused_and_a_file_keeps_its_transcript() -> None:
    settings = Settings.of({"models": ("fake",)})
    async with running_fleet(settings) as fleet:
        service = build_service(settings, fleet, Metrics())
        full = replace(service.understanding, insights=Full())  # type: ignore[arg-type]
        app = create_app(replace(service, understanding=full))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://aural") as client:
            refused = await client.post("/v1/insights", json={"text": "hello"})
            body, kind = form(speech("hello there"), insights="terms")
            heard = await client.post("/v1/audio/transcriptions", content=body, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert refused.headers["Retry-After"] == "2"
    assert (heard.status_code, heard.json()["text"]) == (200, "hello there")
    conforms(heard.json()["insights"], "none")
    assert heard.json()["insights"]["skipped"]["code"] == "overloaded"


class Slow:
    """Insights that take for ever."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.was_let_go = False

    async def many(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_let_go = True
            raise
        return ()


@in_loop
async def test_who_hangs_up_is_understood_for_nobody() -> None:
    settings = Settings.of({"models": ("fake",)})
    async with running_fleet(settings) as fleet:
        service = build_service(settings, fleet, Metrics())
        slow = Slow()
        app = create_app(replace(service, understanding=replace(service.understanding, insights=slow)))  # type: ignore[arg-type]
        coming = iter([{"type": "http.request", "body": b'{"text": "hello"}', "more_body": False}])
        told: list[Any] = []

        async def receive() -> Any:
            message = next(coming, None)
            if message is None:
                await slow.began.wait()
            return message or {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            told.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/insights", "headers": [], "query_string": b""}
        await app(scope | {"raw_path": b"/v1/insights", "http_version": "1.1"}, receive, send)
    assert slow.was_let_go
    assert told[0]["status"] == 499


def test_a_text_is_understood(whisper: Server) -> None:
    status, answer = understood(whisper, utterances=CALL, insights=True, redact=True, language="en")
    assert status == 200
    conforms(answer)
    assert "1111" not in json.dumps(answer)
    outage = answer["utterances"][1]
    assert outage["intents"][0]["intent"] == "report_outage"
    assert outage["emotion"]["label"] == "anger"
    assert outage["sentiment"]["label"] == "NEGATIVE"
    assert answer["utterances"][4]["entities"][0]["content"] == "[CARD_NUMBER]"
    call = answer["call"]
    assert [note["utterance_id"] for note in call["issues"]] == ["u1"]
    assert [note["utterance_id"] for note in call["outcomes"]] == ["u2"]
    assert "u3" in [note["utterance_id"] for note in call["action_items"]]
    assert call["sentiment"]["overall"]["CUSTOMER"] < 0
    assert call["kind"] == "extractive"
    assert call["summary"] is None


def test_intents_of_ones_own_and_none_of_these(whisper: Server) -> None:
    asked = {
        "skills": ["intent"],
        "intents": {
            "open_a_window": ["open the window", "let some air in", "it is stuffy in here"],
            "turn_on_light": ["switch on the light", "it is dark in here", "lights on please"],
        },
    }
    texts = ["could you open the windows please", "it's so dark i can't see", "my parcel never arrived"]
    _, answer = understood(whisper, utterances=texts, insights=asked)
    assert [one["intents"][0]["intent"] for one in answer["utterances"]] == ["open_a_window", "turn_on_light", "other"]


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({}, "text"),
        ({"text": 7}, "text"),
        ({"text": "a", "utterances": []}, "text"),
        ({"text": "a", "moon": 1}, "moon"),
        ({"text": "a", "insights": "moods"}, "moods"),
        ({"text": "a", "insights": False}, "insights"),
        ({"utterances": [{"start": 1}]}, "utterance 0"),
        ({"utterances": [{"text": "a", "role": "boss"}]}, "CUSTOMER"),
        ({"utterances": ["a"] * 3000}, "2000"),
        ({"text": "a" * 200_001}, "200000"),
        ({"text": "a\n" * 2001}, "2000"),
        ({"utterances": ["a" * 6000]}, "5000"),
        ({"utterances": [{"text": "a", "start": 10, "end": 5}]}, "end"),
        ({"utterances": [{"text": "a", "channel": True}]}, "channel"),
        ({"utterances": [{"text": "a", "channel": 64}]}, "channel"),
        ({"utterances": [{"text": "a", "id": 7}]}, "id"),
        ({"text": "a", "language": "klingonish"}, "language"),
    ],
)
def test_what_is_wrong_is_named(whisper: Server, table: dict[str, Any], named: str) -> None:
    status, answer = understood(whisper, **table)
    assert status == 400
    assert named in answer["error"]["message"] or named == answer["error"]["param"]


def test_utterances_come_back_in_order_of_time_and_a_role_needs_its_channel(whisper: Server) -> None:
    said = [
        {"text": "second", "start": 5, "channel": 1},
        {"text": "first", "start": 1},
        {"text": "third", "start": 9, "end": 11},
    ]
    asked = {"skills": ["talk"], "roles": ["AGENT", "CUSTOMER"]}
    status, answer = understood(whisper, utterances=said, insights=asked)
    assert status == 200
    conforms(answer)
    found = [(one["utterance_id"], one["transcript"], one["participant_role"]) for one in answer["utterances"]]
    assert found == [("u1", "first", None), ("u0", "second", "CUSTOMER"), ("u2", "third", None)]
    assert answer["utterances"][2]["end_offset_ms"] == 11_000


def test_a_text_is_taken_by_its_sentences_and_redacted_as_a_whole(whisper: Server) -> None:
    text = "My internet is down.\nThe card is 4111 1111\n1111 1111. Thank you so much!"
    status, answer = understood(whisper, text=text, insights=["intent", "emotion"], redact=True)
    assert status == 200
    conforms(answer)
    assert "1111" not in json.dumps(answer)
    said = [one["transcript"] for one in answer["utterances"]]
    assert said[0] == "My internet is down."
    assert said[-1] == "Thank you so much!"
    assert answer["utterances"][0]["intents"][0]["intent"] == "report_outage"


def test_the_schema_is_served(whisper: Server) -> None:
    status, body = whisper.get("/v1/insights/schema")
    assert status == 200
    assert json.loads(body) == published()


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
