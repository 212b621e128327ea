"""Cuts tile the audio whatever the detector says, and lie in pauses when there are any."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.audio.cut import cut
from aural.audio.decode import decode
from aural.audio.span import Span
from aural.audio.vad import FRAME_SAMPLES, Probabilities, SileroVad
from aural.types import SAMPLE_RATE, Pcm, Samples
from tests.conftest import Recording

LONGEST_S, SEARCH_S = 28.0, 8.0


def always(probability: float) -> Callable[[Samples], Probabilities]:
    """A detector that is sure of itself."""
    return lambda samples: np.full(-(-len(samples) // FRAME_SAMPLES), probability, np.float32)


@given(st.floats(0, 200), st.floats(0.2, 40), st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_spans_tile_any_audio(duration_s: float, longest_s: float, searched: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pcm = Pcm(np.zeros(round(duration_s * SAMPLE_RATE / 40), np.float32))

    def guess(samples: Samples) -> Probabilities:
        return rng.random(-(-len(samples) // FRAME_SAMPLES), np.float32)

    longest_s /= 40
    spans = cut(pcm, guess, longest_s=longest_s, search_s=longest_s * searched)
    assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert spans[-1].end == len(pcm)
    assert all(0 < len(span) <= round(longest_s * SAMPLE_RATE) for span in spans) or not len(pcm)
    shortest = longest_s * (1 - searched) / 2 * SAMPLE_RATE
    assert all(len(span) >= shortest - 2 for span in spans) or len(spans) == 1


@pytest.mark.parametrize("duration_s", [0.0, 1.0, LONGEST_S])
def test_short_audio_is_one_span(duration_s: float) -> None:
    pcm = Pcm(np.zeros(round(duration_s * SAMPLE_RATE), np.float32))
    assert cut(pcm, always(0)) == (Span(0, len(pcm)),)


def test_the_last_two_are_balanced() -> None:
    first, second = cut(Pcm(np.zeros(29 * SAMPLE_RATE, np.float32)), always(0.9))
    assert abs(len(first) - len(second)) < SAMPLE_RATE


def test_few_cuts_are_made() -> None:
    spans = cut(Pcm(np.zeros(600 * SAMPLE_RATE, np.float32)), always(0.9))
    assert len(spans) == 600 / (LONGEST_S - SEARCH_S / 2)


def test_the_longest_pause_wins_and_of_two_the_later() -> None:
    pcm = Pcm(np.full(60 * SAMPLE_RATE, 0.1, np.float32))

    def pauses(samples: Samples) -> Probabilities:
        probabilities = np.ones(-(-len(samples) // FRAME_SAMPLES), np.float32)
        for start, frames in ((10, 9), (60, 20), (120, 20), (200, 5)):
            probabilities[start : start + frames] = 0
        return probabilities

    start = 20 * SAMPLE_RATE  # of the first search
    edge = cut(pcm, pauses)[0].end
    assert start + 120 * FRAME_SAMPLES < edge < start + 140 * FRAME_SAMPLES


def test_without_a_pause_it_is_cut_where_it_is_quietest() -> None:
    samples = np.random.default_rng(3).standard_normal(60 * SAMPLE_RATE).astype(np.float32)
    samples[25 * SAMPLE_RATE :][: SAMPLE_RATE // 4] *= 0.1
    assert 25 < cut(Pcm(samples), always(0.9))[0].end / SAMPLE_RATE < 25.25


def test_the_detector_hears_only_what_is_searched() -> None:
    asked: list[int] = []

    def detector(samples: Samples) -> Probabilities:
        asked.append(len(samples))
        return always(0)(samples)

    spans = cut(Pcm(np.zeros(600 * SAMPLE_RATE, np.float32)), detector)
    assert asked == [SEARCH_S * SAMPLE_RATE] * (len(spans) - 1)


def test_real_speech_is_cut_in_pauses(clips: dict[str, Recording]) -> None:
    sentence = decode(clips["fleurs_zh_1883_clip5"].bytes, limit_s=60).samples
    assert share_of_cuts_in_pauses([np.tile(sentence, 10)]) == 1


def test_long_recordings_are_cut_in_pauses(shared_clips: list[Recording]) -> None:
    long = [clip for clip in shared_clips if clip.duration_s > 60 and clip.language != "none"]
    assert share_of_cuts_in_pauses([decode(clip.bytes, limit_s=3600).samples for clip in long]) > 0.95


def share_of_cuts_in_pauses(recordings: list[Samples]) -> float:
    """Cuts that fall where the detector, having heard it all, says that nobody speaks."""
    vad = SileroVad()
    quiet: list[bool] = []
    for samples in recordings:
        probabilities = vad.speech_probabilities(samples)
        spans = cut(Pcm(samples), vad.speech_probabilities)
        quiet += [bool(probabilities[before.end // FRAME_SAMPLES] < 0.5) for before, _ in pairwise(spans)]
    assert quiet
    return float(np.mean(quiet))
