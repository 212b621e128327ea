"""Texts that are understood through the front door, and who is told that there is no room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from aural.api.server import create_app
from aural.app import build_service, running_fleet
from aural.errors import Overloaded
from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance
from aural.metrics import Metrics
from aural.settings import Settings
from tests.api.insights import CALL, understood
from tests.api.wire import form, speech
from tests.conftest import Server
from tests.insight.conform import conforms, published
from tests.serving.loop import in_loop


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
