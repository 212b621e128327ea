"""What a live session says: a closed union. Times are samples at 16 kHz in the clock of the audio that was sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from aural.errors import AuralError
from aural.types import Clip, Reason, Transcript, Word


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks. `utterance` will be named by all that follows of it. Where the caller commits, every time that
    somebody speaks again."""

    utterance: str
    at: int
    """Where the speech begins, its pre-roll included."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    utterance: str
    at: int
    """Where it was decided that speech had ended: the last speech and the silence waited for."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The utterance has all its audio, [start, end): the client committed it or speech stopped. Its `Final` (or
    `Failed`) follows. Comes after `SpeechStopped`, also for utterances that no `SpeechStarted` opened."""

    utterance: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Growth of the committed text. Appending every `text` of an utterance gives the text of its `Final`, to the
    letter: spaces before words come with them."""

    utterance: str
    text: str
    words: tuple[Word, ...] = ()
    """The words of this growth, when the session asked for words."""
    end: int = 0
    """Where the audio ends that it was heard in."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was heard after the committed text and may still change; it replaces the draft before, "" takes it away."""

    utterance: str
    text: str
    end: int = 0
    """Where the audio ends that it was heard in."""


@dataclass(frozen=True, slots=True)
class Final:
    """The utterance is done. `text` is all that was committed of it; empty when nothing was said."""

    utterance: str
    start: int
    end: int
    transcript: Transcript
    """What the engine heard in the whole utterance, its segments (and words, if asked for) in the session's clock.
    Where it disagrees with what had been committed before, `text` keeps the committed words."""
    text: str
    clips: tuple[Clip, ...] = field(default=(), compare=False, repr=False)
    """The speech of it whose words came without times, to whoever wants to hear it once more; none of a long one."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """[start, end) deliberately gave no text."""

    utterance: str | None
    start: int
    end: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Heard:
    """How far was heard: all that was said before `at` has been told, committed or as a draft. Told to those who ask
    for it, each time that so much more was."""

    at: int


@dataclass(frozen=True, slots=True)
class LanguageDetected:
    language: str
    """ISO 639-1."""
    probability: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """The client threw [start, end) away."""

    utterance: str | None
    """The utterance that was open; nothing more will be said of it."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody spoke for the idle timeout: the silence [start, end) becomes an utterance without text."""

    utterance: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An utterance could not be heard, or (`utterance` None) an order could not be followed. The session goes on."""

    utterance: str | None
    error: AuralError
    reference: str | None = None
    """What the caller named the order."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know: `going_away` (the server ends the session at `at`; `resume` continues it elsewhere)."""

    code: str
    message: str
    at: int = 0
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the samples went. When a session has ended, received = final + suppressed + cleared + failed."""

    received: int = 0
    final: int = 0
    suppressed: int = 0
    cleared: int = 0
    failed: int = 0

    def plus(self, **more: int) -> Ledger:
        return replace(self, **{name: getattr(self, name) + samples for name, samples in more.items()})

    @property
    def is_closed(self) -> bool:
        return self.received == self.final + self.suppressed + self.cleared + self.failed


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a session."""

    totals: Ledger


Event = (
    SpeechStarted
    | SpeechStopped
    | Closed
    | Committed
    | Draft
    | Final
    | Suppressed
    | Heard
    | LanguageDetected
    | Cleared
    | TimedOut
    | Failed
    | Notice
    | Ended
)


def replaces(event: Event, last: Event) -> bool:
    """Whether nobody needs the one before any more."""
    match event, last:
        case Draft(utterance), Draft(before):
            return utterance == before
        case Heard(), Heard():
            return True
    return False
