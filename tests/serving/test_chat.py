"""A chat endpoint asked: stand-ins that answer well, stall, err, and say broken things."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest

from aural.insight.llm import Form, Window, schema
from aural.insight.llm_answer import Answer as Parsed
from aural.insight.llm_answer import parse
from aural.insight.settings import Llm
from aural.insight.types import Findings, Role, Turn, Utterance
from aural.metrics import Metrics
from aural.serving import chat
from aural.serving.chat import Chat, Failure, Question
from aural.serving.outbound import MOST_BYTES
from tests.standin.chat import GOOD, Answer, Said, answers, completion, fails, says, stand_in

SAID = ("my internet has been down since sunday and nobody came", "i have booked an engineer for tomorrow morning")
SECRET = "the answer repeats what was said"
good = answers(GOOD, usage={"prompt_tokens": 1000, "completion_tokens": 100})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PAUSE_S", 0.001)


def turns(*texts: str) -> tuple[Turn, ...]:
    return tuple(
        Turn(Utterance(f"u{i}", text, i, i + 1, role=Role.CUSTOMER), Findings()) for i, text in enumerate(texts)
    )


def asked(url: str, metrics: Metrics | None = None, **settings: Any) -> Parsed | Failure:
    form, window = Form(), Window(turns(*SAID))

    async def work() -> Parsed | Failure:
        question = Question(lambda: [{"role": "user", "content": "?"}], schema(form), tokens=600)
        return await Chat(Llm(url, **settings), metrics or Metrics()).ask(
            question, lambda text: parse(text, form, window)
        )

    return asyncio.run(work())


def test_a_good_answer_and_what_it_cost() -> None:
    metrics = Metrics()
    with stand_in(good) as (url, questions):
        outcome = asked(url, metrics, model="m", key="k", input_price=2.0, output_price=10.0)
    assert isinstance(outcome, Parsed)
    assert outcome.summary is not None
    assert outcome.summary.outcomes == ("engineer booked",)
    assert questions[0]["response_format"]["json_schema"]["strict"] is True
    assert questions[0]["temperature"] == 0
    value = metrics.registry.get_sample_value
    assert value("aural_llm_tokens_total", {"kind": "prompt"}) == 1000
    assert value("aural_llm_cost_total") == pytest.approx(0.003)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None, "completion_tokens": "many"}, {"prompt_tokens": 10**400}, [1], "m"]
)
def test_tokens_that_are_not_told_cost_no_answer(usage: object) -> None:
    with stand_in(answers(GOOD, usage=usage)) as (url, questions):
        assert isinstance(asked(url), Parsed)
    assert len(questions) == 1


def test_a_broken_answer_is_paid_for_and_not_asked_for_in_the_same_way() -> None:
    metrics = Metrics()
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    with stand_in(says("I am sorry", usage=usage), good) as (url, questions):
        assert isinstance(asked(url, metrics, input_price=2.0, output_price=10.0), Parsed)
    assert metrics.registry.get_sample_value("aural_llm_cost_total") == pytest.approx(0.006)
    assert questions[0]["temperature"] < questions[1]["temperature"]


@pytest.mark.parametrize(
    ("said", "code", "times"),
    [
        ((fails(500), good), None, 2),
        ((says("I am sorry"), good), None, 2),
        ((says('{"summary": "cut off'), says("{}")), "INTERNAL_ERROR", 2),
        ((says('{"summary": "s", "issues": [1]}'), says('{"summary": ""}')), "INTERNAL_ERROR", 2),
        ((lambda _: Said(b"[" * 9999),), "INTERNAL_ERROR", 2),
        ((lambda _: Said(b'{"choices": []}'),), "INTERNAL_ERROR", 2),
        ((says(None),), "INTERNAL_ERROR", 2),
        ((says(None, refusal="I would rather not"),), "INTERNAL_ERROR", 1),
        ((says(json.dumps(GOOD), reason="length"),), "INTERNAL_ERROR", 1),
        ((lambda _: Said(b" " * (MOST_BYTES + 1)),), "INTERNAL_ERROR", 2),
        ((fails(429),), "QUOTA_EXCEEDED", 2),
        ((fails(401),), "INVALID_ANALYSIS_CONFIGURATION", 1),
        ((fails(413),), "INVALID_ANALYSIS_CONFIGURATION", 1),
        ((fails(307, Location="http://127.0.0.1:9/"),), "INVALID_ANALYSIS_CONFIGURATION", 1),
        ((fails(503),), "INTERNAL_ERROR", 2),
    ],
)
def test_what_goes_wrong_is_tried_again_where_that_helps_and_named(
    said: tuple[Answer, ...], code: str | None, times: int
) -> None:
    with stand_in(*said) as (url, questions):
        outcome = asked(url)
    assert (outcome.code if isinstance(outcome, Failure) else None) == code
    assert len(questions) == times


@pytest.mark.parametrize("form", ["0", "seconds", "date"])
def test_a_busy_endpoint_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(chat.asyncio, "sleep", sleep)
    later = {"0": "0", "seconds": "7", "date": formatdate(time.time() + 8, usegmt=True)}[form]
    with stand_in(fails(429, Retry_After=later), good) as (url, questions):
        assert isinstance(asked(url, timeout_s=60), Parsed)
    assert len(questions) == 2
    assert max(slept) <= 8
    assert (max(slept) > 1) is (form != "0")


def test_a_pause_that_is_longer_than_the_time_left_is_not_waited_for() -> None:
    with stand_in(fails(429, Retry_After="3600"), good) as (url, questions):
        outcome = asked(url)
    assert isinstance(outcome, Failure)
    assert outcome.code == "QUOTA_EXCEEDED"
    assert len(questions) == 1


def test_one_that_stalls_is_given_up() -> None:
    over = threading.Event()

    def stalls(_: dict[str, Any]) -> Said:
        over.wait(60)
        return completion(json.dumps(GOOD))

    try:
        with stand_in(stalls) as (url, _):
            outcome = asked(url, timeout_s=0.2)
            over.set()
    finally:
        over.set()
    assert isinstance(outcome, Failure)
    assert outcome.code == "TIMEOUT"


def test_one_that_drips_is_given_up_and_hung_up_on() -> None:
    gone = threading.Event()
    with stand_in(lambda _: Said(b"{", drips=gone)) as (url, _):
        outcome = asked(url, timeout_s=0.3)
        assert gone.wait(60)
    assert isinstance(outcome, Failure)
    assert outcome.code == "TIMEOUT"


def test_nobody_there_and_a_key_that_is_none_are_failures_that_say_no_key() -> None:
    for settings in ({}, {"key": f"{SECRET}\n"}, {"key": "schlüssel"}):
        outcome = asked("http://127.0.0.1:9/v1", **settings)
        assert isinstance(outcome, Failure)
        assert outcome.code == "INTERNAL_ERROR"
        assert SECRET not in outcome.message


@pytest.mark.parametrize(
    "said",
    [
        says(SECRET),
        says(json.dumps({"summary": "", "issues": SECRET})),
        says(json.dumps({"summary": "s", "issues": SECRET})),
        lambda _: Said(SECRET.encode()),
        lambda _: Said(SECRET.encode(), 503),
    ],
)
def test_nothing_of_a_broken_answer_is_logged(said: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), stand_in(said) as (url, _):
        assert isinstance(asked(url), Failure)
    assert caplog.records
    assert not any(SECRET in repr(vars(record)) for record in caplog.records)
