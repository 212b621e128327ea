"""What every engine must do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.engines import catalog
from aural.engines.base import Engine, ModelSpec, load
from aural.engines.fake import speak
from aural.engines.guard import is_doubtful
from aural.types import SAMPLE_RATE, Clip, Options, Samples, Timestamps, Transcript
from tests.conftest import Recording, words

ENGINES = ("fake", "whisper-tiny.en", "whisper-base")


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    card = catalog.find(request.param)
    return load(ModelSpec(card.name, card.family, card.fetch(), card.sha256, fitted_windows=card.family == "whisper"))


@pytest.fixture(scope="module")
def speech(engine: Engine, clips: dict[str, Recording]) -> list[tuple[Samples, str]]:
    """Two utterances that this engine can hear, with their texts."""
    if engine.capabilities.languages == ("en",) and not engine.capabilities.prompt:
        return [(speak(text), text) for text in ("a short one", "and a somewhat longer one")]
    english = sorted((clip for clip in clips.values() if clip.language == "en"), key=lambda clip: clip.duration_s)
    return [(decode(clip.bytes, limit_s=60).samples, clip.text) for clip in english[:2]]


def text_of(transcript: Transcript) -> str:
    return "".join(segment.text for segment in transcript.segments)


def finest(engine: Engine) -> Timestamps:
    return engine.capabilities.timestamps[-1]


def assert_in_order(transcript: Transcript, length: int) -> None:
    """Times are inside the clip and never run backwards; words are inside their segment."""
    clock = 0
    for segment in transcript.segments:
        assert clock <= segment.start <= segment.end <= length
        clock = segment.start
        for word in segment.words:
            assert segment.start <= word.start <= word.end <= segment.end
            assert 0.0 <= word.probability <= 1.0


def test_answers_in_order_and_one_each(engine: Engine, speech: list[tuple[Samples, str]]) -> None:
    (first, first_text), (second, second_text) = speech
    transcripts = engine.transcribe([Clip(first), Clip(second), Clip(first)])
    heard = [words(text_of(transcript)) for transcript in transcripts]
    assert heard[0] == heard[2] != heard[1]
    for got, text in zip(heard, (first_text, second_text), strict=False):
        assert len(set(got) & set(words(text))) >= 0.6 * len(set(words(text)))


@pytest.mark.parametrize("length", [0, 1, 100, SAMPLE_RATE // 10, 3 * SAMPLE_RATE, 30 * SAMPLE_RATE])
def test_silence_of_any_length(engine: Engine, length: int) -> None:
    """No text, or one so doubtful that voice activity detection will be asked."""
    [transcript] = engine.transcribe([Clip(np.zeros(length, np.float32))])
    if transcript.segments:
        assert_doubtful(transcript)
    else:
        assert [(gap.start, gap.end) for gap in transcript.suppressed] == [(0, length)]


def test_a_full_clip_is_heard(engine: Engine, speech: list[tuple[Samples, str]]) -> None:
    samples, text = speech[1]
    full = np.zeros(engine.capabilities.longest_clip, np.float32)
    full[-len(samples) :] = samples
    [transcript] = engine.transcribe([Clip(full, Options(timestamps=finest(engine)))])
    assert set(words(text_of(transcript))) & set(words(text))
    assert_in_order(transcript, len(full))


def test_options_of_neighbours_do_not_mix(engine: Engine, speech: list[tuple[Samples, str]]) -> None:
    """One batch with different times, prompts, searches and languages, as many as the engine can."""
    can = engine.capabilities
    samples = speech[0][0]
    mixed: list[Options] = [Options(language="en"), Options(timestamps=finest(engine))]
    mixed += [Options(prompt="Printing.")] if can.prompt else []
    mixed += [Options(beam_size=3)] if can.beam_search else []
    mixed += [Options(temperature=0.2)] if can.temperature else []
    mixed += [Options(language="de"), Options(task="translate")] if can.detects_language else []
    together = engine.transcribe([Clip(samples, options) for options in mixed])
    alone = [engine.transcribe([Clip(samples, options)])[0] for options in mixed]
    greedy = [i for i, options in enumerate(mixed) if not options.temperature]
    assert [words(text_of(together[i])) for i in greedy] == [words(text_of(alone[i])) for i in greedy]
    assert together[1].segments
    assert_in_order(together[1], len(samples))


def test_words_make_up_the_segment(engine: Engine, speech: list[tuple[Samples, str]]) -> None:
    if Timestamps.WORD not in engine.capabilities.timestamps:
        pytest.skip("this engine gives no words")
    transcripts = engine.transcribe([Clip(samples, Options(timestamps=Timestamps.WORD)) for samples, _ in speech])
    for transcript, (samples, _) in zip(transcripts, speech, strict=True):
        assert_in_order(transcript, len(samples))
        for segment in transcript.segments:
            assert "".join(word.text for word in segment.words) == segment.text
        spoken = [word for segment in transcript.segments for word in segment.words]
        assert any(word.end > word.start for word in spoken)


def noises() -> Sequence[Samples]:
    t = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    white = np.random.default_rng(0).normal(0, 0.05, len(t))
    dial_tone = 0.1 * (np.sin(2 * np.pi * 941 * t) + np.sin(2 * np.pi * 1336 * t))
    return [white.astype(np.float32), dial_tone.astype(np.float32)]


def test_noise(engine: Engine) -> None:
    for transcript in engine.transcribe([Clip(noise) for noise in noises()]):
        assert_doubtful(transcript)


def assert_doubtful(transcript: Transcript) -> None:
    for segment in transcript.segments:
        assert is_doubtful(segment.avg_logprob, segment.no_speech_prob), segment.text
