"""What every engine keeps to."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from aural.engines import guard
from aural.errors import UnsupportedParameter
from aural.types import Clip, Options, Reason, Suppressed, Timestamps, Transcript
from tests.conftest import word_errors
from tests.engines.ears import FULL, MODELS, SOUNDS, Ears, ears, noise, text_of

LARGER = "whisper-base"
"""The same engine as the smaller model, so it passes the whole contract in `make test-slow`."""


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name == LARGER)) for name in MODELS])
def ear(request) -> Ears:
    return ears(request.param)


def assert_times(transcript: Transcript, length: int) -> None:
    """In order and within the clip, words within their segments and suppressed stretches apart from them."""
    clock = [0]
    for segment in transcript.segments:
        clock += [segment.start, *(time for word in segment.words for time in (word.start, word.end)), segment.end]
    assert clock == sorted(clock)
    assert clock[-1] <= length
    for gap in transcript.suppressed:
        assert 0 <= gap.start <= gap.end <= length
        assert not any(gap.start < segment.end and segment.start < gap.end for segment in transcript.segments)


def test_one_transcript_per_clip_in_order(ear):
    one, two = ear.sentences
    heard = ear.hear(one, two, np.zeros(16_000, np.float32), one, two, language="en")
    assert [ear.understood(heard[i], sentence) for i, sentence in ((0, 0), (1, 1), (3, 0), (4, 1))] == [True] * 4
    assert not heard[2].segments


def test_a_batch_changes_nothing(ear):
    one, two = ear.sentences
    alone = [text_of(ear.hear(clip)[0]) for clip in (one, two)]
    assert word_errors(alone, [text_of(heard) for heard in ear.hear(one, two)]) < 0.1


def test_hearing_again_is_hearing_the_same(ear):
    one, _ = ear.sentences
    assert ear.hear(one) == ear.hear(one)


def test_no_clips(ear):
    assert ear.hear() == []


@pytest.mark.parametrize("length", [0, 1, 100, 1599])
def test_too_short_for_a_word(ear, length):
    [heard] = ear.hear(noise(0.01)[:length], timestamps=ear.engine.capabilities.timestamps[-1])
    assert heard.segments == ()
    assert heard.suppressed == (Suppressed(0, length, Reason.NO_SPEECH),)


def test_as_long_as_a_clip_can_be(ear):
    one, two = ear.sentences
    clip = np.zeros(FULL, np.float32)
    clip[: len(one)] = one
    clip[-len(two) :] = two
    [heard] = ear.hear(clip, timestamps=ear.engine.capabilities.timestamps[-1])
    assert ear.understood(heard, 0)
    assert_times(heard, FULL)


@pytest.mark.parametrize("ear", MODELS, indirect=True)
def test_every_option_in_one_batch(ear):
    can = ear.engine.capabilities
    asked = [
        Options(language=language, timestamps=timestamps)
        for language, timestamps in product(
            (can.languages[0] if len(can.languages) == 1 else "en", None), can.timestamps
        )
    ]
    asked += [Options(prompt="Cooking at sea.")] * can.prompt
    asked += [Options(hotwords="crayfish")] * can.hotwords
    asked += [Options(temperature=0.2)] * can.temperature
    asked += [Options(beam_size=3)] * can.beam_search
    asked += [Options(task="translate", language="en")] * ("translate" in can.tasks)
    for options in asked:
        can.check(options, ear.name)
    clips = [Clip(ear.sentences[i % 2], options) for i, options in enumerate(asked)]
    heard = ear.hear(*clips)
    assert len(heard) == len(asked)
    for i, (clip, transcript) in enumerate(zip(clips, heard, strict=True)):
        assert ear.understood(transcript, i % 2), (clip.options, transcript)
        assert_times(transcript, len(clip))
        assert transcript.language == "en"
        if not clip.options.temperature:
            assert word_errors([text_of(ear.hear(clip)[0])], [text_of(transcript)]) < 0.1, clip.options


def test_times(ear):
    one, two = ear.sentences
    clip = np.concatenate([one, np.zeros(16_000, np.float32), two])
    for timestamps in ear.engine.capabilities.timestamps:
        [heard] = ear.hear(clip, timestamps=timestamps)
        assert heard.segments
        assert_times(heard, len(clip))
        for segment in heard.segments:
            assert segment.start < segment.end
            if timestamps is Timestamps.WORD:
                assert "".join(word.text for word in segment.words) == segment.text
                assert all(0 <= word.probability <= 1 for word in segment.words)
            else:
                assert segment.words == ()


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("name", ["parakeet-digits", "whisper-tiny.en", pytest.param(LARGER, marks=pytest.mark.slow)])
def test_what_nobody_said_is_not_believed(name, sound):
    """It is suppressed with a reason, or so doubtful that voice activity detection decides."""
    samples = SOUNDS[sound]()
    [heard] = ears(name).hear(samples)
    assert all(guard.is_doubtful(one) for one in heard.segments)
    if not heard.segments:
        [gap] = heard.suppressed
        assert (gap.start, gap.end) == (0, len(samples))


def test_every_stretch_is_text_or_suppressed(ear):
    for samples in (ear.sentences[0], noise(0.1, 1.0), np.zeros(FULL, np.float32)):
        [heard] = ear.hear(samples)
        assert bool(heard.segments) != bool(heard.suppressed)


def test_capabilities_are_refusals_too(ear):
    can = ear.engine.capabilities
    wrong = {"language": Options(language="tlh")}
    wrong |= {} if "translate" in can.tasks else {"task": Options(task="translate")}
    wrong |= (
        {} if Timestamps.WORD in can.timestamps else {"timestamp_granularities": Options(timestamps=Timestamps.WORD)}
    )
    wrong |= {} if can.prompt else {"prompt": Options(prompt="a")}
    wrong |= {} if can.hotwords else {"hotwords": Options(hotwords="a")}
    wrong |= {} if can.temperature else {"temperature": Options(temperature=0.5)}
    wrong |= {} if can.beam_search else {"beam_size": Options(beam_size=2)}
    for name, options in wrong.items():
        with pytest.raises(UnsupportedParameter, match=f"{ear.name} cannot honour {name}=") as refusal:
            can.check(options, ear.name)
        assert refusal.value.param == name


def test_capabilities_are_plain(ear):
    can = ear.engine.capabilities
    assert can.longest_clip == FULL
    assert "en" in can.languages
    assert len(set(can.languages)) == len(can.languages)
    assert can.detects_language == (len(can.languages) > 1)
    assert all(before != after for before, after in pairwise(can.timestamps))
