"""A whole file in any container that FFmpeg reads becomes `Pcm`; nothing but the bytes given is ever opened."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from aural.audio.encoding import checked
from aural.audio.resample import in_seconds, resampled
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


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


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
    return pcm if pcm is not None else decode_with_ffmpeg(data, limit_s=limit_s)


def decode_with_ffmpeg(data: bytes | memoryview, *, limit_s: float) -> Pcm:
    """As `decode`, by FFmpeg alone."""
    try:
        with open_container(io.BytesIO(data)) as container:
            stream = audio_stream(container)
            _refuse_declared(container, stream, limit_s)
            return Pcm(checked(_joined(resampled(in_seconds(frames_of(container, stream))), limit_s)))
    except AuralError:
        raise
    except Exception as error:  # PyAV raises FFmpegError and, on odd headers, half of the built-in exceptions
        words = getattr(error, "strerror", None) or str(error)
        raise BadAudio(f"expected audio that FFmpeg can read, got {len(data)} bytes: {words}") from error


def decode_channels(data: bytes | memoryview, *, limit_s: float, most: int) -> tuple[Pcm, ...]:
    """The first audio track of a file with its channels apart, each as 16 kHz mono and all of one length. Raises what
    `decode` raises, and BadAudio for more than `most` channels."""
    try:
        with open_container(io.BytesIO(data)) as container:
            stream = audio_stream(container)
            _refuse_declared(container, stream, limit_s)
            if stream.channels > most:
                raise BadAudio(f"expected at most {most} channels to keep apart, got {stream.channels}")
            pieces = [_joined(channel, limit_s) for channel in _apart(in_seconds(frames_of(container, stream)))]
    except AuralError:
        raise
    except Exception as error:  # as in decode_with_ffmpeg
        words = getattr(error, "strerror", None) or str(error)
        raise BadAudio(f"expected audio that FFmpeg can read, got {len(data)} bytes: {words}") from error
    return tuple(Pcm(checked(piece)) for piece in pieces)


def _apart(frames: Iterable[AudioFrame]) -> list[list[Samples]]:
    """The pieces of each channel; the first frame says how many there are."""
    pieces = list(resampled(frames, apart=True))
    return [[piece[channel] for piece in pieces] for channel in range(len(pieces[0]) if pieces else 1)]


def open_container(file: Readable, form: str | None = None, **options: str) -> InputContainer:
    """A container in the format that FFmpeg calls `form`, or finds out itself, with more of its options."""
    import av

    options |= {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": _NO_PROTOCOL,
        "codec_whitelist": _audio_decoders(),
    }
    return av.open(file, "r", format=form, container_options=options, metadata_errors="replace")


@cache
def _audio_decoders() -> str:
    """Every decoder of sound and none of pictures, which FFmpeg would otherwise run on a video to learn its shape."""
    import av

    return ",".join(name for name in sorted(av.codecs_available) if _decodes_audio(name))


def _decodes_audio(name: str) -> bool:
    import av

    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # it only encodes
        return False


def audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        kinds = ", ".join(stream.type for stream in container.streams) or "no streams"
        raise BadAudio(f"expected an audio track, got {container.format.name} with {kinds}")
    return container.streams.audio[0]


def _refuse_declared(container: InputContainer, stream: AudioStream, limit_s: float) -> None:
    if not container.format.name.startswith(_DECLARING):
        return
    if stream.duration is not None and stream.time_base is not None:
        declared_s = float(stream.duration * stream.time_base)
    else:
        declared_s = (container.duration or 0) / 1_000_000
    if declared_s > limit_s:
        raise AudioTooLong(limit_s, declared_s)


def frames_of(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Frames of the packets that decode, up to the end of the file or to where it is broken for good."""
    import av

    heard, barren = False, 0
    failure: av.FFmpegError | None = None
    packets = container.demux(stream)
    while barren < _MOST_BARREN_PACKETS:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            frames = packet.decode()
        except av.FFmpegError as error:
            failure, frames = error, []
        heard, barren = heard or bool(frames), 0 if frames else barren + 1
        for frame in frames:
            frame.pts = None  # it comes after the one before; a damaged file has wrong times
            yield frame
    if failure is not None and not heard:
        raise failure


def _joined(pieces: Iterable[Samples], limit_s: float) -> Samples:
    kept: list[Samples] = []
    room = round(limit_s * SAMPLE_RATE)
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise AudioTooLong(limit_s)
        kept.append(piece)
    return np.concatenate(kept) if kept else np.empty(0, np.float32)
