"""An utterance while it grows, and the pieces that it is heard in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aural.audio.vad import FRAME_SAMPLES
from aural.engines.guard import is_doubtful, is_unlikely
from aural.errors import AuralError
from aural.live.events import Committed, Draft
from aural.live.language import LanguageKeeper
from aural.live.settings import LiveSettings
from aural.live.stabilizer import Stabilizer, Token, written
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Transcript

ENOUGH_VOICE_FRAMES = SAMPLE_RATE // 4 // FRAME_SAMPLES + 1
"""250 ms of voice: Silero's own least speech. With less of it a doubtful text is noise."""
CLEAR_FRAMES = 3
"""With fewer frames of clear voice a text that both scores speak against is noise: hold music has one."""

LONGEST_KEPT = 30 * SAMPLE_RATE
"""So much of an utterance is kept when it has been heard: a caller who never commits would have all of it kept."""


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch of speech short enough to be heard again and again. It ends in a pause, or at the quietest place."""

    utterance: Utterance
    settings: LiveSettings
    """What was asked for when it began."""
    keeper: LanguageKeeper
    start: int
    onset: int
    """Where the voice begins, after the pre-roll."""
    end: int | None = None
    voiced_frames: int = 0
    clear_frames: int = 0
    """Those in which a voice cannot be mistaken."""
    samples: Samples | None = None
    """Its audio from `heard_from` on, once it has ended."""
    context: tuple[Piece, ...] = ()
    """The pieces just before it, which its final hears again: words are better understood in a sentence."""
    is_alone: bool = False
    """Its context did not help: hear it without."""
    is_cut: bool = False
    """It ended while its speaker went on."""
    is_trouble: bool = False
    """The engine failed on it: it is heard once more when it has ended, and not before."""
    own: tuple[Token, ...] = ()
    """The words of its final."""
    is_lacking: bool = False
    """The final has far fewer words than were heard before, or there is none: a later one that heard this piece again
    would take its words for those of another."""
    asked_to: int = 0
    """How far the last hypothesis reached that was asked for."""
    heard_to: int = 0
    """What was said before this has been told."""
    settled: tuple[int, Transcript | AuralError] | None = None
    """What was heard up to a pause, or why it could not be: the final, if the piece turns out to end there."""
    following: Piece | None = None
    """The piece that goes on where this one was cut."""
    stabilizer: Stabilizer = field(default_factory=Stabilizer)
    transcript: Transcript | None = None
    """The final, in the session's clock."""
    clip: Clip | None = None
    """What may be heard once more for the times of its words."""

    @property
    def heard_from(self) -> int:
        """Where the clip of its final may begin."""
        return self.context[0].start if self.context else self.start

    def context_to(self, end: int, reach: int) -> tuple[Piece, ...]:
        """The pieces that a final which ends there hears again, when it may hear `reach` samples in all."""
        found: list[Piece] = []
        for piece in reversed(self.context):
            if self.is_alone or piece.is_lacking or end - piece.start > reach:
                break
            found.append(piece)
        return tuple(reversed(found))

    def __len__(self) -> int:
        assert self.end is not None
        return self.end - self.start

    def is_settled_to(self, end: int | None) -> bool:
        """Whether it is known what a final that ends there hears."""
        return self.settled is not None and self.settled[0] == end

    def is_noise(self, heard: Transcript) -> bool:
        """Whether a text is doubtful and there was hardly any voice, or unlikely and there was none that was clear."""
        is_faint, is_unclear = self.voiced_frames < ENOUGH_VOICE_FRAMES, self.clear_frames < CLEAR_FRAMES
        return any((is_faint and is_doubtful(one)) or (is_unclear and is_unlikely(one)) for one in heard.segments)

    def kept(self, heard: Transcript) -> Clip | None:
        """What may be heard once more, where words came without times."""
        assert self.samples is not None
        is_long = self.heard_from + len(self.samples) - self.utterance.start > LONGEST_KEPT
        if is_long or not heard.segments or any(segment.words for segment in heard.segments):
            return None
        options = replace(self.settings.options, language=self.keeper.asked)
        return Clip(self.samples[self.start - self.heard_from :], options, self.start)

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

    def hear(self, growth: Sequence[Token], draft: Sequence[Token], end: int) -> list[Committed | Draft]:
        """More committed words, and what may still change, heard in audio up to `end`; returns what is new in that."""
        new: list[Committed | Draft] = []
        if more := self._next(growth):
            self.text += more
            new.append(Committed(self.name, more, tuple(token.word for token in growth if token.word), end))
        shown = self._next(draft)
        if shown != self.draft:
            self.draft = shown
            new.append(Draft(self.name, shown, end))
        return new

    def _next(self, some: Sequence[Token]) -> str:
        """Words as they stand after the text so far."""
        return written(some) if self.text else written(some).lstrip()
