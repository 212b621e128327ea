"""The fast path for WAV: equal to FFmpeg where it applies, aside where it does not, and calm about hostile headers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.decode import decode, decode_with_ffmpeg
from aural.audio.wav import read_wav
from aural.errors import AudioTooLong, AuralError, BadAudio
from aural.types import SAMPLE_RATE
from tests.audio.build import EXTENSIBLE, FLOAT, chunk, tone, wav
from tests.conftest import Recording

ALAW, MULAW = 6, 7
NOISE = np.random.default_rng(0).integers(0, 256, 12_000, np.uint8).tobytes()
ENCODINGS = [(1, 8), (1, 16), (1, 24), (1, 32), (ALAW, 8), (MULAW, 8)]


@pytest.fixture(scope="module")
def speech(clips: dict[str, Recording]) -> np.ndarray:
    """A sentence as 16-bit integers, shape (n,)."""
    samples = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
    return np.round(samples * 32_768).astype(np.int16)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("tag", "bits"), ENCODINGS)
def test_every_encoding_equals_ffmpeg(tag: int, bits: int, channels: int) -> None:
    file = wav(NOISE, tag=tag, bits=bits, channels=channels)
    fast = read_wav(file, limit_s=60)
    assert fast is not None
    # A sum of two 24-bit samples no longer fits into a float32.
    np.testing.assert_allclose(fast.samples, decode_with_ffmpeg(file, limit_s=60).samples, rtol=0, atol=6e-8)


def test_16_bit_speech_equals_ffmpeg_to_the_bit(speech: np.ndarray) -> None:
    for channels in (1, 2):
        file = wav(speech[: len(speech) // 2 * 2].tobytes(), channels=channels)
        fast = read_wav(file, limit_s=60)
        assert fast is not None
        np.testing.assert_array_equal(fast.samples, decode_with_ffmpeg(file, limit_s=60).samples)


def test_float_equals_ffmpeg_and_is_held_to_full_scale(speech: np.ndarray) -> None:
    floats = speech.astype(np.float32) / 10_000  # speech reaches beyond 1 now
    pcm = read_wav(wav(floats.tobytes(), tag=FLOAT, bits=32), limit_s=60)
    assert pcm is not None
    np.testing.assert_array_equal(pcm.samples, np.clip(floats, -1, 1))
    np.testing.assert_array_equal(
        pcm.samples, decode_with_ffmpeg(wav(floats.tobytes(), tag=FLOAT, bits=32), limit_s=60).samples
    )


@pytest.mark.parametrize("channels", [3, 5, 8])
def test_more_channels_are_averaged(channels: int) -> None:
    pcm = read_wav(wav(np.arange(channels * 100, dtype=np.int16).tobytes(), channels=channels), limit_s=60)
    assert pcm is not None
    expected = np.arange(channels * 100).reshape(-1, channels).mean(axis=1) / 32_768
    np.testing.assert_allclose(pcm.samples, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1 << 20, 0x7FFFF000, 0xFFFFFFFF])
def test_sizes_of_streamed_files_are_not_believed(size: int) -> None:
    body = tone(0.1).tobytes()
    pcm = read_wav(wav(body, size=size), limit_s=60)
    assert pcm is not None
    assert len(pcm) == SAMPLE_RATE // 10


def test_chunks_around_the_samples_are_left_out() -> None:
    body, odd = tone(0.1).tobytes(), chunk(b"LIST", b"INFOodd")
    pcm = read_wav(wav(body, before=odd, after=odd), limit_s=60)
    assert pcm is not None
    np.testing.assert_array_equal(pcm.samples, tone(0.1)[:, 0] / np.float32(32_768))


def test_extensible_header() -> None:
    pcm = read_wav(wav(tone(0.1).tobytes(), tag=EXTENSIBLE), limit_s=60)
    assert pcm is not None
    assert len(pcm) == SAMPLE_RATE // 10


def test_a_sample_cut_in_two_is_dropped() -> None:
    pcm = read_wav(wav(tone(0.1).tobytes())[:-1], limit_s=60)
    assert pcm is not None
    assert len(pcm) == SAMPLE_RATE // 10 - 1


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0AVI LIST",
        wav(b"\0\0", rate=8_000),
        wav(b"\0\0", channels=0),
        wav(b"\0\0", bits=12),
        wav(b"\0\0", tag=2),
        wav(tone(0.1).tobytes(), before=chunk(b"junk", b"", size=0xFFFFFFF0)),
        wav(tone(0.1).tobytes(), before=chunk(b"junk", b"") * 100_000),
        wav(tone(0.1).tobytes())[:40],
    ],
)
def test_anything_else_is_left_to_ffmpeg(file: bytes) -> None:
    assert read_wav(file, limit_s=60) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_named(bad: float) -> None:
    body = np.array([0, bad, 0.5] * 100, np.float32).tobytes()
    for rate in (SAMPLE_RATE, 8_000):
        with pytest.raises(BadAudio, match="NaN or infinity"):
            decode(wav(body, tag=FLOAT, bits=32, rate=rate), limit_s=60)


def test_a_header_alone_is_no_audio() -> None:
    with pytest.raises(BadAudio, match="no samples"):
        read_wav(wav(b""), limit_s=60)


def test_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(AudioTooLong, match=r"at most 2 s of audio, got 3\.0 s"):
        decode(wav(tone(3).tobytes()), limit_s=2)
    assert decode(wav(tone(2).tobytes()), limit_s=2).duration_s == 2


def test_a_memoryview_will_do() -> None:
    file = wav(tone(0.1).tobytes())
    assert len(decode(memoryview(file), limit_s=60)) == len(decode(file, limit_s=60))


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 44), st.binary(max_size=8))
def test_any_header_gives_audio_or_our_error(body: bytes, at: int, scrawl: bytes) -> None:
    file = bytearray(wav(body))
    file[at : at + len(scrawl)] = scrawl
    try:
        pcm = decode(bytes(file), limit_s=60)
    except AuralError:
        return
    assert len(pcm) > 0
    assert np.abs(pcm.samples).max() <= 1


def test_the_fast_path_loads_neither_ffmpeg_nor_a_model() -> None:
    code = (
        "import sys; from aural.audio.decode import decode; decode(sys.stdin.buffer.read(), limit_s=9);"
        "assert not {'av', 'onnxruntime', 'ctranslate2', 'faster_whisper'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, input=wav(tone(1).tobytes()))
