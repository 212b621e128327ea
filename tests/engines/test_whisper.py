"""What only Whisper does: windows, languages, prompts, temperatures."""

from __future__ import annotations

from dataclasses import replace

import jiwer
import numpy as np
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from aural.audio.decode import decode
from aural.engines import base, guard, whisper
from aural.engines.whisper import FALLBACK_TEMPERATURES, FULL_FRAMES, Decoded, Take, WhisperEngine
from aural.types import SAMPLE_RATE, Clip, Options, Samples, Timestamps
from tests.conftest import Recording, words
from tests.engines.ears import Ears, ears, spec, text_of

CHINESE = "fleurs_zh_1883_clip5"
SPANISH = "fleurs-es-003"


@pytest.fixture
def tiny() -> Ears:
    return ears("whisper-tiny.en")


@pytest.fixture
def multilingual() -> Ears:
    return ears("whisper-base")


def samples_of(clip: Recording) -> Samples:
    return decode(clip.bytes, limit_s=60).samples


@pytest.fixture
def windows(monkeypatch) -> list[int]:
    """The windows that the encoder is given, in frames."""
    seen: list[int] = []

    def noting(mel: Samples, frames: int) -> Samples:
        window = made(mel, frames)
        seen.append(window.shape[1])
        return window

    made = whisper._window
    monkeypatch.setattr(whisper, "_window", noting)
    return seen


def test_a_window_fits_its_clip(tiny, windows):
    short, longer = tiny.sentences[1], tiny.sentences[0]
    [_, _] = tiny.hear(short, longer)
    for clip, frames in zip((short, longer), windows, strict=True):
        assert len(clip) // 160 < frames < len(clip) // 160 + 300


def test_the_switch_turns_it_off(tiny, windows):
    full = base.load(spec("whisper-tiny.en", fitted_windows=False))
    windows.clear()
    [one, two] = full.transcribe([Clip(one) for one in tiny.sentences])
    assert windows == [FULL_FRAMES] * 2
    assert not one.redone
    assert not two.redone


def test_a_draft_is_heard_once(tiny, windows, monkeypatch):
    monkeypatch.setattr(guard, "trusts_fitted", lambda evidence: False)
    speech = Clip(tiny.sentences[0])
    draft, whole = tiny.engine.transcribe([replace(speech, is_draft=True), speech])
    assert not draft.redone
    assert whole.redone
    assert windows.count(FULL_FRAMES) == 1


def test_a_text_that_is_not_trusted_is_heard_again_in_full(tiny, windows, monkeypatch):
    monkeypatch.setattr(guard, "TRUSTED_AVG_LOGPROB", 0.0)
    [heard] = tiny.hear(tiny.sentences[0])
    assert heard.redone
    assert windows[-1] == FULL_FRAMES
    assert tiny.understood(heard, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), [("whisper-tiny.en", 1), ("whisper-base", 7)])
def test_fitted_windows_keep_the_text(name, step, shared_clips):
    """Word error rate within 0.2 points of the full window's."""
    clips = [one for one in shared_clips if one.language == "en" and one.text and one.duration_s <= 30][::step]
    assert len(clips) >= 25
    fitted, full = ears(name).engine, base.load(spec(name, fitted_windows=False))
    assert rate(full, clips) - rate(fitted, clips) >= -0.002


def rate(engine: base.Engine, clips: list[Recording]) -> float:
    clean = EnglishTextNormalizer()
    heard = []
    for start in range(0, len(clips), 8):
        batch = [Clip(samples_of(clip), Options(language="en")) for clip in clips[start : start + 8]]
        heard += engine.transcribe(batch)
    return jiwer.wer([clean(clip.text) for clip in clips], [clean(text_of(one)) for one in heard])


def test_languages_are_detected_clip_by_clip(multilingual, clips):
    heard = multilingual.hear(samples_of(clips[CHINESE]), multilingual.sentences[0])
    assert [one.language for one in heard] == ["zh", "en"]
    assert all(0.5 < one.language_probability <= 1 for one in heard)


def test_a_language_given_is_certain(multilingual, clips):
    [heard] = multilingual.hear(samples_of(clips[CHINESE]), language="zh")
    assert (heard.language, heard.language_probability) == ("zh", 1.0)
    assert any("\u4e00" <= character <= "\u9fff" for character in text_of(heard))


def test_translates_into_english(multilingual, clips):
    [heard] = multilingual.hear(samples_of(clips[SPANISH]), task="translate")
    assert heard.language == "es"
    assert {"this", "seems", "since", "earth"} <= set(words(text_of(heard)))


@pytest.mark.parametrize("hint", [{"prompt": "Krayfish, Krayfish soup."}, {"hotwords": "Krayfish"}])
def test_a_hint_is_followed_in_spelling(tiny, hint):
    [plain], [hinted] = tiny.hear(tiny.sentences[0]), tiny.hear(tiny.sentences[0], **hint)
    assert "crayfish" in words(text_of(plain))
    assert "krayfish" in words(text_of(hinted))


def test_english_models_do_not_claim_to_detect(tiny):
    can = tiny.engine.capabilities
    assert (can.languages, can.detects_language, can.tasks) == (("en",), False, ("transcribe",))


def test_a_temperature_given_is_kept(tiny):
    [heard] = tiny.hear(tiny.sentences[0], temperature=0.1)
    assert {segment.temperature for segment in heard.segments} == {0.1}


def test_word_times_follow_the_audio(tiny):
    """The same words two seconds later come two seconds later."""
    one = tiny.sentences[0]
    later = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), one])
    [first], [second] = (tiny.hear(clip, timestamps=Timestamps.WORD)[0].segments[:1] for clip in (one, later))
    middle = len(first.words) // 2
    assert first.words[middle].text == second.words[middle].text
    shift = second.words[middle].start - first.words[middle].start
    assert shift == pytest.approx(2 * SAMPLE_RATE, abs=0.2 * SAMPLE_RATE)


class Stopping(WhisperEngine):
    """Stops before the speech does: the first decoding with times ends with its first passage, one without them after
    some words."""

    stops: bool

    def _decode(self, takes: list[Take], temperature: float) -> None:
        super()._decode(takes, temperature)
        for take in takes:
            if not take.timed:
                take.decoded = replace(take.decoded, tokens=take.decoded.tokens[:6])
            elif self.stops:
                first = next(i for i, token in enumerate(take.decoded.tokens[1:], 1) if token > take.tokenizer.eot)
                take.decoded = replace(take.decoded, tokens=take.decoded.tokens[: first + 1])
        self.stops = not takes[0].timed


@pytest.mark.parametrize("timestamps", Timestamps)
def test_what_follows_an_early_end_is_heard(tiny, timestamps, monkeypatch):
    pause = np.zeros(3 * SAMPLE_RATE, np.float32)
    both = np.concatenate([tiny.sentences[0], pause, tiny.sentences[1]])
    monkeypatch.setattr(tiny.engine, "__class__", Stopping)
    monkeypatch.setattr(tiny.engine, "stops", True, raising=False)
    [heard] = tiny.hear(both, timestamps=timestamps)
    assert tiny.understood(heard, 0)
    assert tiny.understood(heard, 1)
    assert heard.segments[-1].start > len(tiny.sentences[0]) // 2
    assert heard.segments[-1].end <= len(both)


class Scripted(WhisperEngine):
    """Decodes at each temperature what the script has for it."""

    def __init__(self, script: dict[float, float]) -> None:
        self.script = script
        self.tried: list[float] = []

    def _decode(self, takes: list[Take], temperature: float) -> None:
        self.tried.append(temperature)
        for take in takes:
            take.decoded = Decoded(avg_logprob=self.script[temperature], temperature=temperature)


@pytest.mark.parametrize(
    ("logprobs", "tried", "kept"),
    [
        pytest.param((-0.5,), 1, 0.2, id="the first that passes"),
        pytest.param((-1.5, -1.5, -0.9), 3, 0.6, id="the third"),
        pytest.param((-1.5, -1.3, -1.4, -1.6, -1.7), 5, 0.4, id="the likeliest when none passes"),
        pytest.param((-2.5, -2.5, -2.5, -2.5, -2.5), 5, 0.0, id="the first when no other is better"),
    ],
)
def test_fallback(logprobs, tried, kept, monkeypatch):
    monkeypatch.setattr(Take, "text", property(lambda _: "some text"))
    engine = Scripted(dict(zip(FALLBACK_TEMPERATURES, logprobs, strict=False)))
    take = Take(Clip(np.zeros(SAMPLE_RATE, np.float32)), np.zeros((80, 100), np.float32), None, "en")
    take.decoded = Decoded(avg_logprob=-2.0)
    engine._fall_back([take])
    assert engine.tried == list(FALLBACK_TEMPERATURES[:tried])
    assert take.decoded.temperature == kept


def test_options_are_batched_with_their_like(tiny):
    plain, timed = Options(), Options(timestamps=Timestamps.WORD)
    asked = [plain, replace(plain, prompt="a"), timed, plain, replace(timed, timestamps=Timestamps.SEGMENT)]
    takes = [Take(Clip(tiny.sentences[0], options), np.zeros((80, 10), np.float32), None, "en") for options in asked]
    groups = whisper._alike(takes)
    assert sorted(len(group) for group in groups) == [1, 2, 2]
    for group in groups:
        assert len({(take.clip.options.prompt, take.clip.options.timestamps is Timestamps.NONE) for take in group}) == 1
