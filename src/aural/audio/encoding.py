"""Bytes of PCM samples become float32, with no resampling: what WAV files, raw bodies and live frames share."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from aural.errors import BadAudio
from aural.types import Samples

Encoding = Literal["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "mulaw", "alaw"]

SAMPLE_BYTES: Final[dict[Encoding, int]] = {
    "pcm_u8": 1,
    "pcm_s16le": 2,
    "pcm_s24le": 3,
    "pcm_s32le": 4,
    "pcm_f32le": 4,
    "mulaw": 1,
    "alaw": 1,
}


def to_float32(data: bytes | memoryview, encoding: Encoding) -> Samples:
    """Samples of full scale 1, a new array of shape (n,) in the order of the bytes.

    The size of `data` is a multiple of the sample size. Floats come as they are: `checked` judges them.
    """
    match encoding:
        case "pcm_s16le":
            return _scaled(np.frombuffer(data, "<i2"), bits=16)
        case "pcm_f32le":
            return np.frombuffer(data, "<f4").astype(np.float32)
        case "pcm_s24le":
            return _scaled(_widened(np.frombuffer(data, np.uint8)), bits=32)
        case "pcm_s32le":
            return _scaled(np.frombuffer(data, "<i4"), bits=32)
        case "pcm_u8":
            return _scaled((np.frombuffer(data, np.uint8) ^ np.uint8(0x80)).view(np.int8), bits=8)
        case "mulaw":
            return _MULAW[np.frombuffer(data, np.uint8)]
        case "alaw":
            return _ALAW[np.frombuffer(data, np.uint8)]


def mono(interleaved: Samples, channels: int) -> Samples:
    """The mean of the channels, shape (n / channels,)."""
    if channels == 1:
        return interleaved
    frames = interleaved.reshape(-1, channels)
    mixed = frames[:, 0].copy()
    for channel in range(1, channels):  # numpy's mean over a short last axis takes 25 times as long
        mixed += frames[:, channel]
    mixed *= np.float32(1 / channels)
    return mixed


def checked(samples: Samples) -> Samples:
    """The same array held to [-1, 1]; BadAudio when it is empty or a sample is NaN or infinite."""
    if not len(samples):
        raise BadAudio("expected audio, got no samples")
    low, high = samples.min(), samples.max()  # a NaN comes through both
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadAudio("expected finite samples, got NaN or infinity")
    if low < -1 or high > 1:
        np.clip(samples, -1, 1, out=samples)
    return samples


def _scaled(integers: NDArray[Any], bits: int) -> Samples:
    samples = integers.astype(np.float32)
    samples *= np.float32(2.0 ** (1 - bits))
    return samples


def _widened(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """24-bit little-endian integers in the upper bytes of 32-bit ones."""
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = data.reshape(-1, 3)
    return wide.view("<i4")[:, 0]


def _mulaw_table() -> Samples:
    """Every mu-law byte decoded (ITU-T G.711, table 2): the bits are inverted, the magnitude carries a bias of 33."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = ((2.0 * mantissa + 33) * 2.0**exponent - 33) * 4
    return _signed(magnitude, negative=code >= 0x80)


def _alaw_table() -> Samples:
    """Every A-law byte decoded (ITU-T G.711, table 1): even bits are inverted, the lowest segment is linear."""
    code = np.arange(256, dtype=np.uint8) ^ np.uint8(0x55)
    exponent, mantissa = (code >> 4) & 7, code & 15
    linear = 2.0 * mantissa + 1
    magnitude = np.where(exponent == 0, linear, (linear + 32) * 2.0 ** (exponent.astype(int) - 1)) * 8
    return _signed(magnitude, negative=code < 0x80)


def _signed(magnitude: NDArray[np.float64], negative: NDArray[np.bool_]) -> Samples:
    return np.where(negative, -magnitude, magnitude).astype(np.float32) / np.float32(32_768)


_MULAW: Final = _mulaw_table()
_ALAW: Final = _alaw_table()
