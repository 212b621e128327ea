"""Any rate, layout and sample format to float32, mono, 16 kHz, by FFmpeg's swresample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import TYPE_CHECKING, Final

import numpy as np

from aural.errors import BadAudio
from aural.types import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from av import AudioFrame

_SLOWEST_HZ: Final = 1_000
_FASTEST_HZ: Final = 768_000
"""Beyond these the filter of a hostile rate would not fit into memory, nor would its output."""

_MEAN_OF_CHANNELS: Final = {"rematrix_maxval": "1"}
"""Without it a float stereo signal is mixed to 0.7 of each channel, which overdrives."""


def resample(samples: Samples, rate: int) -> Samples:
    """Mono float32 samples at `rate` brought to 16 kHz, shape (n * 16000 / rate,), its delay taken out."""
    from av import AudioFrame

    if rate == SAMPLE_RATE or not len(samples):
        return samples
    frame = AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = rate
    heard = np.concatenate([samples[:0], *resampled(in_seconds([frame]))])
    missing = round(len(samples) * SAMPLE_RATE / rate) - len(heard)
    return np.pad(heard, (0, max(0, missing)))  # input shorter than the filter loses its last samples


def resampled(frames: Iterable[AudioFrame], *, apart: bool = False) -> Iterator[Samples]:
    """The sound of `frames`, piece by piece; each change of rate, layout or format starts a new resampler. With
    `apart` a piece has the shape (channels, n), else (n,).

    Raises BadAudio for a rate that no recording has, and what PyAV raises.
    """
    from av import AudioResampler

    for (_, layout, _), alike in groupby(frames, key=_form):
        form, kept = ("fltp", layout) if apart else ("flt", "mono")
        resampler = AudioResampler(format=form, layout=kept, rate=SAMPLE_RATE, options=_MEAN_OF_CHANNELS)
        for part in chain(alike, [None]):
            for frame in resampler.resample(part):
                sound: Samples = frame.to_ndarray()  # type: ignore[assignment]  # its format is float
                yield sound if apart else sound[0]


def in_seconds(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """The same sound in frames of a second: codecs give 20 ms, and each frame costs a round of Python."""
    for _, alike in groupby(frames, key=_form):
        yield from _seconds(alike)


def _form(frame: AudioFrame) -> tuple[str, str, int]:
    rate = frame.sample_rate
    if not _SLOWEST_HZ <= rate <= _FASTEST_HZ:
        raise BadAudio(f"expected a sample rate of {_SLOWEST_HZ} to {_FASTEST_HZ} Hz, got {rate} Hz")
    return frame.format.name, frame.layout.name, rate


def _seconds(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    from av import AudioFifo

    fifo = AudioFifo()
    for frame in frames:
        fifo.write(frame)
        yield from fifo.read_many(frame.sample_rate)
    rest = fifo.read()
    if rest is not None:
        yield rest
