"""The fast path: a 16 kHz WAV file read with numpy, some eighty times as fast as through FFmpeg."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aural.audio.encoding import SAMPLE_BYTES, Encoding, checked, mono, to_float32
from aural.errors import AudioTooLong
from aural.types import SAMPLE_RATE, Pcm

_ENCODINGS: Final[dict[tuple[int, int], Encoding]] = {
    (1, 8): "pcm_u8",
    (1, 16): "pcm_s16le",
    (1, 24): "pcm_s24le",
    (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""Encodings by format tag and bits per sample (Microsoft, mmreg.h)."""
_EXTENSIBLE: Final = 0xFFFE
_RIFF_BYTES: Final = 12
_CHUNK_BYTES: Final = 8
_MOST_CHUNKS: Final = 64
"""Real files have a handful before the samples; a hostile one could have millions."""


@dataclass(frozen=True, slots=True)
class _Format:
    """What a `fmt ` chunk says."""

    encoding: Encoding
    channels: int
    rate: int

    @property
    def frame_bytes(self) -> int:
        return SAMPLE_BYTES[self.encoding] * self.channels


def read_wav(data: bytes | memoryview, *, limit_s: float) -> Pcm | None:
    """The samples of a 16 kHz RIFF/WAVE file, channels averaged; None when it is anything else.

    Sizes in the header are hints: a data chunk that claims to be empty, endless or longer than the file, as streamed
    files do, lasts to the end of it. Raises AudioTooLong, and BadAudio for no samples, NaN or infinity.
    """
    view = memoryview(data)
    form: _Format | None = None
    for name, body in _chunks(view):
        if name == b"fmt ":
            form = _format(body)
        elif name == b"data" and form is not None and form.rate == SAMPLE_RATE:
            return _pcm(body, form, limit_s)
    return None


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Names and contents of the chunks of a RIFF/WAVE file; nothing when it is not one."""
    head = bytes(view[:_RIFF_BYTES])
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    start = _RIFF_BYTES
    for _ in range(_MOST_CHUNKS):
        if start + _CHUNK_BYTES > len(view):
            return
        name, size = struct.unpack_from("<4sI", view, start)
        start += _CHUNK_BYTES
        end = len(view) if name == b"data" and size == 0 else start + size
        yield name, view[start:end]
        start = end + end % 2


def _format(body: memoryview) -> _Format | None:
    if len(body) < 16:
        return None
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from("<H", body, 24)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or channels == 0 or block != SAMPLE_BYTES[encoding] * channels:
        return None
    return _Format(encoding, channels, rate)


def _pcm(body: memoryview, form: _Format, limit_s: float) -> Pcm:
    frames = len(body) // form.frame_bytes
    if frames > limit_s * SAMPLE_RATE:
        raise AudioTooLong(limit_s, frames / SAMPLE_RATE)
    whole = body[: frames * form.frame_bytes]
    return Pcm(checked(mono(to_float32(whole, form.encoding), form.channels)))
