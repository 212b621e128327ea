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


def quietest(samples: Samples) -> int:
    """The sample in the middle of the quietest 150 ms, to 10 ms; of equally quiet ones, the middlemost."""
    hops = samples[: len(samples) // _HOP_SAMPLES * _HOP_SAMPLES].reshape(-1, _HOP_SAMPLES)
    if len(hops) < _STRETCH_HOPS:
        return len(samples) // 2
    energy = np.convolve(np.einsum("hs,hs->h", hops, hops), np.ones(_STRETCH_HOPS), "valid")
    lowest = np.flatnonzero(energy == energy.min())
    return int(lowest[len(lowest) // 2]) * _HOP_SAMPLES + _STRETCH_HOPS * _HOP_SAMPLES // 2
