"""The log-mel features of NeMo's models (`AudioToMelSpectrogramPreprocessor` with per-feature normalisation), in numpy.

Pre-emphasis, 25 ms Hann windows every 10 ms in a 512-point spectrum, Slaney's mel scale with unit-area triangles, and
each mel band of a clip brought to mean 0 and standard deviation 1. tests/engines/test_parakeet_features.py holds it
against the features of onnx-asr.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from aural.types import SAMPLE_RATE, Samples

HOP = SAMPLE_RATE // 100
"""Samples from one frame to the next."""
_WINDOW = SAMPLE_RATE // 40
_FFT = 512
_PREEMPHASIS = np.float32(0.97)
_LOG_GUARD = np.float32(2.0**-24)
_STD_GUARD = 1e-5

_LINEAR_HZ_PER_MEL = 200.0 / 3
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27
"""Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps for each factor of 6.4."""


def log_mel(samples: Samples, bands: int) -> Samples:
    """Normalised log-mel features, shape (bands, len(samples) // 160), of at least two frames of samples."""
    frames = len(samples) // HOP
    emphasised = np.concatenate([samples[:1], samples[1:] - _PREEMPHASIS * samples[:-1]])
    padded = np.pad(emphasised, _FFT // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[: frames * HOP : HOP]
    spectrum = np.fft.rfft(windows * _hann())  # in float64: what is silent but for rounding is then silent
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = np.log(power @ _filters(bands).T + _LOG_GUARD).T
    mean = mel.mean(axis=1, keepdims=True, dtype=np.float64)
    std = mel.std(axis=1, keepdims=True, ddof=1, dtype=np.float64)
    normal: Samples = ((mel - mean) / (std + _STD_GUARD)).astype(np.float32)
    return normal


def stack(features: list[Samples]) -> tuple[Samples, NDArray[np.int64]]:
    """Features of several clips, zero-padded to the longest: shape (clips, bands, frames), and their lengths."""
    lengths = np.array([one.shape[1] for one in features], np.int64)
    batch = np.zeros((len(features), features[0].shape[0], int(lengths.max())), np.float32)
    for row, one in zip(batch, features, strict=True):
        row[:, : one.shape[1]] = one
    return batch, lengths


@cache
def _hann() -> NDArray[np.float64]:
    """A symmetric Hann window in the middle of the spectrum's frame."""
    return np.pad(np.hanning(_WINDOW), (_FFT - _WINDOW) // 2)


@cache
def _filters(bands: int) -> Samples:
    """Triangles over the bins of the spectrum, each of area 1 in Hz; shape (bands, 257)."""
    bins = np.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1)
    corners = _hertz(np.linspace(0, _mel(SAMPLE_RATE / 2), bands + 2))
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters: Samples = (np.maximum(triangles, 0) * 2 / (high - low)).astype(np.float32)
    return filters


def _mel(hertz: float) -> float:
    above = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL + np.log(max(hertz, _LOG_FROM_HZ) / _LOG_FROM_HZ) / _LOG_STEP
    return float(above if hertz > _LOG_FROM_HZ else hertz / _LINEAR_HZ_PER_MEL)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    bend = _LOG_FROM_HZ / _LINEAR_HZ_PER_MEL
    return np.where(mel < bend, mel * _LINEAR_HZ_PER_MEL, _LOG_FROM_HZ * np.exp(_LOG_STEP * (mel - bend)))
