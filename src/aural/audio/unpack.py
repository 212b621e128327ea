"""A container that comes bit by bit becomes 16 kHz samples as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from aural.audio.decode import audio_stream, frames_of, open_container
from aural.audio.encoding import checked
from aural.audio.resample import resampled
from aural.audio.sniff import foreign
from aural.errors import AuralError, BadAudio
from aural.types import SAMPLE_RATE, Samples

_HEAD_BYTES: Final = 12
_MOST_BARREN_BYTES: Final = 4 * 2**20
"""Without a sample in so much, a stream is given up: FFmpeg would hold it all."""
_IMPATIENT: Final = {"probesize": "32768", "analyzeduration": "1"}
"""FFmpeg would otherwise wait for seconds of sound to learn what the header says."""
_KINDS: Final = {
    b"OggS": "ogg",
    b"\x1a\x45\xdf\xa3": "matroska",
    b"fLaC": "flac",
    b"RIFF": "wav",
    b"ID3": "mp3",
    b"FORM": "aiff",
    b".snd": "au",
    b"caff": "caf",
    b"#!AMR": "amr",
}


def unpack(read: Callable[[int], bytes], tell: Callable[[Samples], None]) -> None:
    """Tell the samples of the first audio track, mono, in float32 arrays of shape (n,).

    `read` gives the next bytes, at most so many, and waits for them; b"" is the end. All that the bytes before it hold
    is told before it is called. A damaged stream yields what can be decoded of it. Raises BadAudio for what yields no
    audio and for NaN and infinity, and whatever `read` and `tell` raise.
    """
    source = _Source(read, tell)
    if not source.head:
        return
    try:
        with open_container(source, source.kind, **_IMPATIENT) as container:
            for sound in resampled(frames_of(container, audio_stream(container))):
                source.decoded(sound)
        source.flush()
    except AuralError:
        raise
    except Exception as error:  # as in decode.decode_with_ffmpeg
        words = getattr(error, "strerror", None) or str(error)
        raise BadAudio(f"expected a container of audio that FFmpeg can read, got {words}") from error


class _Source:
    """What FFmpeg reads from, and what it made of it."""

    def __init__(self, read: Callable[[int], bytes], tell: Callable[[Samples], None]) -> None:
        """Waits for the first bytes. Raises BadAudio for what is surely no audio."""
        self._read = read
        self._tell = tell
        self._sounds: list[Samples] = []
        self._length = 0
        self._barren_bytes = 0
        self.head = b""
        while len(self.head) < _HEAD_BYTES and (more := read(_HEAD_BYTES - len(self.head))):
            self.head += more
        self._rest = self.head
        kind = foreign(self.head) if self.head else None
        if kind is not None:
            raise BadAudio(f"expected a container of audio, got {kind}")

    @property
    def kind(self) -> str | None:
        """FFmpeg's name of the container; None where it has to find out itself."""
        if self.head[4:8] == b"ftyp":
            return "mov"
        if self.head[:1] == b"\xff" and len(self.head) > 1 and self.head[1] & 0xE0 == 0xE0:
            return "mp3" if self.head[1] & 0x06 else "aac"
        return next((kind for magic, kind in _KINDS.items() if self.head.startswith(magic)), None)

    def read(self, size: int, /) -> bytes:
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        self.flush()
        data = self._read(size)
        self._barren_bytes += len(data)
        if self._barren_bytes > _MOST_BARREN_BYTES:
            raise BadAudio(f"expected audio in the first {_MOST_BARREN_BYTES} bytes, got none")
        return data

    def decoded(self, sound: Samples) -> None:
        self._barren_bytes = 0
        self._sounds.append(sound)
        self._length += len(sound)
        if self._length >= SAMPLE_RATE:
            self.flush()

    def flush(self) -> None:
        if self._length:
            self._tell(checked(np.concatenate(self._sounds)))
        self._sounds, self._length = [], 0
