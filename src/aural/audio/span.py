"""A stretch of audio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Samples `start` up to `end`, the end not included."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start
