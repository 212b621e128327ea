"""Clips to one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural import text
from aural.types import Reason, Segment, Suppressed, Transcript, Word


def part(*texts: str, language: str = "en", probability: float = 1.0, start: int = 0, **more: object) -> Transcript:
    """A transcript with a segment of 100 samples for each text."""
    segments = [Segment(one, start + 100 * i, start + 100 * (i + 1)) for i, one in enumerate(texts)]
    return Transcript(tuple(segments), language=language, language_probability=probability, **more)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ""),
        ([part(" One.", " Two."), part(" Three.")], "One. Two. Three."),
        ([part("One."), part("two.")], "One. two."),
        ([part(), part(" One."), part(), part("Two.")], "One. Two."),
        ([part("你好", language="zh"), part("世界", language="zh")], "你好世界"),
        ([part("こん", language="ja"), part("にちは", language="ja")], "こんにちは"),
        ([part("안녕", language="ko"), part("세상", language="ko")], "안녕 세상"),
        ([part("你好", language="zh"), part("hello")], "你好 hello"),
    ],
)
def test_joined_as_the_language_is_written(parts, expected):
    assert text.plain(text.join(parts).segments) == expected


def test_joining_loses_nothing():
    gap = Suppressed(0, 100, Reason.NO_SPEECH, "hm")
    parts = [Transcript((), (gap,), "cy", 0.2), part(" a", probability=0.9, redone=True), part(" b", start=100)]
    assert text.join(parts) == Transcript(
        (Segment(" a", 0, 100), Segment(" b", 100, 200)), (gap,), "en", 0.9, redone=True
    )


def test_what_was_suppressed_comes_in_order_of_time():
    late, early = (Suppressed(start, start + 1, Reason.NO_SPEECH) for start in (7, 3))
    assert text.join([Transcript((), (late,)), Transcript((), (early,))]).suppressed == (early, late)


def test_nothing_heard_has_the_language_of_the_first_clip():
    assert text.join([part(language="cy"), part(language="en")]).language == "cy"


@given(st.lists(st.lists(st.sampled_from([" a", "b", " c."]), max_size=3), max_size=4), st.sampled_from(["en", "zh"]))
def test_joining_what_was_spaced_already_changes_nothing(texts, language):
    parts = [part(*one, language=language) for one in texts]
    joined = text.join(parts)
    assert text.join([text.spaced(one) for one in parts]) == joined
    assert [one.start for one in joined.segments] == [one.start for each in parts for one in each.segments]


@pytest.mark.parametrize(
    ("script", "given_text", "expected"),
    [
        ("t2s", "漢字与汉字", "汉字与汉字"),
        ("s2t", "汉字与漢字", "漢字與漢字"),
        ("s2tw", "这里的软件", "這裡的軟件"),
        ("s2hk", "这里", "這裏"),
    ],
)
def test_chinese_in_the_characters_asked_for(script, given_text, expected):
    word = Word(given_text, 0, 100, 1.0)
    heard = Transcript(
        (Segment(given_text, 0, 100, words=(word,)),), (Suppressed(100, 200, Reason.REPETITION, given_text),), "zh"
    )
    written = text.in_script(heard, script)
    assert written.segments[0].text == expected
    assert written.segments[0].words[0].text == expected
    assert written.suppressed[0].text == expected
    assert (written.segments[0].end, written.segments[0].words[0].end) == (100, 100)


def test_other_languages_keep_their_characters():
    heard = part("漢字", language="ja")
    assert text.in_script(heard, "t2s") is heard
