"""When the words of a live final were said, and that what was found in them is told with those times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aural.errors import AuralError, WorkerLost
from aural.insight.types import Findings, Keyword, Span, Turn, Utterance
from aural.live.events import Closed, Event, Final
from aural.serving import companion as companions
from aural.serving.word_times import around, estimated, reheard
from aural.types import SAMPLE_RATE, Clip, Segment, Transcript, Word
from tests.serving.loop import in_loop
from tests.serving.test_companion import Desk, at, bodies

HEARD = (
    Word(" please", at(6.1), at(6.4), 0.9),
    Word(" leave", at(7.25), at(7.5), 0.9),
    Word(" now", at(7.5), at(8), 0.9),
)


def clip(start_s: float, end_s: float) -> Clip:
    return Clip(np.zeros(at(end_s - start_s), np.float32), start=at(start_s))


def final(*clips: Clip, words: tuple[Word, ...] = ()) -> Final:
    """Two pieces of speech, at 1 and at 6 s."""
    segments = (Segment(" never leave", at(1), at(3)), Segment(" please leave now", at(6), at(9), words=words))
    return Final("u", at(1), at(9), Transcript(segments), "never leave please leave now", clips)


def keyword_at(start_s: float, end_s: float) -> Findings:
    return Findings(keywords=(Keyword("leave", "leave", 1.0, Span(0, 5, at(start_s), at(end_s))),))


def seconds_of(words: Sequence[Word]) -> list[tuple[str, float]]:
    return [(word.text, round(word.start / SAMPLE_RATE, 2)) for word in words]


def test_words_without_times_are_spread_over_their_piece() -> None:
    assert seconds_of(estimated(final())) == [
        *((" never", 1.0), (" leave", 2.0)),
        *((" please", 6.0), (" leave", 7.24), (" now", 8.29)),
    ]
    assert seconds_of(estimated(final(words=HEARD)))[2:] == seconds_of(HEARD)


def test_characters_of_scripts_without_spaces_have_places_of_their_own() -> None:
    chinese = Final("u", 0, at(4), Transcript((Segment("我要退款", 0, at(4)),), language="zh"), "我要退款")
    assert seconds_of(estimated(chinese)) == [("我", 0.0), ("要", 1.0), ("退", 2.0), ("款", 3.0)]


def test_only_speech_in_which_something_may_have_been_said_is_heard_again() -> None:
    first, second = clip(1, 3), clip(6, 9)
    both = final(first, second)
    assert around(both, keyword_at(7.3, 8.2)) == [second]
    assert around(both, keyword_at(3.5, 4)) == [first]
    assert around(both, keyword_at(2.5, 6.5)) == [first, second]
    assert around(both, Findings()) == []
    assert around(final(), keyword_at(7, 8)) == []


def test_what_was_not_heard_again_keeps_its_estimates() -> None:
    first, second = clip(1, 3), clip(6, 9)
    words = reheard(final(first, second), [second], HEARD)
    assert seconds_of(words) == [(" never", 1.0), (" leave", 2.0), *seconds_of(HEARD)]


def test_words_that_were_heard_again_are_not_kept() -> None:
    said = Utterance("u", "please leave [PHONE]", at(6), at(9))
    turn = Turn(said, Findings(keywords=(Keyword("leave", "leave", 1.0, Span(7, 12, at(6), at(9))),)))
    timed = turn.timed([*HEARD[:2], Word(" 555-1234", at(8), at(9), 0.9)])
    assert timed.utterance == said
    assert timed.findings.keywords[0].span == Span(7, 12, at(7.25), at(7.5))


class Engine:
    """Hears clips once more, as it is told."""

    def __init__(self, answer: Sequence[Word] | AuralError | None = HEARD) -> None:
        self.answer = answer
        self.asked: list[Clip] = []

    async def words(self, clips: Sequence[Clip]) -> Sequence[Word]:
        self.asked += clips
        if isinstance(self.answer, AuralError):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        assert self.answer is not None
        return self.answer


async def told(engine: Engine | None, *clips: Clip) -> dict[str, Any]:
    """The keyword of an utterance that says "please leave now" from 6 to 9 s."""
    desk = Desk()
    transcript = Transcript((Segment(" please leave now", at(6), at(9)),))
    spoken: list[Event] = [
        Closed("u", at(6), at(9)),
        Final("u", at(6), at(9), transcript, "please leave now", clips),
    ]
    items = await desk.heard(desk.companion(), spoken, engine.words if engine else None)
    [insights] = bodies(items, "utterance_insights")
    [alert] = bodies(items, "alert")
    [keyword] = insights["keywords"]
    [point] = alert["points_of_interest"]
    assert point["begin_offset_ms"] == keyword["begin_offset_ms"]
    return keyword


@in_loop
async def test_a_keyword_is_told_with_the_time_that_it_was_said_at() -> None:
    engine, spoken = Engine(), clip(6, 9)
    keyword = await told(engine, spoken)
    assert (keyword["begin_offset_ms"], keyword["end_offset_ms"]) == (7250, 7500)
    assert engine.asked == [spoken]


@pytest.mark.parametrize("answer", [None, WorkerLost("m"), ()], ids=["hangs", "fails", "has no times"])
@in_loop
async def test_an_estimate_is_told_where_the_engine(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "TIMES_S", 0.01)
    engine = Engine(answer)
    keyword = await told(engine, clip(6, 9))
    assert engine.asked
    assert keyword == await told(None, clip(6, 9))
    assert 6900 < keyword["begin_offset_ms"] < 7500
