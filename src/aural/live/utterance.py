"""An utterance while it grows, and the pieces that it is heard in."""

from __future__ import annotations

from dataclasses import dataclass, field

from aural.errors import AuralError
from aural.live.stabilizer import Stabilizer, Token
from aural.types import Reason, Samples, Transcript


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch of speech short enough to be heard again and again. It ends in a pause, or at the quietest place."""

    utterance: Utterance
    start: int
    onset: int
    """Where the voice begins, after the pre-roll."""
    end: int | None = None
    voiced_frames: int = 0
    samples: Samples | None = None
    """Its audio from `heard_from` on, once it has ended."""
    context: tuple[Piece, ...] = ()
    """The pieces just before it, which its final hears again: words are better understood in a sentence."""
    is_alone: bool = False
    """Its context did not help: hear it without."""
    own: tuple[Token, ...] = ()
    """The words of its final."""
    asked_to: int = 0
    """How far the last hypothesis reached that was asked for."""
    heard_to: int = 0
    """What was said before this has been told."""
    settled: tuple[int, Transcript] | None = None
    """What was heard up to a pause: the final, if the piece turns out to end there."""
    following: Piece | None = None
    """The piece that goes on where this one was cut."""
    stabilizer: Stabilizer = field(default_factory=Stabilizer)
    transcript: Transcript | None = None
    """The final, in the session's clock."""

    @property
    def heard_from(self) -> int:
        """Where the clip of its final may begin."""
        return self.context[0].start if self.context else self.start

    def context_to(self, end: int, reach: int) -> tuple[Piece, ...]:
        """The pieces that a final which ends there hears again, when it may hear `reach` samples in all."""
        return () if self.is_alone else tuple(piece for piece in self.context if end - piece.start <= reach)

    def __len__(self) -> int:
        assert self.end is not None
        return self.end - self.start

    @property
    def has_text(self) -> bool:
        return self.transcript is not None and bool(self.transcript.segments)

    @property
    def reason(self) -> Reason:
        """Why it gave no text."""
        gaps = self.transcript.suppressed if self.transcript else ()
        return gaps[0].reason if gaps else Reason.NO_SPEECH


@dataclass(slots=True, eq=False)
class Utterance:
    name: str
    start: int
    end: int | None = None
    pieces: list[Piece] = field(default_factory=list)
    text: str = ""
    """What is committed of it."""
    draft: str = ""
    error: AuralError | None = None

    @property
    def is_closed(self) -> bool:
        return self.end is not None

    @property
    def is_heard(self) -> bool:
        return self.is_closed and all(piece.transcript is not None for piece in self.pieces)
