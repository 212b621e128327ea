"""Which texts are believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.engines import guard
from aural.engines.guard import Evidence
from aural.types import Reason, Segment

SOUND = Evidence("It was a bright cold day in April.", 9, -0.2, 0.02, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        "A thin stripe runs down the middle. A thin stripe runs down the middle.",
        "and then I said and then I said no",
        "you you you you",
        "ha ha, ha ha, ha ha, ha ha",
        "Come on now. COME ON, NOW!",
        "谢谢谢谢谢谢谢谢",
        "2017年谢谢谢谢谢谢谢谢",
        "请不吝点赞请不吝点赞",
        "ありがとうございますありがとうございます",
    ],
)
def test_repetition(text: str) -> None:
    assert guard.repeats_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no",
        "That that is is that that is not is not.",
        "one two three one two four",
        "very, very good",
        "慢慢来",
        "研究研究",
    ],
)
def test_no_repetition(text: str) -> None:
    assert not guard.repeats_itself(text)


words = st.lists(st.sampled_from("abcdefghij"), unique=True, min_size=3)


@given(words)
def test_saying_it_twice_is_repetition(said: list[str]) -> None:
    assert not guard.repeats_itself(" ".join(said))
    assert guard.repeats_itself(" ".join([*said, *said]))
    assert guard.repeats_itself(" ".join(["well", *said, *said, "yes"]))


@given(st.text())
def test_any_text_can_be_judged(text: str) -> None:
    evidence = replace(SOUND, text=text)
    guard.trusts_fitted(evidence)
    assert guard.suppression(evidence) is Reason.NO_SPEECH or text.strip()


def test_text_that_repeats_is_easy_to_compress() -> None:
    assert guard.compression_ratio("") == 0.0
    assert guard.compression_ratio(SOUND.text) < guard.MAX_COMPRESSION_RATIO < guard.compression_ratio("Mmm... " * 30)


def test_a_sound_text_stands() -> None:
    assert guard.trusts_fitted(SOUND)
    assert guard.suppression(SOUND) is None
    assert not guard.needs_fallback(SOUND)
    said = Segment("said", 0, 16_000, SOUND.avg_logprob, no_speech_prob=SOUND.no_speech_prob)
    assert not guard.is_doubtful(said)
    assert guard.is_doubtful(replace(said, is_suspect=True))


@pytest.mark.parametrize(
    "change",
    [
        {"budget_spent": True},
        {"avg_logprob": -0.7},
        {"tokens": 3, "duration_s": 14.5},
        {"text": "over and over and over and over and"},
    ],
)
def test_what_is_heard_again_in_full(change: dict[str, object]) -> None:
    assert not guard.trusts_fitted(replace(SOUND, **change))


def test_a_short_clip_may_have_few_tokens() -> None:
    assert guard.trusts_fitted(replace(SOUND, tokens=2, text="Yes.", duration_s=3.9))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"no_speech_prob": 0.9, "avg_logprob": -1.1}, Reason.NO_SPEECH),
        ({"text": " "}, Reason.NO_SPEECH),
        ({"text": "谢谢观看" * 20, "duration_s": 28.0}, Reason.REPETITION),
        ({"text": "word " * 50, "duration_s": 2.0}, Reason.SPEECH_RATE),
        ({"text": "Mmm... " * 30, "duration_s": 28.0}, Reason.REPETITION),
        ({"avg_logprob": -2.5, "no_speech_prob": 0.4}, Reason.LOW_CONFIDENCE),
    ],
)
def test_what_is_suppressed(change: dict[str, object], reason: Reason) -> None:
    assert guard.suppression(replace(SOUND, **change)) is reason


def test_who_says_it_all_twice_is_in_no_loop() -> None:
    said = (
        "When is a lobster not a lobster? When it is a crayfish. Many people don't think about them as dinosaurs "
        "because they have feathers and can fly. In being comparatively modern. "
    )
    twice, thrice = (replace(SOUND, text=said * times, duration_s=24.0) for times in (2, 3))
    assert guard.compression_ratio(twice.text) > guard.MAX_COMPRESSION_RATIO
    assert not guard.needs_fallback(twice)
    assert guard.suppression(twice) is None
    for loop in (thrice, replace(twice, budget_spent=True)):
        assert guard.needs_fallback(loop)
        assert guard.suppression(loop) is Reason.REPETITION


def test_silence_is_not_tried_again() -> None:
    quiet = replace(SOUND, no_speech_prob=0.9, avg_logprob=-1.5)
    assert guard.is_silence(quiet)
    assert not guard.needs_fallback(quiet)
    assert guard.needs_fallback(replace(quiet, no_speech_prob=0.1))
