"""Hypotheses that fail, come empty or come short: what others heard stays, and nobody asks without end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aural.errors import EngineFailed
from aural.live import events
from aural.live.settings import LiveSettings, Manual
from aural.types import Clip, Transcript
from tests.live.stage import STEP, Stage, checked, pause, read, said, spoken

MANUAL = LiveSettings(turns=Manual())
MOST_DRAFTED = 20
"""Words: 6 s, before a piece is cut."""


def first_words(heard: Transcript, count: int) -> Transcript:
    [segment] = heard.segments
    short = "".join(f" {word}" for word in segment.text.split()[:count])
    return Transcript((replace(segment, text=short),))


def failing(which: int, outcome: Callable[[Transcript], Transcript]) -> Callable[[Clip], Transcript]:
    """Hears everything, in partials only the first words; one of the finals comes out otherwise."""
    finals = 0

    def hear(clip: Clip) -> Transcript:
        nonlocal finals
        heard = read(clip)
        if clip.is_draft:
            return first_words(heard, MOST_DRAFTED)
        finals += 1
        return outcome(heard) if finals == which else heard

    return hear


def fails(heard: Transcript) -> Transcript:
    raise EngineFailed("told to")


@pytest.mark.parametrize("left", [0, 5])
def test_a_cut_piece_whose_final_lacks_words_takes_none_of_the_next(left: int):
    stage = Stage.of(hear=failing(1, lambda heard: first_words(heard, left) if left else Transcript()))
    stage.play(np.concatenate([spoken(*range(1, 61)), pause(1)]), [4000] * 80)
    stage.finish()
    [text] = checked(stage).texts
    assert text.startswith(said(range(1, MOST_DRAFTED + 1)))
    assert text.endswith(said(range(29, 61))), "cut at 8.1 s, in the 28th word"
    numbers = [int(word[1:]) for word in text.split()]
    assert numbers == sorted(set(numbers))


def test_words_committed_beyond_a_cut_are_not_said_twice_when_its_final_is_empty():
    finals = iter([Transcript()])
    stage = Stage.of(hear=lambda clip: read(clip) if clip.is_draft else next(finals, read(clip)))
    stage.play(np.concatenate([spoken(*range(1, 61)), pause(1)]), [4000] * 80)
    stage.finish()
    assert checked(stage).texts == [said(range(1, 61))]


def test_the_utterance_after_one_whose_last_piece_failed_is_whole():
    stage = Stage.of(hear=failing(4, fails))
    stage.play(np.concatenate([spoken(*range(1, 131)), pause(1)]), [4000] * 170)
    stage.finish()
    checked(stage)
    [failed] = stage.told(events.Failed)
    assert failed.utterance == "u_1"
    [final] = stage.finals
    assert final.text == said(range(int(final.text.split()[0][1:]), 131))
    assert int(final.text.split()[0][1:]) * 4800 <= final.start + 2 * 4800


def paused(hear: Callable[[Clip], Transcript] = read) -> Stage:
    """Somebody has spoken and stopped a moment ago; the early final is asked for, and not answered."""
    stage = Stage.of(MANUAL, hear)
    stage.play(np.concatenate([spoken(1, 2, 3, 4, 5), pause(0.3)]), answer=False)
    assert stage.asks[-1].is_final
    return stage


def test_an_early_final_that_failed_is_not_asked_for_again_before_new_audio_comes():
    stage = paused()
    stage.session.fail(stage.asks[-1].id, EngineFailed("told to"))
    assert stage.session.wanted(STEP) is None
    stage.play(np.concatenate([spoken(6, 7), pause(1)]))
    stage.finish()
    assert checked(stage).texts == [said(range(1, 8))]


def test_an_early_final_that_failed_is_the_final_when_nobody_speaks_on():
    stage = paused()
    stage.session.fail(stage.asks[-1].id, EngineFailed("told to"))
    asked = len(stage.asks)
    stage.finish()
    assert len(stage.asks) == asked
    assert [one.utterance for one in stage.told(events.Failed)] == ["u_1"]
    checked(stage)


def test_a_piece_whose_partial_made_the_engine_fail_is_heard_once_more_when_it_has_ended():
    def hear(clip: Clip) -> Transcript:
        return fails(Transcript()) if clip.is_draft else read(clip)

    stage = Stage.of(hear=hear)
    stage.play(np.concatenate([spoken(*range(1, 11)), pause(0.3), spoken(11, 12), pause(1)]), [4000] * 30)
    stage.finish()
    assert checked(stage).texts == [said(range(1, 13))]
    assert [ask.is_final for ask in stage.asks] == [False, True]
