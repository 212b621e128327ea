"""Headerless samples at a rate that the caller declares."""

from __future__ import annotations

from typing import get_args

import numpy as np

from aural.audio.encoding import SAMPLE_BYTES, Encoding, checked, mono, to_float32
from aural.audio.resample import resample
from aural.errors import AudioTooLong, BadAudio
from aural.types import Pcm, Samples

SLOWEST_HZ = 8_000
FASTEST_HZ = 48_000
MOST_CHANNELS = 8


def decode_raw(data: bytes | memoryview, encoding: Encoding, rate: int, channels: int, limit_s: float) -> Pcm:
    """Interleaved samples as 16 kHz mono.

    Raises BadAudio for an encoding, rate or channel count that is not offered, a body that is empty or ends within a
    sample, NaN and infinity, and AudioTooLong above `limit_s` seconds.
    """
    samples = mono(_interleaved(data, encoding, rate, channels, limit_s), channels)
    return _at_16_khz(samples, rate)


def decode_raw_channels(
    data: bytes | memoryview, encoding: Encoding, rate: int, channels: int, limit_s: float, most: int
) -> tuple[Pcm, ...]:
    """The same with the channels apart, all of one length; raises BadAudio for more than `most`, too."""
    if channels > most:
        raise BadAudio(f"expected at most {most} channels to keep apart, got {channels}")
    samples = _interleaved(data, encoding, rate, channels, limit_s).reshape(-1, channels)
    return tuple(_at_16_khz(np.ascontiguousarray(channel), rate) for channel in samples.T)


def _interleaved(data: bytes | memoryview, encoding: Encoding, rate: int, channels: int, limit_s: float) -> Samples:
    unit = frame_bytes(encoding, rate, channels)
    if not len(data) or len(data) % unit:
        expected = f"a multiple of {unit} bytes ({encoding}, channels: {channels})"
        raise BadAudio(f"expected {expected}, got {len(data)} bytes")
    duration_s = len(data) / unit / rate
    if duration_s > limit_s:
        raise AudioTooLong(limit_s, duration_s)
    return to_float32(data, encoding)


def _at_16_khz(samples: Samples, rate: int) -> Pcm:
    return Pcm(checked(resample(checked(samples), rate)))


def frame_bytes(encoding: Encoding, rate: int, channels: int) -> int:
    """Bytes of one sample of every channel. Raises BadAudio for a form that is not offered."""
    if encoding not in SAMPLE_BYTES:
        raise BadAudio(f"expected an encoding of {', '.join(get_args(Encoding))}, got {encoding!r}")
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        raise BadAudio(f"expected a sample rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, got {rate} Hz")
    if not 1 <= channels <= MOST_CHANNELS:
        raise BadAudio(f"expected 1 to {MOST_CHANNELS} channels, got {channels}")
    return SAMPLE_BYTES[encoding] * channels
