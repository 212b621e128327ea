"""Insights through the front door: real speech, real models, and texts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from aural.audio.decode import decode
from tests.api.wire import form, wav
from tests.conftest import Recording, Server

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
    assert "lobster" in [term["text"] for term in last["insights"]["call"]["topics"]]


def test_invocations_have_them_in_every_form(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = clips[LOBSTER].bytes
    query = "/invocations?model=whisper-tiny.en&insights=terms"
    raw = whisper.post(query, audio, Content_Type="audio/flac")
    body = json.dumps({"audio_input": audio.hex(), "model": "whisper-tiny.en", "insights": {"skills": ["terms"]}})
    by_hex = whisper.post("/invocations", body.encode(), Content_Type="application/json")
    for status, answer in (raw, by_hex):
        assert status == 200
        assert answer["insights"]["call"]["topics"][0]["text"] == "lobster"


def test_two_channels_are_kept_apart(whisper: Server, clips: dict[str, Recording]) -> None:
    agent = decode(clips[LOBSTER].bytes, limit_s=60).samples
    customer = decode(clips["LJ001-0002"].bytes, limit_s=60).samples
    length = len(agent) + len(customer)
    both = np.zeros((length, 2), np.float32)
    both[: len(agent), 0], both[len(agent) :, 1] = agent, customer
    audio = wav(both)
    asked = {"skills": ["keywords", "talk"], "keywords": ["lobster"], "roles": ["AGENT", "CUSTOMER"]}
    status, answer = transcribed(whisper, audio, response_format="verbose_json", channels="separate", insights=asked)
    assert status == 200
    roles = [(one["participant_role"], bool(one["keywords"])) for one in answer["insights"]["utterances"]]
    assert roles[0] == ("AGENT", True)
    assert roles[-1] == ("CUSTOMER", False)
    assert {segment["channel"] for segment in answer["segments"]} == {0, 1}
    assert [segment["start"] for segment in answer["segments"]] == sorted(s["start"] for s in answer["segments"])
    assert set(answer["insights"]["call"]["talk"]["speakers"]) == {"AGENT", "CUSTOMER"}


def test_a_text_is_understood(whisper: Server) -> None:
    status, answer = understood(whisper, utterances=CALL, insights=True, redact=True, language="en")
    assert status == 200
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
        ({"text": "a" * 6000}, "5000"),
        ({"text": "a", "language": "klingonish"}, "language"),
    ],
)
def test_what_is_wrong_is_named(whisper: Server, table: dict[str, Any], named: str) -> None:
    status, answer = understood(whisper, **table)
    assert status == 400
    assert named in answer["error"]["message"] or named == answer["error"]["param"]


def test_formats_without_room_for_insights_refuse_them(whisper: Server, clips: dict[str, Recording]) -> None:
    status, answer = transcribed(whisper, clips[LOBSTER].bytes, response_format="srt", insights="terms")
    assert (status, answer["error"]["param"]) == (400, "insights")


@pytest.mark.slow
def test_the_command_line_reads_them_out(whisper: Server, clips: dict[str, Recording]) -> None:
    path = str(clips[LOBSTER].path)
    asked = '{"skills": ["keywords", "terms"], "keywords": ["lobster"]}'
    flags = ("--url", whisper.url, "--model", "whisper-tiny.en", "--insights", asked)
    for command in ("transcribe", "live"):
        line = [sys.executable, "-m", "aural", command, *flags, path]
        done = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        assert "When is a lobster not a lobster?" in done.stdout
        assert "keywords: lobster (2)" in done.stdout
