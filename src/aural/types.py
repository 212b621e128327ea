"""Values that cross a border between packages. Times are integer samples at 16 kHz; seconds belong to the wire."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every `Pcm` and of every time in this package."""

Samples = NDArray[np.float32]
Task = Literal["transcribe", "translate"]


def seconds(samples: int) -> float:
    """Seconds, rounded to a millisecond, of a time in samples."""
    return round(samples / SAMPLE_RATE, 3)


def samples(time_s: float) -> int:
    """The nearest sample to a time in seconds."""
    return round(time_s * SAMPLE_RATE)


@dataclass(frozen=True, slots=True, eq=False)
class Pcm:
    """Decoded audio: float32 samples in [-1, 1], shape (n,), mono, 16 kHz."""

    samples: Samples

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def duration_s(self) -> float:
        return seconds(len(self.samples))


class Timestamps(StrEnum):
    """How finely a caller wants time; finer costs more."""

    NONE = "none"
    SEGMENT = "segment"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller asks of an engine for one clip."""

    language: str | None = None
    """ISO 639-1 code; None detects it."""
    task: Task = "transcribe"
    prompt: str = ""
    """Text that came before, for style and spelling."""
    hotwords: str = ""
    """Words and names to expect."""
    temperature: float | None = None
    """None decodes greedily and falls back to higher temperatures when the result looks wrong; a number fixes it."""
    beam_size: int = 1
    timestamps: Timestamps = Timestamps.NONE


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A stretch of audio short enough for one pass of an engine."""

    samples: Samples
    """float32, shape (n,), mono, 16 kHz."""
    options: Options = field(default_factory=Options)
    start: int = 0
    """Where the clip begins in the audio that the caller sent."""
    is_draft: bool = False
    """A hypothesis that another replaces soon: an engine hears it once, where it would hear a doubtful text again."""

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    """As written, with its leading space where the language has one."""
    start: int
    end: int
    probability: float

    def shifted(self, by: int) -> Word:
        return replace(self, start=self.start + by, end=self.end + by)

    def within(self, start: int, end: int) -> Word:
        return replace(self, start=min(max(self.start, start), end), end=min(max(self.end, start), end))


@dataclass(frozen=True, slots=True)
class Segment:
    """Heard text with its place and the evidence that it was said."""

    text: str
    start: int
    end: int
    avg_logprob: float = 0.0
    """Mean natural log-probability of the tokens."""
    compression_ratio: float = 0.0
    """UTF-8 bytes over zlib bytes; above 2.4 text repeats itself."""
    no_speech_prob: float = 0.0
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()
    is_suspect: bool = False
    """The text itself is suspect, and the engine gives no scores that would tell."""

    def within(self, start: int, end: int) -> Segment:
        """The segment with its words, no time of them before `start` or after `end`."""
        words = tuple(word.within(start, end) for word in self.words)
        return replace(self, start=min(max(self.start, start), end), end=min(max(self.end, start), end), words=words)

    def shifted(self, by: int) -> Segment:
        words = tuple(word.shifted(by) for word in self.words)
        return replace(self, start=self.start + by, end=self.end + by, words=words)


class Reason(StrEnum):
    """Why audio gave no text."""

    NO_SPEECH = "no_speech"
    """Voice activity detection heard no voice, or the engine itself says that nobody speaks."""
    LOW_CONFIDENCE = "low_confidence"
    REPETITION = "repetition"
    SPEECH_RATE = "speech_rate"
    """More words than a person can say in that time."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A stretch that was received and deliberately gave no text."""

    start: int
    end: int
    reason: Reason
    text: str = ""
    """What the engine made of it; empty when it was not asked."""

    def shifted(self, by: int) -> Suppressed:
        return replace(self, start=self.start + by, end=self.end + by)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in one clip or one file."""

    segments: tuple[Segment, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    language: str = "en"
    language_probability: float = 1.0
    """1.0 when the caller gave the language."""
    redone: bool = False
    """The fitted window was not trusted and the clip was heard again in the full one."""

    def shifted(self, by: int) -> Transcript:
        return replace(
            self,
            segments=tuple(segment.shifted(by) for segment in self.segments),
            suppressed=tuple(gap.shifted(by) for gap in self.suppressed),
        )
