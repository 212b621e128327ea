"""Calls read by a language model: whole files, from text and from sound, and what their insights say of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aural.insight.keywords import Phrase
from aural.insight.llm import MOST_JUDGED
from aural.insight.llm_answer import Reading
from aural.insight.request import Asked
from aural.insight.settings import Llm
from aural.insight.types import Findings, Intent, Turn, Utterance
from aural.metrics import Metrics
from aural.serving import chat
from aural.serving.reading import CONTEXT_TOKENS, SOUND_TOKENS_PER_S, Reader
from aural.serving.understanding import Understanding
from aural.types import SAMPLE_RATE, Pcm
from tests.serving.test_chat import SAID, turns
from tests.standin.chat import GOOD, Answer, Said, answers, completion, fails, hears, stand_in, text_of

SECOND = Pcm(np.zeros(SAMPLE_RATE, np.float32))
LONG = tuple(f"line {number} " + "and so on and on " * 60 for number in range(40))
"""Two windows' worth."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PAUSE_S", 0.001)


def read(said: Sequence[Turn], url: str, sound: Pcm | None = None, **settings: Any) -> Reading:
    return asyncio.run(Reader(Llm(url, **settings), Metrics()).read(said, Asked(), sound))


def lines(question: dict[str, Any]) -> list[int]:
    """The numbers that are to be judged."""
    return [int(line[1 : line.index("]")]) for line in text_of(question).splitlines() if line.startswith("[")]


def judging(question: dict[str, Any]) -> Said:
    """Says of every line that it is angry, and nothing else of use."""
    said = [
        {"n": n, "confidence": 0.7, "intent": "no label", "emotion": "anger", "valence": -1, "safety": []}
        for n in lines(question)
    ]
    return completion(json.dumps(GOOD | {"utterances": said}))


def test_all_of_a_long_call_is_read() -> None:
    later = GOOD | {"summary": "Later.", "issues": ["late bill"]}
    with stand_in(answers(GOOD), answers(later)) as (url, questions):
        reading = read(turns(*LONG), url)
    assert len(questions) == 2
    for number in range(len(LONG)):
        assert sum(f"line {number} " in text_of(question) for question in questions) == 1
    assert GOOD["summary"] in text_of(questions[1])
    assert reading.failure == ""
    assert reading.summary is not None
    assert reading.summary.summary == "Later."
    assert reading.summary.issues == ("no internet", "late bill")
    assert reading.summary.end == len(LONG)


def test_what_was_read_before_a_failure_stays() -> None:
    with stand_in(answers(GOOD), fails(401)) as (url, _):
        reading = read(turns(*LONG), url)
    assert reading.failure == "INVALID_ANALYSIS_CONFIGURATION"
    assert reading.summary is not None
    assert 0 < reading.summary.end < len(LONG)


def test_utterances_are_judged_window_by_window() -> None:
    many = turns(*["you never call back and i am tired of it"] * (MOST_JUDGED + 5))
    with stand_in(judging) as (url, questions):
        reading = read(many, url, utterances=True)
    assert [len(lines(question)) for question in questions] == [MOST_JUDGED, 5]
    assert questions[0]["max_tokens"] > questions[1]["max_tokens"] > 600
    assert len(reading.turns) == len(many)
    assert all(turn.findings.emotion and turn.findings.emotion.label == "anger" for turn in reading.turns)


def test_too_little_is_not_summarised_but_judged() -> None:
    with stand_in(judging) as (url, questions):
        assert read(turns("hello"), url).failure == "INSUFFICIENT_CONVERSATION_CONTENT"
        assert questions == []
        reading = read(turns("hello"), url, utterances=True)
    assert reading.failure == "INSUFFICIENT_CONVERSATION_CONTENT"
    assert reading.turns[0].findings.judge == "default"
    [question] = questions
    assert "summary" not in question["response_format"]["json_schema"]["schema"]["properties"]


def test_sound_in_one_pass_where_the_model_hears() -> None:
    with stand_in(answers(GOOD | {"transcript": "hello"})) as (url, questions):
        reading = read(turns(*SAID), url, SECOND, audio=True)
        assert hears(questions[0])
        assert reading.summary is not None
        assert reading.summary.transcript == "hello"
        assert [message["role"] for message in questions[0]["messages"]] == ["user"]
        assert questions[0]["max_tokens"] > 600
        chinese = [Turn(Utterance("u", "宽带断了" * 20, language="zh"), Findings())]
        long = Pcm(np.zeros(round(CONTEXT_TOKENS / SOUND_TOKENS_PER_S) * SAMPLE_RATE, np.float32))
        for said, sound, audio in ((chinese, SECOND, True), (turns(*SAID), long, True), (turns(*SAID), SECOND, False)):
            assert read(said, url, sound, audio=audio).failure == ""
    assert [hears(question) for question in questions] == [True, False, False, False]


def test_sound_is_judged_line_by_line() -> None:
    with stand_in(judging) as (url, questions):
        reading = read(turns(*SAID), url, SECOND, audio=True, utterances=True)
    assert hears(questions[0])
    assert lines(questions[0]) == [1, 2]
    assert all(turn.findings.emotion for turn in reading.turns)


@pytest.mark.parametrize("first", [fails(400), answers(GOOD, reason="length")])
def test_the_text_takes_the_place_of_sound_that_fails(first: Answer) -> None:
    with stand_in(first, answers(GOOD)) as (url, questions):
        reading = read(turns(*SAID), url, SECOND, audio=True)
    assert reading.failure == ""
    assert reading.summary is not None
    assert [hears(question) for question in questions] == [True, False]


def test_both_ways_have_one_deadline() -> None:
    over = threading.Event()

    def stalls(_: dict[str, Any]) -> Said:
        over.wait(60)
        return completion(json.dumps(GOOD))

    try:
        with stand_in(stalls) as (url, questions):
            reading = read(turns(*SAID), url, SECOND, audio=True, timeout_s=0.2)
            over.set()
    finally:
        over.set()
    assert reading.failure == "TIMEOUT"
    assert len(questions) == 1


class Skills:
    async def many(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        return (Findings(intent=Intent("complaint", 0.5)),) * len(utterances)


def understood(url: str, asked: Asked = Asked(), **settings: Any) -> dict[str, Any]:  # noqa: B008 - frozen
    metrics = Metrics()
    reader = Reader(Llm(url, "big", **settings), metrics)
    understanding = Understanding(Skills(), metrics, reader=reader)  # type: ignore[arg-type]
    said = [Utterance(f"u{n}", text, n * SAMPLE_RATE, (n + 1) * SAMPLE_RATE) for n, text in enumerate(SAID)]
    return asyncio.run(understanding.of_utterances([*said], asked))


def test_what_the_model_says_stands_in_the_insights() -> None:
    with stand_in(judging) as (url, _):
        body = understood(url, utterances=True)
    call = body["call"]
    assert call["summary"] == {
        "short": GOOD["summary"], "sentiment": "NEGATIVE", "topics": ["internet"], "end_offset_ms": 2000
    }  # fmt: skip
    assert call["topics"][0] == {"text": "internet"}
    assert (call["kind"], call["status"], call["failure_code"]) == ("abstractive", "COMPLETED", None)
    assert call["sentiment"]["overall"] == {"channel 0": -5.0}
    one = body["utterances"][0]
    assert one["engine"]["language_model"] == {"model": "big", "skills": ["emotion", "safety"]}
    assert one["emotion"]["label"] == "anger"
    assert one["intents"][0]["intent"] == "complaint"


def test_a_failure_is_told_and_what_was_extracted_stays() -> None:
    with stand_in(fails(429)) as (url, _):
        body = understood(url, utterances=True)
    assert (body["call"]["status"], body["call"]["failure_code"]) == ("FAILED", "QUOTA_EXCEEDED")
    assert (body["call"]["kind"], body["call"]["summary"]) == ("extractive", None)
    assert body["utterances"][0]["intents"][0]["intent"] == "complaint"
    assert "language_model" not in body["utterances"][0]["engine"]


def test_who_wants_no_model_asks_none() -> None:
    with stand_in(judging) as (url, questions):
        body = understood(url, Asked(llm=False), utterances=True)
        few = understood(url, Asked(frozenset(), (Phrase("internet"),)), utterances=True)
    assert questions == []
    assert body["call"]["summary"] is None
    assert body["call"]["status"] == few["call"]["status"] == "COMPLETED"
