"""Windows, the merging of their words, and one small run with a model that hears."""

from __future__ import annotations

from argparse import Namespace

from aural.audio.span import Span
from aural.bench.clips import read_utterances
from aural.types import SAMPLE_RATE, Word
from benchmarks.seams import compare, long_file, merge, windows
from tests.engines.ears import DIGITS, ears


def said(*words: tuple[str, float]) -> list[Word]:
    """Words of 0.2 s around these times."""
    times = [(text, round(middle * SAMPLE_RATE)) for text, middle in words]
    return [Word(f" {text}", time - SAMPLE_RATE // 10, time + SAMPLE_RATE // 10, 1.0) for text, time in times]


def texts(words: list[Word]) -> str:
    return "".join(word.text for word in words).strip()


SHARED = Span(10 * SAMPLE_RATE, 14 * SAMPLE_RATE)


def test_windows_cover_the_audio():
    assert windows(100, 40, 30) == [Span(0, 40), Span(30, 70), Span(60, 100)]
    assert windows(100, 40, 40) == [Span(0, 40), Span(40, 80), Span(80, 100)]
    assert windows(30, 40, 30) == [Span(0, 30)]


def test_windows_are_joined_where_they_agree():
    left = said(("we", 9), ("sail", 10.5), ("Today", 12.5), ("xx", 13.9))
    right = said(("ale", 10.1), ("today,", 12.6), ("or", 13.8), ("not", 15))
    assert texts(merge(left, right, SHARED)) == "we sail Today or not"


def test_and_in_the_middle_where_they_do_not():
    left, right = said(("a", 9), ("b", 11), ("c", 13)), said(("d", 10.5), ("e", 12.5), ("f", 15))
    assert texts(merge(left, right, SHARED)) == "a b e f"


def test_the_same_word_at_another_time_is_another_word():
    left, right = said(("no", 10.5), ("no", 11.2)), said(("no", 13), ("no", 13.7))
    assert texts(merge(left, right, SHARED)) == "no no no no"


def test_a_small_run():
    utterances = read_utterances(DIGITS)
    assert {one.text.strip() for one in utterances} == {"seven three nine two", "zero one four five"}
    pcm, text = long_file(utterances, 12, gap_s=0.3)
    wanted = Namespace(window_s=5.0, overlap_s=2.0, batch=8)
    scores = {score.way: score for score in compare(ears("parakeet-digits").engine, pcm, text, wanted)}
    assert {score.words for score in scores.values()} == {len(text.split())}
    assert all(score.errors < score.words / 2 for score in scores.values())
    assert scores["overlap"].heard > 1.2
    assert scores["pauses"].heard == scores["blunt"].heard == 1
