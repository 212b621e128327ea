"""Audio as it would come from a microphone: frame by frame, each when its last sample would have been spoken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from aural.types import SAMPLE_RATE

FRAME_S = 0.05
SAMPLE_BYTES = 2


async def paced(pcm16: bytes | memoryview, *, speed: float = 1.0, frame_s: float = FRAME_S) -> AsyncIterator[bytes]:
    """Frames of PCM16 (16 kHz, mono) at `speed` times real time. Whoever is late is not made later: the schedule is
    that of the first frame."""
    frame_bytes = round(frame_s * SAMPLE_RATE) * SAMPLE_BYTES
    began = time.monotonic()
    for start in range(0, len(pcm16), frame_bytes):
        frame = pcm16[start : start + frame_bytes]
        due = began + (start + len(frame)) / SAMPLE_BYTES / SAMPLE_RATE / speed
        await asyncio.sleep(due - time.monotonic())
        yield bytes(frame)
