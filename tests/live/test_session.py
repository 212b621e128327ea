"""The session: however audio comes, every word comes out once, and every sample is accounted for."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.vad import FRAME_SAMPLES
from aural.errors import EngineFailed
from aural.live import events
from aural.live.segmenter import CONTEXT, LONGEST_PIECE
from aural.live.settings import LiveSettings, Manual, SemanticVad, ServerVad, Turns
from aural.types import SAMPLE_RATE, Clip, Options, Reason, Segment, Transcript, Word
from tests.live.stage import Stage, audios, built, checked, pause, read, said, said_in, spoken

MANUAL = LiveSettings(turns=Manual())


def test_one_utterance():
    stage = Stage.of()
    stage.play(np.concatenate([pause(1), spoken(1, 2, 3, 4, 5), pause(1)]), [800] * 60)
    stage.finish()
    checked(stage)
    assert stage.texts == [said(range(1, 6))]
    [final] = stage.finals
    assert final.start <= SAMPLE_RATE - 4000, "the pre-roll"
    assert final.end >= 2.5 * SAMPLE_RATE
    order = [kind for kind in stage.kinds() if kind not in ("Committed", "Draft", "Suppressed", "LanguageDetected")]
    assert order == ["SpeechStarted", "SpeechStopped", "Closed", "Final", "Ended"]


def test_words_are_committed_while_they_are_spoken():
    stage = Stage.of()
    stage.play(spoken(*range(1, 21)), [800] * 120)
    assert "Final" not in stage.kinds()
    committed = "".join(event.text for event in stage.events if isinstance(event, events.Committed))
    assert said(range(1, 21)).startswith(committed)
    assert len(committed.split()) >= 14


def final_facts(stage: Stage) -> list[tuple[int, int, str]]:
    return [(final.start, final.end, final.text) for final in stage.finals]


@given(
    audios,
    st.integers(0, 10**6).map(random.Random),
    st.sampled_from([ServerVad(), ServerVad(silence_duration_ms=200), ServerVad(idle_timeout_ms=5000), Manual()]),
)
@settings(deadline=None, max_examples=40)
def test_finals_do_not_depend_on_the_frames(parts: list[tuple[int, float]], chance: random.Random, turns: Turns):
    audio = np.concatenate([pause(chance.choice([0, 7])), built(parts)])
    whole = Stage.of(LiveSettings(turns=turns))
    whole.play(audio)
    whole.finish()
    cut = Stage.of(LiveSettings(turns=turns))
    cut.play(audio, [chance.choice([0, 1, 160, 512, 700, 8000, 40_000]) for _ in range(200)])
    cut.finish()
    assert final_facts(checked(cut)) == final_facts(checked(whole))
    assert " ".join(filter(None, whole.texts)) == said_in(parts)


@given(audios, st.integers(0, 10**6).map(random.Random), st.sampled_from([LiveSettings(), MANUAL]))
@settings(deadline=None, max_examples=60)
def test_orders_at_any_moment_lose_and_double_nothing(
    parts: list[tuple[int, float]], chance: random.Random, asked: LiveSettings
):
    stage = Stage.of(asked)
    cleared: list[str] = []
    audio = built(parts)
    place = 0
    while place < len(audio):
        length = chance.choice([0, 1, 800, 5000, 20_000])
        stage.play(audio[place : place + length])
        place += length
        order = chance.random()
        if order < 0.15:
            stage.session.commit("mine")
        elif order < 0.2:
            stage.session.clear()
        stage.turn(answer=chance.random() < 0.7)
    stage.finish()
    checked(stage)
    cleared = [event for event in stage.events if isinstance(event, events.Cleared)]
    words = [int(word[1:]) for text in stage.texts for word in text.split()]
    assert words == sorted(words)
    if not cleared:  # a word that a commit cut in two may be heard in either half, or in none
        cuts = sum(isinstance(event, events.Closed) for event in stage.events)
        total = sum(count for count, _ in parts)
        assert len(set(words)) == len(words)
        assert total - len(words) <= cuts


def test_a_commit_of_nothing_is_refused_and_the_session_goes_on():
    stage = Stage.of(MANUAL)
    stage.play(pause(0.05))
    stage.session.commit("event_7")
    stage.play(spoken(1, 2))
    stage.session.commit()
    stage.turn()
    [failed] = [event for event in stage.events if isinstance(event, events.Failed)]
    assert failed.error.code == "input_audio_buffer_commit_empty"
    assert failed.reference == "event_7"
    assert "50.00ms" in str(failed.error)
    assert stage.texts == ["w1 w2"]


def test_a_commit_of_silence_is_an_utterance_without_text():
    stage = Stage.of(MANUAL)
    stage.play(pause(2))
    stage.session.commit()
    stage.turn()
    assert stage.texts == [""]
    assert not stage.asks
    [gap] = [event for event in stage.events if isinstance(event, events.Suppressed)]
    assert (gap.start, gap.end, gap.reason) == (0, 2 * SAMPLE_RATE, Reason.NO_SPEECH)


def test_silence_costs_no_hearing():
    stage = Stage.of()
    stage.play(pause(600))
    stage.finish()
    checked(stage)
    assert not stage.asks


def test_speech_without_pause_is_heard_in_pieces_and_ends():
    stage = Stage.of()
    words = range(1, 301)
    stage.play(spoken(*words), [8000] * 180)
    stage.finish()
    checked(stage)
    assert " ".join(stage.texts) == said(words)
    assert len(stage.texts) > 1
    assert max(len(ask.clip) for ask in stage.asks if not ask.is_final) <= LONGEST_PIECE + FRAME_SAMPLES
    assert max(len(ask.clip) for ask in stage.asks) <= CONTEXT + LONGEST_PIECE + FRAME_SAMPLES
    assert max(final.end - final.start for final in stage.finals) <= 45 * SAMPLE_RATE


def test_the_first_words_come_soon_however_rare_partials_are():
    stage = Stage.of()
    stage.session.append(spoken(*range(1, 6)))
    stage.session.voice([1.0] * 20)
    first = stage.session.wanted(2 * SAMPLE_RATE)
    assert first is not None
    stage.session.answer(first.id, read(first.clip))
    stage.session.voice([1.0] * 20)
    assert stage.session.wanted(2 * SAMPLE_RATE) is None


def test_a_final_replaces_the_partial_that_is_under_way():
    stage = Stage.of()
    stage.session.append(spoken(*range(1, 6)))
    stage.session.voice([1.0] * 46)
    partial = stage.session.wanted(8000)
    assert partial is not None
    assert not partial.is_final
    assert partial.clip.is_draft
    assert stage.session.wanted(8000) is None, "one at a time"
    stage.session.append(pause(0.7))
    stage.session.voice([0.0] * 22)
    final = stage.session.wanted(8000)
    assert final is not None
    assert final.is_final
    assert not final.clip.is_draft
    assert stage.session.wanted(8000) is None
    stage.session.answer(partial.id, Transcript((Segment(" late", 0, 100),)))
    stage.session.answer(final.id, read(final.clip))
    stage.finish()
    assert stage.texts == [said(range(1, 6))]


def test_what_was_committed_stays_and_the_final_adds_the_rest():
    heard = iter(["I scream", "I scream for", "Ice cream for all."])
    stage = Stage.of(hear=lambda clip: Transcript((Segment(" " + next(heard), 0, len(clip)),)))
    stage.play(spoken(*range(1, 6)), [9000, 9000])
    stage.play(pause(1.0))
    stage.finish()
    checked(stage)
    assert stage.texts == ["I scream for all."]
    assert stage.finals[0].transcript.segments[0].text == " Ice cream for all."


def test_a_failed_final_fails_its_utterance_only():
    stage = Stage.of()
    stage.play(spoken(1, 2, 3), [8000])
    stage.session.append(pause(0.7))
    stage.session.voice([0.0] * 21)
    ask = stage.session.wanted(8000)
    assert ask is not None
    stage.session.fail(ask.id, EngineFailed("told to"))
    stage.play(spoken(4, 5), [])
    stage.finish()
    checked(stage)
    [failed] = [event for event in stage.events if isinstance(event, events.Failed)]
    assert failed.utterance == "u_1"
    assert stage.texts == ["w4 w5"]


def test_clear_takes_the_open_utterance_away():
    stage = Stage.of()
    stage.play(np.concatenate([spoken(1, 2, 3), pause(1), spoken(4, 5, 6)]), [4000] * 10)
    stage.session.clear()
    stage.play(np.concatenate([spoken(7, 8), pause(1)]))
    stage.finish()
    checked(stage)
    assert stage.texts == ["w1 w2 w3", "w7 w8"]
    [cleared] = [event for event in stage.events if isinstance(event, events.Cleared)]
    assert cleared.utterance == "u_2"


def test_an_idle_timeout_makes_an_empty_utterance():
    stage = Stage.of(LiveSettings(turns=ServerVad(idle_timeout_ms=5000)))
    stage.play(pause(11))
    stage.finish()
    checked(stage)
    assert stage.texts == ["", ""]
    assert stage.kinds().count("TimedOut") == 2


@pytest.mark.parametrize(("ending", "closed"), [(" That is all.", True), (" I went to the", False)])
def test_semantic_vad_waits_for_the_end_of_a_sentence(ending: str, closed: bool):
    asked = LiveSettings(turns=SemanticVad())
    stage = Stage.of(asked, hear=lambda clip: Transcript((Segment(ending, 0, len(clip)),)))
    stage.play(spoken(*range(1, 6)), [512] * 60)
    stage.play(pause(1.5), [512] * 60)
    assert ("SpeechStopped" in stage.kinds()) is closed
    stage.play(pause(4))
    assert "SpeechStopped" in stage.kinds()


def test_the_language_is_detected_once_and_asked_for_after_that():
    stage = Stage.of(hear=lambda clip: Transcript(read(clip).segments, (), "de", 0.9))
    stage.play(np.concatenate([spoken(1, 2, 3), pause(1), spoken(4, 5, 6), pause(1)]), [8000] * 8)
    stage.finish()
    assert stage.kinds().count("LanguageDetected") == 1
    assert {ask.clip.options.language for ask in stage.asks[-2:]} == {"de"}


def test_a_given_language_is_not_detected():
    stage = Stage.of(LiveSettings(options=Options(language="fr")))
    stage.play(np.concatenate([spoken(1, 2, 3), pause(1)]))
    stage.finish()
    assert "LanguageDetected" not in stage.kinds()
    assert {ask.clip.options.language for ask in stage.asks} == {"fr"}


def nonsense(clip: Clip) -> Transcript:
    return Transcript((Segment(" Thank you.", 0, len(clip), avg_logprob=-0.9),))


def test_a_doubtful_text_of_hardly_any_voice_is_noise():
    stage = Stage.of(hear=nonsense)
    stage.play(np.concatenate([pause(1), np.full(2048, 0.1, np.float32), pause(1)]))
    stage.finish()
    checked(stage)
    assert stage.texts == [""]
    assert "Committed" not in stage.kinds()


def test_who_commits_is_told_of_speech_each_time_that_it_begins():
    stage = Stage.of(MANUAL)
    stage.play(np.concatenate([pause(1), spoken(1, 2, 3), pause(2), spoken(4, 5), pause(1)]), [800] * 200)
    stage.session.commit()
    stage.play(pause(1))
    stage.session.commit()
    stage.turn()
    starts = [(event.utterance, event.at) for event in stage.events if isinstance(event, events.SpeechStarted)]
    assert [utterance for utterance, _ in starts] == ["u_1", "u_1"]
    assert [round(place / SAMPLE_RATE, 1) for _, place in starts] == [0.7, 3.6]
    assert stage.texts == ["w1 w2 w3 w4 w5", ""]


@given(audios, st.integers(0, 10**6).map(random.Random), st.sampled_from([ServerVad(), Manual()]))
@settings(deadline=None, max_examples=40)
def test_what_was_said_before_a_place_is_told_before_that_place_is(
    parts: list[tuple[int, float]], chance: random.Random, turns: ServerVad | Manual
):
    """However late hypotheses come."""
    stage = Stage.of(LiveSettings(turns=turns, heard_every_ms=250))
    audio = np.concatenate([built(parts), pause(2)])
    for place in range(0, len(audio), 4000):
        stage.play(audio[place : place + 4000], answer=chance.random() < 0.5)
    stage.turn()
    begins = {
        number: int(np.argmax(np.round(audio * 1000) == number)) for number in range(1, sum(n for n, _ in parts) + 1)
    }
    told, last = "", 0
    for event in stage.events:
        if isinstance(event, events.Heard):
            assert event.at >= last + SAMPLE_RATE // 4
            last = event.at
            assert all(f"w{n}" in told.split() for n, begin in begins.items() if begin + SAMPLE_RATE // 2 <= last)
        elif isinstance(event, events.Committed | events.Draft):
            told += f" {event.text} "
    assert last > len(audio) - SAMPLE_RATE


def test_silence_and_noise_are_heard_as_they_come():
    stage = Stage.of(LiveSettings(heard_every_ms=1000), hear=nonsense)
    stage.play(np.concatenate([pause(3), np.full(2048, 0.1, np.float32), pause(3)]), [800] * 200)
    places = [event.at for event in stage.events if isinstance(event, events.Heard)]
    assert all(after - before < 2 * SAMPLE_RATE for before, after in pairwise([0, *places, 7 * SAMPLE_RATE]))


@pytest.mark.parametrize(
    ("clear_frames", "no_speech_prob", "text"), [(2, 0.8, ""), (3, 0.8, "Mm-hmm."), (2, 0.3, "Mm-hmm.")]
)
def test_an_unlikely_text_of_voices_that_are_never_clear_is_noise(clear_frames: int, no_speech_prob: float, text: str):
    """Instruments that are like voices open the gate, for as long as they play."""
    heard = Segment(" Mm-hmm.", 0, SAMPLE_RATE, avg_logprob=-0.7, no_speech_prob=no_speech_prob)
    stage = Stage.of(hear=lambda clip: Transcript((replace(heard, end=len(clip)),)))
    probabilities = [0.0] * 30 + [0.85] * 30 + [0.95] * clear_frames + [0.0] * 60
    stage.session.append(np.full(len(probabilities) * FRAME_SAMPLES, 0.1, np.float32))
    stage.session.voice(probabilities)
    stage.finish()
    assert checked(stage).texts == [text]


def test_a_final_has_the_speech_of_its_words_for_who_wants_their_times():
    stage = Stage.of(LiveSettings(turns=ServerVad(silence_duration_ms=1000)))
    stage.play(np.concatenate([pause(1), spoken(1, 2, 3), pause(0.7), spoken(4, 5), pause(2)]))
    stage.finish()
    [final] = stage.finals
    assert final.text == "w1 w2 w3 w4 w5"
    assert [read(clip).segments[0].text for clip in final.clips] == [" w1 w2 w3", " w4 w5"]
    for clip, segment in zip(final.clips, final.transcript.segments, strict=True):
        assert (clip.start, clip.start + len(clip)) == (segment.start, segment.end)


def test_words_with_times_are_not_heard_again_and_a_long_utterance_is_not_kept():
    def with_words(clip: Clip) -> Transcript:
        heard = read(clip)
        return replace(heard, segments=tuple(replace(one, words=_timed(one)) for one in heard.segments))

    timed = Stage.of(hear=with_words)
    timed.play(np.concatenate([spoken(1, 2, 3), pause(2)]))
    assert [final.clips for final in timed.finals] == [()]
    long = Stage.of(MANUAL)
    for _ in range(10):
        long.play(np.concatenate([spoken(*range(1, 11)), pause(1)]))
    long.session.commit()
    long.finish()
    [final] = long.finals
    assert [clip.start + len(clip) < 31 * SAMPLE_RATE for clip in final.clips] == [True] * 7


def _timed(segment: Segment) -> tuple[Word, ...]:
    return tuple(Word(f" {text}", segment.start, segment.end, 0.9) for text in segment.text.split())
