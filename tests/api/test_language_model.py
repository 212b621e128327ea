"""A language model through the front door: texts, files as text and as sound, a live stream; a stand-in answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE
from tests.api.insights import CALL, LOBSTER, transcribed, understood
from tests.api.test_live_insights import of_type, streamed
from tests.conftest import Recording, Server, serving
from tests.insight.conform import conforming_events, conforms
from tests.serving.test_reading import judging
from tests.standin.chat import GOOD, Question, hears, stand_in, text_of

FILE = """
[llm]
url = "URL"
model = "big"
utterances = true
audio = true
"""
CARD = "4111"


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[Question]]]:
    """A server with a language model that hears, and the questions that it is asked."""
    with stand_in(judging) as (url, questions):
        path: Path = tmp_path_factory.mktemp("model") / "insights.toml"
        path.write_text(FILE.replace("URL", url))
        flags = ("--model", "whisper-tiny.en", "--replicas", "1", "--max-batch", "2", "--max-streams", "8")
        with serving(*flags, "--insights", str(path)) as server:
            yield server, questions


def test_a_text_is_summarised_and_judged(reading: tuple[Server, list[Question]]) -> None:
    server, questions = reading
    questions.clear()
    status, answer = understood(server, utterances=CALL, redact=True, language="en")
    assert status == 200
    conforms(answer)
    assert answer["call"]["summary"]["short"] == GOOD["summary"]
    assert answer["call"]["kind"] == "abstractive"
    assert [one["emotion"]["label"] for one in answer["utterances"]] == ["anger"] * len(CALL)
    assert answer["utterances"][1]["intents"][0]["intent"] == "report_outage", "the model named no label"
    assert CARD not in text_of(questions[0])
    assert server.metric("aural_llm_requests_total") >= 1


def test_a_request_may_want_no_model(reading: tuple[Server, list[Question]]) -> None:
    server, questions = reading
    questions.clear()
    status, answer = understood(server, utterances=CALL, insights={"llm": False}, language="en")
    assert status == 200
    assert answer["call"]["summary"] is None
    assert questions == []


def test_a_file_goes_as_sound_and_what_is_private_does_not(
    reading: tuple[Server, list[Question]], clips: dict[str, Recording]
) -> None:
    server, questions = reading
    audio = clips["fleurs-en-004"].bytes
    for redact in ("false", "true"):
        questions.clear()
        status, answer = transcribed(server, audio, insights="summary,emotion", redact=redact)
        assert status == 200
        conforms(answer["insights"])
        assert [hears(question) for question in questions] == [redact == "false"]
        assert answer["insights"]["utterances"][0]["engine"]["language_model"]["skills"] == ["emotion"]


def test_a_stream_is_judged_and_summed_up(reading: tuple[Server, list[Question]], clips: dict[str, Recording]) -> None:
    server, questions = reading
    questions.clear()
    clip = [decode(clips[name].bytes, limit_s=60).samples for name in (LOBSTER, "LJ001-0002")]
    voice = np.concatenate([np.pad(one, (0, SAMPLE_RATE)) for one in clip])
    asked: dict[str, Any] = {"insights": ["summary", "emotion"]}
    events = asyncio.run(streamed(server, voice, {"aural": asked}, "whisper-tiny.en"))
    assert conforming_events(events)
    found = of_type(events, "aural.utterance_insights")
    judged = [one for one in found if "language_model" in one["engine"]]
    assert {one["item_id"] for one in judged} == {one["item_id"] for one in found}
    final = of_type(events, "aural.call_insights")[-1]
    assert (final["is_final"], final["summary"]["short"]) == (True, GOOD["summary"])
    assert not any(hears(question) for question in questions)
    assert "lobster" in json.dumps([text_of(question) for question in questions])
