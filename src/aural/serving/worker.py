"""The process that owns one model: `python -m aural.serving.worker FD`. It ends when its pipe does."""

from __future__ import annotations

import ctypes
import socket
import sys
import time
from collections.abc import Sequence

import numpy as np

from aural.engines import base
from aural.engines.base import Engine
from aural.errors import LoadFailed
from aural.serving import child, messages
from aural.serving.messages import Heard, LoadRefused, Mishap, Ready
from aural.serving.rehearsal import rehearsal
from aural.types import SAMPLE_RATE, Clip, Transcript

NICENESS = 5
TRIM_EVERY_S = 30.0
"""Clips of all lengths leave holes in a heap that is told to keep its memory; so often their pages are given back."""


def serve(pipe: socket.socket) -> None:
    """Load, warm up, then hear batch after batch."""
    order = messages.receive(pipe)
    assert isinstance(order, messages.Load)
    try:
        began = time.perf_counter()
        engine = base.load(order.spec)
        loaded = time.perf_counter()
        rtfx = warm_up(engine, order.max_batch)
    except Exception as error:  # noqa: BLE001 - whatever keeps a model from working is for the operator to read
        messages.send(pipe, LoadRefused(str(error) if isinstance(error, LoadFailed) else _words(error)))
        return
    messages.send(pipe, Ready(engine.capabilities, rtfx, loaded - began, time.perf_counter() - loaded))
    trimmed = time.perf_counter()
    while True:
        batch = messages.receive(pipe)
        assert isinstance(batch, messages.Hear)
        start = time.perf_counter()
        results = hear(engine, batch.clips)
        messages.send(pipe, Heard(results, time.perf_counter() - start))
        if time.perf_counter() - trimmed > TRIM_EVERY_S:
            give_back()
            trimmed = time.perf_counter()


def hear(engine: Engine, clips: Sequence[Clip]) -> tuple[Transcript | Mishap, ...]:
    """The engine's transcripts. If it raises, each clip is heard alone, so that one bad clip fails only itself."""
    try:
        transcripts = tuple(engine.transcribe(clips))
        if len(transcripts) != len(clips):
            raise RuntimeError(f"expected {len(clips)} transcripts of the engine, got {len(transcripts)}")
        return transcripts
    except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to the clip that caused it
        if len(clips) == 1:
            return (Mishap(_words(error)),)
        return tuple(result for clip in clips for result in hear(engine, [clip]))


def warm_up(engine: Engine, max_batch: int) -> float:
    """Hear the longest clip, in which nobody speaks lest it be heard twice, and real speech in a full batch; returns
    audio seconds per second in that batch."""
    engine.transcribe([Clip(np.zeros(engine.capabilities.longest_clip, np.float32))])
    speech = rehearsal()
    start = time.perf_counter()
    engine.transcribe([Clip(speech)] * max_batch)
    return len(speech) * max_batch / SAMPLE_RATE / (time.perf_counter() - start)


def give_back() -> None:
    """Return the free pages of the heap to the system, where the C library can (glibc)."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    child.run(int(sys.argv[1]), NICENESS, serve)
