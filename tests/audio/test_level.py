"""Silence is told from the faintest speech, and the quietest place is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.audio.decode import decode
from aural.audio.level import is_silent, quietest
from aural.types import SAMPLE_RATE
from tests.conftest import Recording


def test_only_silence_is_silent(clips: dict[str, Recording]) -> None:
    for name, clip in clips.items():
        assert is_silent(decode(clip.bytes, limit_s=60).samples) == name.startswith("silence"), name


@pytest.mark.parametrize(("level", "silent"), [(0, True), (3e-4, True), (-3e-4, True), (3.3e-4, False), (-1, False)])
def test_one_sample_breaks_the_silence(level: float, silent: bool) -> None:
    samples = np.zeros(SAMPLE_RATE, np.float32)
    samples[1234] = level
    assert is_silent(samples) == silent
    assert is_silent(samples[:0])


@pytest.mark.parametrize("gap_s", [0.5, 3.0, 7.7])
def test_the_quietest_place_is_in_the_gap(gap_s: float) -> None:
    samples = np.random.default_rng(2).standard_normal(8 * SAMPLE_RATE).astype(np.float32)
    start = round(gap_s * SAMPLE_RATE)
    samples[start : start + SAMPLE_RATE // 5] *= 0.1
    assert start < quietest(samples) < start + SAMPLE_RATE // 5


def test_of_equal_silence_the_middle() -> None:
    assert quietest(np.zeros(2 * SAMPLE_RATE, np.float32)) == pytest.approx(SAMPLE_RATE, abs=SAMPLE_RATE // 100)


@given(st.integers(0, 10_000))
def test_it_lies_within(length: int) -> None:
    assert 0 <= quietest(np.zeros(length, np.float32)) <= length
