"""How loud audio is."""

from __future__ import annotations

from typing import Final

import numpy as np

from aural.types import SAMPLE_RATE, Samples

_SILENCE_PEAK: Final = 10.0 ** (-70 / 20)
"""-70 dBFS, ten steps of 16-bit audio: quieter than the noise of any room with a microphone in it."""
_HOP_SAMPLES: Final = SAMPLE_RATE // 100
_STRETCH_HOPS: Final = 15
"""150 ms, longer than the closure of a stop consonant, which is as quiet as a pause."""


def is_silent(samples: Samples) -> bool:
    """Whether no sample of shape (n,) reaches -70 dBFS, so that no model need be asked whether somebody speaks."""
    return not len(samples) or max(float(samples.max()), -float(samples.min())) < _SILENCE_PEAK


def is_loud_beside(part: Samples, whole: Samples) -> bool:
    """Whether the loudest 150 ms of a part come within 20 dB of those of the whole, as speech of one call does."""
    return float(_energies(part).max(initial=0.0)) > 0.01 * float(_energies(whole).max(initial=0.0))


def quietest(samples: Samples) -> int:
    """The sample in the middle of the quietest 150 ms, to 10 ms; of equally quiet ones, the middlemost."""
    energies = _energies(samples)
    if not len(energies):
        return len(samples) // 2
    lowest = np.flatnonzero(energies == energies.min())
    return int(lowest[len(lowest) // 2]) * _HOP_SAMPLES + _STRETCH_HOPS * _HOP_SAMPLES // 2


def _energies(samples: Samples) -> Samples:
    """Energy of each 150 ms, one beginning every 10 ms; none of less than 150 ms."""
    hops = samples[: len(samples) // _HOP_SAMPLES * _HOP_SAMPLES].reshape(-1, _HOP_SAMPLES)
    if len(hops) < _STRETCH_HOPS:
        return np.zeros(0, np.float32)
    return np.convolve(np.einsum("hs,hs->h", hops, hops), np.ones(_STRETCH_HOPS, np.float32), "valid")
