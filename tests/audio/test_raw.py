"""Headerless samples: the right number of them, at the right level and pitch, or a message that says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.decode import decode_with_ffmpeg
from aural.audio.encoding import SAMPLE_BYTES, Encoding, to_float32
from aural.audio.raw import decode_raw
from aural.errors import AudioTooLong, AuralError, BadAudio
from aural.types import SAMPLE_RATE
from tests.audio.build import tone, wav
from tests.audio.test_decode import pitch_hz

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize(("encoding", "tag"), [("alaw", 6), ("mulaw", 7)])
def test_every_g711_byte_equals_ffmpeg(encoding: Encoding, tag: int) -> None:
    expected = decode_with_ffmpeg(wav(EVERY_BYTE, tag=tag, bits=8), limit_s=1).samples
    np.testing.assert_array_equal(to_float32(EVERY_BYTE, encoding), expected)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_gives_back_the_tone(rate: int, channels: int) -> None:
    sound = np.repeat(tone(1, rate), channels, axis=1)
    pcm = decode_raw(sound.tobytes(), "pcm_s16le", rate, channels, limit_s=60)
    assert len(pcm) == SAMPLE_RATE
    assert pitch_hz(pcm.samples) == pytest.approx(440, abs=2)
    assert np.abs(pcm.samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_16_khz_comes_as_it_is() -> None:
    sound = tone(0.1)[:, 0] / np.float32(32_768)
    np.testing.assert_array_equal(decode_raw(sound.tobytes(), "pcm_f32le", 16_000, 1, limit_s=1).samples, sound)


def test_floats_are_held_to_full_scale() -> None:
    pcm = decode_raw(np.array([-3, 0.5, 1.5], np.float32).tobytes(), "pcm_f32le", 16_000, 1, limit_s=1)
    np.testing.assert_array_equal(pcm.samples, np.array([-1, 0.5, 1], np.float32))


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (b"\0" * 5, ("pcm_s16le", 16_000, 1), r"multiple of 2 bytes \(pcm_s16le, channels: 1\), got 5 bytes"),
        (b"\0" * 6, ("pcm_s16le", 16_000, 2), r"multiple of 4 bytes \(pcm_s16le, channels: 2\), got 6 bytes"),
        (b"\0" * 6, ("pcm_f32le", 16_000, 1), "multiple of 4 bytes"),
        (b"", ("mulaw", 8_000, 1), "got 0 bytes"),
        (b"\0\0", ("opus", 16_000, 1), "encoding of pcm_u8, .*, alaw, got 'opus'"),
        (b"\0\0", ("pcm_s16le", 7_999, 1), "8000 to 48000 Hz, got 7999 Hz"),
        (b"\0\0", ("pcm_s16le", 48_001, 1), "8000 to 48000 Hz, got 48001 Hz"),
        (b"\0\0", ("pcm_s16le", 16_000, 0), "1 to 8 channels, got 0"),
        (np.array([np.nan], np.float32).tobytes(), ("pcm_f32le", 8_000, 1), "NaN or infinity"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, arguments: tuple[Any, int, int], words: str) -> None:
    with pytest.raises(BadAudio, match=words):
        decode_raw(data, *arguments, limit_s=60)


def test_too_long_is_refused_before_any_work() -> None:
    with pytest.raises(AudioTooLong, match=r"at most 1 s of audio, got 1\.5 s"):
        decode_raw(bytes(12_000), "mulaw", 8_000, 1, limit_s=1)


@settings(deadline=None)
@given(st.binary(max_size=4_000), st.sampled_from(sorted(SAMPLE_BYTES)), st.integers(8_000, 48_000), st.integers(1, 8))
def test_any_bytes_give_audio_or_our_error(data: bytes, encoding: Encoding, rate: int, channels: int) -> None:
    try:
        pcm = decode_raw(data, encoding, rate, channels, limit_s=60)
    except AuralError:
        return
    expected = len(data) / SAMPLE_BYTES[encoding] / channels * SAMPLE_RATE / rate
    assert len(pcm) == pytest.approx(expected, abs=1.01)
    assert np.abs(pcm.samples).max() <= 1
