"""A whole file in any container that FFmpeg reads becomes `Pcm`; nothing but the bytes given is ever opened."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from aural.audio.encoding import checked
from aural.audio.resample import resampled
from aural.audio.sniff import foreign
from aural.audio.wav import read_wav
from aural.errors import AudioTooLong, AuralError, BadAudio
from aural.types import SAMPLE_RATE, Pcm, Samples

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_FORMATS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,ircam,loas,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,"
    "nistsphere,ogg,sox,tak,tta,voc,w64,wav,wv"
)
"""Demuxers that read sound from one file. Playlists and the like (hls, dash, concat, sdp, image2, ...) stay out: they
open what the body names."""
_NO_PROTOCOL: Final = "none"
"""A whitelist that no protocol is on, so that no demuxer opens a file or an address, even one that tries."""
_DECLARING: Final = ("asf", "flac", "matroska", "mov", "ogg")
"""Formats whose header or last page states the duration. For the others FFmpeg estimates it from the bit rate, or
believes the size field of a streamed WAV, so that only the decoded samples can tell."""
_MOST_BARREN_PACKETS: Final = 10_000
"""Packets in a row without a sample before a file is given up; a packet holds some 20 ms."""


def decode(data: bytes | memoryview, *, limit_s: float) -> Pcm:
    """The first audio track of a file as 16 kHz mono.

    A damaged file yields what can be decoded of it: broken packets are left out and a truncated file ends early.
    Raises AudioTooLong above `limit_s` seconds, before decoding where the container tells and otherwise as soon as
    the samples do. Raises BadAudio, with what came and FFmpeg's words, for anything that yields no audio and for NaN
    and infinity.
    """
    kind = foreign(data)
    if kind is not None:
        raise BadAudio(f"expected audio that FFmpeg can read, got {kind}")
    pcm = read_wav(data, limit_s=limit_s)
    return pcm if pcm is not None else _decode_with_ffmpeg(data, limit_s)


def _decode_with_ffmpeg(data: bytes | memoryview, limit_s: float) -> Pcm:
    try:
        with _open(data) as container:
            stream = _audio_stream(container)
            _refuse_declared(container, stream, limit_s)
            return Pcm(checked(_joined(resampled(_frames(container, stream)), limit_s)))
    except AuralError:
        raise
    except Exception as error:  # PyAV raises FFmpegError and, on odd headers, half of the built-in exceptions
        words = getattr(error, "strerror", None) or str(error)
        raise BadAudio(
            f"expected audio that FFmpeg can read, got {len(data)} bytes of something else: {words}"
        ) from error


def _open(data: bytes | memoryview) -> InputContainer:
    import av

    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": _NO_PROTOCOL,
        "codec_whitelist": _audio_decoders(),
    }
    return av.open(io.BytesIO(data), "r", container_options=options, metadata_errors="replace")


@cache
def _audio_decoders() -> str:
    """Every decoder of sound: probing a video would decode its first pictures too."""
    import av

    return ",".join(name for name in sorted(av.codecs_available) if _is_audio_decoder(name))
