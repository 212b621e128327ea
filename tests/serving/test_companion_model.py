"""A live call read by a language model while it goes on, and at its end: events made by hand, a stand-in answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aural.insight.request import Asked, Wish
from aural.insight.settings import Llm
from aural.live.events import Ended, Event, Ledger
from aural.metrics import Metrics
from aural.serving import chat, companion
from aural.serving.companion import SUMMARY_EVERY_TURNS, Calls, Companion, LiveWish, Told
from aural.serving.reading import Reader
from aural.serving.understanding import Understanding
from tests.serving.test_companion import Skills, kinds, played, said
from tests.serving.test_reading import judging, lines
from tests.standin.chat import GOOD, Answer, Question, Said, answers, fails, stand_in, text_of

ENOUGH = SUMMARY_EVERY_TURNS


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PAUSE_S", 0.001)


def talk(first: int, last: int, more: str = "") -> list[Event]:
    return [event for n in range(first, last) for event in said(n, f" line {n} says that it is broken {more}")]


def joined(url: str, asked: Asked | None = None, **settings: Any) -> Companion:
    """A session that asks for insights, with a language model at that address."""
    metrics = Metrics()
    reader = Reader(Llm(url, "big", **settings), metrics)
    calls = Calls(Understanding(Skills(), metrics, reader=reader))  # type: ignore[arg-type]
    session = Companion(calls, "s1")
    session.ask(LiveWish(wish=Wish(asked or Asked())))
    return session


def called(
    parts: Sequence[Sequence[Event]], *ways: Answer, asked: Asked | None = None, **settings: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a session is told beside its captions, and the questions. A part is said when what the call has come to was
    told after the one before."""
    gates = [asyncio.Event() for _ in parts]
    script = [step for gate, part in zip(gates, parts, strict=True) for step in (gate, *part)]

    async def work(url: str) -> list[dict[str, Any]]:
        waiting = iter(gates)
        next(waiting).set()
        told = []
        async for item in joined(url, asked, **settings).events(played([*script, Ended(Ledger())])):
            told += [item.body] if isinstance(item, Told) else []
            if kinds([item]) == ["call_insights"] and (gate := next(waiting, None)):
                gate.set()
        return told

    with stand_in(*ways) as (url, questions):
        return asyncio.run(work(url)), questions


def of_type(told: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [body for body in told if body["type"] == kind]


def test_the_end_is_summarised_whole_however_short_the_last_words() -> None:
    end = GOOD | {"summary": "All of it.", "issues": ["broken line"]}
    told, questions = called([talk(0, ENOUGH), said(ENOUGH, " bye")], answers(GOOD), answers(end))
    rolling, final = of_type(told, "call_insights")
    assert rolling["summary"]["short"] == GOOD["summary"]
    assert final["summary"]["short"] == "All of it."
    assert final["issues"] == [{"text": "broken line"}]
    assert (final["status"], final["is_final"]) == ("COMPLETED", True)
    assert final["summary"]["end_offset_ms"] == (ENOUGH + 1) * 1000
    assert all(f"line {n} " in text_of(questions[1]) for n in range(ENOUGH))


def test_a_failure_keeps_the_last_summary_and_what_it_found() -> None:
    parts = [talk(0, ENOUGH), talk(ENOUGH, 2 * ENOUGH), said(2 * ENOUGH, " bye")]
    told, questions = called(parts, answers(GOOD), fails(401))
    assert len(questions) == 3
    for body in of_type(told, "call_insights")[1:]:
        assert body["summary"]["short"] == GOOD["summary"]
        assert body["summary"]["end_offset_ms"] == ENOUGH * 1000
        assert body["outcomes"] == [{"text": "engineer booked"}]
        assert (body["status"], body["failure_code"]) == ("FAILED", "INVALID_ANALYSIS_CONFIGURATION")


def test_what_failed_is_asked_with_what_comes_next() -> None:
    told, questions = called([talk(0, ENOUGH), talk(ENOUGH, 2 * ENOUGH)], fails(401), answers(GOOD))
    assert all(f"line {n} " in text_of(questions[1]) for n in range(2 * ENOUGH))
    assert [body["status"] for body in of_type(told, "call_insights")] == ["FAILED", "COMPLETED", "COMPLETED"]
    assert len(questions) == 2, "nothing was new at the end"


def test_a_call_that_is_too_long_for_one_question_goes_on_from_its_summary() -> None:
    end = GOOD | {"summary": "To the end.", "issues": ["late bill"]}
    told, questions = called([talk(0, ENOUGH, "so " * 900), talk(8, 9, "so " * 900)], answers(GOOD), answers(end))
    final = of_type(told, "call_insights")[-1]
    assert final["summary"]["short"] == "To the end."
    assert final["issues"] == [{"text": "no internet"}, {"text": "late bill"}]
    assert GOOD["summary"] in text_of(questions[1])
    assert "line 0 " not in text_of(questions[1])


def test_utterances_are_told_again_when_they_are_judged() -> None:
    told, questions = called([talk(0, ENOUGH), talk(ENOUGH, ENOUGH + 2)], judging, utterances=True)
    assert [len(lines(question)) for question in questions] == [ENOUGH, 2]
    times: dict[str, list[bool]] = {}
    for body in of_type(told, "utterance_insights"):
        times.setdefault(body["utterance_id"], []).append("language_model" in body["engine"])
    assert times == {f"u{n}": [False, True] for n in range(ENOUGH + 2)}
    anger = [body["emotion"]["label"] for body in of_type(told, "utterance_insights") if body["emotion"]]
    assert anger == ["anger"] * (ENOUGH + 2)
    final = of_type(told, "call_insights")[-1]
    assert final["sentiment"]["overall"] == {"channel 0": -5.0}
    assert "line 0 " in text_of(questions[1])


def test_a_session_that_wants_no_model_asks_none() -> None:
    told, questions = called([talk(0, ENOUGH)], judging, asked=Asked(llm=False), utterances=True)
    assert questions == []
    assert {body["status"] for body in of_type(told, "call_insights")} == {"COMPLETED"}
    assert json.dumps(told).count("language_model") == 0


def test_a_call_is_asked_about_once_at_a_time_and_the_next_question_takes_along_what_was_said() -> None:
    over, later = threading.Event(), asyncio.Event()

    def slow(question: Question) -> Said:
        over.wait(60)
        return answers(GOOD)(question)

    async def work(url: str) -> list[Any]:
        items: list[Any] = []
        script = [*talk(0, ENOUGH), later, *talk(ENOUGH, 2 * ENOUGH), Ended(Ledger())]
        async for item in joined(url).events(played(script)):
            items.append(item)
            if kinds(items).count("utterance_insights") == ENOUGH:
                later.set()
            if kinds(items).count("utterance_insights") == 2 * ENOUGH:
                over.set()
        return items

    try:
        with stand_in(slow) as (url, questions):
            items = asyncio.run(work(url))
    finally:
        over.set()
    assert kinds(items).count("call_insights") == 3
    assert len(questions) == 2
    assert f"line {2 * ENOUGH - 1} " in text_of(questions[1])


def test_a_call_that_is_full_is_not_summed_up_with_every_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "MOST_TURNS", ENOUGH)
    told, _ = called([talk(0, ENOUGH), talk(ENOUGH, ENOUGH + 2)], answers(GOOD))
    assert len(of_type(told, "utterance_insights")) == ENOUGH + 2
    assert [body["is_final"] for body in of_type(told, "call_insights")] == [False, True]
