"""Audio on the wire with no work at the time of sending: every recording is encoded once, and sent in any company.

The body of a request is a sequence of buffers that nobody joins: the recordings in it, the pauses between them, and the
few bytes of its own. So a request costs what the kernel takes to copy it, and yet no two are the same.
"""

from __future__ import annotations

import struct
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
SAMPLE_BYTES = 2
TRIPLE = 3
"""Bytes that base64 writes as four letters. A recording has an encoding for each place in a triple where it begins."""
RIFF = struct.Struct("<4sI4s4sIHHIIHH4sI")
QUIET_SAMPLES = 1 << 16

Pcm16 = NDArray[np.int16]
Buffer = bytes | memoryview
Body = tuple[Buffer, ...]
"""What is sent, in order."""


class Sound:
    """Audio and its encodings, each made when it is first asked for and kept."""

    def __init__(self, pcm: Pcm16) -> None:
        """`pcm`: int16, shape (n,), mono, 16 kHz."""
        self.pcm = pcm
        self._made: dict[object, bytes] = {}

    def __len__(self) -> int:
        """In samples."""
        return len(self.pcm)

    @cached_property
    def raw(self) -> memoryview:
        return np.ascontiguousarray(self.pcm).view(np.uint8).data

    def hex(self) -> Buffer:
        return self._once("hex", lambda: self.raw.hex().encode())

    def base64(self, start: int) -> Buffer:
        """Of the whole triples from byte `start` on."""
        end = len(self.raw) - (len(self.raw) - start) % TRIPLE
        return self._once(start, lambda: b2a_base64(self.raw[start:end], newline=False))

    def _once(self, name: object, make: Callable[[], bytes]) -> bytes:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


class Silence(Sound):
    """At most `QUIET_SAMPLES` zeros, in memory that all silences share."""

    PCM = np.zeros(QUIET_SAMPLES, np.int16)
    HEX = memoryview(b"0" * (2 * SAMPLE_BYTES * QUIET_SAMPLES))
    BASE64 = memoryview(b"A" * (2 * SAMPLE_BYTES * QUIET_SAMPLES))

    def __init__(self, samples: int) -> None:
        super().__init__(self.PCM[:samples])

    def hex(self) -> Buffer:
        return self.HEX[: 2 * len(self.raw)]

    def base64(self, start: int) -> Buffer:
        return self.BASE64[: (len(self.raw) - start) // TRIPLE * 4]


def silence(samples: int) -> Iterator[Sound]:
    for at in range(0, samples, QUIET_SAMPLES):
        yield Silence(min(QUIET_SAMPLES, samples - at))


def wav(sounds: Sequence[Sound]) -> Body:
    """A WAV file of sounds one after the other."""
    return (_riff(sounds), *(sound.raw for sound in sounds))


def wav_hex(sounds: Sequence[Sound]) -> Body:
    return (_riff(sounds).hex().encode(), *(sound.hex() for sound in sounds))


def wav_base64(sounds: Sequence[Sound]) -> Body:
    return tuple(_base64(_riff(sounds), sounds))


def _base64(left: bytes, sounds: Iterable[Sound]) -> Iterator[Buffer]:
    """What is `left` over from one sound is encoded with the first bytes of the next."""
    for sound in sounds:
        start = -len(left) % TRIPLE
        yield b2a_base64(left + sound.raw[:start], newline=False)
        yield sound.base64(start)
        left = bytes(sound.raw[len(sound.raw) - (len(sound.raw) - start) % TRIPLE :])
    yield b2a_base64(left, newline=False)


def _riff(sounds: Sequence[Sound]) -> bytes:
    """The head of a WAV file: PCM, one channel, 16 bits."""
    size, byte_rate = SAMPLE_BYTES * sum(map(len, sounds)), SAMPLE_BYTES * RATE
    form = (b"fmt ", 16, 1, 1, RATE, byte_rate, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    return RIFF.pack(b"RIFF", RIFF.size - 8 + size, b"WAVE", *form, b"data", size)
