"""The language of a session: given, or detected once, and given up only when it proves wrong twice."""

from __future__ import annotations

from collections.abc import Container

from aural.engines.guard import DOUBTFUL_AVG_LOGPROB
from aural.live.events import LanguageDetected
from aural.types import Transcript

SURE = 0.5
"""A final that is at least this likely in one language decides the language of the session."""
WRONG_AFTER = 2
"""So many finals in a row that make no sense in the language, and it is detected anew."""


class LanguageKeeper:
    """Decides from finals alone, so that it does not depend on when partials came."""

    def __init__(self, given: str | None, known: Container[str], decided: str | None = None) -> None:
        """What was `decided` elsewhere counts where the model knows that language."""
        self.given = given
        self.decided = decided if decided in known else None
        self._doubts = 0

    @property
    def asked(self) -> str | None:
        """What to ask of the engine; None is to detect it."""
        return self.given or self.decided

    def final(self, transcript: Transcript) -> LanguageDetected | None:
        """Another final; returns what is to be told."""
        if self.given or not transcript.segments:
            return None
        if self.decided:
            self._doubts = self._doubts + 1 if _is_nonsense(transcript) else 0
            if self._doubts >= WRONG_AFTER:
                self.decided, self._doubts = None, 0
        elif transcript.language_probability >= SURE:
            self.decided = transcript.language
            return LanguageDetected(transcript.language, transcript.language_probability)
        return None


def _is_nonsense(transcript: Transcript) -> bool:
    return min(segment.avg_logprob for segment in transcript.segments) < DOUBTFUL_AVG_LOGPROB
