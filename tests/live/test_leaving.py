"""A session that ends here and goes on elsewhere: no word is lost, none is said twice, and the books are closed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.vad import FRAME_SAMPLES
from aural.live import events
from aural.live.checkpoint import Checkpoint
from aural.live.segmenter import LONGEST_PIECE
from aural.live.session import SESSION_FINISHED
from aural.live.settings import LiveSettings, Manual, ServerVad
from aural.types import SAMPLE_RATE, Samples
from tests.live.stage import Stage, audios, built, checked, pause, said, said_in, spoken

VAD, MANUAL = LiveSettings(), LiveSettings(turns=Manual())
MODES = pytest.mark.parametrize("asked", [VAD, MANUAL], ids=["vad", "manual"])


def left(asked: LiveSettings, audio: Samples, when: int) -> tuple[Stage, events.Notice]:
    """A session that is told to leave after so many samples; it is finished when it has not left in the end."""
    stage = Stage.of(asked)
    stage.play(audio[:when], [4000] * 60)
    stage.session.leave()
    stage.play(audio[when:], [4000] * 60)
    if not stage.told(events.Notice):
        stage.finish()
    [notice] = stage.told(events.Notice)
    assert checked(stage).told(events.Ended)[0].totals.received == notice.at
    return stage, notice


def resumed(asked: LiveSettings, audio: Samples, notice: events.Notice) -> Stage:
    assert notice.resume
    stage = Stage.of(asked, begin=Checkpoint.of(notice.resume))
    stage.play(audio[notice.at :], [4000] * 60)
    stage.finish()
    return checked(stage)


def joined(*stages: Stage) -> str:
    return " ".join(text for stage in stages for text in stage.texts if text)


@given(audios, st.integers(0, 200_000), st.sampled_from([VAD, MANUAL]))
@settings(deadline=None, max_examples=60)
def test_a_session_goes_on_elsewhere_without_losing_or_doubling_a_word(
    parts: list[tuple[int, float]], when: int, asked: LiveSettings
):
    parts = [*parts, (3, 1.0)]
    audio = built(parts)
    first, notice = left(asked, audio, when)
    second = resumed(asked, audio, notice)
    assert joined(first, second) == said_in(parts)
    names = [final.utterance for final in first.finals + second.finals]
    assert len(set(names)) == len(names)
    assert all(final.start >= notice.at for final in second.finals)


@MODES
def test_speech_that_does_not_pause_is_left_at_a_cut(asked: LiveSettings):
    audio = np.concatenate([spoken(*range(1, 101)), pause(1)])
    first, notice = left(asked, audio, 4 * SAMPLE_RATE)
    assert notice.at < LONGEST_PIECE
    second = resumed(asked, audio, notice)
    assert joined(first, second) == said(range(1, 101))
    assert joined(first, resumed(asked, audio, notice)) == said(range(1, 101)), "a token may be used again"


def test_in_manual_mode_no_word_is_cut():
    audio = np.concatenate([spoken(*range(1, 11)), pause(0.8), spoken(11, 12), pause(1)])
    middle_of_a_word = 4 * SAMPLE_RATE // 3
    first, notice = left(MANUAL, audio, middle_of_a_word)
    assert first.texts == [said(range(1, 11))]
    assert 3 * SAMPLE_RATE < notice.at < 3.8 * SAMPLE_RATE
    assert resumed(MANUAL, audio, notice).texts == ["w11 w12"]


@MODES
def test_orders_after_the_end_are_refused_and_count_nothing(asked: LiveSettings):
    stage = Stage.of(asked)
    stage.play(pause(2))
    stage.session.leave()
    stage.session.commit("mine")
    stage.session.clear()
    stage.play(spoken(1, 2, 3))
    ended = stage.told(events.Ended)
    assert len(ended) == 1
    assert ended[0].totals == stage.session.ledger
    assert stage.session.ledger.is_closed
    failed = stage.told(events.Failed)
    assert [(one.reference, one.error.code) for one in failed] == [("mine", SESSION_FINISHED), (None, SESSION_FINISHED)]
    assert not stage.finals


def test_a_commit_while_the_last_utterance_is_heard_keeps_the_books_closed():
    stage = Stage.of()
    stage.play(np.concatenate([spoken(1, 2, 3), pause(0.4)]), answer=False)
    stage.session.leave()
    stage.play(pause(0.5), answer=False)
    stage.session.commit()
    stage.turn()
    assert checked(stage).texts == ["w1 w2 w3"]


def test_a_finished_session_has_nowhere_to_go_on():
    stage = Stage.of()
    stage.play(spoken(1, 2, 3), answer=False)
    stage.session.finish()
    stage.session.leave()
    stage.turn()
    assert checked(stage).texts == ["w1 w2 w3"]
    assert not stage.told(events.Notice)


@pytest.mark.parametrize(("language", "asked"), [("de", "de"), ("xx", None)])
def test_a_language_comes_along_where_the_model_hears_it(language: str, asked: str | None):
    stage = Stage.of(begin=Checkpoint(0, "u", 0, language=language))
    stage.play(np.concatenate([spoken(1, 2, 3), pause(1)]))
    assert stage.asks[0].clip.options.language == asked


def test_more_pre_roll_than_a_piece_is_long_loses_no_word():
    stage = Stage.of(LiveSettings(turns=ServerVad(prefix_padding_ms=60_000)))
    stage.play(np.concatenate([pause(70), spoken(*range(1, 51)), pause(1)]), [4000] * 400)
    stage.finish()
    assert checked(stage).texts == [said(range(1, 51))]
    assert stage.finals[0].start == pytest.approx(65 * SAMPLE_RATE, abs=FRAME_SAMPLES)
