"""The audio of a session that may still be heard."""

from __future__ import annotations

import numpy as np

from aural.types import Samples

_FIRST_SAMPLES = 1 << 16


class Tape:
    """Samples by their place in the session; what lies before `start` is gone. Memory is what lies between, doubled."""

    def __init__(self, origin: int = 0) -> None:
        self.start = self.end = origin
        self._base = origin
        """The place of the first sample of the buffer."""
        self._buffer: Samples = np.empty(_FIRST_SAMPLES, np.float32)

    def append(self, samples: Samples) -> None:
        held = self.end - self._base
        if held + len(samples) > len(self._buffer):
            self._make_room(len(samples))
            held = self.end - self._base
        self._buffer[held : held + len(samples)] = samples
        self.end += len(samples)

    def cut(self, start: int, end: int) -> Samples:
        """A copy of [start, end)."""
        assert self.start <= start <= end <= self.end, (self.start, start, end, self.end)
        return self._buffer[start - self._base : end - self._base].copy()

    def forget(self, before: int) -> None:
        """Nobody will ask for what lies before."""
        self.start = max(self.start, min(before, self.end))

    def _make_room(self, more: int) -> None:
        kept = self._buffer[self.start - self._base : self.end - self._base]
        needed = len(kept) + more
        size = max(_FIRST_SAMPLES, 2 * needed)
        buffer = np.empty(size, np.float32)
        buffer[: len(kept)] = kept
        self._buffer, self._base = buffer, self.start
