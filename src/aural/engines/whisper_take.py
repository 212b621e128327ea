"""A clip on its way through Whisper, and what the decoder made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from aural.engines import guard
from aural.types import SAMPLE_RATE, Clip, Samples, Timestamps

FRAMES_PER_S = 100
"""Log-mel frames per second; the encoder halves them."""
FULL_FRAMES = 30 * FRAMES_PER_S


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder made of one clip."""

    tokens: tuple[int, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    temperature: float = 0.0
    budget_spent: bool = False


@dataclass(slots=True)
class Take:
    """One clip on its way through the engine."""

    clip: Clip
    mel: Samples
    """Log-mel features, shape (n_mels, frames)."""
    tokenizer: Tokenizer
    language: str
    timed: bool = field(init=False)
    """Whether the decoder tells times; without them it now and then stops before the speech does."""
    start: int = 0
    """Where in the caller's clip this one begins."""
    language_probability: float = 1.0
    encoded: NDArray[Any] = field(default_factory=lambda: np.empty((1, 0, 0), np.float32))
    """What the encoder made of its window, shape (1, frames / 2, d_model), in the encoder's own float type."""
    decoded: Decoded = field(default_factory=lambda: Decoded())
    redone: bool = False
    """Whether it was heard again, in the full window, with no budget but Whisper's own."""

    def __post_init__(self) -> None:
        self.timed = self.clip.options.timestamps is not Timestamps.NONE

    @property
    def frames(self) -> int:
        return min(int(self.mel.shape[1]), FULL_FRAMES)

    @property
    def is_fitted(self) -> bool:
        """Whether its window is shorter than Whisper's own."""
        return int(self.encoded.shape[1]) < FULL_FRAMES // 2

    @property
    def text(self) -> str:
        return str(self.tokenizer.decode(list(self.decoded.tokens)))

    @property
    def evidence(self) -> guard.Evidence:
        return guard.Evidence(
            text=self.text,
            tokens=len(self.decoded.tokens),
            avg_logprob=self.decoded.avg_logprob,
            no_speech_prob=self.decoded.no_speech_prob,
            duration_s=len(self.clip) / SAMPLE_RATE,
            budget_spent=self.decoded.budget_spent,
        )
