"""Clips to one text."""

from __future__ import annotations

from aural.text import in_script, join, plain
from aural.types import Reason, Segment, Suppressed, Transcript, Word


def said(text: str, language: str = "en", **more: object) -> Transcript:
    return Transcript((Segment(text, 0, 100),), language=language, **more)  # type: ignore[arg-type]


def test_words_are_spaced_between_clips() -> None:
    assert plain(join([said(" Good"), said("morning."), said(" Yes.")]).segments) == "Good morning. Yes."


def test_chinese_is_not() -> None:
    assert plain(join([said("你好", "zh"), said("世界", "zh")]).segments) == "你好世界"


def test_the_language_is_that_of_the_first_clip_with_text() -> None:
    silent = Transcript((), (Suppressed(0, 100, Reason.NO_SPEECH),), "en", 0.0)
    whole = join([silent, said("ja", "de", language_probability=0.9, redone=True)])
    assert (whole.language, whole.language_probability, whole.redone) == ("de", 0.9, True)
    assert [gap.reason for gap in whole.suppressed] == [Reason.NO_SPEECH]


def test_nothing() -> None:
    assert join([]) == Transcript()


def test_chinese_characters() -> None:
    words = (Word("漢", 0, 50, 1.0), Word("字", 50, 100, 1.0))
    mixed = Transcript(
        (Segment("漢字转换", 0, 100, words=words),), (Suppressed(0, 1, Reason.REPETITION, "個"),), language="zh"
    )
    simple = in_script(mixed, "t2s")
    assert simple.segments[0].text == "汉字转换"
    assert [word.text for word in simple.segments[0].words] == ["汉", "字"]
    assert simple.suppressed[0].text == "个"
    assert in_script(mixed, "s2tw").segments[0].text == "漢字轉換"


def test_another_language_keeps_its_characters() -> None:
    japanese = said("漢字", "ja")
    assert in_script(japanese, "t2s") is japanese
