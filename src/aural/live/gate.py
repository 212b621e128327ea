"""Whether somebody speaks, frame by frame, from the probabilities of voice activity detection."""

from __future__ import annotations

from dataclasses import dataclass

from aural.audio.vad import FRAME_SAMPLES

ONSET_FRAMES = 3
"""Speech has begun after 96 ms of it: shorter sounds are clicks."""
HYSTERESIS = 0.15
"""Speech ends below the threshold less this, as in Silero's own `get_speech_timestamps`."""


@dataclass(slots=True)
class Gate:
    """Hysteresis over one stream's probabilities. Places are samples of the session."""

    threshold: float = 0.5
    is_open: bool = False
    onset: int = 0
    """Where the run of voiced frames began that opened the gate, or may yet open it."""
    voice_end: int = 0
    """The end of the last frame that was part of speech."""
    run: int = 0
    """Voiced frames in a row, while the gate is shut."""
    _is_quiet: bool = False

    def feed(self, probability: float, end: int) -> None:
        """The next frame, which ends at `end`."""
        if self.is_open:
            self._follow(probability, end)
        elif probability >= self.threshold:
            self.onset = self.onset if self.run else end - FRAME_SAMPLES
            self.run += 1
            if self.run >= ONSET_FRAMES:
                self.open(end)
        else:
            self.run = 0

    def open(self, end: int) -> None:
        """Speech has begun, and was heard up to `end`."""
        self.is_open, self._is_quiet, self.voice_end = True, False, end

    def shut(self) -> None:
        """Speech must begin anew."""
        self.is_open, self.run = False, 0

    def _follow(self, probability: float, end: int) -> None:
        if probability >= self.threshold:
            self._is_quiet = False
        elif probability < self.threshold - HYSTERESIS:
            self._is_quiet = True
        if not self._is_quiet:
            self.voice_end = end
