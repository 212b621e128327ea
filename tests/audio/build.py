"""Files made for tests: WAV bytes by hand, other containers by FFmpeg."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from aural.types import SAMPLE_RATE, Samples

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return struct.pack("<4sI", name, len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def wav(
    body: bytes,
    *,
    tag: int = PCM,
    bits: int = 16,
    channels: int = 1,
    rate: int = SAMPLE_RATE,
    size: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A RIFF/WAVE file; `size` is what its data chunk claims, `before` and `after` are chunks around that one."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    if tag == EXTENSIBLE:
        form += struct.pack("<HHIH14s", 22, bits, 0, PCM, b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71")
    rest = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", body, size) + after
    return struct.pack("<4sI", b"RIFF", len(rest)) + rest


def int16(samples: Samples) -> NDArray[np.int16]:
    return np.round(samples * 32767).astype(np.int16)


def tone(duration_s: float, rate: int = SAMPLE_RATE, channels: int = 1) -> NDArray[np.int16]:
    """A 440 Hz tone, shape (n, channels), with its sign turned in every second channel."""
    wave = int16(0.5 * np.sin(2 * np.pi * 440 * np.arange(round(duration_s * rate)) / rate).astype(np.float32))
    return np.stack([wave if channel % 2 == 0 else -wave for channel in range(channels)], axis=1)


def encoded(samples: NDArray[np.int16], container: str, codec: str, rate: int = SAMPLE_RATE, **options: Any) -> bytes:
    """`samples`, shape (n,) or (n, channels), in the format that FFmpeg calls `container`."""
    table = samples.reshape(len(samples), -1)
    layout = "mono" if table.shape[1] == 1 else "stereo"
    target = io.BytesIO()
    with av.open(target, "w", format=container, **options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(table.reshape(1, -1)), format="s16", layout=layout)
        frame.sample_rate = rate
        for part in (frame, None):
            for packet in stream.encode(part):
                output.mux(packet)
    return target.getvalue()


def silent_video(seconds: int = 1, *, sound: bool = False) -> bytes:
    """An MP4 file of grey pictures, with a second of a tone for each second if there is `sound`."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output:
        pictures = output.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        voice = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if sound else None
        for _ in range(seconds * 10):
            grey = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            output.mux(pictures.encode(grey))
        output.mux(pictures.encode(None))
        if voice is not None:
            frame = av.AudioFrame.from_ndarray(tone(seconds).reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            output.mux(voice.encode(frame))
            output.mux(voice.encode(None))
    return target.getvalue()
