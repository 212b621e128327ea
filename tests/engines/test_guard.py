"""Which texts are believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aural.engines import guard
from aural.engines.guard import Evidence
from aural.types import Reason

SOUND = Evidence("It was a bright cold day in April.", 9, -0.2, 0.02, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        "A thin stripe runs down the middle. A thin stripe runs down the middle.",
        "and then I said and then I said no",
        "you you you you",
        "ha ha, ha ha, ha ha, ha ha",
    ],
)
def test_repetition(text: str) -> None:
    assert guard.repeats_itself(text)


@pytest.mark.parametrize(
    "text",
    ["", "no no no", "That that is is that that is not is not.", "one two three one two four", "very, very good"],
)
def test_no_repetition(text: str) -> None:
    assert not guard.repeats_itself(text)


def test_a_sound_text_stands() -> None:
    assert guard.trusts_fitted(SOUND)
    assert guard.suppression(SOUND) is None
    assert not guard.needs_fallback(SOUND)
    assert not guard.is_doubtful(SOUND.avg_logprob, SOUND.no_speech_prob)


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
        ({"text": "word " * 50, "duration_s": 2.0}, Reason.SPEECH_RATE),
        ({"text": "Mmm... " * 30, "duration_s": 28.0}, Reason.REPETITION),
        ({"avg_logprob": -2.5, "no_speech_prob": 0.4}, Reason.LOW_CONFIDENCE),
    ],
)
def test_what_is_suppressed(change: dict[str, object], reason: Reason) -> None:
    assert guard.suppression(replace(SOUND, **change)) is reason


def test_silence_is_not_tried_again() -> None:
    quiet = replace(SOUND, no_speech_prob=0.9, avg_logprob=-1.5)
    assert guard.is_silence(quiet)
    assert not guard.needs_fallback(quiet)
    assert guard.needs_fallback(replace(quiet, no_speech_prob=0.1))
