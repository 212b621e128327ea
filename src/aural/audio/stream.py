"""Bytes that arrive in pieces become 16 kHz samples, the same ones however they were cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aural.audio.encoding import Encoding, checked, mono, to_float32
from aural.audio.raw import frame_bytes
from aural.types import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from av import AudioResampler

_NOTHING: Samples = np.empty(0, np.float32)


class StreamDecoder:
    """One stream of headerless audio. Used by one thread at a time."""

    def __init__(self, encoding: Encoding, rate: int, channels: int = 1) -> None:
        """Raises BadAudio for a form that is not offered."""
        self._encoding = encoding
        self._rate = rate
        self._channels = channels
        self._frame_bytes = frame_bytes(encoding, rate, channels)
        self._rest = b""
        self._resampler: AudioResampler | None = None
        self._fed = self._given = 0
        """Samples that went into the resampler and came out of it."""

    @property
    def held(self) -> int:
        """Samples at 16 kHz that were fed and have not come out yet: a resampler looks ahead."""
        return self._fed * SAMPLE_RATE // self._rate - self._given

    def feed(self, data: bytes) -> Samples:
        """The samples, shape (n,), that these bytes complete. Raises BadAudio for NaN and infinity; the bytes count as
        never sent then."""
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % self._frame_bytes
        if not whole:
            self._rest = data
            return _NOTHING
        self._rest = data[whole:]  # also when these are refused: what comes next goes on there
        samples = checked(mono(to_float32(memoryview(data)[:whole], self._encoding), self._channels))
        return samples if self._rate == SAMPLE_RATE else self._resampled(samples)

    def flush(self) -> Samples:
        """What the resampler still holds; the decoder starts anew after it. Bytes of an unfinished sample are dropped:
        they are no sound."""
        self._rest = b""
        if self._resampler is None:
            return _NOTHING
        frames = self._resampler.resample(None)
        self._resampler, self._fed, self._given = None, 0, 0
        return _joined([frame.to_ndarray()[0] for frame in frames])

    def _resampled(self, samples: Samples) -> Samples:
        from av import AudioFrame, AudioResampler

        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = self._rate
        heard = _joined([some.to_ndarray()[0] for some in self._resampler.resample(frame)])
        self._fed, self._given = self._fed + len(samples), self._given + len(heard)
        return heard


def _joined(pieces: list[Samples]) -> Samples:
    """One array held to [-1, 1]: a resampler's filter may overshoot."""
    samples = np.concatenate(pieces) if pieces else _NOTHING
    return checked(samples) if len(samples) else samples
