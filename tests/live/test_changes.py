"""Settings that change during a session hold for the speech that begins after them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.engines.base import Capabilities
from aural.live import events
from aural.live.settings import LiveSettings, Manual, SemanticVad, ServerVad
from aural.types import SAMPLE_RATE, Clip, Options, Segment, Transcript
from tests.live.stage import CAN, Stage, audios, built, checked, pause, read, said_in, spoken

MANUAL = LiveSettings(turns=Manual())


def speaking(language: str | None, asked: LiveSettings = MANUAL) -> LiveSettings:
    return replace(asked, options=Options(language=language))


def languages(stage: Stage) -> dict[str, str | None]:
    """What was heard, and as what."""
    return {read(ask.clip).segments[0].text: ask.clip.options.language for ask in stage.asks}


CHOICES = [
    LiveSettings(),
    MANUAL,
    LiveSettings(turns=SemanticVad(max_silence_ms=1000)),
    LiveSettings(turns=ServerVad(idle_timeout_ms=5000), options=Options(language="fr")),
    LiveSettings(turns=ServerVad(prefix_padding_ms=5000), partials=False),
]


@given(audios, st.integers(0, 10**6).map(random.Random))
@settings(deadline=None, max_examples=80)
def test_settings_that_change_at_any_moment_lose_and_double_nothing(
    parts: list[tuple[int, float]], chance: random.Random
):
    stage = Stage.of(chance.choice(CHOICES))
    audio = built(parts)
    place = 0
    while place < len(audio):
        length = chance.choice([1, 800, 5000, 20_000])
        stage.play(audio[place : place + length], answer=chance.random() < 0.7)
        place += length
        if chance.random() < 0.3:
            stage.session.configure(chance.choice(CHOICES), CAN)
    stage.finish()
    assert " ".join(text for text in checked(stage).texts if text) == said_in(parts)


def test_what_was_committed_before_keeps_its_language():
    stage = Stage.of(speaking("en"))
    for language, words in (("en", (1, 2, 3)), ("fr", (4, 5)), (None, (6, 7))):
        stage.session.configure(speaking(language), CAN)
        stage.play(spoken(*words), answer=False)
        stage.session.commit()
    stage.finish()
    assert checked(stage).texts == ["w1 w2 w3", "w4 w5", "w6 w7"]
    assert languages(stage) == {" w1 w2 w3": "en", " w4 w5": "fr", " w6 w7": None}


def test_a_language_that_was_detected_before_does_not_count_for_one_to_be_detected_anew():
    stage = Stage.of(speaking(None), lambda clip: Transcript(read(clip).segments, (), "de", 0.9))
    stage.play(spoken(1, 2, 3), answer=False)
    stage.session.commit()
    stage.session.configure(speaking("fr"), CAN)
    stage.session.configure(speaking(None), CAN)
    stage.turn()
    stage.play(np.concatenate([spoken(4, 5), pause(1)]), answer=False)
    stage.session.commit()
    stage.finish()
    assert languages(stage)[" w4 w5"] is None
    assert [one.language for one in stage.told(events.LanguageDetected)] == ["de", "de"]


def test_another_model_has_its_own_languages():
    english = Capabilities(("en",), 30 * SAMPLE_RATE)
    stage = Stage.of(speaking(None), lambda clip: Transcript(read(clip).segments, (), "en", 1.0))
    stage.session.configure(speaking(None), english)
    stage.play(spoken(1, 2, 3))
    stage.session.commit()
    stage.finish()
    assert not stage.told(events.LanguageDetected), "it knows no other"


def test_an_utterance_that_only_the_caller_would_end_is_ended_by_a_pause_after_a_switch():
    stage = Stage.of(MANUAL)
    stage.play(spoken(1, 2, 3))
    stage.session.configure(LiveSettings(), CAN)
    stage.play(pause(1))
    assert stage.texts == ["w1 w2 w3"]
    told = [kind for kind in stage.kinds() if kind in ("SpeechStarted", "SpeechStopped", "Closed")]
    assert told == ["SpeechStarted", "SpeechStopped", "Closed"]


def test_an_utterance_that_a_pause_would_end_waits_for_the_caller_after_a_switch():
    stage = Stage.of(LiveSettings(turns=ServerVad()))
    stage.play(spoken(1, 2, 3))
    stage.session.configure(MANUAL, CAN)
    stage.play(np.concatenate([pause(2), spoken(4)]))
    assert "SpeechStarted" in stage.kinds()
    assert "Closed" not in stage.kinds()
    stage.session.commit()
    stage.finish()
    assert checked(stage).texts == ["w1 w2 w3 w4"]


def test_two_finals_that_make_no_sense_and_the_language_is_detected_anew():
    confidence = {" w1 w2": -0.1, " w3 w4": -0.9, " w5 w6": -0.9, " w7 w8": -0.1}

    def hear(clip: Clip) -> Transcript:
        [segment] = read(clip).segments
        own = segment.text[-6:]
        sure = Segment(segment.text, 0, len(clip), avg_logprob=confidence.get(own, -0.1))
        return Transcript((sure,), (), "de" if own < " w5" else "fr", 0.9)

    stage = Stage.of(hear=hear)
    for first in (1, 3, 5, 7):
        stage.play(np.concatenate([spoken(first, first + 1), pause(3)]), answer=False)
        stage.turn()
    stage.finish()
    assert [one.language for one in checked(stage).told(events.LanguageDetected)] == ["de", "fr"]
    assert stage.asks[-1].clip.options.language is None
